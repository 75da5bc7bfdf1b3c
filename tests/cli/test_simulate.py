import json
from importlib.util import find_spec

import numpy as np
import pytest

from caloforge.cli import main
from caloforge.showers import read_showers

pytestmark = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")


def test_simulate_writes_a_sample(tmp_path, capfd) -> None:
    path = tmp_path / "new" / "mc.h5"
    words = ["clic-ecal", "-n", "6", "--particle", "e-,gamma", "--energy", "100MeV", "-o", str(path)]
    assert main(["simulate", *words]) == 0
    showers = read_showers(path)
    assert len(showers) == 6
    assert set(showers.incidents.energy) == {100.0}
    out, err = capfd.readouterr()
    assert out == ""
    assert "6 showers of clic-ecal in" in err


def test_angles_and_places(tmp_path, capfd) -> None:
    """The same command in full is in the file."""
    path = tmp_path / "mc.h5"
    spectrum = ["--particle", "gamma", "--energy", "50MeV", "--theta", "10:30", "--phi", "0:360"]
    words = ["crystals", "-n", "6", *spectrum, "--position", "cell", "-o", str(path)]
    assert main(["simulate", *words]) == 0
    showers = read_showers(path)
    assert np.all(
        (showers.incidents.theta >= np.radians(10) - 1e-6)
        & (showers.incidents.theta <= np.radians(30) + 1e-6)
    )
    assert len(set(showers.incidents.x)) == len(set(showers.incidents.phi)) == 6
    assert np.abs(showers.incidents.y).max() <= 11
    command = "simulate crystals -n 6 --particle gamma --energy 0.05 --theta 10:30 --phi 0:360 --position="
    assert command.removesuffix("=") in showers.provenance["command"]
    assert main(["info", str(path)]) == 0
    assert "gamma, 50 MeV, theta 10 to 30 degrees, phi 0 to 360 degrees" in " ".join(
        capfd.readouterr().out.split()
    )


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["clic-ecal", "--particle", "pi-"], 5, "PhotonEvaporation (G4LEVELGAMMADATA)"),
        (["clic-ecal", "--particle", "elektron"], 2, "unknown particle 'elektron'; did you mean"),
        (["clic-ecl"], 2, "did you mean 'clic-ecal'?"),
        (["clic-ecal", "--energy", "10:1"], 2, "the lower end exceeds the upper end"),
        (["clic-ecal", "--theta", "90"], 2, "theta 90 degrees: must be at least 0 and below 90 degrees"),
        (
            ["clic-ecal", "--position", "64,0"],
            2,
            "(64, 0) mm lies outside the readout of detector 'clic-ecal'",
        ),
        (["calochallenge-2", "--position", "cell"], 2, "position 'cell' is for cartesian readouts"),
        (["clic-ecal", "-n", "0"], 2, "Invalid value for '-n'"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, monkeypatch, capfd, words, status, message) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("GEANT4_DATA_DIR", "G4LEVELGAMMADATA", "G4PARTICLEXSDATA"):
        monkeypatch.delenv(variable, raising=False)
    assert main(["simulate", *words, "-o", str(tmp_path / "mc.h5")]) == status
    out, err = capfd.readouterr()
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "mc.h5").exists()


def test_geant4_describes_itself_as_json(capfd) -> None:
    assert main(["geant4", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["geant4"].startswith("11.")
    assert found["physics"][0] == "G4EmStandardPhysics + G4DecayPhysics"
    assert {entry["variable"] for entry in found["data_sets"]} == set(found["environment"])
    assert "G4LEDATA" in found["environment"]


def test_geant4_describes_itself_for_people(capfd) -> None:
    assert main(["geant4"]) == 0
    out = capfd.readouterr().out
    assert "Geant4 11." in out
    assert "G4EMLOW" in out
