"""A detector as Geant4 volumes: plates along z, the cells of its readout inside each sensitive plate."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import CartesianReadout, CylindricalReadout, Detector, Material, Slice
from caloforge.errors import DetectorError, InputError
from caloforge.units import degree

SENSITIVE = "calorimeter"
SCORER = "energy"
COLLECTION = f"{SENSITIVE}/{SCORER}"
"""Name of the hits map: cell -> deposited energy in MeV."""

_MARGIN = 100.0
"""mm of empty world around the detector and its gun."""


def half_size(detector: Detector) -> tuple[float, float]:
    """Half width of the plates in x and y, in mm."""
    x, y = detector.readout.half_size
    return x + detector.margin, y + detector.margin


def world_size(detector: Detector) -> tuple[float, float, float]:
    """Half lengths (x, y, z) in mm of a world that holds the detector and its gun.

    z of the detector's coordinates is shifted by `front_face` in it.
    """
    x, y = half_size(detector)
    distance = detector.gun.distance
    around = _MARGIN + 2 * distance  # angles up to 60 degrees anywhere on the front face
    return x + around, y + around, detector.thickness / 2 + distance + _MARGIN


def front_face(detector: Detector) -> float:
    """Position along z of the detector's front face in the world's coordinates, in mm."""
    return -detector.thickness / 2


def cell_number(detector: Detector) -> Callable[[int], int]:
    """Return what turns a number of the hits map into the number of a cell.

    In the hits map sensitive plates are numbered one by one; those that are merged are one layer.
    """
    per_layer = detector.n_cells // detector.n_layers
    merge = detector.readout.merge
    if merge == 1:
        return lambda number: number
    return lambda number: number // per_layer // merge * per_layer + number % per_layer


def construct_detector(g4: Any, detector: Detector) -> Any:
    """Return the `G4VUserDetectorConstruction` of a detector.

    The energy deposited in the cells is scored in C++ (G4PSEnergyDeposit3D in a G4MultiFunctionalDetector)
    under the name `COLLECTION`, cells of each sensitive plate numbered in C order of the readout.

    Args:
        g4: The module `geant4_pybind`.
        detector: The detector.

    Raises:
        DetectorError: If its kind of readout is not known here.
    """
    readout = detector.readout
    if isinstance(readout, CartesianReadout):
        divide: Callable[..., tuple[Any, int]] = _rows_and_columns
    elif isinstance(readout, CylindricalReadout):
        divide = _sectors_and_rings
    else:
        raise DetectorError(f"Geant4 volumes of a {readout.kind!r} readout are not known")
    width, height = half_size(detector)
    mixtures = {mixture.name: mixture for mixture in detector.material}

    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[Any] = []  # Geant4 does not own what Python makes
            self.plates: dict[Slice, Any] = {}
            self.mixtures: dict[str, Any] = {}
            self.cells: list[Any] = []
            self.depth = 2

        def Construct(self) -> Any:  # noqa: N802
            space = self.material("G4_Galactic")
            world = self.box("world", *world_size(detector), space)
            placed = self.keep(g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0))
            mother = self.box("detector", width, height, detector.thickness / 2, space)
            self.place(mother, world, 0.0, 0)
            number = 0
            for plate, z in detector.slices():
                centre = front_face(detector) + z + plate.thickness / 2
                self.place(self.plate(plate), mother, centre, number if plate.sensitive else 0)
                number += plate.sensitive
            return placed

        def ConstructSDandField(self) -> None:  # noqa: N802
            n_plates = detector.n_layers * readout.merge
            axes = readout.shape(n_plates)
            scorer = self.keep(g4.G4PSEnergyDeposit3D(SCORER, *axes, self.depth, 1, 0))
            sensitive = self.keep(g4.G4MultiFunctionalDetector(SENSITIVE))
            sensitive.RegisterPrimitive(scorer)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(sensitive)
            for cell in self.cells:
                self.SetSensitiveDetector(cell, sensitive)

        def keep(self, thing: Any) -> Any:
            self.kept.append(thing)
            return thing

        def material(self, name: str) -> Any:
            if name in mixtures:
                if name not in self.mixtures:
                    self.mixtures[name] = self.keep(_mixture(g4, mixtures[name]))
                return self.mixtures[name]
            return g4.G4NistManager.Instance().FindOrBuildMaterial(name)

        def box(self, name: str, x: float, y: float, z: float, material: Any) -> Any:
            solid = self.keep(g4.G4Box(name, x, y, z))
            return self.keep(g4.G4LogicalVolume(solid, material, name))

        def place(self, volume: Any, mother: Any, z: float, copy: int) -> None:
            place = g4.G4ThreeVector(0.0, 0.0, z)
            self.keep(g4.G4PVPlacement(None, place, volume, volume.GetName(), mother, False, copy))

        def plate(self, plate: Slice) -> Any:
            if plate not in self.plates:
                material, half = self.material(plate.material), plate.thickness / 2
                self.plates[plate] = self.box(plate.material, width, height, half, material)
                if plate.sensitive:
                    cells, self.depth = divide(g4, self, self.plates[plate], half, material, detector)
                    self.cells += cells
            return self.plates[plate]

    return Construction()


def _rows_and_columns(
    g4: Any, made: Any, plate: Any, half: float, material: Any, detector: Detector
) -> tuple[list[Any], int]:
    """Divide a plate into rows and columns; return the cells and how many volumes above them the plate is."""
    assert isinstance(detector.readout, CartesianReadout)
    (rows, columns), (dy, dx) = detector.readout.cells, detector.readout.size
    depth = 2
    if detector.margin:
        area = made.box("readout", columns * dx / 2, rows * dy / 2, half, material)
        made.place(area, plate, 0.0, 0)
        plate, depth = area, 3
    row = made.box("row", columns * dx / 2, dy / 2, half, material)
    cell = made.box("cell", dx / 2, dy / 2, half, material)
    made.keep(g4.G4PVReplica("row", row, plate, g4.kYAxis, rows, dy))
    made.keep(g4.G4PVReplica("cell", cell, row, g4.kXAxis, columns, dx))
    return [cell], depth


def _sectors_and_rings(
    g4: Any, made: Any, plate: Any, half: float, material: Any, detector: Detector
) -> tuple[list[Any], int]:
    """Divide a plate into sectors, the first from alpha = 0, and rings; see `_rows_and_columns`."""
    readout = detector.readout
    assert isinstance(readout, CylindricalReadout)
    edges, step = readout.rings, 2 * np.pi / readout.sectors

    def tube(name: str, inner: float, outer: float, start: float, angle: float) -> Any:
        solid = made.keep(g4.G4Tubs(name, inner, outer, half, start, angle))
        return made.keep(g4.G4LogicalVolume(solid, material, name))

    area = tube("readout", edges[0], edges[-1], 0.0, 2 * np.pi)
    made.place(area, plate, 0.0, 0)
    # a replica about phi is turned such that its middle lies at phi = 0
    sector = tube("sector", edges[0], edges[-1], -step / 2, step) if readout.sectors > 1 else area
    if readout.sectors > 1:
        made.keep(g4.G4PVReplica("sector", sector, area, g4.kPhi, readout.sectors, step, 0.0))
    cells = []
    for number, (inner, outer) in enumerate(pairwise(edges)):
        start, angle = (-step / 2, step) if readout.sectors > 1 else (0.0, 2 * np.pi)
        ring = tube("ring", inner, outer, start, angle)
        made.place(ring, sector, 0.0, number)
        cells.append(ring)
    return cells, 3 if readout.sectors > 1 else 2


def _mixture(g4: Any, mixture: Material) -> Any:
    material = g4.G4Material(mixture.name, mixture.density * g4.g / g4.cm3, len(mixture.fractions))
    manager = g4.G4NistManager.Instance()
    for part, share in mixture.shares.items():
        if part.startswith("G4_"):
            material.AddMaterial(manager.FindOrBuildMaterial(part), share)
        else:
            material.AddElementByMassFraction(manager.FindOrBuildElement(part), share)
    return material


def check_start(detector: Detector, theta: float, x: float, y: float) -> None:
    """Raise if incidents start outside the world.

    Args:
        detector: The detector.
        theta: Largest polar angle in rad.
        x: Largest distance of an impact point from the centre along x, in mm.
        y: Likewise along y.

    Raises:
        InputError: Saying which.
    """
    sideways = detector.gun.distance * math.tan(theta)
    width, height, _ = world_size(detector)
    if theta >= math.pi / 2 or x + sideways > width or y + sideways > height:
        raise InputError(
            f"incidents with theta = {theta / degree:.4g} degrees at ({x:.4g}, {y:.4g}) mm start, "
            f"{detector.gun.distance:g} mm before the front face, outside the world around detector {detector.name!r}"
        )


def gun_start(
    detector: Detector, theta: float, phi: float, x: float, y: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where an incident starts in the world and where it flies.

    It starts in the plane at the gun's distance before the front face, such that it hits the front face at (x, y).

    Args:
        detector: The detector.
        theta: Polar angle from the layer normal in rad.
        phi: Azimuth in rad.
        x: Impact point in mm from the centre of the readout.
        y: Likewise.

    Returns:
        Position (3,) in mm in the world's coordinates, and unit direction (3,).
    """
    direction = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    impact = np.array([x, y, front_face(detector)])
    return impact - direction * (detector.gun.distance / direction[2]), direction
