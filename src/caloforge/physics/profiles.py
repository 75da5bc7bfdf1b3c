"""Mean profiles: where along and across the axis the energy lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables


@dataclass(frozen=True)
class Profile:
    """A mean profile with its statistical error.

    Attributes:
        name: `longitudinal`, `lateral x`, `lateral y` or `radial`.
        label: Axis label with unit.
        edges: Edges of the bins, (n_bins + 1,).
        mean: Mean energy per shower and bin in MeV, (n_bins,).
        error: Standard error of the mean in MeV, (n_bins,).
    """

    name: str
    label: str
    edges: NDArray[np.float64]
    mean: NDArray[np.float64]
    error: NDArray[np.float64]


def profiles(observables: Observables) -> tuple[Profile, ...]:
    """Return the mean longitudinal, lateral x, lateral y and radial profile."""
    n_layers = observables.detector.n_layers
    edges_x, edges_y = observables.lateral_edges
    return (
        _profile("longitudinal", "layer", np.arange(n_layers + 1.0) - 0.5, observables.layer_energies),
        _profile("lateral x", "x from the axis [mm]", edges_x, observables.columns),
        _profile("lateral y", "y from the axis [mm]", edges_y, observables.rows),
        _profile("radial", "distance from the axis [mm]", observables.ring_edges, observables.rings),
    )


def _profile(name: str, label: str, edges: NDArray[np.float64], energies: NDArray[Any]) -> Profile:
    values = energies.astype(np.float64)
    error = values.std(axis=0, ddof=1 if len(values) > 1 else 0) / np.sqrt(len(values))
    return Profile(name, label, edges, values.mean(axis=0), error)
