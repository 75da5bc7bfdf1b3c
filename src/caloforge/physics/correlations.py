"""Correlations between layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables


def layer_correlation(observables: Observables) -> NDArray[np.float64]:
    """Return the correlation matrix of the layer energies divided by the incident energy.

    Returns:
        (n_layers, n_layers); layers that never vary correlate with nothing but themselves.
    """
    fractions = observables.layer_energies.astype(np.float64) / observables.incidents.energy[:, None]
    centred = fractions - fractions.mean(axis=0)
    spread = np.sqrt((centred**2).mean(axis=0))
    unit = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    matrix = np.asarray(unit.T @ unit / len(unit), dtype=np.float64)
    np.fill_diagonal(matrix, 1.0)
    return matrix
