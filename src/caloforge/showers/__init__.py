"""Showers: the container and its file formats."""

from caloforge.showers.hdf5 import ShowerFile, ShowerWriter, read_showers, write_showers
from caloforge.showers.incidents import (
    COMMON_PARTICLES,
    Incidents,
    draw_incidents,
    incidents,
    parse_particles,
    particle_name,
    pdg_id,
)
from caloforge.showers.showers import Showers

__all__ = [
    "COMMON_PARTICLES",
    "Incidents",
    "ShowerFile",
    "ShowerWriter",
    "Showers",
    "draw_incidents",
    "incidents",
    "parse_particles",
    "particle_name",
    "pdg_id",
    "read_showers",
    "write_showers",
]
