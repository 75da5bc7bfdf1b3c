"""Showers: incidents and their spectra, the container of showers, and its file formats."""

from caloforge.showers.hdf5 import ShowerFile, read_showers
from caloforge.showers.incidents import CONDITIONS, Condition, Incidents, incidents
from caloforge.showers.options import parse_position, parse_spectrum
from caloforge.showers.particles import (
    COMMON_PARTICLES,
    parse_particles,
    particle_ids,
    particle_name,
    pdg_id,
)
from caloforge.showers.showers import Showers
from caloforge.showers.spectrum import IncidentSpectrum, spectrum
from caloforge.showers.writer import ShowerWriter, write_showers

__all__ = [
    "COMMON_PARTICLES",
    "CONDITIONS",
    "Condition",
    "IncidentSpectrum",
    "Incidents",
    "ShowerFile",
    "ShowerWriter",
    "Showers",
    "incidents",
    "parse_particles",
    "parse_position",
    "parse_spectrum",
    "particle_ids",
    "particle_name",
    "pdg_id",
    "read_showers",
    "spectrum",
    "write_showers",
]
