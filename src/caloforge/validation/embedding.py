"""Distances between showers by their cells, for memorisation and diversity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.showers import Incidents
from caloforge.validation.cells import SparseCells
from caloforge.validation.windows import Window

Floats = NDArray[np.float32]

_BLOCK = 500


class Cloud:
    """Showers as vectors sqrt(cell energy / visible energy): each has length 1, or 0 if it is empty.

    Their distance runs from 0 (equal up to a factor) to sqrt(2) (no cell in common): the Hellinger distance
    of the energy distributions over cells, times sqrt(2).

    Args:
        cells: Of n showers.
    """

    def __init__(self, cells: SparseCells) -> None:
        self.matrix = cells.matrix(_shares(cells))
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


def nearest_image(
    cells: SparseCells, incidents: Incidents, known: SparseCells, known_incidents: Incidents, window: Window
) -> Floats:
    """Return the distance of each shower, turned and mirrored in all ways, to the nearest known one, (n,).

    Showers are compared in windows that follow their axes, so that one that was moved by whole cells is found, and
    under all symmetries of the readout. Where cells form rings (an array with a circular axis), the turns by whole
    sectors are compared at once, by their circular correlation.

    Args:
        cells: Of n showers.
        incidents: Their incidents.
        known: Of the showers to look for.
        known_incidents: Their incidents.
        window: What of showers is compared.
    """
    detector = window.detector
    there = window.seen(known, known_incidents)
    if circular(detector) and window.cells is None:
        return _nearest_turn(cells, there)
    cloud = Cloud(there)
    images = (
        window.seen(cells.moved(to), incidents.moved(symmetry))
        for to, symmetry in zip(detector.destinations(), detector.symmetries, strict=True)
    )
    return np.asarray(np.min([Cloud(one).nearest(cloud) for one in images], axis=0), dtype=np.float32)


def circular(detector: Detector) -> bool:
    """Return whether cells form an array whose second axis closes on itself."""
    return len(detector.shape) == 3 and bool((detector.neighbours[1] >= 0).all())


def _nearest_turn(cells: SparseCells, known: SparseCells) -> Floats:
    """Return the distance of each shower, turned and mirrored, to the nearest known one, (n,)."""
    best = np.zeros(len(cells), dtype=np.float32)
    n_sectors = cells.shape[1]
    parts = [slice(start, start + _BLOCK) for start in range(0, len(cells), _BLOCK)]
    waves = [_waves(cells[part]) for part in parts]
    for start in range(0, len(known), _BLOCK):
        there = _waves(known[start : start + _BLOCK]).conj().transpose(0, 2, 1)
        for part, here in zip(parts, waves, strict=True):
            for image in (here, here.conj()):  # the mirrored shower, up to a turn
                overlap = np.fft.irfft(image @ there, n_sectors, axis=0)
                best[part] = np.maximum(best[part], overlap.max(axis=(0, 2)))
    return _distance(best)


def _waves(cells: SparseCells) -> NDArray[np.complex64]:
    """Return Fourier coefficients along the sectors, (n_frequencies, n, n_layers * n_rings)."""
    layers, sectors, rings = cells.shape
    dense = np.zeros((len(cells), cells.n_cells), dtype=np.float32)
    dense[np.repeat(np.arange(len(cells)), np.diff(cells.start)), cells.index] = _shares(cells)
    waves = np.fft.rfft(dense.reshape(len(cells), layers, sectors, rings), axis=2).astype(np.complex64)
    return np.ascontiguousarray(waves.transpose(2, 0, 1, 3)).reshape(waves.shape[2], len(cells), -1)


def _shares(cells: SparseCells) -> Floats:
    shower = np.repeat(np.arange(len(cells)), np.diff(cells.start))
    visible = np.bincount(shower, cells.energy, minlength=len(cells))
    return np.asarray(np.sqrt(cells.energy / visible[shower]), dtype=np.float32)


def _distance(overlap: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(2 - 2 * overlap, 0)), dtype=np.float32)
