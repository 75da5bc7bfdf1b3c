"""Wall times, summarised with their spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.05, 0.25, 0.75, 0.95)


@dataclass(frozen=True)
class Timing:
    """Milliseconds per shower over repeated measurements.

    Attributes:
        repeats: Number of measurements.
        mean: Their mean in ms.
        standard_error: Error of the mean in ms.
        median: In ms.
        quantiles: The 5, 25, 75 and 95 % quantiles in ms.
    """

    repeats: int
    mean: float
    standard_error: float
    median: float
    quantiles: tuple[float, float, float, float]


def summarise(milliseconds: NDArray[np.float64], energies: NDArray[np.floating] | None = None) -> Timing:
    """Summarise measurements.

    >>> summarise(np.array([1.0, 2.0, 3.0])).mean
    2.0

    Args:
        milliseconds: Time per shower of each measurement, shape (n,).
        energies: Incident energies of the measurements, shape (n,), where times follow the energy: the error
            of the mean then is the scatter about a straight line in energy, for the energies are given, not
            drawn.
    """
    n = len(milliseconds)
    residuals, free = milliseconds - milliseconds.mean(), n - 1
    if energies is not None and n > 2:
        residuals, free = milliseconds - _line(energies.astype(np.float64), milliseconds), n - 2
    error = float(np.sqrt(np.sum(residuals**2) / free / n)) if free > 0 else float("nan")
    low, lower, upper, high = (float(value) for value in np.quantile(milliseconds, QUANTILES))
    return Timing(
        n, float(milliseconds.mean()), error, float(np.median(milliseconds)), (low, lower, upper, high)
    )


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - x.mean()
    spread = float(np.sum(centred**2))
    slope = float(np.sum(centred * y)) / spread if spread > 0 else 0.0
    return np.asarray(y.mean() + slope * centred)
