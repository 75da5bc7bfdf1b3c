"""How the cells of a layer are split: a central window drawn in four passes, and what lies around it.

The passes are the sub-lattices of a 2 x 2 pattern, in the order in which each finds most neighbours drawn already:
even rows and columns, then odd rows and columns, then the two mixed ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError

REACH = 2
"""Rows and columns on either side from which cells of the same layer are seen."""

PASSES = ((0, 0), (1, 1), (0, 1), (1, 0))

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Sublattices:
    """Where the cells of a layer are drawn.

    Attributes:
        n_rows: Rows of the layer.
        n_columns: Columns of the layer.
        window: Rows and columns of the central window (odd).
        passes: Per pass, the cells of the window as indices row * n_columns + column of the layer.
        around: The cells around the window, likewise.
    """

    n_rows: int
    n_columns: int
    window: int
    passes: tuple[Indices, ...]
    around: Indices

    @property
    def top(self) -> int:
        """First row of the window."""
        return (self.n_rows - self.window) // 2

    @property
    def left(self) -> int:
        """First column of the window."""
        return (self.n_columns - self.window) // 2

    @property
    def inside(self) -> Indices:
        """The cells of the window in the order in which they are drawn."""
        return np.concatenate(self.passes)

    @property
    def order(self) -> Indices:
        """Where each cell of the layer, row by row, stands in `inside` followed by `around`."""
        return np.argsort(np.concatenate([self.inside, self.around]))

    def smoothing(self, strength: float, n_pairs: int) -> NDArray[np.float64]:
        """Matrix that makes normal numbers of neighbouring cells around the window alike.

        Cells around the window may stand in pairs: the first with the last of `around` and so on, opposite to each
        other (point reflection) where rows and columns are odd. One normal number serves both, with opposite signs.

        Args:
            strength: Part of the numbers of its four neighbours that each cell adds to its own.
            n_pairs: Half the number of cells around the window (rounded up), or their number: then none are in pairs.

        Returns:
            (n_pairs, n_pairs): z @ matrix has unit variance and is the numbers of the first cells of pairs.
        """
        n = len(self.around)
        number = np.full((self.n_rows + 2, self.n_columns + 2), -1)
        rows, columns = np.divmod(self.around, self.n_columns)
        number[rows + 1, columns + 1] = np.arange(n)
        matrix = np.eye(n_pairs)
        for cell in range(n_pairs):
            row, column = rows[cell] + 1, columns[cell] + 1
            for step_y, step_x in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                other = number[row + step_y, column + step_x]
                if other >= n_pairs:  # the opposite of its partner
                    matrix[n - 1 - other, cell] -= strength
                elif other >= 0:
                    matrix[other, cell] += strength
        return np.asarray(matrix / np.sqrt((matrix**2).sum(0)))

    def in_window(self, number: int) -> Indices:
        """Cells of a pass as indices into the window, row * window + column."""
        rows, columns = np.divmod(self.passes[number], self.n_columns)
        return np.asarray((rows - self.top) * self.window + columns - self.left)

    def offsets(self, number: int) -> Indices:
        """How the cells of a pass see those of the passes before.

        Returns:
            (n_known, n_cells): number of the step from a cell to a known one in the square of 2 * REACH + 1, or
            (2 * REACH + 1)^2 where the known cell is out of reach.
        """
        known, cells = np.concatenate(self.passes[:number]), self.passes[number]
        side = 2 * REACH + 1
        dy, dx = (
            known_part[:, None] - part + REACH
            for known_part, part in zip(
                np.divmod(known, self.n_columns), np.divmod(cells, self.n_columns), strict=True
            )
        )
        seen = (dy >= 0) & (dy < side) & (dx >= 0) & (dx < side)
        return np.where(seen, dy * side + dx, side * side)


def split_layer(n_rows: int, n_columns: int, window: int) -> Sublattices:
    """Split the cells of a layer.

    Args:
        n_rows: Rows of the layer.
        n_columns: Columns of the layer.
        window: Rows and columns of the central window; made smaller until a cell on each side is left.

    Raises:
        InputError: If a layer has fewer than 5 rows or columns.
    """
    if min(n_rows, n_columns) < 5:
        raise InputError(f"layers of {n_rows} x {n_columns} cells are too small: at least 5 x 5 are needed")
    smallest = min(n_rows, n_columns) - 2
    window = min(window, smallest - 1 + smallest % 2)
    top, left = (n_rows - window) // 2, (n_columns - window) // 2
    rows, columns = np.divmod(np.arange(n_rows * n_columns), n_columns)
    y, x = rows - top, columns - left
    inside = (y >= 0) & (y < window) & (x >= 0) & (x < window)
    passes = tuple(np.flatnonzero(inside & (y % 2 == a) & (x % 2 == b)) for a, b in PASSES)
    return Sublattices(n_rows, n_columns, window, passes, np.flatnonzero(~inside))
