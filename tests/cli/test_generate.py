"""`caloforge generate` and `caloforge models`."""

import json
import subprocess
import sys

import numpy as np
import pytest

from caloforge import geant4
from caloforge.cli import main
from caloforge.errors import InputError
from caloforge.runtime import library
from caloforge.showers import IncidentSpectrum, read_showers


def test_generate_writes_a_file(tmp_path, tiny_model, capsys):
    path = tmp_path / "fast.h5"
    words = ["generate", str(tiny_model), "-n", "120", "--particle", "e-,gamma", "--energy", "1:100"]
    assert main([*words, "-o", str(path), "--seed", "3", "--threads", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["showers"] == 120
    assert summary["threads"] == 1
    showers = read_showers(path)
    assert len(showers) == 120
    assert showers.incidents.energy.min() >= 1e3
    assert showers.provenance["seed"] == "3"


def test_generate_draws_angles_and_places(tmp_path, write_tiny_model, capsys):
    wide = IncidentSpectrum((11,), (1e3, 1e5), theta=(0, 0.6), phi=(0, 6.3e-1), position=(-3, 3, -3, 3))
    model = write_tiny_model(spectrum=wide, conditions=("energy", "direction", "position"))
    path = tmp_path / "fast.h5"
    words = ["generate", str(model), "-n", "50", "--energy", "5", "-o", str(path), "--strict", "--json"]
    assert main([*words, "--theta", "0:30", "--phi", "0:36", "--position", "cell"]) == 0
    assert json.loads(capsys.readouterr().out)["spectrum"]["position"] == [-2.55, 2.55, -2.55, 2.55]
    showers = read_showers(path)
    assert 0.4 < showers.incidents.theta.max() < 0.53
    assert np.ptp(showers.incidents.x) > 3
    assert IncidentSpectrum.parse_json(showers.provenance["spectrum"], "file").phi[1] == pytest.approx(
        0.6283185
    )


def test_outside_the_training_is_said_on_stderr(tmp_path, tiny_model, capsys):
    words = ["generate", str(tiny_model), "-n", "2", "--energy", "500", "-o", str(tmp_path / "fast.h5")]
    assert main(words) == 0
    streams = capsys.readouterr()
    assert "warning: energy 500 GeV instead of 1 GeV to 100 GeV: model 'tiny' was not trained" in streams.err
    assert "warning" not in streams.out
    assert main([*words, "--strict"]) == 2
    assert "error: energy 500 GeV" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (["--particle", "electorn"], 2, "unknown particle"),
        (["--energy", "abc"], 2, "not an energy"),
        (["--theta", "90"], 2, "below 90 degrees"),
        (["--theta", "0:10"], 2, "not conditioned on the direction"),
        (["--position", "cell"], 2, "not conditioned on the position"),
        (["--position", "100,0"], 2, "outside the readout"),
        (["-n", "0"], 2, "at least one"),
        (["--batch", "0"], 2, "batch 0"),
        (["--backend", "openvin"], 2, "did you mean 'openvino'"),
        (["-o", "none/fast.h5"], 3, "does not exist"),
    ],
)
def test_bad_calls(tmp_path, tiny_model, monkeypatch, capsys, change, status, words):
    monkeypatch.chdir(tmp_path)
    assert main(["generate", str(tiny_model), "-o", "fast.h5", "-n", "2", *change]) == status
    assert words in capsys.readouterr().err
    assert not (tmp_path / "fast.h5").exists()


def test_unknown_model(tmp_path, capsys):
    assert main(["generate", "clic-ecl", "-o", str(tmp_path / "fast.h5")]) == 6
    assert "no model 'clic-ecl' is shipped" in capsys.readouterr().err


def test_models_lists_cards(tiny_model, monkeypatch, capsys):
    monkeypatch.setattr(library, "_folder", lambda: tiny_model.parent)
    assert main(["models"]) == 0
    assert "tiny: gan3d for tiny (3, 5, 5)" in capsys.readouterr().out
    assert main(["models", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "e-, gamma, 1 GeV to 100 GeV" in text
    assert "value 0.6, floor 0.5" in text
    assert "particle, energy" in text
    assert main(["models", "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert card["validation"] == {"auc": {"value": 0.6, "floor": 0.5}}
    assert card["detector"] == {"name": "tiny", "shape": [3, 5, 5]}
    assert main(["models", "tinny"]) == 6
    assert "did you mean 'tiny'" in capsys.readouterr().err


def test_the_demo_draws_what_the_model_was_trained_for(tmp_path, write_tiny_model, monkeypatch, capsys):
    for module in ("sklearn", "matplotlib"):
        pytest.importorskip(module, reason=f"{module} (extra 'report') is not installed")
    wide = IncidentSpectrum((22,), (2e3, 3e4), theta=(0, 0.6), position=(-3, 3, -3, 3))
    asked = []

    def produce(detector, spectrum, n, *_, **__):
        asked.append((detector.name, spectrum, n))
        raise InputError("far enough")

    monkeypatch.setattr(geant4, "installation", lambda: None, raising=False)
    monkeypatch.setattr(geant4, "produce", produce, raising=False)
    model = write_tiny_model(spectrum=wide, conditions=("energy", "direction", "position"))
    assert main(["demo", str(model), "-n", "100", "-o", str(tmp_path / "demo")]) == 2
    assert asked == [("tiny", wide, 100)]
    assert "100 showers each of tiny: gamma, 2 GeV to 30 GeV, theta 0 to" in capsys.readouterr().err


def test_generate_runs_without_torch_and_geant4(tmp_path, tiny_model):
    path = tmp_path / "fast.h5"
    code = (
        "import sys\n"
        "for name in ('torch', 'geant4_pybind', 'onnx', 'lightning_fabric'): sys.modules[name] = None\n"
        "from caloforge.cli import main\n"
        f"sys.exit(main(['generate', {str(tiny_model)!r}, '-n', '5', '-o', {str(path)!r}, '--seed', '1']))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert np.isfinite(read_showers(path).energies).all()


def test_import_is_light():
    code = (
        "import sys, caloforge; caloforge.Model if 0 else None\n"
        "heavy = {'torch', 'geant4_pybind', 'onnxruntime', 'h5py', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import caloforge.runtime\n"
        "heavy = {'torch', 'geant4_pybind', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
