from dataclasses import replace

import numpy as np
import pytest

from caloforge.errors import DetectorError, InputError
from caloforge.showers import Showers, incidents


def test_sums(toy_showers):
    showers = toy_showers(20, 1)
    assert showers.visible_energy == pytest.approx(showers.layer_energies.sum(axis=1))
    assert showers.layer_energies.shape == (20, 8)
    assert showers.visible_energy[3] == pytest.approx(showers.energies[3].astype(float).sum())


def test_threshold(toy_showers):
    showers = toy_showers(20, 1)
    kept = showers.with_threshold()
    assert np.all((kept.energies == 0) | (kept.energies >= np.float32(0.1)))
    assert np.array_equal(kept.energies, kept.with_threshold().energies)
    assert np.array_equal(showers.with_threshold(0).energies, showers.energies)
    with pytest.raises(InputError, match="give the threshold"):
        replace(showers, detector=None).with_threshold()


def test_selection_keeps_things_together(toy_showers):
    showers = toy_showers(20, 1)
    chosen = showers[showers.incidents.pdg == 22]
    assert len(chosen) == 10
    assert np.array_equal(chosen.energies, showers.energies[1::2])
    assert np.array_equal(chosen.incidents.energy, showers.incidents.energy[1::2])
    both = Showers.concatenate([showers[:5], showers[5:]])
    assert np.array_equal(both.energies, showers.energies)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e-3])
def test_check_names_the_shower(toy_showers, value):
    showers = toy_showers(20, 1)
    assert showers.check() is showers
    cells = showers.energies.copy()
    cells[[4, 9], 0, 0, 0] = value
    with pytest.raises(InputError, match=r"mine: shower 4 .*\(2 such"):
        replace(showers, energies=cells).check("mine")


def test_shapes(toy_detector):
    with pytest.raises(InputError, match="1 axes"):
        Showers(np.zeros(2, np.float32), incidents(11, np.ones(2)))
    with pytest.raises(InputError, match="2 showers but 3 incidents"):
        Showers(np.zeros((2, 1, 1, 1), np.float32), incidents(11, np.ones(3)))
    with pytest.raises(DetectorError, match="toy"):
        Showers(np.zeros((2, 1, 1, 1), np.float32), incidents(11, np.ones(2)), toy_detector)


def test_cells_of_any_readout_have_layers(toy_showers):
    """Sums over layers follow the layers of the cells, whatever the axes of a shower."""
    from caloforge.detectors import load

    detector = load("calochallenge-2")
    cells = np.random.default_rng(1).random((3, *detector.shape), np.float32)
    showers = Showers(cells, incidents(11, np.full(3, 1e3)), detector)
    assert showers.flat.shape == (3, 6480)
    by_cell = [np.bincount(detector.cell_layers, one) for one in showers.flat.astype(float)]
    assert showers.layer_energies == pytest.approx(np.array(by_cell))
    with pytest.raises(InputError, match="the layers of their cells"):
        _ = Showers(showers.flat, showers.incidents).layer_energies


def test_no_showers_at_all(toy_showers):
    none = toy_showers(3, 1)
    none = replace(none, energies=none.energies[:0], incidents=none.incidents[np.zeros(3, dtype=bool)])
    assert len(none.check()) == 0
    assert none.layer_energies.shape == (0, 8)
