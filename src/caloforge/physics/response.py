"""Response and resolution against incident energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables
from caloforge.units import GeV

ENERGY_EDGES = np.array([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]) * GeV
"""Edges of the standard bins of incident energy in MeV."""

MIN_SHOWERS = 10
"""Fewest showers in a bin for its response and resolution to mean something."""


@dataclass(frozen=True)
class ResponseBin:
    """Response and resolution of one particle in one bin of incident energy.

    Attributes:
        pdg: PDG id.
        low: Lower edge in MeV.
        high: Upper edge in MeV.
        n: Number of showers.
        response: Mean of visible / incident energy.
        response_error: Its statistical error.
        resolution: Standard deviation of the response divided by its mean.
        resolution_error: Its statistical error (with the measured kurtosis, at least
            a normal distribution's).
    """

    pdg: int
    low: float
    high: float
    n: int
    response: float
    response_error: float
    resolution: float
    resolution_error: float


def energy_edges(energy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return edges in the steps 1, 2, 5 that cover all energies, in MeV.

    >>> energy_edges(np.array([1000.0, 100_000.0])).tolist()
    [1000.0, 2000.0, 5000.0, 10000.0, 20000.0, 50000.0, 100000.0]

    Args:
        energy: Incident energies in MeV.
    """
    low, high = float(np.min(energy)), float(np.max(energy))
    decades = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 1)
    steps = np.array([digit * 10.0**power for power in decades for digit in (1, 2, 5)])
    first = int(np.searchsorted(steps, low * (1 + 1e-6), side="right")) - 1
    last = int(np.searchsorted(steps, high * (1 - 1e-6), side="left"))
    return steps[first : max(last, first + 1) + 1]


def decade_edges(energy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return edges in powers of ten that cover all energies, in MeV."""
    edges = np.log10(energy_edges(energy)[[0, -1]])
    low, high = np.floor(edges[0] + 1e-9), np.ceil(edges[1] - 1e-9)
    return np.power(10.0, np.arange(low, high + 1))


def bin_of(energy: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each energy, both outer edges included, -1 outside of all."""
    values = np.asarray(energy, dtype=np.float64)
    tolerance = 1e-6 * edges[-1]
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    outside = (values < edges[0] * (1 - 1e-6)) | (values > edges[-1] + tolerance)
    return np.where(outside, -1, index)


def response_bins(
    observables: Observables, edges: NDArray[np.float64], pdgs: Sequence[int]
) -> tuple[ResponseBin, ...]:
    """Return response and resolution for each particle in each bin with at least `MIN_SHOWERS` showers."""
    index = bin_of(observables.incidents.energy, edges)
    response = observables.response
    found = []
    for pdg in pdgs:
        for number in range(len(edges) - 1):
            values = response[(observables.incidents.pdg == pdg) & (index == number)]
            if len(values) >= MIN_SHOWERS:
                found.append(_bin(pdg, float(edges[number]), float(edges[number + 1]), values))
    return tuple(found)


def _bin(pdg: int, low: float, high: float, values: NDArray[np.float64]) -> ResponseBin:
    n, mean, spread = len(values), float(values.mean()), float(values.std(ddof=1))
    if mean <= 0:
        return ResponseBin(pdg, low, high, n, mean, 0.0, 0.0, 0.0)
    kurtosis = float(((values - mean) ** 4).mean() / spread**4) if spread > 0 else 3.0
    relative = math.sqrt(max(kurtosis - 1, 2.0) / (4 * n))
    return ResponseBin(
        pdg,
        low,
        high,
        n,
        mean,
        spread / math.sqrt(n),
        spread / mean,
        spread / mean * math.hypot(relative, spread / mean / math.sqrt(n)),
    )
