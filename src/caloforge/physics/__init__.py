"""Physics: observables of showers, distances between samples, and the physics score. Pure numpy."""

from caloforge.physics.bins import lateral_edges, ring_edges
from caloforge.physics.chi2 import chi2_histograms, chi2_means
from caloforge.physics.correlations import layer_correlation
from caloforge.physics.details import HOTTEST, DetailedObservables, observe_details
from caloforge.physics.distances import PooledValues, separation_power, wasserstein
from caloforge.physics.frechet import fpd, frechet_distance, kernel_distance, kpd
from caloforge.physics.gan3d_score import gan3d_score
from caloforge.physics.manifold import Manifold, distances, manifold
from caloforge.physics.observables import SPECTRUM_EDGES, Observables, from_axis, observe
from caloforge.physics.profiles import Profile, profiles
from caloforge.physics.response import (
    ResolutionFit,
    ResponseBin,
    bin_of,
    decade_edges,
    energy_edges,
    fit_resolution,
    linearity,
    response_bins,
)
from caloforge.physics.score import PhysicsScore, physics_score, score_parts
from caloforge.physics.shape import (
    asymmetries,
    containment_radius,
    layer_fractions,
    maximum_fraction,
    maximum_layer,
    moments,
    start_layer,
)
from caloforge.physics.trend import Trend

__all__ = [
    "HOTTEST",
    "SPECTRUM_EDGES",
    "DetailedObservables",
    "Manifold",
    "Observables",
    "PhysicsScore",
    "PooledValues",
    "Profile",
    "ResolutionFit",
    "ResponseBin",
    "Trend",
    "asymmetries",
    "bin_of",
    "chi2_histograms",
    "chi2_means",
    "containment_radius",
    "decade_edges",
    "distances",
    "energy_edges",
    "fit_resolution",
    "fpd",
    "frechet_distance",
    "from_axis",
    "gan3d_score",
    "kernel_distance",
    "kpd",
    "lateral_edges",
    "layer_correlation",
    "layer_fractions",
    "linearity",
    "manifold",
    "maximum_fraction",
    "maximum_layer",
    "moments",
    "observe",
    "observe_details",
    "physics_score",
    "profiles",
    "response_bins",
    "ring_edges",
    "score_parts",
    "separation_power",
    "start_layer",
    "wasserstein",
]
