"""Chi-square of two samples, with Monte Carlo weights and with correlated bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_COUNT = 20.0
"""Effective entries of both samples together below which neighbouring bins are merged."""


def chi2_histograms(
    first: Floats, first_variance: Floats, second: Floats, second_variance: Floats
) -> tuple[float, int]:
    """Return chi2 and the degrees of freedom of two histograms of any normalisation.

    sum (W2 w1 - W1 w2)^2 / (W2^2 s1^2 + W1^2 s2^2) with s^2 the sum of squared weights of a bin: the test of
    homogeneity of weighted histograms (Gagunashvili, arXiv:physics/0605123). Bins with fewer than
    20 effective entries are merged with the next ones, for the statistic to follow its distribution.

    Args:
        first: Sums of weights, (n_bins,).
        first_variance: Sums of squared weights, (n_bins,).
        second: Likewise of the other sample.
        second_variance: Likewise.

    Returns:
        chi2, and the number of bins that are left minus 1 (0 if nothing can be compared).
    """
    contents = np.stack([first, first_variance, second, second_variance]).astype(np.float64)
    if min(contents[0].sum(), contents[2].sum()) <= 0:
        return 0.0, 0
    w1, v1, w2, v2 = _merge(contents)
    total1, total2 = w1.sum(), w2.sum()
    variance = total2**2 * v1 + total1**2 * v2
    used = variance > 0
    chi2 = (((total2 * w1 - total1 * w2)[used]) ** 2 / variance[used]).sum()
    return float(chi2), max(int(used.sum()) - 1, 0)


def _merge(contents: Floats) -> Floats:
    w1, v1, w2, v2 = contents
    entries = [np.divide(w**2, v, out=np.zeros_like(w), where=v > 0) for w, v in ((w1, v1), (w2, v2))]
    count = entries[0] + entries[1]
    starts = [0]
    gathered = 0.0
    for number, one in enumerate(count):
        if gathered >= MIN_COUNT:
            starts.append(number)
            gathered = 0.0
        gathered += float(one)
    if gathered < MIN_COUNT and len(starts) > 1:
        starts.pop()
    return np.asarray(np.add.reduceat(contents, starts, axis=1))


def chi2_means(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    first_weights: NDArray[np.floating] | None = None,
    second_weights: NDArray[np.floating] | None = None,
) -> tuple[float, int]:
    """Return chi2 and the degrees of freedom of the difference of mean vectors (Hotelling's T squared).

    d^T (C1 / n1 + C2 / n2)^-1 d with the covariance matrices of the vectors, so it is right for the bins of a
    profile, which are correlated within a shower. Bins that vary by rounding only (the share of the one layer
    there is), and directions below 1e-6 of the largest correlation, are left out.

    Args:
        first: (n, n_bins).
        second: (m, n_bins).
        first_weights: Monte Carlo weights, (n,); 1 if not given.
        second_weights: Likewise.
    """
    (mean1, cov1), (mean2, cov2) = (
        _mean_and_covariance(v.astype(np.float64), w)
        for v, w in ((first, first_weights), (second, second_weights))
    )
    filled = np.minimum(*((v != 0).sum(axis=0) for v in (first, second))) >= MIN_COUNT
    difference, covariance = (mean1 - mean2)[filled], (cov1 + cov2)[np.ix_(filled, filled)]
    scale = np.sqrt(np.diag(covariance))
    filled = scale > 1e-6 * np.abs(mean1[filled])
    if not filled.any():
        return 0.0, 0
    scale, difference = scale[filled], difference[filled]
    values, vectors = np.linalg.eigh(covariance[np.ix_(filled, filled)] / np.outer(scale, scale))
    kept = values > 1e-6 * values[-1]
    projected = vectors[:, kept].T @ (difference / scale)
    return float((projected**2 / values[kept]).sum()), int(kept.sum())


def _mean_and_covariance(values: Floats, weights: NDArray[np.floating] | None) -> tuple[Floats, Floats]:
    """Return the weighted mean and the covariance matrix of the mean."""
    w = np.ones(len(values)) if weights is None else weights.astype(np.float64)
    w = w / w.sum()
    mean = w @ values
    centred = (values - mean) * w[:, None]
    return mean, centred.T @ centred
