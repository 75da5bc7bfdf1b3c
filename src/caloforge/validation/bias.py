"""Response bias and resolution ratio of a sample against the reference, in bins of the incident."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Observables, ResponseBin, response_bins
from caloforge.showers import Incidents, IncidentSpectrum, particle_name
from caloforge.units import GeV, degree
from caloforge.validation.verdict import WITHIN, WRONG, Z_LIMIT, judge

BIAS_LIMIT, RESOLUTION_LIMIT = 0.01, 0.05
"""Response bias and relative change of the resolution above which a significant difference is `wrong`."""


N_BINS = 4
"""Bins of equal width in the angle theta, and in |x| and |y| from the middle of the impact points."""

_LEAST_ANGLE, _LEAST_LENGTH = 1e-3, 1e-3
"""rad and mm: what varies less does not vary."""

_UNITS = {"energy": ("GeV", GeV), "theta": ("degrees", degree)}


@dataclass(frozen=True)
class Bias:
    """Response and resolution of one particle in one bin of energy, angle or impact point, both samples.

    Attributes:
        generated: Response and resolution of the generated showers.
        reference: Likewise of the reference.
    """

    generated: ResponseBin
    reference: ResponseBin

    @property
    def name(self) -> str:
        """Name of the particle."""
        return particle_name(self.reference.pdg)

    @property
    def variable(self) -> str:
        """What is binned: `energy`, `theta`, `|x|` or `|y|`."""
        return self.reference.variable

    @property
    def unit(self) -> str:
        """Unit of `low` and `high`: GeV, degrees or mm."""
        return _UNITS.get(self.variable, ("mm", 1.0))[0]

    @property
    def low(self) -> float:
        """Lower edge in `unit`."""
        return self.reference.low / _UNITS.get(self.variable, ("mm", 1.0))[1]

    @property
    def high(self) -> float:
        """Upper edge in `unit`."""
        return self.reference.high / _UNITS.get(self.variable, ("mm", 1.0))[1]

    @property
    def middle(self) -> float:
        """Where the reference's showers lie in the bin, in `unit`."""
        return self.reference.middle / _UNITS.get(self.variable, ("mm", 1.0))[1]

    @property
    def bias(self) -> float:
        """Mean response divided by the reference's, minus 1."""
        return (
            self.generated.response / self.reference.response - 1 if self.reference.response > 0 else math.nan
        )

    @property
    def bias_error(self) -> float:
        """Statistical error of the bias."""
        one, two = self.generated, self.reference
        if min(one.response, two.response) <= 0:
            return math.nan
        return (self.bias + 1) * math.hypot(
            one.response_error / one.response, two.response_error / two.response
        )

    @property
    def resolution_ratio(self) -> float:
        """Resolution divided by the reference's."""
        return (
            self.generated.resolution / self.reference.resolution
            if self.reference.resolution > 0
            else math.nan
        )

    @property
    def resolution_ratio_error(self) -> float:
        """Statistical error of the ratio, with the kurtosis of both samples together.

        The kurtosis of one sample goes with its resolution, so that a narrow sample would seem precise; pooled it
        does not (Bonett, Comput. Stat. Data Anal. 50 (2006) 775).
        """
        one, two = self.generated, self.reference
        if min(one.resolution, two.resolution) <= 0:
            return math.nan
        fourth = sum(b.kurtosis * b.resolution**4 * b.n for b in (one, two))
        square = sum(b.resolution**2 * (b.n - 1) for b in (one, two))
        kurtosis = (one.n + two.n) * fourth / square**2
        spread = max(kurtosis - 1, 2.0) / 4 * (1 / one.n + 1 / two.n)
        means = one.resolution**2 / one.n + two.resolution**2 / two.n
        return self.resolution_ratio * math.sqrt(spread + means)

    @property
    def verdict(self) -> str:
        """`within floor`: zero within 4 errors; else `visible` up to 1 %, `wrong` above."""
        if math.isnan(self.bias_error):  # a sample without any energy, or both
            return WITHIN if self.generated.response == self.reference.response else WRONG
        return judge(abs(self.bias) > Z_LIMIT * self.bias_error, abs(self.bias) > BIAS_LIMIT)

    @property
    def resolution_verdict(self) -> str:
        """`within floor`: its logarithm is 0 within 4 errors; else `visible` up to 5 %, `wrong` above."""
        value, error = _logarithm(self)
        if math.isnan(value):  # a sample that does not fluctuate, or both
            return WITHIN if self.generated.resolution == self.reference.resolution else WRONG
        return judge(abs(value) > Z_LIMIT * error, abs(self.resolution_ratio - 1) > RESOLUTION_LIMIT)


def _logarithm(b: Bias) -> tuple[float, float]:
    """Return the logarithm of the resolution ratio, which fluctuates alike to both sides, and its error."""
    if not b.resolution_ratio > 0:
        return math.nan, math.nan
    return math.log(b.resolution_ratio), b.resolution_ratio_error / b.resolution_ratio


def mean_bias(bins: Sequence[Bias]) -> tuple[float, float]:
    """Return the mean response bias over bins, weighted with the inverse squared errors, and its error."""
    return _mean([(b.bias, b.bias_error) for b in bins])


def mean_resolution_ratio(bins: Sequence[Bias]) -> tuple[float, float]:
    """Return the geometric mean of the resolution ratio over bins, and its error.

    Weighted with the inverse squared errors of the logarithms.
    """
    mean, error = _mean([_logarithm(b) for b in bins])
    return math.exp(mean), math.exp(mean) * error


def _mean(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    if any(math.isnan(value) for value, _ in values):
        return math.nan, math.nan
    weights = [1 / error**2 for _, error in values if error > 0]
    if not weights:
        return math.nan, math.nan
    mean = sum(value / error**2 for value, error in values if error > 0) / sum(weights)
    return mean, 1 / math.sqrt(sum(weights))


def biases(
    generated: Observables,
    reference: Observables,
    edges: NDArray[np.float64],
    variable: str = "energy",
    values: Callable[[Incidents], NDArray[np.floating]] = lambda i: i.energy,
) -> tuple[Bias, ...]:
    """Compare response and resolution for every particle in every bin where both samples have enough showers.

    Args:
        generated: Showers to judge.
        reference: Showers of Geant4.
        edges: Of the bins.
        variable: What is binned.
        values: Of the variable, given incidents.
    """
    pdgs = [int(pdg) for pdg in np.unique(reference.incidents.pdg)]
    found = [response_bins(o, edges, pdgs, variable, values(o.incidents)) for o in (generated, reference)]
    one = {(b.pdg, b.low): b for b in found[0]}
    return tuple(Bias(one[b.pdg, b.low], b) for b in found[1] if (b.pdg, b.low) in one)


def angle_biases(
    generated: Observables, reference: Observables, spectrum: IncidentSpectrum
) -> tuple[Bias, ...]:
    """Compare response and resolution in four bins of theta of equal width; none if theta does not vary."""
    low, high = spectrum.theta
    if high - low < _LEAST_ANGLE:
        return ()
    return biases(generated, reference, np.linspace(low, high, N_BINS + 1), "theta", lambda i: i.theta)


def position_biases(
    generated: Observables, reference: Observables, spectrum: IncidentSpectrum
) -> tuple[Bias, ...]:
    """Compare response and resolution in four bins of |x| and of |y|, from the middle of the impact points.

    None if they do not vary.
    """
    x0, x1, y0, y1 = spectrum.on(reference.detector).rectangle
    found: list[Bias] = []
    for name, low, high in (("x", x0, x1), ("y", y0, y1)):
        if high - low >= _LEAST_LENGTH:
            edges = np.linspace(0, (high - low) / 2, N_BINS + 1)
            away = _from_middle(name, (low + high) / 2)
            found += biases(generated, reference, edges, f"|{name}|", away)
    return tuple(found)


def _from_middle(name: str, middle: float) -> Callable[[Incidents], NDArray[np.floating]]:
    return lambda i: np.abs(getattr(i, name).astype(np.float64) - middle)
