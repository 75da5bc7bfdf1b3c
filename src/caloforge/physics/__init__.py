"""Physics: observables of showers, distances between samples, and the physics score. Pure numpy."""

from caloforge.physics.correlations import layer_correlation
from caloforge.physics.distances import separation_power, wasserstein
from caloforge.physics.observables import SPECTRUM_EDGES, Observables, observe
from caloforge.physics.profiles import Profile, profiles
from caloforge.physics.response import (
    ENERGY_EDGES,
    ResponseBin,
    bin_of,
    decade_edges,
    energy_edges,
    response_bins,
)
from caloforge.physics.score import PhysicsScore, physics_score, score_parts

__all__ = [
    "ENERGY_EDGES",
    "SPECTRUM_EDGES",
    "Observables",
    "PhysicsScore",
    "Profile",
    "ResponseBin",
    "bin_of",
    "decade_edges",
    "energy_edges",
    "layer_correlation",
    "observe",
    "physics_score",
    "profiles",
    "response_bins",
    "score_parts",
    "separation_power",
    "wasserstein",
]
