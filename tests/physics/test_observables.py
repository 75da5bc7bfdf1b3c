"""Observables of showers built by hand, conservation and symmetry."""

from dataclasses import fields, replace

import numpy as np
import pytest

from caloforge.detectors import load
from caloforge.errors import InputError
from caloforge.physics import (
    SPECTRUM_EDGES,
    Observables,
    lateral_edges,
    layer_correlation,
    observe,
    observe_details,
    physics_score,
    profiles,
    ring_edges,
)
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


def moved(showers, number):
    """A symmetry acts on cells and incidents."""
    detector = showers.detector
    cells = np.zeros_like(showers.flat)
    cells[:, detector.destinations()[number]] = showers.flat
    return replace(
        showers,
        energies=cells.reshape(showers.energies.shape),
        incidents=showers.incidents.moved(detector.symmetries[number]),
    )


def test_symmetries_move_what_they_should(toy_showers, toy_detector):
    showers = toy_showers(50, 5)
    tilted = incidents(
        showers.incidents.pdg, showers.incidents.energy, theta=0.3, phi=np.linspace(-3, 3, 50), x=1.0, y=-2.0
    )
    showers = replace(showers, incidents=tilted)
    before = observe(showers)
    for number, symmetry in enumerate(toy_detector.symmetries):
        after = observe(moved(showers, number))
        for name in ("response", "depth", "length_x0", "width", "hits", "maximum", "rings", "spectrum"):
            assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-4, abs=1e-4), name
        x, y = symmetry.points(before.centre_x, before.centre_y)
        assert after.centre_x == pytest.approx(x, abs=1e-3)
        assert after.centre_y == pytest.approx(y, abs=1e-3)
        along, across = before.centroid_along_phi.T
        sign = np.linalg.det(symmetry.matrix)  # mirrors exchange left and right
        assert after.centroid_along_phi[:, 0] == pytest.approx(along, abs=1e-3)
        assert after.centroid_along_phi[:, 1] == pytest.approx(sign * across, abs=1e-3)


def test_everything_across_is_measured_from_the_axis(toy_detector):
    """A shower of one hit a layer, in the cell that a tilted axis crosses."""
    one = incidents(11, np.array([100.0]), theta=0.25, phi=0.5, x=-15.0, y=1.0)
    x, y = one.axis(toy_detector.z)
    cells = np.zeros((1, *toy_detector.shape), dtype=np.float32)
    rows, columns = (np.rint(place[0] / 5).astype(int) + 4 for place in (y, x))
    cells[0, np.arange(8), rows, columns] = 1
    o = observe(Showers(cells, one, toy_detector))
    assert o.centre_x[0] == pytest.approx(5 * (columns - 4) - x[0], abs=1e-5)
    assert np.abs(o.centre_x).max() <= 2.5
    assert np.abs(o.centre_y).max() <= 2.5
    assert np.ptp(columns) >= 3
    assert o.columns[0] == pytest.approx(np.histogram(5 * (columns - 4) - x[0], o.lateral_edges[0])[0])
    radii = np.hypot(5 * (columns - 4) - x[0], 5 * (rows - 4) - y[0])
    assert o.rings[0] == pytest.approx(np.histogram(radii, o.ring_edges)[0])
    found = o.centroid[0]
    assert found == pytest.approx([o.centre_x.mean(), o.centre_y.mean()], abs=1e-5)
    along, across = o.centroid_along_phi[0]
    assert along == pytest.approx(found @ [np.cos(0.5), np.sin(0.5)], abs=1e-5)
    assert np.hypot(along, across) == pytest.approx(np.hypot(*found), abs=1e-5)


@pytest.mark.parametrize("theta", [0.0, 0.4])
def test_phi_means_nothing_at_normal_incidence(toy_showers, theta):
    showers = toy_showers(20, 1)
    turned = [
        observe(replace(showers, incidents=replace(showers.incidents, theta=angle, phi=phi)))
        for angle in [np.full(20, theta, np.float32)]
        for phi in (np.zeros(20, np.float32), np.full(20, 2, np.float32))
    ]
    same = np.allclose(turned[0].centroid_along_phi, turned[1].centroid_along_phi)
    assert same == (theta == 0)


@pytest.mark.parametrize("name", ["calochallenge-2", "crystals", "lead-scintillator"])
def test_any_readout_can_be_observed(name):
    """Cylinders, a single layer, even numbers of rectangular cells; and showers without a hit."""
    detector = load(name)
    rng = np.random.default_rng(0)
    cells = rng.exponential(2 * detector.threshold, (30, detector.n_cells)) * (rng.random((30, 1)) > 0.2)
    cells[0] = 0
    theta = 0.1 if name != "calochallenge-2" else 0.0
    showers = Showers(
        cells.reshape(30, *detector.shape).astype(np.float32),
        incidents(11, np.full(30, 1e4), theta),
        detector,
    )
    o = observe_details(showers)
    total = showers.with_threshold().visible_energy
    for part in (o.layer_energies, o.columns, o.rows, o.rings):
        assert part.sum(axis=1) == pytest.approx(total, rel=1e-5)
    for f in fields(o):
        values = getattr(o, f.name)
        assert not isinstance(values, np.ndarray) or np.isfinite(values).all()
    assert o.neighbours.shape == (30, 3)
    assert o.occupancy.max() <= 1
    assert np.all(o.centroid_along_phi[0] == 0)
    assert np.isfinite(layer_correlation(o)).all()
    assert all(np.isfinite(p.mean).all() and len(p.edges) == len(p.mean) + 1 for p in profiles(o))
    assert physics_score(showers[:15], showers[15:]) > 0


def test_rings_and_bins_hold_cells_in_their_middle():
    """No cell of a readout lies on an edge at normal incidence, where rounding would decide."""
    for name in ("clic-ecal", "calochallenge-2", "calochallenge-3", "lead-scintillator"):
        detector = load(name)
        place = detector.positions[detector.cell_layers == 0, :2]
        for values, edges in (
            (np.hypot(*place.T), ring_edges(detector)),
            *zip(place.T, lateral_edges(detector), strict=True),
        ):
            nearest = np.abs(values[:, None] - edges).min(axis=1)
            share = np.mean(nearest < 1e-6)
            assert share < 0.05, (name, share)
            assert edges[0] - 1e-6 <= values.min() <= values.max() <= edges[-1] + 1e-6
    assert len(ring_edges(load("calochallenge-2"))) == 10
    assert [len(edges) for edges in lateral_edges(load("lead-scintillator"))] == [33, 25]


def test_neighbours_around_a_cylinder():
    """The last sector is the neighbour of the first, the outermost ring has none outside."""
    detector = load("calochallenge-2")
    cells = np.zeros((2, *detector.shape), dtype=np.float32)
    cells[0, 3, [15, 0], 4] = 2
    cells[1, 3, 7, [7, 8]] = 2
    o = observe_details(Showers(cells, incidents(11, np.full(2, 1e3)), detector))
    assert detector.readout.directions == ("z", "alpha", "r")
    assert o.neighbours == pytest.approx(np.array([[0, 0.5, 0], [0, 0, 0.5]]))
    assert o.hit_neighbours == pytest.approx(np.array([[0, 0.5, 0], [0, 0, 0.5]]))


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
