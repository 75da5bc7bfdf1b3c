"""Response bias and resolution ratio of a sample against the reference, in bins of incident energy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Observables, ResponseBin, response_bins
from caloforge.showers import particle_name
from caloforge.validation.verdict import WRONG, Z_LIMIT, judge

BIAS_LIMIT, RESOLUTION_LIMIT = 0.01, 0.05
"""Response bias and relative change of the resolution above which a significant difference is `wrong`."""


@dataclass(frozen=True)
class Bias:
    """Response and resolution of one particle in one bin of incident energy, both samples.

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
        if math.isnan(self.bias_error):  # a sample without any energy
            return WRONG
        return judge(abs(self.bias) > Z_LIMIT * self.bias_error, abs(self.bias) > BIAS_LIMIT)

    @property
    def resolution_verdict(self) -> str:
        """`within floor`: its logarithm is 0 within 4 errors; else `visible` up to 5 %, `wrong` above."""
        value, error = _logarithm(self)
        if math.isnan(value):
            return WRONG
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


def biases(generated: Observables, reference: Observables, edges: NDArray[np.float64]) -> tuple[Bias, ...]:
    """Compare response and resolution for every particle in every bin where both samples have showers."""
    pdgs = [int(pdg) for pdg in np.unique(reference.incidents.pdg)]
    one = {(b.pdg, b.low): b for b in response_bins(generated, edges, pdgs)}
    two = response_bins(reference, edges, pdgs)
    return tuple(Bias(one[b.pdg, b.low], b) for b in two if (b.pdg, b.low) in one)
