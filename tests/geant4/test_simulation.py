import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from caloforge import detectors
from caloforge.errors import Geant4Error, InputError
from caloforge.geant4 import simulate
from caloforge.showers import Showers, incidents

pytestmark = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")

N = 60
ENERGY = 1000.0


@pytest.fixture(scope="module")
def showers() -> Showers:
    return simulate(detectors.load("clic-ecal"), incidents(np.tile([11, 22], N // 2), ENERGY), seed=5)


def test_energies_are_possible(showers) -> None:
    showers.check()
    assert showers.shape == (25, 25, 25)
    assert np.all(showers.visible_energy > 0)
    assert np.all(showers.visible_energy < showers.incidents.energy)


def test_the_response_is_the_sampling_fraction_of_the_detector(showers) -> None:
    response = showers.visible_energy / showers.incidents.energy
    assert response.mean() == pytest.approx(0.0167, rel=0.12)  # 16 % resolution, 60 showers


def test_showers_are_symmetric_about_the_axis(showers) -> None:
    detector = showers.detector
    total = showers.flat.sum(axis=0, dtype=float)
    left = detector.positions[:, 0] < 0
    for destinations in detector.destinations():
        moved = np.empty_like(total)
        moved[destinations] = total
        assert moved[left].sum() == pytest.approx(total[left].sum(), rel=0.25)
    assert showers.energies.sum(axis=(0, 1), dtype=float).argmax() == 12 * 25 + 12


def test_showers_begin_at_the_front(showers) -> None:
    profile = showers.layer_energies.mean(axis=0)
    assert 2 <= profile.argmax() <= 8  # 1 GeV: maximum at about 4 X0 = layer 5
    assert profile[-1] < 0.05 * profile.max()


def test_a_shower_depends_on_its_seed_only(showers) -> None:
    detector = showers.detector
    assert detector is not None
    again = simulate(detector, showers.incidents[10:13], seed=5, first=10)
    np.testing.assert_array_equal(again.energies, showers.energies[10:13])
    other = simulate(detector, showers.incidents[10:13], seed=6, first=10)
    assert not np.array_equal(other.energies, again.energies)


def test_wall_times_are_reported(showers) -> None:
    seen: list[tuple[int, float]] = []
    simulate(showers.detector, showers.incidents[:3], 1, on_shower=lambda i, t: seen.append((i, t)))
    assert [index for index, _ in seen] == [0, 1, 2]
    assert all(seconds > 0 for _, seconds in seen)


def test_the_provenance_names_geant4(showers) -> None:
    assert "Geant4 11." in showers.provenance["source"]
    assert "G4EmStandardPhysics + G4DecayPhysics, range cut 0.7 mm" in showers.provenance["source"]
    assert showers.provenance["seed"] == "5"


def test_the_centroid_follows_the_shower_axis(showers) -> None:
    """In each layer, for any direction and impact point."""
    detector = showers.detector
    phi = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    tilted = simulate(detector, incidents(11, np.full(60, ENERGY), 0.4, phi, x=10.2, y=-5.1), seed=2)
    x, y = tilted.incidents.axis(detector.z)
    for axis, position in ((x, detector.positions[:, 0]), (y, detector.positions[:, 1])):
        centroid = sums(detector, tilted.flat * position) / sums(detector, tilted.flat)
        hit = np.isfinite(centroid[:, 1:9])
        distance = (centroid - axis)[:, 1:9]
        for layer in range(8):
            there = distance[hit[:, layer], layer]
            assert abs(there.mean()) < 4 * there.std() / np.sqrt(len(there))
        assert np.median(np.abs(distance[hit])) < 5.1


def sums(detector, cells) -> np.ndarray:
    """Sum over layers; not a number where nothing was deposited."""
    total = np.add.reduceat(cells.astype(float), np.arange(0, detector.n_cells, 625), axis=1)
    return np.where(total == 0, np.nan, total)


def test_pi0_decays_and_showers(showers) -> None:
    pions = simulate(showers.detector, incidents(111, np.full(5, ENERGY)), seed=3)
    # two photons share kinetic energy and mass
    assert np.all(pions.visible_energy > 0.5 * 0.0155 * ENERGY)


def test_nothing_is_written_to_stdout(showers, capfd) -> None:
    simulate(showers.detector, showers.incidents[:1], seed=1)
    assert capfd.readouterr().out == ""


def test_hadrons_are_an_error(showers, monkeypatch) -> None:
    with pytest.raises(Geant4Error, match="data sets are missing"):
        simulate(showers.detector, incidents(-211, ENERGY), seed=1)


def test_incidents_beside_the_readout_are_an_error(showers) -> None:
    with pytest.raises(InputError, match=r"\(64, 0\) mm lies outside the readout of detector 'clic-ecal'"):
        simulate(showers.detector, incidents(11, ENERGY, x=64.0), seed=1)


def test_incidents_that_start_outside_the_world_are_an_error(showers) -> None:
    with pytest.raises(
        InputError, match=r"theta = 1.569 rad .* its start, 1 mm before the front face, lies outside"
    ):
        simulate(showers.detector, incidents(11, ENERGY, theta=1.569), seed=1)


def test_a_second_detector_is_an_error(showers) -> None:
    text = detectors.toml("clic-ecal").replace('name = "clic-ecal"', 'name = "other"')
    with pytest.raises(Geant4Error, match="already runs Geant4 for detector 'clic-ecal'"):
        simulate(detectors.parse(text), showers.incidents[:1], seed=1)


def test_geant4_starts_on_a_ci_machine_and_leaves_its_home_alone(tmp_path) -> None:
    """geant4-pybind tidies the user's data folder where CI=true."""
    mine = tmp_path / ".geant4_pybind" / "mine"
    mine.mkdir(parents=True)
    for home in (tmp_path, tmp_path / "empty"):
        settings = {**os.environ, "CI": "true", "HOME": str(home)}
        code = "import os; from caloforge.geant4 import installation; installation(); print(os.environ['CI'])"
        done = subprocess.run(
            [sys.executable, "-c", code], env=settings, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "true\n"), done.stderr
    assert mine.is_dir()
