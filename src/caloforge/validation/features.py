"""High-level features of showers for classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Observables


def high_level_features(observables: Observables) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return the features that classifiers see.

    Per layer: energy, hits, centre x and y, width x and y. Of the shower: depth, response, maximum cell. And
    the conditions: incident energy and particle. Energies are given as log10 of MeV (0.001 MeV where empty).

    Returns:
        The features, (n_showers, 6 n_layers + 5), and their names.
    """
    o = observables
    layered: dict[str, NDArray[Any]] = {
        "log energy": _log(o.layer_energies),
        "hits": o.layer_hits,
        "centre x": o.centre_x,
        "centre y": o.centre_y,
        "width x": o.width_x,
        "width y": o.width_y,
    }
    single: dict[str, NDArray[Any]] = {
        "depth": o.depth_x0,
        "response": o.response,
        "log maximum cell": _log(o.maximum),
        "log incident energy": _log(o.incidents.energy),
        "particle": o.incidents.pdg,
    }
    n_layers = o.layer_energies.shape[1]
    names = [f"{name}, layer {layer}" for name in layered for layer in range(n_layers)] + list(single)
    columns = [*layered.values(), *(values[:, None] for values in single.values())]
    return np.concatenate([values.astype(np.float32) for values in columns], axis=1), tuple(names)


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
