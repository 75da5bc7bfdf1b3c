"""Names of particles and their PDG ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

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


_SPOKEN = {
    "electron": "e-",
    "positron": "e+",
    "photon": "gamma",
    "muon": "mu-",
    "pion": "pi+",
    "kaon": "K+",
}
_ID = re.compile(r"[+-]?[0-9]+")
LARGEST_ID = 2**31 - 1
"""Of a PDG id: files keep 32 bits."""


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
    if _ID.fullmatch(name):
        if abs(int(name)) > LARGEST_ID:
            raise InputError(f"particle {name!r}: PDG ids have at most ten digits, up to {LARGEST_ID}")
        return int(name)
    if name.lower() in _SPOKEN:
        raise InputError(f"unknown particle {name!r}; did you mean {_SPOKEN[name.lower()]!r}?")
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


def particle_ids(particle: str | int | Sequence[int]) -> tuple[int, ...]:
    """Return PDG ids of a name, several names with commas, an id, or several ids.

    >>> particle_ids("e-,gamma"), particle_ids(11), particle_ids([11, 22])
    ((11, 22), (11,), (11, 22))

    Raises:
        InputError: If a name is unknown or none is given.
    """
    if isinstance(particle, str):
        return parse_particles(particle)
    found = (particle,) if isinstance(particle, int) else tuple(particle)
    if not found:
        raise InputError("no particle given; write for instance 'e-' or 11")
    return tuple(int(pdg) for pdg in found)
