"""Bins across the shower axis: in x, in y, and in the distance from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector

Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
"""mm: what is closer counts as the same point."""


def lateral_edges(detector: Detector) -> tuple[Floats, Floats]:
    """Return the edges in mm of bins in x and in y relative to the shower axis.

    They are as wide as the readout's pitch, symmetric about 0, and as many as hold the whole readout around its centre:
    for rows and columns of cells, one for each. A bin lies around 0 if cells do.

    Returns:
        (n_x + 1,) and (n_y + 1,).
    """
    readout = detector.readout
    x, y = (
        _edges(detector.positions[:, axis], readout.half_size[axis], readout.pitch[axis]) for axis in (0, 1)
    )
    return x, y


def _edges(positions: Floats, half: float, pitch: float) -> Floats:
    odd = bool(np.abs(positions).min() < _TOLERANCE)
    n = math.ceil(2 * half / pitch - 1e-6)
    n += n % 2 != odd
    return np.asarray((np.arange(n + 1) - n / 2) * pitch)


def ring_edges(detector: Detector) -> Floats:
    """Return the edges in mm of rings around the shower axis.

    They are as wide as the smaller pitch, and reach to the outermost cell of the readout around its centre. If there
    are cells at the centre, the innermost ring is a disc of half that width.

    Returns:
        (n_rings + 1,).
    """
    width = min(detector.readout.pitch)
    radii = np.hypot(detector.positions[:, 0], detector.positions[:, 1])
    n = math.ceil(float(radii.max()) / width - 1e-9)
    if radii.min() < _TOLERANCE:
        return np.concatenate([[0.0], (np.arange(n + 1) + 0.5) * width])
    return np.asarray(np.arange(n + 1) * width)


def bin_across(distances: Floats, edges: Floats) -> NDArray[np.intp]:
    """Return the bin of each distance from the axis; the outermost bins take what lies beyond."""
    n, width = len(edges) - 1, edges[1] - edges[0]
    place = np.floor((distances - edges[0]) / width + 1e-9)
    return np.asarray(np.clip(place, 0, n - 1), dtype=np.intp)
