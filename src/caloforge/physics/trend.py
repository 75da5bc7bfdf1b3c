"""The mean dependence of observables on the incident energy, to take it out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Trend:
    """A polynomial in log energy for each column of values, fitted by least squares.

    Args:
        log_energy: Logarithm of the incident energy, (n,).
        values: Values to describe, (n, n_columns).
        order: Of the polynomial; 0 where all energies are equal.
    """

    def __init__(self, log_energy: NDArray[np.floating], values: Floats, order: int = 2) -> None:
        logs = np.asarray(log_energy, dtype=np.float64)
        self.centre = float(logs.mean())
        self.scale = float(logs.std()) or 1.0
        self.order = order if float(logs.std()) > 1e-3 else 0
        found = np.linalg.lstsq(self._basis(logs), values, rcond=None)[0]
        self.coefficients = np.asarray(found, dtype=np.float64)

    def _basis(self, log_energy: Floats) -> Floats:
        return np.vander((log_energy - self.centre) / self.scale, self.order + 1)

    def __call__(self, log_energy: NDArray[np.floating]) -> Floats:
        """Return the mean at these energies, (m, n_columns)."""
        result: Floats = self._basis(np.asarray(log_energy, dtype=np.float64)) @ self.coefficients
        return result
