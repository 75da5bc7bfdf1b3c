"""Observables of showers built by hand, conservation and symmetry."""

from dataclasses import replace

import numpy as np
import pytest

from caloforge.errors import InputError
from caloforge.physics import SPECTRUM_EDGES, Observables, observe, profiles
from caloforge.showers import Showers, incidents


@pytest.fixture
def by_hand(toy_detector):
    """A shower of 4 MeV in layer 2 (3 on the axis, 1 two columns right), 2 MeV in layer 5, and noise."""
    cells = np.zeros((2, *toy_detector.shape), dtype=np.float32)
    cells[0, 2, 4, 4] = 3
    cells[0, 2, 4, 6] = 1
    cells[0, 5, 3, 4] = 2
    cells[0, 7, 0, 0] = 0.0999
    return Showers(cells, incidents(11, np.array([100.0, 100.0])), toy_detector)


def test_by_hand(by_hand, toy_detector):
    o = observe(by_hand)
    depths = [layer.depth for layer in toy_detector.layers]
    assert o.visible_energy[0] == pytest.approx(6)
    assert o.response[0] == pytest.approx(0.06)
    assert o.layer_energies[0] == pytest.approx([0, 0, 4, 0, 0, 2, 0, 0])
    assert o.layer_hits[0] == pytest.approx([0, 0, 2, 0, 0, 1, 0, 0])
    assert o.hits[0] == 3
    assert o.sparsity[0] == pytest.approx(1 - 3 / 648)
    assert o.occupancy[0, 2] == pytest.approx(2 / 81)
    assert o.maximum[0] == 3
    assert o.depth[0] == pytest.approx((4 * 2 + 2 * 5) / 6)
    assert o.depth_x0[0] == pytest.approx((4 * depths[2] + 2 * depths[5]) / 6)
    mean = o.depth_x0[0]
    variance = (4 * (depths[2] - mean) ** 2 + 2 * (depths[5] - mean) ** 2) / 6
    assert o.length_x0[0] == pytest.approx(np.sqrt(variance))
    assert o.centre_x[0, 2] == pytest.approx(10 / 4)
    assert o.width_x[0, 2] == pytest.approx(np.sqrt(100 / 4 - 2.5**2))
    assert o.centre_y[0, 5] == pytest.approx(-5)
    assert o.width_y[0, 5] == pytest.approx(0)
    assert o.columns[0] == pytest.approx([0, 0, 0, 0, 5, 0, 1, 0, 0])
    assert o.rows[0] == pytest.approx([0, 0, 0, 2, 4, 0, 0, 0, 0])
    assert o.rings[0, :3] == pytest.approx([3, 2, 1])


def test_an_empty_shower_is_finite(by_hand):
    o = observe(by_hand)
    for name in ("response", "depth", "depth_x0", "length_x0", "width", "hits", "maximum"):
        assert getattr(o, name)[1] == 0
    assert np.all(o.neighbours[1] == 0)
    assert o.sparsity[1] == 1


def test_the_threshold_is_applied_and_showers_stay(by_hand):
    before = by_hand.energies.copy()
    assert observe(by_hand).hits[0] == 3
    assert observe(by_hand, threshold=0).hits[0] == 4
    assert observe(by_hand, threshold=1.5).hits[0] == 2
    assert np.array_equal(by_hand.energies, before)


def test_neighbours(toy_detector):
    cells = np.zeros((3, *toy_detector.shape), dtype=np.float32)
    cells[0, 3, 4, 4:6] = 2
    cells[1, 2:4, 4, 4] = [1, 4]
    cells[2, 3, 2, 8] = cells[2, 3, 3, 0] = 5
    found = observe(Showers(cells, incidents(11, np.full(3, 10.0)), toy_detector)).neighbours
    assert found[0] == pytest.approx([0, 0, 0.5])
    assert found[1] == pytest.approx([2 / 5, 0, 0])
    assert found[2] == pytest.approx([0, 0, 0])


def test_energy_is_conserved(toy_showers):
    showers = toy_showers(300, 3).with_threshold()
    o = observe(showers)
    total = showers.visible_energy
    for part in (o.layer_energies, o.columns, o.rows, o.rings):
        assert part.sum(axis=1) == pytest.approx(total, rel=1e-5)
    assert o.hits == pytest.approx(np.count_nonzero(showers.energies, axis=(1, 2, 3)))
    assert o.spectrum.sum(axis=1) == pytest.approx(o.hits)
    assert o.maximum == pytest.approx(showers.energies.max(axis=(1, 2, 3)))


def test_spectrum_counts_everything(toy_detector):
    cells = np.zeros((1, *toy_detector.shape), dtype=np.float32)
    cells[0, 0, 0, :4] = [1e-5, 1.1, 1.2, 1e9]
    o = observe(Showers(cells, incidents(11, np.array([1e3])), toy_detector), threshold=0)
    assert o.spectrum[0, 0] == 1
    assert o.spectrum[0, -1] == 1
    assert o.spectrum[0, np.searchsorted(SPECTRUM_EDGES, 1.15) - 1] == 2


def test_pieces_do_not_matter(toy_showers):
    showers = toy_showers(1100, 4)
    whole = observe(showers)
    pieces = observe(showers[i : i + 70] for i in range(0, 1100, 70))
    for name in ("layer_energies", "centre_x", "rings", "spectrum", "neighbours", "maximum"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))
    assert np.array_equal(whole[5:9].response, observe(showers[5:9]).response)


def test_symmetries_move_what_they_should(toy_showers, toy_detector):
    showers = toy_showers(50, 5)
    before = observe(showers)
    for operation in toy_detector.symmetries:
        after = observe(replace(showers, energies=np.ascontiguousarray(operation(showers.energies))))
        for name in ("response", "depth", "length_x0", "width", "hits", "maximum", "rings", "spectrum"):
            assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-4, abs=1e-4)
        swapped = ("centre_y", "centre_x") if operation.transpose else ("centre_x", "centre_y")
        signs = (-1 if operation.flip_columns else 1, -1 if operation.flip_rows else 1)
        for new, old, sign in zip(("centre_x", "centre_y"), swapped, signs, strict=True):
            assert getattr(after, new) == pytest.approx(sign * getattr(before, old), abs=1e-4)


def test_profiles(by_hand):
    longitudinal, lateral_x, lateral_y, radial = profiles(observe(by_hand))
    assert longitudinal.mean == pytest.approx([0, 0, 2, 0, 0, 1, 0, 0])
    assert longitudinal.error[2] == pytest.approx(np.std([4, 0], ddof=1) / np.sqrt(2))
    assert longitudinal.edges[[0, -1]] == pytest.approx([-0.5, 7.5])
    assert lateral_x.edges[[0, -1]] == pytest.approx([-22.5, 22.5])
    assert lateral_y.mean.sum() == radial.mean.sum() == pytest.approx(3)


def test_what_cannot_be_observed(by_hand):
    with pytest.raises(InputError, match="detector of these showers is unknown"):
        observe(replace(by_hand, detector=None))
    with pytest.raises(InputError, match="no showers"):
        observe([])
    with pytest.raises(InputError, match="different detectors or thresholds"):
        Observables.concatenate([observe(by_hand), observe(by_hand, 0.5)])
    assert len(observe(by_hand[:0])) == 0
