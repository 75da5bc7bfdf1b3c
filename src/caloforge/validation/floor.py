"""The floor: what a metric is between two samples of Geant4 itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SPLITS = 20
"""Number of random halvings and of bootstrap samples."""


@dataclass(frozen=True)
class Resampling:
    """How often showers are taken in bootstrap samples and random halves; the same for all observables.

    Attributes:
        generated: How often each shower is drawn in bootstrap samples, (SPLITS, n_generated).
        reference: Likewise, (SPLITS, n_reference).
        halves: 1 for showers of the first half of the reference and 0 for those of the second, (SPLITS,
            n_reference).
        generated_weights: Monte Carlo weights, (n_generated,); 1 for a plain sample.
        reference_weights: Likewise, (n_reference,).
    """

    generated: NDArray[np.float64]
    reference: NDArray[np.float64]
    halves: NDArray[np.float64]
    generated_weights: NDArray[np.float64]
    reference_weights: NDArray[np.float64]

    @property
    def effective_generated(self) -> float:
        """Number of unweighted showers that would have the same statistical power."""
        return effective_number(self.generated_weights)

    @property
    def effective_reference(self) -> float:
        """Likewise of the reference."""
        return effective_number(self.reference_weights)


def effective_number(weights: NDArray[np.float64]) -> float:
    """Return (sum w)^2 / sum w^2.

    >>> effective_number(np.ones(5))
    5.0
    """
    return float(weights.sum() ** 2 / (weights**2).sum())


def resample(
    n_generated: int,
    n_reference: int,
    rng: np.random.Generator,
    generated_weights: NDArray[np.float64] | None = None,
    reference_weights: NDArray[np.float64] | None = None,
) -> Resampling:
    """Draw bootstrap samples and random halves."""

    def bootstrap(n: int) -> NDArray[np.float64]:
        return rng.multinomial(n, np.full(n, 1 / n), size=SPLITS).astype(np.float64)

    return Resampling(
        bootstrap(n_generated),
        bootstrap(n_reference),
        random_halves(n_reference, SPLITS, rng),
        np.ones(n_generated) if generated_weights is None else generated_weights,
        np.ones(n_reference) if reference_weights is None else reference_weights,
    )


def random_halves(n: int, splits: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return random assignments to two halves, (splits, n), 1 in the first half and 0 in the second."""
    first = np.zeros((splits, n))
    first[:, : n // 2] = 1
    rng.permuted(first, axis=1, out=first)
    return first


def halves_scale(n_generated: float, n_reference: float) -> float:
    """Return the factor from the separation power of the reference's halves to that of full samples.

    Between samples of n and m showers of one distribution, the separation power of a histogram is
    proportional to 1/n + 1/m (to leading order n_bins/4 times it). The halves have n_reference / 2 showers
    each.

    >>> halves_scale(1000, 1000)
    0.5
    """
    half = n_reference / 2
    return (1 / n_generated + 1 / n_reference) / (2 / half)
