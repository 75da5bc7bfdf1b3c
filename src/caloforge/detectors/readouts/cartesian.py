"""Rows and columns of equal rectangular cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caloforge.detectors.readouts.symmetry import Symmetry, reflection, rotation

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]

ROUNDING = 1e-6
"""Relative slack of the edge of a readout: impact points are kept in float32."""

RECTANGLE = (
    rotation("identity", 0.0),
    reflection("mirror y", 0.0),
    reflection("mirror x", math.pi / 2),
    rotation("half turn", math.pi),
)
SQUARE = (
    reflection("mirror x = y", math.pi / 4),
    rotation("quarter turn", math.pi / 2),
    rotation("three quarter turn", -math.pi / 2),
    reflection("mirror x = -y", -math.pi / 4),
)
"""The other four elements of the dihedral group."""


@dataclass(frozen=True)
class CartesianReadout:
    """Square or rectangular cells; a shower is (n_layers, n_rows, n_columns).

    Attributes:
        kind: `cartesian`.
        cells: Rows along y, columns along x.
        size: Of a cell along y and along x, in mm.
        merge: Sensitive slices that are read out together as one layer.
        calibration: Factor on deposited energies.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    kind: Literal["cartesian"]
    cells: tuple[Count, Count]
    size: tuple[Positive, Positive]
    merge: Count = 1
    calibration: Positive = 1.0

    directions: ClassVar[tuple[str, ...]] = ("z", "y", "x")

    @property
    def pitch(self) -> tuple[float, float]:
        """Width of a cell in x and in y, in mm."""
        return self.size[1], self.size[0]

    @property
    def half_size(self) -> tuple[float, float]:
        """Half of the width in x and in y, in mm."""
        return self.cells[1] * self.size[1] / 2, self.cells[0] * self.size[0] / 2

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The 4 operations of a rectangle, all 8 of the dihedral group for a square."""
        square = self.cells[0] == self.cells[1] and math.isclose(*self.size)
        return RECTANGLE + SQUARE if square else RECTANGLE

    @property
    def x(self) -> NDArray[np.float64]:
        """Centres of the columns in mm, (n_columns,)."""
        return _centres(self.cells[1], self.size[1])

    @property
    def y(self) -> NDArray[np.float64]:
        """Centres of the rows in mm, (n_rows,)."""
        return _centres(self.cells[0], self.size[0])

    def shape(self, n_layers: int) -> tuple[int, ...]:
        """(n_layers, n_rows, n_columns)."""
        return (n_layers, *self.cells)

    def layers(self, n_layers: int) -> NDArray[np.int64]:
        """Layer of each cell, (n_cells,)."""
        return np.repeat(np.arange(n_layers), math.prod(self.cells))

    def centres(self, n_layers: int) -> NDArray[np.float64]:
        """Centres of the cells in x and y in mm, (n_cells, 2)."""
        y, x = np.meshgrid(self.y, self.x, indexing="ij")
        return np.tile(np.stack([x.ravel(), y.ravel()], axis=1), (n_layers, 1))

    def neighbours(self, n_layers: int) -> NDArray[np.int64]:
        """The next cell along z, y and x, -1 where there is none, (3, n_cells)."""
        cells = np.arange(n_layers * math.prod(self.cells)).reshape(self.shape(n_layers))
        return np.stack([_next(cells, axis).ravel() for axis in range(3)])

    def covers(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points lie in the area that is read out."""
        width, height = self.half_size
        return np.asarray((np.abs(x) <= width * (1 + ROUNDING)) & (np.abs(y) <= height * (1 + ROUNDING)))

    def cell_rectangle(self) -> tuple[float, float, float, float]:
        """Ends (x0, x1, y0, y1) in mm of a rectangle of one cell's size around (0, 0)."""
        dy, dx = self.size
        return -dx / 2, dx / 2, -dy / 2, dy / 2


def _centres(n: int, size: float) -> NDArray[np.float64]:
    return np.asarray((np.arange(n) - (n - 1) / 2) * size, dtype=np.float64)


def _next(cells: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    moved = np.roll(cells, -1, axis)
    last = [slice(None)] * cells.ndim
    last[axis] = slice(-1, None)
    moved[tuple(last)] = -1
    return moved
