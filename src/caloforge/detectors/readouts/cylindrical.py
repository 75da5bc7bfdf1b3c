"""Sectors in angle and rings in radius around the axis: the cells of the CaloChallenge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caloforge.detectors.readouts.cartesian import ROUNDING, Count, Positive
from caloforge.detectors.readouts.symmetry import Symmetry, reflection, rotation
from caloforge.errors import InputError

Radius = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class CylindricalReadout:
    """Segments of rings; a shower is (n_layers, n_sectors, n_rings).

    Sector k reaches from k to k + 1 times 2 pi / n_sectors in the angle alpha = atan2(y, x).

    Attributes:
        kind: `cylindrical`.
        sectors: Number of sectors.
        rings: Edges of the rings in mm, from the innermost, (n_rings + 1,).
        merge: Sensitive slices that are read out together as one layer.
        calibration: Factor on deposited energies.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    kind: Literal["cylindrical"]
    sectors: Count
    rings: Annotated[tuple[Radius, ...], Field(min_length=2)]
    merge: Count = 1
    calibration: Positive = 1.0

    directions: ClassVar[tuple[str, ...]] = ("z", "alpha", "r")

    def __post_init__(self) -> None:
        for inner, outer in zip(self.rings[:-1], self.rings[1:], strict=True):
            if not inner < outer:
                raise ValueError(
                    f"rings overlap: edge {outer:g} mm follows {inner:g} mm; edges must increase"
                )

    @property
    def n_rings(self) -> int:
        """Number of rings."""
        return len(self.rings) - 1

    @property
    def alpha(self) -> NDArray[np.float64]:
        """Angles of the centres of the sectors in rad, (n_sectors,)."""
        return np.asarray((np.arange(self.sectors) + 0.5) * 2 * np.pi / self.sectors)

    @property
    def radius(self) -> NDArray[np.float64]:
        """Middle radii of the rings in mm, (n_rings,)."""
        edges = np.array(self.rings)
        return np.asarray((edges[1:] + edges[:-1]) / 2)

    @property
    def pitch(self) -> tuple[float, float]:
        """Width of the narrowest ring, in mm, for x and y."""
        width = float(np.min(np.diff(self.rings)))
        return width, width

    @property
    def half_size(self) -> tuple[float, float]:
        """Outermost radius, in mm, for x and y."""
        return self.rings[-1], self.rings[-1]

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The dihedral group: turns by whole sectors, and mirrors between and through them."""
        step = 2 * math.pi / self.sectors
        turns = [rotation(f"turn by {k} sectors", k * step) for k in range(1, self.sectors)]
        mirrors = [reflection(f"mirror at {k} half sectors", k * step / 2) for k in range(self.sectors)]
        return (rotation("identity", 0.0), *turns, *mirrors)

    def shape(self, n_layers: int) -> tuple[int, ...]:
        """(n_layers, n_sectors, n_rings)."""
        return (n_layers, self.sectors, self.n_rings)

    def layers(self, n_layers: int) -> NDArray[np.int64]:
        """Layer of each cell, (n_cells,)."""
        return np.repeat(np.arange(n_layers), self.sectors * self.n_rings)

    def centres(self, n_layers: int) -> NDArray[np.float64]:
        """Centres of the cells in x and y in mm, (n_cells, 2); the axis for whole rings."""
        radius = self.radius if self.sectors > 1 else np.zeros(self.n_rings)
        x, y = np.outer(np.cos(self.alpha), radius), np.outer(np.sin(self.alpha), radius)
        return np.tile(np.stack([x.ravel(), y.ravel()], axis=1), (n_layers, 1))

    def neighbours(self, n_layers: int) -> NDArray[np.int64]:
        """The next cell along z, around alpha and outwards, -1 where there is none, (3, n_cells)."""
        cells = np.arange(n_layers * self.sectors * self.n_rings).reshape(self.shape(n_layers))
        along, around, outward = np.roll(cells, -1, 0), np.roll(cells, -1, 1), np.roll(cells, -1, 2)
        along[-1], outward[:, :, -1] = -1, -1
        if self.sectors < 3:  # around, a whole ring has no neighbour, and two halves have one
            around[:, -1] = -1
        return np.stack([along.ravel(), around.ravel(), outward.ravel()])

    def covers(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points lie within the outermost ring (a hole in the middle is inside)."""
        return np.asarray(np.hypot(x, y) <= self.rings[-1] * (1 + ROUNDING))

    def cell_rectangle(self) -> tuple[float, float, float, float]:
        """Refuse: cells are not rectangles.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "position 'cell' is for cartesian readouts: the cells of a cylindrical one are not rectangles of one "
            "size; give a point or a rectangle in mm"
        )
