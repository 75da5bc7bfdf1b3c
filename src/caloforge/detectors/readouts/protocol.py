"""What every readout says about its cells."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors.readouts.symmetry import Symmetry

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Readout(Protocol):
    """How sensitive material is divided into cells.

    Cells are numbered from 0 to n_cells - 1, those of a layer one after the other, layers from the front. x and y are
    relative to the centre of the readout. Layers may differ: only `shape` tells whether they form a regular array.
    """

    @property
    def kind(self) -> str:
        """Name of the kind of readout, as detector files write it."""

    @property
    def merge(self) -> int:
        """Sensitive slices that are read out together as one layer."""

    @property
    def calibration(self) -> float:
        """Factor on deposited energies when showers are scored."""

    @property
    def directions(self) -> tuple[str, ...]:
        """Names of the directions in which cells have neighbours; the first one is `z`."""

    @property
    def pitch(self) -> tuple[float, float]:
        """Width in x and in y of what cells resolve, in mm: the bins of profiles."""

    @property
    def half_size(self) -> tuple[float, float]:
        """Largest |x| and |y| of the area that is read out, in mm."""

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The operations on x and y that map cells onto cells, the identity first."""

    def shape(self, n_layers: int) -> tuple[int, ...]:
        """Axes of a shower: (n_layers, ...) if cells form a regular array, else (n_cells,)."""

    def layers(self, n_layers: int) -> Indices:
        """Layer of each cell, (n_cells,)."""

    def centres(self, n_layers: int) -> Floats:
        """Centres of the cells in x and y in mm, (n_cells, 2)."""

    def neighbours(self, n_layers: int) -> Indices:
        """The next cell in each direction, -1 where there is none, (n_directions, n_cells)."""

    def covers(self, x: Floats, y: Floats) -> NDArray[np.bool_]:
        """Whether points in mm lie in the area that is read out, of the shape of the arguments."""

    def cell_rectangle(self) -> tuple[float, float, float, float]:
        """Ends (x0, x1, y0, y1) in mm of a rectangle of one cell's size around (0, 0).

        Raises:
            InputError: If cells are not rectangles of one size.
        """
