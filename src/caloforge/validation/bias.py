"""Response bias and resolution ratio of a sample against the reference, in bins of incident energy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Observables, ResponseBin, response_bins
from caloforge.showers import particle_name


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
        """`good`: within 0.3 % of zero, or 3 errors; `fair`: 1 % or 4 errors; `poor` otherwise."""
        return _verdict(abs(self.bias), self.bias_error, 0.003, 0.01)

    @property
    def resolution_verdict(self) -> str:
        """`good`: within 2 % of 1, or 3 errors; `fair`: 5 % or 4 errors; `poor` otherwise."""
        return _verdict(abs(self.resolution_ratio - 1), self.resolution_ratio_error, 0.02, 0.05)


def _verdict(value: float, error: float, good: float, fair: float) -> str:
    if math.isnan(value):
        return "poor"
    if value <= max(good, 3 * error):
        return "good"
    return "fair" if value <= max(fair, 4 * error) else "poor"


def biases(generated: Observables, reference: Observables, edges: NDArray[np.float64]) -> tuple[Bias, ...]:
    """Compare response and resolution for every particle in every bin where both samples have showers."""
    pdgs = [int(pdg) for pdg in np.unique(reference.incidents.pdg)]
    one = {(b.pdg, b.low): b for b in response_bins(generated, edges, pdgs)}
    two = response_bins(reference, edges, pdgs)
    return tuple(Bias(one[b.pdg, b.low], b) for b in two if (b.pdg, b.low) in one)
