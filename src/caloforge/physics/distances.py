"""Distances between distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def separation_power(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the separation power of histograms: 1/2 sum (h1 - h2)^2 / (h1 + h2), each normalised to sum 1.

    It is 0 for equal and 1 for disjoint histograms (CaloChallenge, arXiv:2410.21611).

    >>> float(separation_power(np.array([1, 1]), np.array([2, 2])))
    0.0
    >>> float(separation_power(np.array([1, 0]), np.array([0, 3])))
    1.0

    Args:
        first: Contents, (..., n_bins).
        second: Contents, (..., n_bins).

    Returns:
        Shape (...). An empty histogram is disjoint from a filled one and equal to an empty one.
    """
    h1, h2 = _normalised(first), _normalised(second)
    total = h1 + h2
    terms = np.divide((h1 - h2) ** 2, total, out=np.zeros_like(total), where=total > 0)
    one_is_empty = (h1 > 0).any(axis=-1) != (h2 > 0).any(axis=-1)
    return np.asarray(np.where(one_is_empty, 1.0, 0.5 * terms.sum(axis=-1)), dtype=np.float64)


def _normalised(contents: NDArray[Any]) -> NDArray[np.float64]:
    contents = np.asarray(contents, dtype=np.float64)
    total = contents.sum(axis=-1, keepdims=True)
    normalised = np.zeros_like(contents)
    np.divide(contents, total, out=normalised, where=total > 0)
    return normalised


def wasserstein(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Wasserstein-1 distance of samples, column by column.

    Quantiles are compared at the midpoints of as many equal parts as the smaller sample has members: exact
    for equal sizes.

    >>> float(wasserstein(np.arange(3.0), np.arange(3.0) + 2))
    2.0

    Args:
        first: Values, (n, ...).
        second: Values, (m, ...).

    Returns:
        Shape (...), in the unit of the values.
    """
    size = min(len(first), len(second))
    difference = np.abs(_quantiles(first, size) - _quantiles(second, size))
    return np.asarray(difference.mean(axis=0), dtype=np.float64)


class PooledValues:
    """Two samples of values in one order, so that their Wasserstein distance is quick for many weightings.

    Args:
        first: (n,).
        second: (m,).
    """

    def __init__(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        values = np.concatenate([first, second]).astype(np.float64)
        order = np.argsort(values, kind="stable")
        self._steps = np.diff(values[order])
        self._place = np.empty(len(order), dtype=np.intp)
        self._place[order] = np.arange(len(order))
        self._split = len(first)

    def wasserstein(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
        """Return the Wasserstein-1 distance for weights of the values: the area between the distributions.

        Args:
            first: Weights, (..., n).
            second: Weights, (..., m).

        Returns:
            Shape (...), in the unit of the values; nan where a sample has no weight.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            one = first / first.sum(axis=-1, keepdims=True)
            two = second / second.sum(axis=-1, keepdims=True)
        density = np.empty((*one.shape[:-1], len(self._place)))
        density[..., self._place[: self._split]] = one
        density[..., self._place[self._split :]] = -two
        return np.asarray(np.abs(density.cumsum(axis=-1)[..., :-1]) @ self._steps)


def _quantiles(values: NDArray[Any], size: int) -> NDArray[np.float64]:
    ordered = np.sort(values, axis=0).astype(np.float64)
    if len(ordered) == size:
        return ordered
    place = (np.arange(size) + 0.5) / size * len(ordered) - 0.5
    low = np.floor(place).astype(int)
    part = (place - low).reshape(-1, *[1] * (ordered.ndim - 1))
    high = ordered[np.minimum(low + 1, len(ordered) - 1)]
    return np.asarray(ordered[low] * (1 - part) + high * part, dtype=np.float64)
