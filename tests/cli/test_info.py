"""`caloforge info` and `caloforge detectors`."""

import json

import h5py
import numpy as np
import pytest

from caloforge.cli import main
from caloforge.showers import write_showers


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


def test_info_of_a_file_without_detector(tmp_path, capsys):
    path = tmp_path / "dataset_1.hdf5"
    with h5py.File(path, "w") as file:
        file["incident_energies"] = np.full((4, 1), 1e4)
        file["showers"] = np.ones((4, 368))
    assert main(["info", str(path), "--json", "--particle", "gamma"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "CaloChallenge"
    assert found["shape"] is None
    assert found["particles"][0]["name"] == "gamma"
    assert found["particles"][0]["response_mean"] == pytest.approx(368 / 1e4)
    assert main(["info", str(path)]) == 0


@pytest.mark.parametrize(("name", "words"), [("none.h5", "does not exist"), ("text.h5", "is no HDF5 file")])
def test_info_of_what_is_no_shower_file(tmp_path, capsys, name, words):
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
    for words in ("15 keV", "0.7 mm", "22.8", "quarter turn", "G4_Si"):
        assert words in text


def test_unknown_detector(capsys):
    assert main(["detectors", "clic-ecl"]) == 2
    assert "did you mean 'clic-ecal'" in capsys.readouterr().err
