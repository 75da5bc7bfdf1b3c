"""What a detector is: stacks of material slices, a regular readout, a gun, a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caloforge.detectors.materials import RADIATION_LENGTH
from caloforge.errors import DetectorError, did_you_mean

_STRICT = ConfigDict(extra="forbid")
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Slice:
    """One plate of a stack: NIST material (Geant4's names), thickness in mm, and whether it is read out."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    material: str
    thickness: Positive
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.material not in RADIATION_LENGTH:
            raise ValueError(
                f"unknown material {self.material!r}{did_you_mean(self.material, RADIATION_LENGTH)}"
            )

    @property
    def radiation_lengths(self) -> float:
        """Thickness in radiation lengths."""
        return self.thickness / RADIATION_LENGTH[self.material]


@dataclass(frozen=True)
class Stack:
    """A sequence of slices, repeated along z."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    repeat: Count
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class CartesianReadout:
    """Square or rectangular cells: `cells` = (rows along y, columns along x), `size` = (dy, dx) in mm."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    kind: Literal["cartesian"]
    cells: tuple[Count, Count]
    size: tuple[Positive, Positive]


@dataclass(frozen=True)
class Gun:
    """Where incidents start by default, in mm; z = 0 is the front face of the first slice."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    position: tuple[float, float, float] = (0.0, 0.0, -1.0)


@dataclass(frozen=True)
class Layer:
    """One sensitive slice in its place.

    Attributes:
        index: Number of the layer, from 0 at the front.
        z: Centre of the sensitive slice in mm; z = 0 is the front face of the first slice.
        thickness: Of the sensitive slice, in mm.
        material: Of the sensitive slice.
        depth: Radiation lengths before the centre of the sensitive slice.
    """

    index: int
    z: float
    thickness: float
    material: str
    depth: float


@dataclass(frozen=True)
class Detector:
    """A sampling calorimeter with a regular readout, as a detector file describes it.

    Coordinates: x along columns, y along rows, z along the shower axis; (0, 0) is the centre of the readout
    and z = 0 the front face of the first slice. Lengths in mm, energies in MeV.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    readout: CartesianReadout
    stack: tuple[Stack, ...]
    production_cut: Positive
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    description: str = ""
    reference: str = ""
    gun: Gun = field(default_factory=Gun)

    def __post_init__(self) -> None:
        if not any(plate.sensitive for stack in self.stack for plate in stack.slices):
            raise ValueError("no slice is sensitive: mark the readout slices with 'sensitive = true'")

    def slices(self) -> Iterator[tuple[Slice, float]]:
        """Yield every slice from front to back with the z of its front face in mm."""
        z = 0.0
        for stack in self.stack:
            for _ in range(stack.repeat):
                for plate in stack.slices:
                    yield plate, z
                    z += plate.thickness

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The sensitive slices from front to back."""
        found: list[Layer] = []
        depth = 0.0
        for plate, z in self.slices():
            if plate.sensitive:
                centre = depth + plate.radiation_lengths / 2
                found.append(
                    Layer(len(found), z + plate.thickness / 2, plate.thickness, plate.material, centre)
                )
            depth += plate.radiation_lengths
        return tuple(found)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_layers, n_rows, n_columns) of a shower."""
        return (len(self.layers), *self.readout.cells)

    @property
    def n_cells(self) -> int:
        """Number of readout channels."""
        return math.prod(self.shape)

    @property
    def thickness(self) -> float:
        """Total thickness in mm."""
        return math.fsum(plate.thickness for plate, _ in self.slices())

    @property
    def radiation_lengths(self) -> float:
        """Total thickness in radiation lengths."""
        return math.fsum(plate.radiation_lengths for plate, _ in self.slices())

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """Centres of the layers in mm, shape (n_layers,)."""
        return np.array([layer.z for layer in self.layers])

    @cached_property
    def y(self) -> NDArray[np.float64]:
        """Centres of the rows in mm, shape (n_rows,), 0 on the axis."""
        rows = self.readout.cells[0]
        return np.asarray((np.arange(rows) - (rows - 1) / 2) * self.readout.size[0], dtype=np.float64)

    @cached_property
    def x(self) -> NDArray[np.float64]:
        """Centres of the columns in mm, shape (n_columns,), 0 on the axis."""
        columns = self.readout.cells[1]
        return np.asarray((np.arange(columns) - (columns - 1) / 2) * self.readout.size[1], dtype=np.float64)

    @cached_property
    def cell_x(self) -> NDArray[np.float64]:
        """Centres of the cells of a layer in x in mm, shape (n_rows, n_columns)."""
        return np.broadcast_to(self.x, self.readout.cells)

    @cached_property
    def cell_y(self) -> NDArray[np.float64]:
        """Centres of the cells of a layer in y in mm, shape (n_rows, n_columns)."""
        return np.broadcast_to(self.y[:, None], self.readout.cells)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The operations that map showers of a normal incident at the centre onto equally likely showers.

        A rectangular grid has 4 (identity, two mirrors, half turn), a square one all 8 of the dihedral group.
        """
        rows, columns = self.readout.cells
        square = rows == columns and math.isclose(*self.readout.size)
        return tuple(op for op in SYMMETRIES if square or not op.transpose)

    def destinations(self) -> NDArray[np.int64]:
        """Return where each symmetry moves each cell (in C order), (n_symmetries, n_cells)."""
        sources = np.arange(self.n_cells).reshape(self.shape)
        return np.stack([np.argsort(op(sources).reshape(-1)) for op in self.symmetries])


@dataclass(frozen=True)
class Symmetry:
    """One element of the dihedral group of the square, acting on (..., n_rows, n_columns).

    It works on numpy arrays and on torch tensors alike.
    """

    name: str
    flip_rows: bool = False
    flip_columns: bool = False
    transpose: bool = False

    def __call__(self, cells: Any) -> Any:
        """Apply it to the last two axes: first the transposition, then the mirrors."""
        if self.transpose:
            cells = cells.swapaxes(-1, -2)
        axes = tuple(axis for axis, flip in ((-2, self.flip_rows), (-1, self.flip_columns)) if flip)
        if not axes:
            return cells
        flip: Callable[..., Any] = np.flip if isinstance(cells, np.ndarray) else type(cells).flip
        return flip(cells, axes)


SYMMETRIES = (
    Symmetry("identity"),
    Symmetry("mirror y", flip_rows=True),
    Symmetry("mirror x", flip_columns=True),
    Symmetry("half turn", flip_rows=True, flip_columns=True),
    Symmetry("mirror x = y", transpose=True),
    Symmetry("quarter turn", flip_rows=True, transpose=True),
    Symmetry("three quarter turn", flip_columns=True, transpose=True),
    Symmetry("mirror x = -y", flip_rows=True, flip_columns=True, transpose=True),
)


def check_shape(detector: Detector, shape: tuple[int, ...], source: str) -> None:
    """Raise if showers of this shape are not of this detector.

    Raises:
        DetectorError: Naming both shapes and the source.
    """
    if tuple(shape) != detector.shape:
        raise DetectorError(
            f"{source}: showers of shape {tuple(shape)} do not fit detector {detector.name!r} "
            f"{detector.shape}"
        )
