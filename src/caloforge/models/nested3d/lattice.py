"""How the cells of a window are split into passes, and where they lie.

The passes are the sub-lattices of a 2 x 2 pattern, in the order in which each finds most neighbours drawn already:
even rows and columns, then odd rows and columns, then the two mixed ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

REACH = 2
"""Rows and columns on either side from which cells of the same layer are seen."""

PASSES = ((0, 0), (1, 1), (0, 1), (1, 0))


@dataclass(frozen=True)
class Lattice:
    """The cells of a layer that are drawn in passes: rows and columns of a window, or sectors and rings.

    What networks see is a map of the layer: of the window and `REACH` cells around it for a window that moves in a
    layer, of all cells for sectors and rings, whose rows close to a circle.

    Attributes:
        n_rows: Rows of the window, or sectors.
        n_columns: Columns of the window, or rings.
        circular: Whether rows close to a circle around the first column.
    """

    n_rows: int
    n_columns: int
    circular: bool = False

    @property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Row and column of the first cell of each pass that has any."""
        return tuple((a, b) for a, b in PASSES if a < self.n_rows and b < self.n_columns)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of each pass."""
        return tuple(((self.n_rows + 1 - a) // 2, (self.n_columns + 1 - b) // 2) for a, b in self.offsets)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of cells of each pass."""
        return tuple(rows * columns for rows, columns in self.shapes)

    @property
    def n_cells(self) -> int:
        """Number of cells of the window."""
        return self.n_rows * self.n_columns

    def cells(self, number: int) -> NDArray[np.int64]:
        """Cells of a pass as indices row * n_columns + column, in its C order."""
        (a, b) = self.offsets[number]
        rows, columns = np.arange(a, self.n_rows, 2), np.arange(b, self.n_columns, 2)
        return (rows[:, None] * self.n_columns + columns).reshape(-1)

    @property
    def inside(self) -> NDArray[np.int64]:
        """All cells in the order in which they are drawn."""
        return np.concatenate([self.cells(number) for number in range(len(self.offsets))])

    @property
    def map_shape(self) -> tuple[int, int]:
        """Rows and columns of a map."""
        margin = 0 if self.circular else 2 * REACH
        return self.n_rows + margin, self.n_columns + margin

    @property
    def in_map(self) -> NDArray[np.int64]:
        """Place in a map of each cell of the window, (n_cells,)."""
        margin = 0 if self.circular else REACH
        rows, columns = np.divmod(np.arange(self.n_cells), self.n_columns)
        return (rows + margin) * self.map_shape[1] + columns + margin

    def padded(self, maps: Tensor) -> Tensor:
        """Return maps (n, n_maps, *map_shape) with `REACH` cells around the window on all sides.

        Sectors close to a circle; before the first ring lies the first ring of the opposite sector.
        """
        if not self.circular:
            return maps
        turn = self.n_rows // 2
        opposite = torch.cat([maps[:, :, turn:, :REACH], maps[:, :, :turn, :REACH]], 2)
        inner = opposite.flip(3)
        missing = REACH - inner.shape[3]
        if missing:
            inner = functional.pad(inner, (missing, 0))
        maps = functional.pad(torch.cat([inner, maps], 3), (0, REACH))
        below, above = maps, maps
        while below.shape[2] < REACH:  # fewer sectors than are seen
            below = torch.cat([below, maps], 2)
            above = torch.cat([maps, above], 2)
        return torch.cat([below[:, :, below.shape[2] - REACH :], maps, above[:, :, :REACH]], 2)
