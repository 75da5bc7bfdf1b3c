"""The one Geant4 kernel of a process: run manager, gun, hits, and its chatter kept off stdout."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import Geant4Error, InputError, require
from caloforge.geant4.data_sets import DataSets, prepare
from caloforge.geant4.em_tables import SHELL_CHOICES, cache_folder
from caloforge.geant4.geometry import COLLECTION, cell_number, construct_detector, gun_start, world_size
from caloforge.geant4.physics import PhysicsList, choose_physics, make_physics_list

_LOG_LIMIT = 10**6


@contextmanager
def quiet(log: Path | None = None) -> Iterator[None]:
    """Send what C++ writes to stdout inside the block to a log file.

    Args:
        log: File to append to; `geant4/geant4.log` in the cache if not given.
    """
    target = _open_log(log or cache_folder() / "geant4" / "geant4.log")
    libc = ctypes.CDLL(None)
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(target, 1)
    os.close(target)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)


def _open_log(path: Path) -> int:
    try:
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.unlink()
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError:  # a log that cannot be written stops no simulation
        return os.open(os.devnull, os.O_WRONLY)


def import_geant4(shells: str = SHELL_CHOICES[0]) -> tuple[Any, DataSets]:
    """Import `geant4_pybind` with the data sets' environment variables set.

    Args:
        shells: Photoelectric shells of CaloForge's tables.

    Raises:
        MissingExtraError: If it is not installed.
        Geant4Error: If a variable points to something that is not such a data set.
        FileError: If the cache cannot be written.
    """
    data_sets = prepare(shells)
    with quiet(), _without("CI"):
        module = require("geant4_pybind", "geant4")
    return module, data_sets


@contextmanager
def _without(variable: str) -> Iterator[None]:
    """Hide an environment variable: with `CI=true`, geant4-pybind 0.1.3 tidies, or misses, `~/.geant4_pybind`."""
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


def geant4_version(g4: Any) -> str:
    """Version of Geant4 as people write it, for instance 11.4.1."""
    number = int(g4.G4VERSION_NUMBER)
    return f"{number // 100}.{number // 10 % 10}.{number % 10}"


@dataclass
class Kernel:
    """A Geant4 run manager set up for one detector and one physics list.

    Attributes:
        detector: The detector.
        physics: Name of the physics list.
        data_sets: Where Geant4's data come from.
        energies: Energy per cell in MeV of the last event, calibrated, shape (n_cells,).
    """

    detector: Detector
    physics: PhysicsList
    data_sets: DataSets
    energies: NDArray[np.float32]
    _g4: Any
    _manager: Any = None
    _gun: Any = None
    _kept: list[Any] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Version of Geant4."""
        return geant4_version(self._g4)

    def shoot(
        self, pdg: int, energy: float, theta: float, phi: float, x: float, y: float, seed: int
    ) -> NDArray[np.float32]:
        """Simulate one incident: energy per cell in MeV, shape (n_cells,), valid until the next call.

        Args:
            pdg: PDG id.
            energy: Kinetic energy in MeV.
            theta: Polar angle in rad.
            phi: Azimuth in rad.
            x: Impact point in mm.
            y: Impact point in mm.
            seed: Of Geant4's random engine; the shower depends on nothing that ran before.

        Raises:
            InputError: If Geant4 does not know the particle, or the gun would stand outside the world.
        """
        g4 = self._g4
        particle = g4.G4ParticleTable.GetParticleTable().FindParticle(int(pdg))
        if particle is None:
            raise InputError(f"Geant4 knows no particle with PDG id {pdg}")
        position, direction = gun_start(self.detector, theta, phi, x, y)
        if np.any(np.abs(position) > world_size(self.detector)) or direction[2] <= 0:
            raise InputError(
                f"incident with theta = {theta:.4g} rad at ({x:.4g}, {y:.4g}) mm: its start, "
                f"{self.detector.gun.distance:g} mm before the front face, lies outside the world around detector "
                f"{self.detector.name!r}"
            )
        self._gun.SetParticleDefinition(particle)
        self._gun.SetParticleEnergy(float(energy))
        self._gun.SetParticlePosition(g4.G4ThreeVector(*map(float, position)))
        self._gun.SetParticleMomentumDirection(g4.G4ThreeVector(*map(float, direction)))
        self.energies[:] = 0
        g4.G4Random.setTheSeed(seed)
        self._manager.BeamOn(1)
        return self.energies


_running: list[Kernel] = []


def kernel(detector: Detector, pdgs: tuple[int, ...], log: Path | None = None) -> Kernel:
    """Return this process's Geant4 kernel for a detector, set up on the first call.

    Args:
        detector: The detector.
        pdgs: PDG ids it has to simulate.
        log: Where Geant4's banner goes.

    Raises:
        Geant4Error: If this process already runs Geant4 for another detector or physics list, or data sets
            are missing.
        InputError: If a particle is not one that a calorimeter sees.
        MissingExtraError: If geant4-pybind is not installed.
        FileError: If the cache cannot be written.
    """
    if _running:
        return _check(_running[0], detector, pdgs)
    module, data_sets = import_geant4(detector.physics.photoelectric_shells)
    physics = choose_physics(pdgs, data_sets, detector.physics.physics_list)
    made = Kernel(detector, physics, data_sets, np.zeros(detector.n_cells, dtype=np.float32), module)
    with quiet(log):
        _set_up(made, module)
    _running.append(made)
    return made


def _check(found: Kernel, detector: Detector, pdgs: tuple[int, ...]) -> Kernel:
    physics = choose_physics(pdgs, found.data_sets, detector.physics.physics_list)
    if found.detector != detector or found.physics != physics:
        raise Geant4Error(
            f"this process already runs Geant4 for detector {found.detector.name!r} with {found.physics}, "
            f"and a process can run only one; simulate {detector.name!r} with {physics} in another one, "
            "for instance by caloforge.geant4.produce or 'caloforge simulate'"
        )
    return found


def _set_up(made: Kernel, g4: Any) -> None:
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.SerialOnly)
    construction = construct_detector(g4, made.detector)
    physics = make_physics_list(g4, made.physics)
    calibration, cell_of = made.detector.readout.calibration, cell_number(made.detector)

    class Primary(g4.G4VUserPrimaryGeneratorAction):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)

        def GeneratePrimaries(self, event: Any) -> None:  # noqa: N802
            self.gun.GeneratePrimaryVertex(event)

    class Collect(g4.G4UserEventAction):  # type: ignore[misc]
        def EndOfEventAction(self, event: Any) -> None:  # noqa: N802
            identifier = g4.G4SDManager.GetSDMpointer().GetCollectionID(COLLECTION)
            for cell, energy in event.GetHCofThisEvent().GetHC(identifier):
                made.energies[cell_of(cell)] += calibration * energy

    class Actions(g4.G4VUserActionInitialization):  # type: ignore[misc]
        def Build(self) -> None:  # noqa: N802
            self.primary, self.collect = Primary(), Collect()
            self.SetUserAction(self.primary)
            self.SetUserAction(self.collect)

    actions = Actions()
    manager.SetUserInitialization(construction)
    manager.SetUserInitialization(physics)
    manager.SetUserInitialization(actions)
    commands = g4.G4UImanager.GetUIpointer()
    commands.ApplyCommand("/process/em/verbose 0")
    commands.ApplyCommand("/process/had/verbose 0")
    commands.ApplyCommand(f"/run/setCut {made.detector.physics.production_cut} mm")
    manager.Initialize()
    manager.BeamOn(0)  # builds the physics tables now and not in the first shower
    made._manager, made._gun = manager, actions.primary.gun
    made._kept = [construction, physics, actions]
