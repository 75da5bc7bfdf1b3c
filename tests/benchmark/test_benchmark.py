"""Geant4 and a model timed side by side."""

import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from caloforge import benchmark, geant4
from caloforge.cli import main
from caloforge.errors import InputError
from caloforge.runtime import load
from caloforge.showers import IncidentSpectrum, Showers


@pytest.fixture
def no_geant4(monkeypatch):
    """A Geant4 that takes 10 ms per GeV, and remembers what it was asked for."""
    calls = []

    def simulate(detector, given, seed, on_shower=None, first=0):
        calls.append((given, first))
        for index, energy in enumerate(given.energy):
            if on_shower:
                on_shower(index, 1e-5 * float(energy))
        cells = np.zeros((len(given), *detector.shape), np.float32)
        return Showers(cells, given, detector, {"source": "Geant4 in a test"})

    monkeypatch.setattr(geant4, "simulate", simulate, raising=False)
    return calls


ELECTRONS = IncidentSpectrum((11,), (1e3, 1e5))


def test_energies_are_log_uniform_already_for_few(toy_detector):
    spectrum = IncidentSpectrum((11, 22), (1e3, 1e5))
    given = benchmark.same_incidents(spectrum, 20, 1, toy_detector)
    np.testing.assert_array_equal(np.floor(np.sort(np.log10(given.energy) - 3) * 10), np.arange(20))
    assert abs(given.energy.mean() / (99e3 / np.log(100)) - 1) < 0.1
    assert set(given.pdg) == {11, 22}


def test_other_distributions_are_spread_evenly_too(toy_detector):
    uniform = IncidentSpectrum((11,), (1e3, 21e3), "uniform")
    given = benchmark.same_incidents(uniform, 20, 1, toy_detector)
    np.testing.assert_array_equal(np.floor(np.sort(given.energy) / 1e3 - 1), np.arange(20))
    listed = IncidentSpectrum((11,), (1e3, 2e3, 5e3), "list")
    given = benchmark.same_incidents(listed, 30, 1, toy_detector)
    assert np.unique(given.energy, return_counts=True)[1].tolist() == [10, 10, 10]


def test_angles_and_places_are_drawn(toy_detector):
    spectrum = IncidentSpectrum((11,), (5e3,), theta=(0, 0.5), phi=(0, 6), position="cell")
    given = benchmark.same_incidents(spectrum, 200, 1, toy_detector)
    assert set(given.energy) == {5e3}
    assert spectrum.on(toy_detector).outside(given) == []
    assert given.theta.max() > 0.45
    assert np.ptp(given.x) > 4.5


def test_timing_of_known_values():
    timing = benchmark.summarise(np.arange(1.0, 102.0))
    assert timing.mean == timing.median == 51
    assert timing.quantiles == (6, 26, 76, 96)
    assert timing.standard_error == pytest.approx(np.std(np.arange(101), ddof=1) / np.sqrt(101))


def test_times_that_follow_the_energy_have_no_error():
    energies = np.geomspace(1e3, 1e5, 20)
    assert benchmark.summarise(3 + energies / 100, energies).standard_error == pytest.approx(0, abs=1e-9)
    assert benchmark.summarise(np.full(5, 2.0), np.full(5, 1e3)).standard_error == 0


def test_both_see_the_same_energies(tiny_model, no_geant4):
    result = benchmark.run(load(tiny_model, threads=1), ELECTRONS, 7, (1, 4), seconds=0.01, show=False)
    (warm_up, first), (given, zero) = no_geant4
    assert len(warm_up) == 3
    assert (first, zero) == (7, 0)
    assert len(given) == result.showers == 7
    assert result.mean_energy == pytest.approx(given.energy.mean())
    assert result.geant4.mean == pytest.approx(result.mean_energy / 100)
    assert [entry.batch for entry in result.models] == [1, 4]
    for entry in result.models:
        assert entry.timing.repeats >= 10
        assert entry.timing.mean > 0
        assert entry.speedup == pytest.approx(result.geant4.mean / entry.timing.mean)
        assert entry.speedup_per_core == pytest.approx(entry.speedup / result.threads)
    assert result.versions["geant4"] == "Geant4 in a test"


def test_the_result_is_plain_data(tiny_model, no_geant4):
    model = load(tiny_model, threads=2)
    spectrum = IncidentSpectrum((11, 22), (1e3, 1e5))
    result = benchmark.run(model, spectrum, 2, (3,), seconds=0.01, show=False)
    data = json.loads(json.dumps(result.to_json()))
    assert data["threads"] == 2
    assert IncidentSpectrum.parse(data["spectrum"], "result") == spectrum
    assert data["model_sha256"] == model.sha256
    assert data["machine"]["cpu"]
    assert data["models"][0]["timing"]["repeats"] >= 10


def test_the_model_alone(tiny_model, capsys):
    assert (
        main(["benchmark", str(tiny_model), "--geant4", "0", "--batch", "2", "--threads", "1", "--json"]) == 0
    )
    data = json.loads(capsys.readouterr().out)
    assert data["geant4"] is None
    assert data["models"][0]["speedup"] is None


def test_the_table_for_people(tiny_model, no_geant4, capsys):
    assert main(["benchmark", str(tiny_model), "--geant4", "3", "--batch", "2", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "e-, 1 GeV to 100 GeV, normal" in text
    assert "Geant4, 1 process" in text
    assert "model, batch 2" in text
    assert "core for core" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--batch", "0"], "at least 1"),
        (["--batch", "a"], "whole numbers"),
        (["--geant4", "-1"], "geant4 = -1"),
        (["--geant4", "1"], "at least 2 showers"),
        (["--energy", "9:1"], "lower end"),
        (["--theta", "0:5"], "not conditioned on the direction"),
    ],
)
def test_bad_calls(tiny_model, capsys, change, words):
    assert main(["benchmark", str(tiny_model), *change]) == 2
    assert words in capsys.readouterr().err


def test_bad_arguments(tiny_model):
    with pytest.raises(InputError, match="batches"):
        benchmark.run(load(tiny_model, threads=1), ELECTRONS, 0, ())


@pytest.mark.skipif(
    importlib.util.find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed"
)
def test_with_geant4(tiny_model):
    words = ["benchmark", str(tiny_model), "--geant4", "3", "--batch", "4", "--energy", "1:2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "caloforge", *words, "--threads", "1"],
        check=True,
        capture_output=True,
        text=True,
    )
    data = json.loads(done.stdout)
    assert data["geant4"]["repeats"] == 3
    assert data["geant4"]["mean"] > 0
    assert data["models"][0]["speedup"] > 0
    assert "Geant4" in data["versions"]["geant4"]
