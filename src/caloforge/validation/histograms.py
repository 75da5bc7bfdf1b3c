"""Histograms of observables that can be filled anew for many weightings of the showers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import SPECTRUM_EDGES, DetailedObservables, profiles
from caloforge.validation.quantities import Quantity

N_BINS = 50
"""Inner bins of an observable of single showers, between the 0.1 % and 99.9 % quantiles of the reference; one
bin on either side takes what lies beyond."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Both samples in the bins of one observable, for the figures.

    Attributes:
        quantity: The observable.
        column: The column (layer), for observables of several.
        edges: (n_bins + 1,); of observables of single showers, the outer bins are underflow and overflow.
        generated: Mean contents per shower, (n_bins,).
        reference: Likewise.
        generated_error: Standard errors.
        reference_error: Likewise.
    """

    quantity: Quantity
    column: int | None
    edges: Floats
    generated: Floats
    reference: Floats
    generated_error: Floats
    reference_error: Floats


class Contents:
    """What every shower puts into the bins of an observable.

    Args:
        weights: Monte Carlo weights of the showers, (N,).
        matrix: For profiles, the contents of each shower, (N, n_bins).
        index: For other observables, the bin of each value, counted on from column to column, (N, n_columns).
        n_bins: Bins of a column.
    """

    def __init__(
        self,
        weights: Floats,
        matrix: Floats | None = None,
        index: NDArray[np.intp] | None = None,
        n_bins: int = 0,
    ) -> None:
        self.weights, self.matrix, self.index = weights, matrix, index
        self.n_bins = n_bins if matrix is None else matrix.shape[1]

    @staticmethod
    def of_values(values: Floats, edges: Floats, weights: Floats) -> Contents:
        """Sort values (N, n_columns) into bins with edges (n_columns, n_bins + 1)."""
        n_bins = edges.shape[1] - 1
        index = np.empty(values.shape, dtype=np.intp)
        for column, own in enumerate(edges):
            found = np.searchsorted(own, values[:, column], side="right") - 1
            index[:, column] = np.clip(found, 0, n_bins - 1) + column * n_bins
        return Contents(weights, index=index, n_bins=n_bins)

    def filled(self, times: NDArray[np.floating], power: int = 1) -> Floats:
        """Return the contents with each shower taken a number of times.

        Args:
            times: How often, (n_samples, N).
            power: 2 sums the squares of the weights instead.

        Returns:
            (n_samples, n_columns, n_bins).
        """
        weights = times * self.weights**power
        if self.matrix is not None:
            return np.asarray(weights @ self.matrix**power)[:, None, :]
        assert self.index is not None
        n_columns = self.index.shape[1]
        flat = self.index.reshape(-1)
        counts = [
            np.bincount(flat, np.repeat(one, n_columns), minlength=n_columns * self.n_bins) for one in weights
        ]
        return np.stack(counts).astype(np.float64).reshape(len(weights), n_columns, self.n_bins)

    def total(self, power: int = 1) -> Floats:
        """Return the contents of all showers, (n_columns, n_bins)."""
        return np.asarray(self.filled(np.ones((1, len(self.weights))), power)[0])

    def mean_and_error(self) -> tuple[Floats, Floats]:
        """Return the mean contents per shower and their standard errors, (n_columns, n_bins) each."""
        w = self.weights / self.weights.sum()
        if self.matrix is not None:
            mean = w @ self.matrix
            return mean[None], np.sqrt(w**2 @ (self.matrix - mean) ** 2)[None]
        total = self.weights.sum()
        mean = self.total() / total
        return mean, np.sqrt(np.clip(self.total(2) * (1 - mean), 0, None)) / total


def bin_edges(values: Floats) -> Floats:
    """Return the edges of `N_BINS` bins between the outer quantiles of values, and of one on either side.

    Whole numbers get bins of equal whole width.

    Args:
        values: (N,).

    Returns:
        (N_BINS + 3,).
    """
    low, high = np.quantile(values, [0.001, 0.999])
    if np.all(values == np.round(values)):
        low, step = np.floor(low) - 0.5, np.ceil((high - low + 1) / N_BINS)
    elif high > low:
        step = (high - low) / N_BINS
    else:
        low, step = low - 0.5, 1 / N_BINS
    return np.asarray(low + step * np.arange(-1, N_BINS + 2))


def profile_edges(quantity: Quantity, reference: DetailedObservables) -> Floats:
    """Return the edges of the bins of a profile."""
    if quantity.name == "cell spectrum":
        return SPECTRUM_EDGES
    names = ("longitudinal profile", "lateral profile x", "lateral profile y", "radial profile")
    return profiles(reference)[names.index(quantity.name)].edges


def paired(quantity: Quantity, edges: Floats, fake: Contents, true: Contents) -> tuple[Histogram, ...]:
    """Return the histograms of both samples, one per column."""
    (one, one_error), (two, two_error) = fake.mean_and_error(), true.mean_and_error()
    return tuple(
        Histogram(
            quantity,
            column if quantity.kind == "columns" else None,
            edges[column],
            one[column],
            two[column],
            one_error[column],
            two_error[column],
        )
        for column in range(len(edges))
    )
