"""A detector as Geant4 volumes: plates along z, rows and columns as replicas inside each sensitive plate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, Slice

SENSITIVE = "calorimeter"
SCORER = "energy"
COLLECTION = f"{SENSITIVE}/{SCORER}"
"""Name of the hits map: cell -> deposited energy in MeV."""

_MARGIN = 100.0
"""mm of empty world around the detector and its gun."""


def world_size(detector: Detector) -> tuple[float, float, float]:
    """Half lengths (x, y, z) in mm of a world that holds the detector and its gun.

    z of the detector's coordinates is shifted by `front_face` in it.
    """
    rows, columns = detector.readout.cells
    height, width = rows * detector.readout.size[0], columns * detector.readout.size[1]
    x, y, z = detector.gun.position
    return (
        max(width / 2, abs(x)) + _MARGIN,
        max(height / 2, abs(y)) + _MARGIN,
        max(detector.thickness / 2 + abs(z), detector.thickness / 2) + _MARGIN,
    )


def front_face(detector: Detector) -> float:
    """Position along z of the detector's front face in the world's coordinates, in mm."""
    return -detector.thickness / 2


def construct_detector(g4: Any, detector: Detector) -> Any:
    """Return the `G4VUserDetectorConstruction` of a detector with cartesian readout.

    The energy deposited in the cells is scored in C++ (G4PSEnergyDeposit3D in a G4MultiFunctionalDetector)
    under the name `COLLECTION`, cells numbered in C order of the detector's shape.

    Args:
        g4: The module `geant4_pybind`.
        detector: The detector.
    """
    rows, columns = detector.readout.cells
    dy, dx = detector.readout.size
    width, height = columns * dx, rows * dy

    class Construction(g4.G4VUserDetectorConstruction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[Any] = []  # Geant4 does not own what Python makes
            self.plates: dict[Slice, Any] = {}
            self.cells: list[Any] = []

        def Construct(self) -> Any:  # noqa: N802
            space = self.material("G4_Galactic")
            world = self.box("world", *world_size(detector), space)
            placed = self.keep(g4.G4PVPlacement(None, g4.G4ThreeVector(), world, "world", None, False, 0))
            mother = self.box("detector", width / 2, height / 2, detector.thickness / 2, space)
            self.place(mother, world, 0.0, 0)
            layer = 0
            for plate, z in detector.slices():
                centre = front_face(detector) + z + plate.thickness / 2
                self.place(self.plate(plate), mother, centre, layer if plate.sensitive else 0)
                layer += plate.sensitive
            return placed

        def ConstructSDandField(self) -> None:  # noqa: N802
            scorer = self.keep(g4.G4PSEnergyDeposit3D(SCORER, *detector.shape, 2, 1, 0))
            sensitive = self.keep(g4.G4MultiFunctionalDetector(SENSITIVE))
            sensitive.RegisterPrimitive(scorer)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(sensitive)
            for cell in self.cells:
                self.SetSensitiveDetector(cell, sensitive)

        def keep(self, thing: Any) -> Any:
            self.kept.append(thing)
            return thing

        def material(self, name: str) -> Any:
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
                self.plates[plate] = self.box(plate.material, width / 2, height / 2, half, material)
                if plate.sensitive:
                    row = self.box("row", width / 2, dy / 2, half, material)
                    cell = self.box("cell", dx / 2, dy / 2, half, material)
                    volume = self.plates[plate]
                    self.keep(g4.G4PVReplica("row", row, volume, g4.kYAxis, rows, dy))
                    self.keep(g4.G4PVReplica("cell", cell, row, g4.kXAxis, columns, dx))
                    self.cells.append(cell)
            return self.plates[plate]

    return Construction()


def gun_start(
    detector: Detector, theta: float, phi: float, x: float, y: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where an incident starts in the world and where it flies.

    The gun stands at the detector's `gun.position`, moved such that the incident hits the front face at the
    gun's axis plus (x, y).

    Args:
        detector: The detector.
        theta: Polar angle from the layer normal in rad.
        phi: Azimuth in rad.
        x: Impact point in mm from the gun's axis.
        y: Likewise.

    Returns:
        Position (3,) in mm in the world's coordinates, and unit direction (3,).
    """
    direction = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    gun_x, gun_y, gun_z = detector.gun.position
    impact = np.array([gun_x + x, gun_y + y, front_face(detector)])
    return impact + direction * (gun_z / direction[2]), direction
