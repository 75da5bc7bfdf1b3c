"""Response and resolution against incident energy, angle and impact point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables
from caloforge.units import GeV

MIN_SHOWERS = 10
"""Fewest showers in a bin for its response and resolution to mean something."""


@dataclass(frozen=True)
class ResponseBin:
    """Response and resolution of one particle in one bin of a variable of the incident.

    Attributes:
        pdg: PDG id.
        low: Lower edge in MeV (rad for theta, mm for x and y).
        high: Upper edge likewise.
        n: Number of showers.
        response: Mean of visible / incident energy.
        response_error: Its statistical error.
        resolution: Standard deviation of the response divided by its mean.
        resolution_error: Its statistical error (with the measured kurtosis, at least
            a normal distribution's).
        kurtosis: Fourth central moment over the squared variance; 3 for a normal distribution.
        variable: `energy`, `theta`, `|x|` or `|y|`: the last two from the middle of the impact points.
        middle: Where the showers lie in the bin: their mean, the geometric one for energies.
    """

    pdg: int
    low: float
    high: float
    n: int
    response: float
    response_error: float
    resolution: float
    resolution_error: float
    kurtosis: float = 3.0
    variable: str = "energy"
    middle: float = math.nan


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


def bin_of(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each value, both outer edges included (with the slack of float32), -1 outside of all."""
    values = np.asarray(values, dtype=np.float64)
    slack = 1e-6 * edges[-1]
    index = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    outside = (values < edges[0] - 1e-6 * abs(edges[0])) | (values > edges[-1] + slack)
    return np.where(outside, -1, index)


def response_bins(
    observables: Observables,
    edges: NDArray[np.float64],
    pdgs: Sequence[int],
    variable: str = "energy",
    values: NDArray[np.floating] | None = None,
) -> tuple[ResponseBin, ...]:
    """Return response and resolution for each particle in each bin with at least `MIN_SHOWERS` showers.

    Args:
        observables: Of N showers.
        edges: Of the bins.
        pdgs: PDG ids.
        variable: What is binned.
        values: Of the variable, (N,); the incident energies in MeV if not given.
    """
    values = np.asarray(observables.incidents.energy if values is None else values, dtype=np.float64)
    index = bin_of(values, edges)
    response = observables.response
    found = []
    for pdg in pdgs:
        for number in range(len(edges) - 1):
            chosen = (observables.incidents.pdg == pdg) & (index == number)
            if chosen.sum() >= MIN_SHOWERS:
                inside = values[chosen]
                middle = np.exp(np.log(inside).mean()) if variable == "energy" else inside.mean()
                found.append(
                    replace(
                        _bin(pdg, float(edges[number]), float(edges[number + 1]), response[chosen]),
                        variable=variable,
                        middle=float(middle),
                    )
                )
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
        kurtosis,
    )


@dataclass(frozen=True)
class ResolutionFit:
    """The resolution as a function of energy: a / sqrt(E) (+) b / E (+) c, added in quadrature, E in GeV.

    Attributes:
        stochastic: a, in sqrt(GeV).
        noise: b, in GeV.
        constant: c.
        chi2: Of the fit of the squared resolution.
        ndf: Bins minus parameters that are not at zero.
    """

    stochastic: float
    noise: float
    constant: float
    chi2: float
    ndf: int

    def __call__(self, energy: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the resolution at energies in MeV."""
        e = np.asarray(energy, dtype=np.float64) / GeV
        return np.sqrt(self.stochastic**2 / e + (self.noise / e) ** 2 + self.constant**2)


def fit_resolution(bins: Sequence[ResponseBin]) -> ResolutionFit | None:
    """Fit the resolution of one particle, or return None if it has fewer than three bins.

    The square is linear in a^2, b^2 and c^2; of the fits with some of them at zero, the best one without
    negative squares is taken.
    """
    used = [b for b in bins if b.resolution > 0 and b.resolution_error > 0]
    if len(used) < 3:
        return None
    energy = np.array([b.middle for b in used]) / GeV
    square = np.array([b.resolution**2 for b in used])
    error = np.array([2 * b.resolution * b.resolution_error for b in used])
    terms = np.stack([1 / energy, 1 / energy**2, np.ones_like(energy)], axis=1) / error[:, None]
    best: tuple[float, NDArray[np.float64], int] | None = None
    for free in ([0, 1, 2], [0, 2], [0, 1], [1, 2], [0], [1], [2]):
        found = np.zeros(3)
        found[free] = np.linalg.lstsq(terms[:, free], square / error, rcond=None)[0]
        chi2 = float(((terms @ found - square / error) ** 2).sum())
        if (found >= 0).all() and (best is None or chi2 < best[0] - 1e-12):
            best = chi2, found, len(used) - len(free)
    assert best is not None  # one term alone fits positive numbers with a positive factor
    chi2, found, ndf = best
    a, b, c = np.sqrt(found)
    return ResolutionFit(float(a), float(b), float(c), chi2, ndf)


def linearity(bins: Sequence[ResponseBin]) -> float:
    """Return the largest deviation of the response of one particle from its mean over bins, relative."""
    response = np.array([b.response for b in bins])
    mean = float(response.mean()) if len(response) else 0.0
    return float(np.abs(response / mean - 1).max()) if mean > 0 else math.nan
