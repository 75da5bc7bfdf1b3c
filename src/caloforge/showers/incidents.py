"""Incidents: the particles that enter the calorimeter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError, did_you_mean

COMMON_PARTICLES = {
    "e-": 11,
    "e+": -11,
    "gamma": 22,
    "pi0": 111,
    "pi+": 211,
    "pi-": -211,
    "mu-": 13,
    "mu+": -13,
    "proton": 2212,
    "neutron": 2112,
    "K+": 321,
    "K-": -321,
    "K(L)0": 130,
}
"""Names as Geant4 and the particle package write them, and their PDG ids (Particle Data Group numbering)."""


@dataclass(frozen=True)
class Incidents:
    """N incidents as columns.

    Attributes:
        pdg: PDG ids, int32, shape (N,).
        energy: Kinetic energies in MeV, float32, shape (N,).
        theta: Polar angles from the layer normal in rad, float32, shape (N,).
        phi: Azimuths in rad, float32, shape (N,).
        x: Impact points in mm from the centre of the central cell, float32, shape (N,).
        y: Likewise.
    """

    pdg: NDArray[np.int32]
    energy: NDArray[np.float32]
    theta: NDArray[np.float32]
    phi: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]

    def __post_init__(self) -> None:
        for column in fields(self):
            values = getattr(self, column.name)
            if values.shape != (len(self.energy),):
                raise InputError(
                    f"incident {column.name}: shape {values.shape}, expected ({len(self.energy)},)"
                )
            if not np.all(np.isfinite(values)):
                raise InputError(f"incident {column.name}: not all values are finite")
        if np.any(self.energy <= 0):
            raise InputError("incident energy: all kinetic energies must be positive")

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, key: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Incidents:
        """Select incidents by a slice, a mask or indices."""
        return Incidents(**{column.name: getattr(self, column.name)[key] for column in fields(self)})

    def matrix(self) -> NDArray[np.float32]:
        """Return the model input (N, 6) float32: pdg, kinetic energy in MeV, theta, phi, x, y."""
        return np.stack([getattr(self, column.name).astype(np.float32) for column in fields(self)], axis=1)

    @staticmethod
    def concatenate(parts: Sequence[Incidents]) -> Incidents:
        """Join incidents in order."""
        return Incidents(
            **{c.name: np.concatenate([getattr(p, c.name) for p in parts]) for c in fields(Incidents)}
        )


def incidents(
    pdg: int | NDArray[np.integer],
    energy: float | NDArray[np.floating],
    theta: float | NDArray[np.floating] = 0.0,
    phi: float | NDArray[np.floating] = 0.0,
    x: float | NDArray[np.floating] = 0.0,
    y: float | NDArray[np.floating] = 0.0,
) -> Incidents:
    """Build incidents from scalars and arrays (broadcast against each other).

    >>> len(incidents(11, np.array([1e3, 2e3])))
    2

    Args:
        pdg: PDG ids.
        energy: Kinetic energies in MeV.
        theta: Polar angles in rad.
        phi: Azimuths in rad.
        x: Impact points in mm.
        y: Impact points in mm.

    Raises:
        InputError: If a value is not finite or an energy not positive.
    """
    ids, *others = np.broadcast_arrays(pdg, energy, theta, phi, x, y)
    columns = (np.atleast_1d(np.array(column, dtype=np.float32)) for column in others)
    return Incidents(np.atleast_1d(np.array(ids, dtype=np.int32)), *columns)


def draw_incidents(
    n: int, pdgs: Sequence[int], energy_range: tuple[float, float], rng: np.random.Generator
) -> Incidents:
    """Draw incidents: particles in turn, energies log-uniform, normal incidence at the centre.

    Args:
        n: Number of incidents.
        pdgs: PDG ids, used in turn.
        energy_range: Lowest and highest kinetic energy in MeV.
        rng: Source of random numbers.
    """
    low, high = np.log(energy_range)
    pdg = np.asarray(pdgs, dtype=np.int32)[np.arange(n) % len(pdgs)]
    energy = np.exp(rng.uniform(low, high, n)).clip(*energy_range)
    return incidents(pdg, energy)


@lru_cache
def pdg_id(name: str) -> int:
    """Return the PDG id of a particle by its name.

    >>> pdg_id("gamma"), pdg_id("pi-"), pdg_id("11")
    (22, -211, 11)

    Args:
        name: A name such as `e-` (Geant4's or the `particle` package's), or the id itself.

    Raises:
        InputError: If no such particle is known.
    """
    if name in COMMON_PARTICLES:
        return COMMON_PARTICLES[name]
    if name.lstrip("+-").isdigit():
        return int(name)
    from particle import Particle, ParticleNotFound

    try:
        return int(Particle.from_name(name).pdgid)
    except ParticleNotFound as error:
        raise InputError(f"unknown particle {name!r}{did_you_mean(name, COMMON_PARTICLES)}") from error


@lru_cache
def particle_name(pdg: int) -> str:
    """Return the name of a particle by its PDG id (the id as text if it is unknown).

    >>> particle_name(22), particle_name(-11)
    ('gamma', 'e+')
    """
    for name, known in COMMON_PARTICLES.items():
        if known == pdg:
            return name
    from particle import InvalidParticle, Particle, ParticleNotFound

    try:
        return str(Particle.from_pdgid(pdg).name)
    except (InvalidParticle, ParticleNotFound):
        return str(pdg)


def parse_particles(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of particles as PDG ids.

    >>> parse_particles("e-,gamma")
    (11, 22)

    Raises:
        InputError: If a name is unknown or none is given.
    """
    found = tuple(pdg_id(name.strip()) for name in text.split(",") if name.strip())
    if not found:
        raise InputError("no particle given; write for instance 'e-,gamma'")
    return found
