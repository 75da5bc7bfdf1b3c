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
        """Statistical error of the ratio."""
        one, two = self.generated, self.reference
        if min(one.resolution, two.resolution) <= 0:
            return math.nan
        return self.resolution_ratio * math.hypot(
            one.resolution_error / one.resolution, two.resolution_error / two.resolution
        )

    @property
    def verdict(self) -> str:
        """`within floor`: zero within 4 errors; else `visible` up to 1 %, `wrong` above."""
        return _verdict(self.bias, self.bias_error, BIAS_LIMIT)

    @property
    def resolution_verdict(self) -> str:
        """`within floor`: 1 within 4 errors; else `visible` up to 5 %, `wrong` above."""
        return _verdict(self.resolution_ratio - 1, self.resolution_ratio_error, RESOLUTION_LIMIT)


def _verdict(value: float, error: float, limit: float) -> str:
    if math.isnan(value):
        return WRONG
    return judge(abs(value) > Z_LIMIT * error, abs(value) > limit)


def mean_bias(bins: Sequence[Bias]) -> tuple[float, float]:
    """Return the mean response bias over bins, weighted with the inverse squared errors, and its error."""
    return _mean([(b.bias, b.bias_error) for b in bins])


def mean_resolution_ratio(bins: Sequence[Bias]) -> tuple[float, float]:
    """Return the mean resolution ratio over bins, weighted with the inverse squared errors, and its error."""
    return _mean([(b.resolution_ratio, b.resolution_ratio_error) for b in bins])


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
