"""Showers as seen from their axis: windows of cells that follow it from layer to layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import CartesianReadout, Detector
from caloforge.showers import Incidents
from caloforge.validation.cells import SparseCells

HELD = 0.99
"""Share of the energy of a sample that a window must hold."""


@dataclass(frozen=True)
class Window:
    """A rectangle of cells whose middle is, in each layer, the cell that the shower axis crosses.

    Attributes:
        detector: The detector.
        cells: Rows and columns of the rectangle; None takes the readout as it is, for all showers alike.
    """

    detector: Detector
    cells: tuple[int, int] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of what is seen of a shower."""
        return self.detector.shape if self.cells is None else (self.detector.n_layers, *self.cells)

    @staticmethod
    def of(cells: SparseCells, incidents: Incidents, detector: Detector) -> Window:
        """Return the window for showers like these.

        For rows and columns of cells, the smallest odd number of either that holds 99 % of the energy, at most as many
        as the readout has; the whole readout if all incidents are normal at the centre, and for other readouts.
        """
        central = not np.any([incidents.theta, incidents.x, incidents.y])
        if central or not isinstance(detector.readout, CartesianReadout):
            return Window(detector, None)
        _, row, column = _from_axis(cells, incidents, detector, detector.readout)
        away = np.maximum(np.abs(row), np.abs(column))
        energy = np.bincount(away, cells.energy)
        inside = energy.cumsum() >= HELD * energy.sum()
        size = 2 * int(np.argmax(inside)) + 1 if len(inside) else 1
        rows, columns = detector.readout.cells
        return Window(detector, (min(size, rows), min(size, columns)))

    def seen(self, cells: SparseCells, incidents: Incidents) -> SparseCells:
        """Return what the window shows of showers: empty where it reaches beyond the readout.

        Args:
            cells: Of N showers.
            incidents: Their incidents.
        """
        if self.cells is None or not isinstance(self.detector.readout, CartesianReadout):
            return cells
        layer, row, column = _from_axis(cells, incidents, self.detector, self.detector.readout)
        rows, columns = self.cells
        row, column = row + rows // 2, column + columns // 2
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        index = ((layer * rows + row) * columns + column)[inside]
        start = np.concatenate([[0], np.cumsum(inside)])[cells.start]
        return SparseCells(self.shape, start, index.astype(np.int32), cells.energy[inside])


def _from_axis(
    cells: SparseCells, incidents: Incidents, detector: Detector, readout: CartesianReadout
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return layer, and rows and columns from the cell that the shower axis crosses there, of all hit cells."""
    shower = np.repeat(np.arange(len(cells)), np.diff(cells.start))
    layer, row, column = np.unravel_index(cells.index.astype(np.int64), detector.shape)
    x, y = incidents.axis(detector.z)
    middle = [
        np.floor(place / size + n / 2).astype(np.int64)
        for place, size, n in zip((y, x), readout.size, readout.cells, strict=True)
    ]
    return layer, row - middle[0][shower, layer], column - middle[1][shower, layer]
