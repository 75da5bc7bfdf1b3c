"""Cells of every kind of readout are where they say they are, and hold what Geant4 deposits there."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

from caloforge.detectors import load, parse
from caloforge.errors import DetectorError
from caloforge.geant4.geometry import cell_number, construct_detector, front_face, gun_start, world_size
from caloforge.showers import incidents

GEANT4 = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")

STACK = """
name = "plates"
threshold = 0
margin = {margin}
gun = {{ distance = 5 }}
[physics]
production_cut = 0.7
[[stack]]
repeat = 3
slices = [
  {{ material = "G4_Si", thickness = 0.3, sensitive = true }}, {{ material = "G4_W", thickness = 3.5 }},
  {{ material = "G4_Si", thickness = 0.3, sensitive = true }}, {{ material = "G4_W", thickness = 7 }},
]
[readout]
{readout}
"""
"""Six plates that are read out, the first in front of everything: particles are still where they started."""

EDGES = np.array([0.0, 4.0, 15.0, 40.0, 90.0])
SECTORS = 12
CALIBRATION = 10.0
ROUND = STACK.format(
    margin=20,
    readout=f"kind = 'cylindrical'\nsectors = {SECTORS}\nrings = {EDGES.tolist()}\n"
    f"merge = 2\ncalibration = {CALIBRATION}",
)
SQUARE = STACK.format(margin=20, readout="kind = 'cartesian'\ncells = [30, 20]\nsize = [6, 9]")
HOLE = STACK.format(margin=0, readout="kind = 'cylindrical'\nsectors = 1\nrings = [3, 6, 30]")

N, ON_AXIS = 100, 40
LEAST = 0.03
"""MeV that a relativistic electron leaves at least in 0.3 mm of silicon (0.079 at the most probable)."""


@pytest.fixture(scope="module")
def shots():
    """Electrons of 300 MeV at many places, the last ones along the axis."""
    rng = np.random.default_rng(3)
    radius, angle = rng.uniform(0, 60, N), rng.uniform(0, 2 * np.pi, N)
    radius[-ON_AXIS:] = 0
    return incidents(11, np.full(N, 300.0), x=radius * np.cos(angle), y=radius * np.sin(angle))


@pytest.fixture(scope="module")
def in_sectors(simulate_apart, shots):
    return simulate_apart(ROUND, shots)


@pytest.fixture(scope="module")
def in_rows(simulate_apart, shots):
    return simulate_apart(SQUARE, shots)


@GEANT4
def test_the_sector_and_the_ring_that_are_hit(in_sectors, shots) -> None:
    there = slice(None, -ON_AXIS)
    x, y = shots.x[there].astype(float), shots.y[there].astype(float)
    sector = (np.arctan2(y, x) % (2 * np.pi) // (2 * np.pi / SECTORS)).astype(int)
    ring = np.searchsorted(EDGES, np.hypot(x, y), side="right") - 1
    hit = in_sectors.energies[np.arange(len(x)), 0, sector, ring]
    assert np.all(hit > LEAST * CALIBRATION)
    cells = in_sectors.detector.positions.reshape(*in_sectors.shape, 3)[0, sector, ring]
    assert np.all(np.abs(np.hypot(*cells[:, :2].T) - np.hypot(x, y)) <= np.diff(EDGES)[ring] / 2)


@GEANT4
def test_the_row_and_the_column_that_are_hit(in_rows, shots) -> None:
    """With a margin of plates around the readout."""
    row = ((shots.y.astype(float) + 90) // 6).astype(int)
    column = ((shots.x.astype(float) + 90) // 9).astype(int)
    inside = slice(None, -ON_AXIS)  # (0, 0) is a corner of four cells
    assert np.all(in_rows.energies[np.arange(N), 0, row, column][inside] > LEAST)
    corners = in_rows.energies[-ON_AXIS:, 0, 14:16, 9:11].sum(axis=(1, 2))
    assert np.all(corners > LEAST)


@GEANT4
def test_merged_and_calibrated_layers_are_sums_of_plates(in_sectors, in_rows) -> None:
    """The same plates read out one by one, in other cells: other random numbers, the same distribution."""
    merged = in_sectors.layer_energies / CALIBRATION
    apart = in_rows.layer_energies.reshape(N, 3, 2).sum(axis=2)
    error = np.sqrt(merged.var(axis=0) / N + apart.var(axis=0) / N)
    assert np.all(np.abs(merged.mean(axis=0) - apart.mean(axis=0)) < 4 * error)
    assert in_sectors.detector.mip_energy[0] == pytest.approx(
        CALIBRATION * in_rows.detector.mip_energy[:2].sum()
    )


@GEANT4
def test_showers_on_the_axis_are_symmetric_in_the_angle(in_sectors) -> None:
    sectors = in_sectors.energies[-ON_AXIS:].sum(axis=(1, 3), dtype=float)
    mean, error = sectors.mean(axis=0), sectors.std(axis=0) / np.sqrt(ON_AXIS)
    assert np.all(np.abs(mean - mean.mean()) < 4.5 * error)
    rings = in_sectors.energies[-ON_AXIS:].sum(axis=(1, 2), dtype=float).mean(axis=0)
    assert rings.argmax() == 0


@GEANT4
def test_a_hole_in_the_middle_is_not_read_out(simulate_apart) -> None:
    shots = incidents(11, np.full(20, 300.0), x=np.repeat([0.0, 4.5, 20.0], [10, 5, 5]))
    first = simulate_apart(HOLE, shots).energies[:, 0, 0]
    assert np.median(first[:10].sum(axis=1)) < LEAST
    assert np.all(first[10:15, 0] > LEAST)
    assert np.all(first[15:, 1] > LEAST)


def test_numbers_of_cells_in_geant4() -> None:
    """Geant4 numbers sensitive plates one by one."""
    detector = parse(ROUND)
    number = cell_number(detector)
    per_layer = detector.n_cells // 3
    assert [number(plate * per_layer + 5) for plate in range(6)] == [
        layer * per_layer + 5 for layer in (0, 0, 1, 1, 2, 2)
    ]
    assert cell_number(parse(SQUARE))(7) == 7


def test_other_readouts_are_refused() -> None:
    detector = replace(load("crystals"), readout=SimpleNamespace(kind="hexagonal", merge=1))
    with pytest.raises(DetectorError, match="Geant4 volumes of a 'hexagonal' readout are not known"):
        construct_detector(None, detector)


@pytest.mark.parametrize("theta", [0.0, 0.5, 1.0])
def test_where_an_incident_starts(theta) -> None:
    """At the gun's distance before the front face, such that it hits the front face at (x, y)."""
    detector = parse(SQUARE)
    position, direction = gun_start(detector, theta, 0.7, 3.0, -4.0)
    assert position[2] == pytest.approx(front_face(detector) - 5)
    assert np.linalg.norm(direction) == pytest.approx(1)
    hit = position + direction * (front_face(detector) - position[2]) / direction[2]
    assert hit[:2] == pytest.approx([3, -4])
    assert np.all(np.abs(position) < world_size(detector))
