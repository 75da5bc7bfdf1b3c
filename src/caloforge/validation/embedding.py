"""Distances between showers by their cells, for memorisation and diversity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caloforge.validation.cells import SparseCells

Floats = NDArray[np.float32]

_BLOCK = 500


class Cloud:
    """Showers as vectors sqrt(cell energy / visible energy): each has length 1.

    Their distance runs from 0 (equal up to a factor) to sqrt(2) (no cell in common): the Hellinger distance
    of the energy distributions over cells, times sqrt(2).

    Args:
        cells: Of n showers.
    """

    def __init__(self, cells: SparseCells) -> None:
        shower = np.repeat(np.arange(len(cells)), np.diff(cells.start))
        visible = np.bincount(shower, cells.energy, minlength=len(cells))
        self.matrix = cells.matrix(np.sqrt(cells.energy / visible[shower]).astype(np.float32))
        self._n = len(cells)

    def __len__(self) -> int:
        return self._n

    def nearest(self, others: Cloud) -> Floats:
        """Return the distance of each shower to the nearest one of others, (n,)."""
        found = np.empty(len(self), dtype=np.float32)
        for start in range(0, len(self), _BLOCK):
            overlap = self._overlap(others, slice(start, start + _BLOCK))
            found[start : start + _BLOCK] = _distance(overlap.max(axis=1))
        return found

    def distances(self) -> Floats:
        """Return the distances between all showers, (n, n)."""
        return _distance(self._overlap(self, slice(None)))

    def _overlap(self, others: Cloud, part: slice) -> Floats:
        dense = self.matrix[part].toarray()
        return np.asarray((others.matrix @ dense.T).T, dtype=np.float32)


def _distance(overlap: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(2 - 2 * overlap, 0)), dtype=np.float32)
