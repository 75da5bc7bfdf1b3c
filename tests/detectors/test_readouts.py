"""Readouts of both kinds: layers, positions, neighbours, edges."""

from dataclasses import replace

import numpy as np
import pytest

from caloforge.detectors import CartesianReadout, CylindricalReadout, load, parse, to_toml
from caloforge.errors import InputError

GRID = CartesianReadout("cartesian", (3, 4), (10.0, 20.0))
ROUND = CylindricalReadout("cylindrical", 8, (2.0, 3.0, 6.0))


@pytest.fixture(params=["clic-ecal", "lead-scintillator", "crystals", "calochallenge-2", "grid", "round"])
def detector(request):
    made = {"grid": GRID, "round": ROUND}
    if request.param in made:
        return replace(load("lead-scintillator"), readout=made[request.param])
    return load(request.param)


def test_cells_are_numbered_layer_by_layer(detector):
    assert detector.shape[0] == detector.n_layers
    assert detector.n_cells == np.prod(detector.shape)
    assert np.array_equal(
        detector.cell_layers, np.repeat(np.arange(detector.n_layers), detector.n_cells // detector.n_layers)
    )


def test_positions(detector):
    assert detector.positions.shape == (detector.n_cells, 3)
    assert np.array_equal(detector.positions[:, 2], detector.z[detector.cell_layers])
    x, y = detector.positions[:, :2].T
    assert detector.readout.covers(x, y).all()
    assert abs(x.mean()) < 1e-9
    assert abs(y.mean()) < 1e-9
    width, height = detector.readout.half_size
    assert np.array_equal(
        detector.readout.covers(np.array([width, width * 1.01]), np.zeros(2)), [True, False]
    )
    assert np.array_equal(
        detector.readout.covers(np.zeros(2), np.array([-height, -height * 1.01])), [True, False]
    )


def test_neighbours(detector):
    """Each is the next cell along one axis of the shower; only angles close."""
    n_cells = detector.n_cells
    assert detector.neighbours.shape == (3, n_cells)
    cells = np.arange(n_cells).reshape(detector.shape)
    for axis, (name, next_cell) in enumerate(
        zip(detector.readout.directions, detector.neighbours, strict=True)
    ):
        there = next_cell >= 0
        steps = np.stack(np.unravel_index(next_cell[there], cells.shape)) - np.stack(
            np.unravel_index(np.flatnonzero(there), cells.shape)
        )
        assert np.all(np.delete(steps, axis, axis=0) == 0)
        assert np.all(steps[axis] % cells.shape[axis] == 1 % cells.shape[axis])
        lost = 0 if name == "alpha" else n_cells // cells.shape[axis]
        assert np.sum(~there) == lost
        assert len(set(next_cell[there])) == np.sum(there)


def test_neighbours_are_near():
    detector = replace(load("lead-scintillator"), readout=ROUND)
    centres = detector.positions[:, :2]
    around = detector.neighbours[1]
    step = np.hypot(*(centres[around] - centres).T)
    assert step == pytest.approx(2 * np.hypot(*centres.T) * np.sin(np.pi / 8))
    outward = detector.neighbours[2]
    there = outward >= 0
    assert np.hypot(*(centres[outward[there]] - centres[there]).T) == pytest.approx(4.5 - 2.5)


def test_rows_run_along_y():
    assert GRID.y.tolist() == [-10, 0, 10]
    assert GRID.x.tolist() == [-30, -10, 10, 30]
    assert GRID.centres(1)[:5].tolist() == [[-30, -10], [-10, -10], [10, -10], [30, -10], [-30, 0]]
    assert GRID.pitch == (20, 10)
    assert GRID.half_size == (40, 15)
    assert GRID.cell_rectangle() == (-10, 10, -5, 5)


def test_sectors_begin_at_the_x_axis():
    assert ROUND.alpha[0] == pytest.approx(np.pi / 8)
    assert ROUND.radius.tolist() == [2.5, 4.5]
    first = ROUND.centres(1)[0]
    assert first == pytest.approx([2.5 * np.cos(np.pi / 8), 2.5 * np.sin(np.pi / 8)])
    assert ROUND.pitch == (1, 1)
    with pytest.raises(InputError, match="position 'cell' is for cartesian readouts"):
        ROUND.cell_rectangle()


def test_edges_in_float32_are_inside():
    readout = load("clic-ecal-wide").readout
    edge = np.array([np.float32(readout.half_size[0])], dtype=np.float64)
    assert readout.covers(edge, edge).all()


def test_merged_layers():
    """Two plates are one layer, whose middle lies between the front of the first and the back of the last."""
    detector = load("calochallenge-2")
    assert detector.n_layers == 45
    first = detector.layers[0]
    assert first.z == pytest.approx((1.4 + 2 * 1.7) / 2)
    assert first.slices == 2
    assert first.thickness == pytest.approx(0.6)
    assert np.diff(detector.z) == pytest.approx(3.4)
    assert detector.radiation_lengths == pytest.approx(90 * (1.4 / 3.504 + 0.3 / 93.7), rel=0.002)
    apart = replace(detector, readout=replace(detector.readout, merge=1))
    assert apart.n_layers == 90
    assert detector.mip_energy == pytest.approx(apart.mip_energy.reshape(45, 2).sum(axis=1))


def test_the_challenges_detectors():
    assert load("calochallenge-2").shape == (45, 16, 9)
    assert load("calochallenge-3").shape == (45, 50, 18)
    for name in ("calochallenge-2", "calochallenge-3"):
        detector = load(name)
        assert detector.threshold == pytest.approx(0.0005 / 0.033, rel=1e-5)
        assert detector.readout.calibration == pytest.approx(1 / 0.033, rel=1e-6)
        assert parse(to_toml(detector)) == detector


@pytest.mark.parametrize("sectors", [1, 2])
def test_whole_and_half_rings(sectors):
    """A whole ring lies around the axis and has no neighbour in alpha; the halves of a ring are one pair."""
    readout = CylindricalReadout("cylindrical", sectors, (0.0, 2.0, 6.0))
    around = readout.neighbours(1)[1].reshape(sectors, 2)
    assert (around[-1] == -1).all()
    centres = readout.centres(1)
    if sectors == 1:
        assert not centres.any()
    else:
        assert around[0].tolist() == [2, 3]
        assert centres[:, 1] == pytest.approx([1, 4, -1, -4])
