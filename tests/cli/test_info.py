"""`caloforge info` and `caloforge detectors`."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

from caloforge.cli import main
from caloforge.detectors import toml
from caloforge.showers import IncidentSpectrum, parse_spectrum, write_showers


@pytest.fixture
def file(tmp_path, toy_showers):
    path = tmp_path / "toy.h5"
    write_showers(path, toy_showers(60, 1))
    return path


def test_info_as_json(file, toy_showers, capsys):
    assert main(["info", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    showers = toy_showers(60, 1).with_threshold()
    assert found["detector"] == "toy"
    assert found["shape"] == [8, 9, 9]
    assert found["showers"] == 60
    assert found["provenance"]["source"] == "toy"
    electrons, photons = found["particles"]
    assert (electrons["name"], electrons["showers"]) == ("e-", 30)
    assert photons["name"] == "gamma"
    chosen = showers[showers.incidents.pdg == 11]
    assert electrons["response_mean"] == pytest.approx(
        np.mean(chosen.visible_energy / chosen.incidents.energy)
    )
    assert electrons["hits_mean"] == pytest.approx(np.count_nonzero(chosen.energies) / 30)
    assert electrons["maximum_cell"] == pytest.approx(chosen.energies.max())
    assert electrons["energy_min"] == pytest.approx(chosen.incidents.energy.min())


def test_info_for_people(file, capsys):
    assert main(["info", str(file)]) == 0
    text = capsys.readouterr().out
    for words in ("toy", "8 x 9 x 9 = 648", "gamma", "response"):
        assert words in text


def bare(path, n_cells):
    with h5py.File(path, "w") as file:
        file["incident_energies"] = np.full((4, 1), 1e4)
        file["showers"] = np.ones((4, n_cells))
    return str(path)


def test_info_of_a_file_of_the_calochallenge(tmp_path, capsys):
    path = bare(tmp_path / "dataset_2.hdf5", 6480)
    assert main(["info", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "CaloChallenge"
    assert found["detector"] == "calochallenge-2"
    assert found["shape"] == [45, 16, 9]
    assert found["spectrum"] is None
    assert [one["name"] for one in found["particles"]] == ["e-"]
    assert main(["info", path, "--particle", "gamma"]) == 0
    assert "within gamma, 10 GeV, normal, at (0, 0) mm" in " ".join(capsys.readouterr().out.split())


def test_info_of_a_file_without_detector(tmp_path, capsys):
    path = bare(tmp_path / "bare.hdf5", 300)
    assert main(["info", path]) == 3
    assert "give --particle" in capsys.readouterr().err
    assert main(["info", path, "--json", "--particle", "gamma"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shape"] is None
    assert found["particles"][0]["name"] == "gamma"
    assert found["particles"][0]["response_mean"] == pytest.approx(300 / 1e4)
    assert main(["info", path, "--particle", "gamma"]) == 0
    capsys.readouterr()
    assert main(["info", bare(tmp_path / "dataset_1.hdf5", 368), "--particle", "gamma"]) == 3
    assert "CaloChallenge data set 1" in capsys.readouterr().err


def test_info_shows_the_spectrum(tmp_path, toy_showers, capsys):
    showers = toy_showers(60, 1)
    drawn_from = parse_spectrum("e-,gamma", "1:100")
    path = tmp_path / "toy.h5"
    write_showers(path, replace(showers, provenance={"spectrum": drawn_from.to_json()}))
    assert main(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert IncidentSpectrum.parse(found["spectrum"], "json") == drawn_from
    assert main(["info", str(path)]) == 0
    assert drawn_from.describe() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"), [("none.h5", "does not exist"), ("text.h5", "is not an HDF5 file")]
)
def test_info_of_what_is_not_a_shower_file(tmp_path, capsys, name, words):
    (tmp_path / "text.h5").write_text("hello")
    assert main(["info", str(tmp_path / name)]) == 3
    streams = capsys.readouterr()
    assert words in streams.err
    assert streams.out == ""


def test_detectors(capsys):
    assert main(["detectors", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "clic-ecal" in [one["name"] for one in found]
    assert main(["detectors"]) == 0
    assert "clic-ecal" in capsys.readouterr().out


def test_one_detector(capsys):
    assert main(["detectors", "clic-ecal", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["shape"] == [25, 25, 25]
    assert len(found["symmetries"]) == 8
    assert found["radiation_lengths"] == pytest.approx(23, abs=1)
    assert len(found["layers"]) == 25
    assert main(["detectors", "clic-ecal"]) == 0
    text = capsys.readouterr().out
    for words in ("15 keV", "0.7 mm", "measured", "22.8", "quarter turn", "G4_Si", "84.2 keV", "25 rows"):
        assert words in text
    assert found["layers"][0]["mip"] == pytest.approx(0.0842, rel=0.01)
    assert found["physics"]["photoelectric_shells"] == "measured"


def test_a_cylinder(tmp_path, capsys):
    assert main(["detectors", "calochallenge-2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["readout"]["sectors"] == 16
    assert len(found["symmetries"]) == 32
    assert found["layers"][0]["slices"] == 2
    assert main(["detectors", "calochallenge-2"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "16 sectors x 9 rings",
        "2 sensitive slices are a layer",
        "30.303",
        "symmetries 32",
        "60 mm",
    ):
        assert words in text


def test_a_detector_with_a_mixture(tmp_path, capsys):
    text = toml("crystals").replace("G4_PbWO4", "glass")
    text += '[[material]]\nname = "glass"\ndensity = 6\nfractions = { Pb = 0.5, G4_SILICON_DIOXIDE = 0.5 }\n'
    (tmp_path / "glass.toml").write_text(text)
    assert main(["detectors", str(tmp_path / "glass.toml")]) == 0
    assert "glass: 6 g/cm3, 50 % Pb, 50 % G4_SILICON_DIOXIDE" in " ".join(capsys.readouterr().out.split())


def test_unknown_detector(capsys):
    assert main(["detectors", "clic-ecl"]) == 2
    assert "did you mean 'clic-ecal'" in capsys.readouterr().err
