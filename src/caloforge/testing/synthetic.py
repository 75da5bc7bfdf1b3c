"""Small detectors, and quick showers that look like showers, for any readout."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch

from caloforge.detectors import Detector
from caloforge.models import Batch
from caloforge.showers import Incidents, incidents

_STACK = """
threshold = 0.015
[physics]
production_cut = 0.7
[[stack]]
repeat = {layers}
slices = [{{ material = "G4_W", thickness = 9.0 }}, {{ material = "G4_Si", thickness = 0.3, sensitive = true }}]
[readout]
"""
_SQUARE = 'kind = "cartesian"\ncells = [7, 7]\nsize = [5.0, 5.0]\n'
_RECTANGULAR = 'kind = "cartesian"\ncells = [6, 8]\nsize = [8.0, 6.0]\n'
_CYLINDRICAL = 'kind = "cylindrical"\nsectors = 8\nrings = [0.0, 4.0, 9.0, 16.0, 25.0]\n'

READOUTS: Mapping[str, str] = {
    "square": 'name = "square"' + _STACK.format(layers=5) + _SQUARE,
    "rectangular": 'name = "rectangular"' + _STACK.format(layers=4) + _RECTANGULAR,
    "single layer": 'name = "single-layer"' + _STACK.format(layers=1) + _SQUARE,
    "cylinder": 'name = "cylinder"' + _STACK.format(layers=5) + _CYLINDRICAL,
}
"""Detector files of one kind of readout each: odd and even numbers of cells, square and rectangular, one layer."""

PDGS = (11, 22)
ENERGIES = (1e3, 1e5)
"""MeV."""
LARGEST_THETA = 0.4
"""rad."""
RESPONSE = 0.015
"""Visible energy / kinetic energy."""


def draw_incidents(detector: Detector, n: int, conditions: Collection[str], seed: int = 1) -> Incidents:
    """Draw incidents that vary in some conditions and no others.

    Args:
        detector: What they hit.
        n: Number of incidents.
        conditions: In what they vary: of `particle`, `energy`, `direction`, `position`.
        seed: Of the incidents.
    """
    rng = np.random.default_rng(seed)
    width, height = detector.readout.pitch
    tilted, placed = "direction" in conditions, "position" in conditions
    return incidents(
        np.resize(PDGS, n) if "particle" in conditions else PDGS[0],
        np.exp(rng.uniform(np.log(ENERGIES[0]), np.log(ENERGIES[1]), n))
        if "energy" in conditions
        else np.full(n, 2e4),
        theta=np.arccos(rng.uniform(np.cos(LARGEST_THETA), 1, n)) if tilted else 0.0,
        phi=rng.uniform(-np.pi, np.pi, n) if tilted else 0.0,
        x=rng.uniform(-0.5, 0.5, n) * width if placed else 0.0,
        y=rng.uniform(-0.5, 0.5, n) * height if placed else 0.0,
    )


def synthetic_showers(detector: Detector, incidents: Incidents, empty: int = 0, seed: int = 1) -> Batch:
    """Make showers: gamma-like along, exponential around the axis, with fluctuations and cells that are not hit.

    Args:
        detector: With any readout.
        incidents: One for each shower.
        empty: Every so many-th shower has no hit at all; none if 0.
        seed: Of the fluctuations.
    """
    rng = np.random.default_rng(seed)
    x, y = incidents.axis(detector.z)
    layers = detector.cell_layers
    places = detector.positions
    radius = np.hypot(places[:, 0] - x[:, layers], places[:, 1] - y[:, layers])
    depth = detector.n_layers * (
        0.1 + 0.02 * np.log(incidents.energy / 1e3) + 0.02 * (incidents.pdg == PDGS[1])
    )
    along = (layers + 0.2) ** 2 * np.exp(-2 * layers / depth[:, None])
    cells = along * np.exp(-radius / min(detector.readout.pitch)) * rng.gamma(2, 0.5, radius.shape)
    cells *= (RESPONSE * incidents.energy / cells.sum(1))[:, None]
    cells[cells < detector.threshold] = 0
    if empty:
        cells[::empty] = 0
    showers = cells.astype(np.float32).reshape(-1, *detector.shape)
    return Batch.whole(torch.from_numpy(incidents.matrix()), torch.from_numpy(showers))
