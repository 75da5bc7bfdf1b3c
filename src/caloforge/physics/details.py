"""Observables of the cells themselves: the hottest cells and two-point functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.neighbours import neighbours
from caloforge.physics.observables import Floats, Observables, fields_of, from_axis, observe
from caloforge.showers import Showers

HOTTEST = 5
"""Number of hottest cells that are kept."""


@dataclass(frozen=True)
class DetailedObservables(Observables):
    """Observables of N showers with what their cells say beyond sums.

    Attributes:
        hottest: Energies of the hottest cells in MeV, in falling order, (N, 5); 0 where there are fewer.
        hottest_layer: Their layers, (N, 5); -1 where there are fewer.
        hottest_radius: Their distances from the axis in mm, (N, 5); -1 where there are fewer.
        next_neighbours: As `neighbours`, with the neighbour of the neighbour, (N, n_directions).
        hit_neighbours: Share of the hit cells whose next cell in a direction is hit too, (N, n_directions).
    """

    hottest: Floats
    hottest_layer: Floats
    hottest_radius: Floats
    next_neighbours: Floats
    hit_neighbours: Floats


def observe_details(showers: Showers, threshold: float | None = None) -> DetailedObservables:
    """Compute all observables of showers.

    Args:
        showers: Showers with a known detector; never changed.
        threshold: In MeV; the detector's if not given.

    Raises:
        InputError: If there are none or their detector is unknown.
    """
    base = observe(showers, threshold)
    detector, n = base.detector, len(showers)
    flat = np.ascontiguousarray(showers.energies, dtype=np.float32).reshape(-1)
    place = np.flatnonzero((flat >= np.float32(base.threshold)) & (flat > 0))
    shower, cell = np.divmod(place, detector.n_cells)
    energy = flat[place].astype(np.float64)
    radius = np.hypot(*from_axis(detector, showers.incidents, shower, cell))
    hottest = _hottest(shower, energy, n)
    following = detector.neighbours
    columns: dict[str, Any] = {
        "hottest": _pick(energy, hottest, 0.0),
        "hottest_layer": _pick(detector.cell_layers[cell], hottest, -1.0),
        "hottest_radius": _pick(radius, hottest, -1.0),
        "next_neighbours": neighbours(flat, place, base.threshold, following, distance=2),
        "hit_neighbours": neighbours(flat, place, base.threshold, following, count=True),
    }
    return DetailedObservables(**fields_of(base), **columns)


def _hottest(shower: NDArray[np.intp], energy: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    """Return places in `energy` of the hottest cells of each shower, (n, 5), -1 where there are fewer."""
    order = np.lexsort((-energy, shower))
    rank = np.arange(len(order)) - np.searchsorted(shower, shower)
    found = np.full((n, HOTTEST), -1, dtype=np.intp)
    kept = rank < HOTTEST
    found[shower[kept], rank[kept]] = order[kept]
    return found


def _pick(values: NDArray[np.generic], index: NDArray[np.intp], missing: float) -> Floats:
    padded = np.append(values.astype(np.float32), np.float32(missing))
    return padded[index]
