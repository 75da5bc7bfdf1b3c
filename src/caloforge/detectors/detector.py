"""What a detector is: stacks of material slices, a readout, a gun, a threshold, the physics of its simulation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from caloforge.detectors.materials import Material, Positive, Properties, nist_names, properties, suggest
from caloforge.detectors.readouts import AnyReadout, CartesianReadout, Symmetry, permutation
from caloforge.errors import DetectorError

_STRICT = ConfigDict(extra="forbid")
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Slice:
    """One plate of a stack: material, thickness in mm, and whether it is read out.

    The material is a NIST name as in Geant4, or the name of a mixture of the detector file.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    material: str
    thickness: Positive
    sensitive: bool = False


@dataclass(frozen=True)
class Stack:
    """A sequence of slices, repeated along z."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    repeat: Count
    slices: Annotated[tuple[Slice, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Gun:
    """Where incidents start: a distance in mm before the front face of the first slice."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    distance: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.distance) and self.distance > 0):
            raise ValueError(
                f"the gun must stand before the front face, at a positive distance in mm (got {self.distance:g})"
            )


@dataclass(frozen=True)
class Physics:
    """How showers are simulated: part of what a sample and a model stand for.

    Attributes:
        production_cut: Geant4's range cut in mm.
        photoelectric_shells: Which shell the photoelectric effect takes its electron from with CaloForge's tables:
            `measured` shares, as with Geant4's own data, or always the `outermost`, which leaves no binding energy.
        physics_list: `auto` is electromagnetic physics for e-, e+, gamma and pi0, and FTFP_BERT for others.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    production_cut: Positive
    photoelectric_shells: Literal["measured", "outermost"] = "measured"
    physics_list: Literal["auto", "G4EmStandardPhysics", "FTFP_BERT"] = "auto"


@dataclass(frozen=True)
class Layer:
    """One layer of cells: a sensitive slice, or several that are read out together.

    Attributes:
        index: Number of the layer, from 0 at the front.
        z: Mid-plane in mm: the middle between the front of its first and the back of its last sensitive slice;
            z = 0 is the front face of the first slice.
        thickness: Of its sensitive slices together, in mm.
        material: Of its first sensitive slice.
        depth: Radiation lengths before the mid-plane.
        slices: Number of sensitive slices.
    """

    index: int
    z: float
    thickness: float
    material: str
    depth: float
    slices: int = 1


@dataclass(frozen=True)
class Detector:
    """A calorimeter, as a detector file describes it.

    Coordinates: z along the depth, z = 0 the front face of the first slice; (x, y) = (0, 0) the centre of the
    readout. Lengths in mm, energies in MeV.

    Attributes:
        name: Name of the detector.
        readout: How layers are divided into cells.
        stack: Slices from front to back.
        physics: How showers are simulated.
        threshold: Cells below are empty in every comparison, in MeV after calibration.
        description: One line.
        reference: Where the numbers come from.
        gun: Where incidents start.
        margin: How far the plates reach beyond the readout in x and y, in mm.
        material: Mixtures that slices name.
        mip: Energy that a minimum ionising particle leaves in a layer, in MeV after calibration: one number, or
            one for each layer; computed if not given.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: str
    readout: AnyReadout
    stack: tuple[Stack, ...]
    physics: Physics
    threshold: NotNegative
    description: str = ""
    reference: str = ""
    gun: Gun = field(default_factory=Gun)
    margin: NotNegative = 0.0
    material: tuple[Material, ...] = ()
    mip: Positive | tuple[Positive, ...] | None = None

    def __post_init__(self) -> None:
        own = [mixture.name for mixture in self.material]
        twice = [name for name in own if own.count(name) > 1]
        if twice:
            raise ValueError(f"two mixtures have the same name {twice[0]!r}")
        for plate, _ in self.slices():
            if plate.material not in own and plate.material not in nist_names():
                known = [*own, *nist_names()]
                raise ValueError(f"unknown material {plate.material!r}{suggest(plate.material, known)}")
        n_sensitive = sum(plate.sensitive for plate, _ in self.slices())
        if not n_sensitive:
            raise ValueError("no slice is sensitive: mark the readout slices with 'sensitive = true'")
        if n_sensitive % self.readout.merge:
            raise ValueError(f"{n_sensitive} sensitive slices cannot be merged by {self.readout.merge}")
        if isinstance(self.mip, tuple) and len(self.mip) != self.n_layers:
            raise ValueError(f"'mip' has {len(self.mip)} numbers for {self.n_layers} layers")

    def slices(self) -> Iterator[tuple[Slice, float]]:
        """Yield every slice from front to back with the z of its front face in mm."""
        z = 0.0
        for stack in self.stack:
            for _ in range(stack.repeat):
                for plate in stack.slices:
                    yield plate, z
                    z += plate.thickness

    def properties(self, material: str) -> Properties:
        """Return the properties of a material that a slice names."""
        own = {mixture.name: mixture for mixture in self.material}
        return properties(own.get(material, material))

    def radiation_lengths_of(self, plate: Slice) -> float:
        """Thickness of a slice in radiation lengths."""
        return plate.thickness / self.properties(plate.material).radiation_length

    @property
    def n_layers(self) -> int:
        """Number of layers of cells."""
        return sum(plate.sensitive for plate, _ in self.slices()) // self.readout.merge

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of cells from front to back."""
        found: list[Layer] = []
        group: list[tuple[Slice, float, float]] = []
        depth = 0.0
        for plate, z in self.slices():
            length = self.radiation_lengths_of(plate)
            if plate.sensitive:
                group.append((plate, z, depth))
                if len(group) == self.readout.merge:
                    first, back = group[0], z + plate.thickness
                    found.append(
                        Layer(
                            len(found),
                            (first[1] + back) / 2,
                            math.fsum(one.thickness for one, _, _ in group),
                            first[0].material,
                            (first[2] + depth + length) / 2,
                            len(group),
                        )
                    )
                    group = []
            depth += length
        return tuple(found)

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of a shower, (n_layers, n_rows, n_columns) for a cartesian readout; see `Readout.shape`."""
        return self.readout.shape(self.n_layers)

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
        return math.fsum(self.radiation_lengths_of(plate) for plate, _ in self.slices())

    @cached_property
    def z(self) -> NDArray[np.float64]:
        """Mid-planes of the layers in mm, (n_layers,)."""
        return np.array([layer.z for layer in self.layers])

    @cached_property
    def mip_energy(self) -> NDArray[np.float64]:
        """Most probable energy that a minimum ionising particle leaves in each layer, MeV after calibration.

        That of a muon at normal incidence (`Properties.most_probable_loss`) if the file does not give it.

        Returns:
            (n_layers,).
        """
        if self.mip is not None:
            return np.broadcast_to(np.asarray(self.mip, dtype=np.float64), (self.n_layers,))
        losses = [
            layer.slices * self.properties(layer.material).most_probable_loss(layer.thickness / layer.slices)
            for layer in self.layers
        ]
        return self.readout.calibration * np.array(losses)

    @cached_property
    def cell_layers(self) -> NDArray[np.int64]:
        """Layer of each cell, (n_cells,)."""
        return self.readout.layers(self.n_layers)

    @cached_property
    def positions(self) -> NDArray[np.float64]:
        """Centres of the cells in x, y and z in mm, (n_cells, 3)."""
        centres = self.readout.centres(self.n_layers)
        return np.concatenate([centres, self.z[self.cell_layers, None]], axis=1)

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """The next cell in each of `readout.directions`, -1 where there is none, (n_directions, n_cells)."""
        return self.readout.neighbours(self.n_layers)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """The turns and mirrors about (0, 0) that map cells onto cells, the identity first.

        They hold for showers together with their incidents, see `Incidents.moved`.
        """
        return self.readout.symmetries

    def destinations(self) -> NDArray[np.int64]:
        """Return where each symmetry moves each cell, (n_symmetries, n_cells)."""
        regular = len(self.shape) > 1
        chosen = np.flatnonzero(self.cell_layers == 0) if regular else np.arange(self.n_cells)
        centres, layers = self.positions[chosen, :2], self.cell_layers[chosen]
        found = np.stack([permutation(centres, layers, one) for one in self.symmetries])
        if not regular:
            return found
        first = len(chosen) * np.arange(self.n_layers)[:, None]
        return (found[:, None, :] + first).reshape(len(found), -1)


def check_shape(detector: Detector, shape: tuple[int, ...], source: str) -> None:
    """Raise if showers of this shape are not of this detector.

    Raises:
        DetectorError: Naming both shapes and the source.
    """
    if tuple(shape) != detector.shape:
        raise DetectorError(
            f"{source}: showers of shape {tuple(shape)} do not fit detector {detector.name!r} {detector.shape}"
        )


def cartesian(detector: Detector, what: str) -> CartesianReadout:
    """Return the readout of a detector that must be cartesian.

    Args:
        detector: The detector.
        what: What needs rows and columns, for the message.

    Raises:
        DetectorError: If the detector has another readout.
    """
    if not isinstance(detector.readout, CartesianReadout):
        raise DetectorError(
            f"{what} needs a cartesian readout; detector {detector.name!r} has a {detector.readout.kind} one"
        )
    return detector.readout


_DECISIVE = ("stack", "readout", "physics", "material", "margin")
"""What of a detector decides about its showers."""


def detector_differences(one: Detector, other: Detector) -> list[str]:
    """Return in what two detectors differ that decides about their showers, by the keys of detector files."""
    return [name for name in _DECISIVE if getattr(one, name) != getattr(other, name)]
