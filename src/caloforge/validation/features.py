"""High-level features of showers for classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Observables
from caloforge.showers import Incidents

CONDITIONS = ("log incident energy", "particle", "theta", "sin theta cos phi", "sin theta sin phi", "x", "y")
"""What classifiers are told of the incident: log10 of MeV, PDG id, rad, and mm from the centre of the readout."""


def conditions(incidents: Incidents) -> NDArray[np.float32]:
    """Return what classifiers are told of incidents, (n_showers, 7); the azimuth says nothing where theta is 0."""
    sine = np.sin(incidents.theta)
    columns = (
        _log(incidents.energy),
        incidents.pdg,
        incidents.theta,
        sine * np.cos(incidents.phi),
        sine * np.sin(incidents.phi),
        incidents.x,
        incidents.y,
    )
    return np.stack([column.astype(np.float32) for column in columns], axis=1)


def high_level_features(observables: Observables) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the features that classifiers see.

    Per layer: energy, hits, centre (along and across phi, from the shower axis; x and y where theta is 0), width x and
    y. Of the shower: depth, response, maximum cell, centroid along and across phi and its distance from the axis. And
    the incident, `CONDITIONS`. Energies are given as log10 of MeV (0.001 MeV where empty).

    Returns:
        The features, (n_showers, 6 n_layers + 13), and their names.
    """
    o = observables
    along, across = o.along_phi(o.centre_x, o.centre_y)
    centroid = o.centroid_along_phi
    layered: dict[str, NDArray[Any]] = {
        "log energy": _log(o.layer_energies),
        "hits": o.layer_hits,
        "centre along phi": along,
        "centre across phi": across,
        "width x": o.width_x,
        "width y": o.width_y,
    }
    single: dict[str, NDArray[Any]] = {
        "depth": o.depth_x0,
        "response": o.response,
        "log maximum cell": _log(o.maximum),
        "centroid along phi": centroid[:, 0],
        "centroid across phi": centroid[:, 1],
        "centroid from the axis": np.hypot(*centroid.T),
    }
    n_layers = o.layer_energies.shape[1]
    names = [f"{name}, layer {layer}" for name in layered for layer in range(n_layers)] + list(single)
    columns = [*layered.values(), *(values[:, None] for values in single.values())]
    features = [values.astype(np.float32) for values in columns]
    return np.concatenate([*features, conditions(o.incidents)], axis=1), (*names, *CONDITIONS)


def _log(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.log10(np.maximum(values.astype(np.float64), 1e-3)))


def single_feature_auc(generated: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how well each feature alone tells the samples apart: the larger of AUC and 1 - AUC.

    Args:
        generated: Features, (n, n_features).
        reference: Features, (m, n_features).

    Returns:
        (n_features,), 0.5 to 1.
    """
    n, m = len(generated), len(reference)
    areas = np.empty(generated.shape[1])
    for column in range(len(areas)):
        ordered = np.sort(reference[:, column])
        below = np.searchsorted(ordered, generated[:, column], side="left")
        upto = np.searchsorted(ordered, generated[:, column], side="right")
        areas[column] = (below + upto).sum(dtype=np.float64) / (2 * n * m)
    return np.maximum(areas, 1 - areas)
