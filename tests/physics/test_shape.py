"""Start, maximum, containment, moments, asymmetries, hottest cells, two-point functions, by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caloforge.physics import (
    asymmetries,
    containment_radius,
    layer_fractions,
    maximum_fraction,
    maximum_layer,
    moments,
    observe,
    observe_details,
    start_layer,
)
from caloforge.showers import Showers, incidents, read_showers

SMALL = Path(__file__).parents[1] / "data" / "clic-ecal-small.h5"


@pytest.fixture
def by_hand(toy_detector):
    """10 MeV: 0.05 in layer 1 (not started), 4 and 1 in layer 2, the rest in layer 5; an empty shower."""
    cells = np.zeros((2, *toy_detector.shape), dtype=np.float32)
    cells[0, 1, 4, 4] = 0.05
    cells[0, 2, 4, 4] = 4
    cells[0, 2, 4, 6] = 1
    cells[0, 5, 3, 4] = 4.95
    return Showers(cells, incidents(11, np.array([100.0, 100.0])), toy_detector)


def test_shape_by_hand(by_hand):
    o = observe(by_hand, threshold=0.01)
    assert start_layer(o).tolist() == [2, -1]
    assert maximum_layer(o).tolist() == [2, -1]
    assert maximum_fraction(o) == pytest.approx([0.5, 0])
    assert layer_fractions(o)[0] == pytest.approx([0, 0.0005, 0.05, 0, 0, 0.0495, 0, 0])


def test_moments_by_hand(by_hand, toy_detector):
    found = moments(observe(by_hand, threshold=0.01))
    assert found["x"][0, 0] == pytest.approx(10 * 1 / 10)
    assert found["x"][0, 1] == pytest.approx(np.sqrt(100 / 10 - 1))
    assert found["y"][0, 0] == pytest.approx(-5 * 4.95 / 10)
    z = toy_detector.z
    mean = (0.05 * z[1] + 5 * z[2] + 4.95 * z[5]) / 10
    assert found["z"][0, 0] == pytest.approx(mean)
    assert np.all([found[axis][1] == 0 for axis in "xyz"])


def test_asymmetries_by_hand(by_hand):
    found = asymmetries(observe(by_hand, threshold=0.01))
    assert found[0] == pytest.approx([1, -1, (100 - 4.95 * 25) / (100 + 4.95 * 25)])
    assert found[1].tolist() == [0, 0, 0]


def test_containment_of_an_even_ring(toy_detector):
    """All energy on the axis: spread evenly from 0 to half a cell."""
    cells = np.zeros((1, *toy_detector.shape), dtype=np.float32)
    cells[0, 3, 4, 4] = 1
    o = observe(Showers(cells, incidents(11, np.array([10.0])), toy_detector))
    for share in (0.2, 0.68, 0.95):
        assert containment_radius(o, share) == pytest.approx([share * 2.5])


def test_containment_grows_with_the_share(toy_showers):
    o = observe(toy_showers(200, 1))
    radii = np.array([containment_radius(o, share) for share in (0.5, 0.68, 0.9, 0.95, 1.0)])
    assert np.all(np.diff(radii, axis=0) >= 0)
    assert np.all(radii <= o.ring_edges[-1])


def test_hottest_cells(by_hand):
    o = observe_details(by_hand, threshold=0.01)
    assert o.hottest[0] == pytest.approx([4.95, 4, 1, 0.05, 0])
    assert o.hottest_layer[0].tolist() == [5, 2, 2, 1, -1]
    assert o.hottest_radius[0] == pytest.approx([5, 0, 10, 0, -1])
    assert o.hottest[1].tolist() == [0] * 5


def test_two_point_functions(by_hand):
    o = observe_details(by_hand, threshold=0.01)
    assert o.next_neighbours[0] == pytest.approx([0, 0, np.sqrt(4 * 1) / 10])
    assert o.neighbours[0] == pytest.approx([np.sqrt(0.05 * 4) / 10, 0, 0])
    assert o.hit_neighbours[0] == pytest.approx([1 / 4, 0, 0])
    assert not o.hit_neighbours[1].any()


def test_independent_cells_have_other_neighbours():
    """Geant4's cells are not independent, given the layer energies."""
    from caloforge.validation.faults import redrawn

    showers = read_showers(SMALL)
    before = observe_details(showers)
    after = observe_details(redrawn(showers, np.random.default_rng(0)))
    assert after.visible_energy.mean() == pytest.approx(before.visible_energy.mean(), rel=0.02)
    for name in ("neighbours", "hit_neighbours"):
        ratio = getattr(after, name).mean() / getattr(before, name).mean()
        assert ratio < 0.95, name


def test_details_agree_with_observables_and_pieces(toy_showers):
    showers = toy_showers(300, 2)
    whole, plain = observe_details(showers), observe(showers)
    assert np.array_equal(whole.rings, plain.rings)
    assert np.array_equal(whole[10:20].hottest, observe_details(showers[10:20]).hottest)
    joined = type(whole).concatenate([observe_details(showers[:100]), observe_details(showers[100:])])
    assert np.array_equal(joined.hit_neighbours, whole.hit_neighbours)


def test_symmetries_move_asymmetries(toy_showers, toy_detector):
    showers = toy_showers(50, 5)
    before = asymmetries(observe(showers))
    destinations = toy_detector.destinations()
    for symmetry, to in zip(toy_detector.symmetries, destinations, strict=True):
        cells = np.zeros_like(showers.flat)
        cells[:, to] = showers.flat
        after = asymmetries(observe(replace(showers, energies=cells.reshape(showers.energies.shape))))
        assert (
            pytest.approx(np.stack(symmetry.points(before[:, 0], before[:, 1])), abs=1e-5) == after[:, :2].T
        )
        exchange = abs(symmetry.matrix[0][1]) > 0.5
        assert after[:, 2] == pytest.approx((-1 if exchange else 1) * before[:, 2], abs=1e-5)


def test_asymmetries_of_symmetric_showers_average_to_zero(toy_showers):
    found = asymmetries(observe(toy_showers(2000, 7)))
    pulls = found.mean(axis=0) / (found.std(axis=0) / np.sqrt(len(found)))
    assert np.all(np.abs(pulls) < 4)
