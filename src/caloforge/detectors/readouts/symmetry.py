"""Symmetries of a readout: what they do to points, to incidents and to cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""mm: cells whose centres are closer than this are the same."""


@dataclass(frozen=True)
class Symmetry:
    """A turn or a mirror about (0, 0) that maps a readout onto itself.

    Attributes:
        name: For people.
        matrix: Rows of the orthogonal matrix that acts on (x, y).
    """

    name: str
    matrix: tuple[tuple[float, float], tuple[float, float]]

    def points(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> tuple[NDArray[np.floating], ...]:
        """Return where points (x, y) go."""
        (a, b), (c, d) = self.matrix
        return a * x + b * y, c * x + d * y

    def azimuth(self, phi: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return where directions of azimuth `phi` (rad) point, between -pi and pi."""
        x, y = self.points(np.cos(phi), np.sin(phi))
        return np.asarray(np.arctan2(y, x))


def rotation(name: str, angle: float) -> Symmetry:
    """Return the turn by an angle in rad."""
    c, s = _exact(np.cos(angle)), _exact(np.sin(angle))
    return Symmetry(name, ((c, -s), (s, c)))


def reflection(name: str, angle: float) -> Symmetry:
    """Return the mirror whose line lies at an angle in rad to the x axis."""
    c, s = _exact(np.cos(2 * angle)), _exact(np.sin(2 * angle))
    return Symmetry(name, ((c, s), (s, -c)))


def _exact(value: float) -> float:
    """Round to the nearest whole number where it is one but for rounding."""
    near = round(float(value))
    return float(near) if abs(value - near) < 1e-12 else float(value)


def permutation(
    centres: NDArray[np.float64], layers: NDArray[np.int64], symmetry: Symmetry
) -> NDArray[np.int64]:
    """Return where a symmetry moves each cell, (n_cells,).

    Args:
        centres: Centres of the cells in x and y in mm, (n_cells, 2).
        layers: Their layers, (n_cells,).
        symmetry: The symmetry.

    Raises:
        ValueError: If a cell lands where there is none.
    """
    moved = np.stack(symmetry.points(centres[:, 0], centres[:, 1]), axis=1)
    before, after = (np.lexsort((*_keys(where), layers)) for where in (centres, moved))
    if not np.allclose(centres[before], moved[after], atol=1e-3):
        raise ValueError(f"{symmetry.name} does not map the cells onto each other")
    destinations = np.empty(len(centres), dtype=np.int64)
    destinations[after] = before
    return destinations


def _keys(where: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole numbers that order points, equal for points closer than the tolerance.

    The shift keeps what people write (whole parts of a micrometre) away from where rounding jumps.
    """
    x, y = np.round(where / (100 * TOLERANCE) + 1 / math.pi).astype(np.int64).T
    return x, y
