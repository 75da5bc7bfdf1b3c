"""The shape of single showers: start, maximum, containment, moments and asymmetries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables

Floats = NDArray[np.float64]

START_FRACTION = 0.01
"""Share of the visible energy that a layer must hold for the shower to have started."""


def start_layer(observables: Observables) -> Floats:
    """Return the first layer with at least 1 % of the visible energy, (N,), -1 for empty showers."""
    started = observables.layer_energies >= START_FRACTION * observables.visible_energy[:, None]
    return np.where(observables.visible_energy > 0, started.argmax(axis=1), -1).astype(np.float64)


def maximum_layer(observables: Observables) -> Floats:
    """Return the layer of the shower maximum (the one with most energy), (N,), -1 for empty showers."""
    layer = observables.layer_energies.argmax(axis=1)
    return np.where(observables.visible_energy > 0, layer, -1).astype(np.float64)


def maximum_fraction(observables: Observables) -> Floats:
    """Return the share of the visible energy in the layer of the shower maximum, (N,)."""
    return _share(observables.layer_energies.max(axis=1), observables.visible_energy)


def layer_fractions(observables: Observables) -> Floats:
    """Return the energy of each layer divided by the incident energy, (N, n_layers)."""
    return observables.layer_energies / observables.incidents.energy.astype(np.float64)[:, None]


def containment_radius(observables: Observables, share: float) -> Floats:
    """Return the radius around the axis in mm that holds a share of the visible energy, (N,), 0 if empty.

    Energy is taken to be spread evenly in radius within a ring.

    Args:
        observables: Of N showers.
        share: For instance 0.9.
    """
    edges = observables.ring_edges
    inside = np.cumsum(observables.rings.astype(np.float64), axis=1)
    total = inside[:, -1]
    wanted = share * total
    ring = np.minimum((inside < wanted[:, None]).sum(axis=1), inside.shape[1] - 1)
    row = np.arange(len(inside))
    before = np.where(ring > 0, inside[row, np.maximum(ring - 1, 0)], 0.0)
    part = _share(wanted - before, inside[row, ring] - before)
    return np.where(total > 0, edges[ring] + part * (edges[ring + 1] - edges[ring]), 0.0)


def moments(observables: Observables) -> dict[str, Floats]:
    """Return the first and second moments of the energy along x, y and z in mm, x and y from the shower axis.

    Returns:
        By `x`, `y`, `z`: (N, 2), the energy-weighted mean and standard deviation; 0 for empty showers.
    """
    weights, z = observables.layer_energies.astype(np.float64), observables.detector.z
    total = weights.sum(axis=1)
    means = (*observables.centroid.T, _share(weights @ z, total))
    squares = (*observables.mean_squares.T, _share(weights @ z**2, total))
    return {
        name: np.stack([mean, np.sqrt(np.clip(square - mean**2, 0, None))], axis=1)
        for name, mean, square in zip("xyz", means, squares, strict=True)
    }


def asymmetries(observables: Observables) -> Floats:
    """Return how much showers break the symmetry about their axis, (N, 3), -1 to 1.

    The columns: (right - left) / (right + left) in x, (up - down) / (up + down) in y, and (spread in x -
    spread in y) / (their sum) of the mean squares, which an exchange of x and y turns around. For normal
    incidence at the centre all three are symmetric around 0.
    """
    wide, high = observables.mean_squares.T
    sides = [
        _sides(energies.astype(np.float64), edges)
        for energies, edges in zip(
            (observables.columns, observables.rows), observables.lateral_edges, strict=True
        )
    ]
    return np.stack([*sides, _share(wide - high, wide + high)], axis=1)


def _sides(energies: Floats, edges: Floats) -> Floats:
    """Return (above - below) / (above + below) the axis; a bin around it is on neither side."""
    side = np.sign(np.round((edges[1:] + edges[:-1]) / (edges[1] - edges[0])))
    return _share(energies @ side, energies @ np.abs(side))


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Floats:
    result = np.zeros(np.shape(whole))
    np.divide(part, whole, out=result, where=whole > 0)
    return result
