"""Distances between samples of feature vectors: Fréchet (FPD) and kernel (KPD) physics distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POINTS = 10
_BATCHES = 20
_BLOCK = 500


def normalised(reference: NDArray[np.floating], other: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Divide each feature by its largest absolute value in the reference.

    A feature that is a thousand times larger in the other sample is divided by a thousandth of that: layers that the
    reference hardly hits hold rounding errors only, by which nothing can be divided.

    Args:
        reference: (n, n_features).
        other: (m, n_features).
    """
    one, two = np.asarray(reference, dtype=np.float64), np.asarray(other, dtype=np.float64)
    scale = np.maximum(np.abs(one).max(axis=0), 1e-3 * np.abs(two).max(axis=0))
    scale[scale == 0] = 1
    return one / scale, two / scale


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the Fréchet distance of the normal distributions with the means and covariances of samples.

    |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), the square of the Wasserstein-2 distance
    (Dowson and Landau, J. Multivariate Anal. 12 (1982) 450).

    Args:
        first: (n, n_features).
        second: (m, n_features).
    """
    (mean1, one), (mean2, two) = _moments(first), _moments(second)
    mean = mean1 - mean2
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ two @ root), 0, None)).sum()
    return float(mean @ mean + np.trace(one) + np.trace(two) - 2 * cross)


def _moments(vectors: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return mean and covariance matrix."""
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    return mean, centred.T @ centred / (len(vectors) - 1)


def fpd(
    reference: NDArray[np.floating], generated: NDArray[np.floating], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the Fréchet physics distance and its error (Kansal et al., arXiv:2211.10295).

    The Fréchet distance of samples of n vectors is too large by a term in 1/n; it is fitted with a line in
    1/n over ten sizes and the value at 1/n = 0 returned, as the package JetNet does. JetNet draws 20000 to
    50000 vectors with replacement; here 20 batches per size, from a quarter of the smaller sample to all of
    it, are drawn without, so that smaller samples do not bias the result.

    Args:
        reference: (n, n_features).
        generated: (m, n_features).
        rng: Of the batches.

    Returns:
        The distance, at least 0, and its error from the fit.
    """
    one, two = normalised(reference, generated)
    most = min(len(one), len(two))
    sizes = (1 / np.linspace(4 / most, 1 / most, _POINTS)).astype(int)
    means = []
    for size in sizes:
        repeats = _BATCHES if size < most else 1
        values = [
            frechet_distance(
                one[rng.choice(len(one), size, replace=False)], two[rng.choice(len(two), size, replace=False)]
            )
            for _ in range(repeats)
        ]
        means.append(float(np.mean(values)))
    slope, intercept, error = _line(1 / sizes, np.array(means))
    if slope < 0:
        return float(np.mean(means)), error
    return max(intercept, 0.0), error


def _line(x: Floats, y: Floats) -> tuple[float, float, float]:
    basis = np.stack([x, np.ones_like(x)], axis=1)
    found = np.linalg.lstsq(basis, y, rcond=None)[0]
    variance = float(((y - basis @ found) ** 2).sum()) / (len(x) - 2)
    covariance = variance * np.linalg.inv(basis.T @ basis)
    return float(found[0]), float(found[1]), float(np.sqrt(covariance[1, 1]))


def kernel_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / n_features + 1)^4.

    Computed in the precision of the vectors, summed in double precision.

    Args:
        first: (n, n_features).
        second: (m, n_features).
    """
    n, m = len(first), len(second)
    same = _pairs(first) / (n * (n - 1)) + _pairs(second) / (m * (m - 1))
    cross = sum(_kernel(first[start : start + _BLOCK], second) for start in range(0, n, _BLOCK))
    return float(same - 2 * cross / (n * m))


def _pairs(vectors: NDArray[np.floating]) -> float:
    """Return the sum of the kernel over all ordered pairs of different vectors."""
    total = 0.0
    for start in range(0, len(vectors), _BLOCK):
        block, rest = vectors[start : start + _BLOCK], vectors[start + _BLOCK :]
        norms = (block.astype(np.float64) ** 2).sum(axis=1) / block.shape[1] + 1.0
        total += _kernel(block, block) - float((norms**4).sum())
        total += 2 * _kernel(block, rest)
    return total


def _kernel(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    base = first @ second.T
    base /= first.shape[1]
    base += 1
    return float(np.square(np.square(base, out=base), out=base).sum(dtype=np.float64))


def kpd(
    reference: NDArray[np.floating],
    generated: NDArray[np.floating],
    rng: np.random.Generator,
    batches: int = 10,
    size: int = 5000,
) -> tuple[float, float]:
    """Return the kernel physics distance and its error (Kansal et al., arXiv:2211.10295).

    JetNet draws batches with replacement, which counts a vector drawn twice as a coincidence of two; they are
    drawn without here, so that the distance between small samples of one distribution stays zero on average.

    Args:
        reference: (n, n_features).
        generated: (m, n_features).
        rng: Of the batches.
        batches: Number of batches; the median over them is the value, half the central 67.5 % the error.
        size: Vectors of either sample in a batch; at most half of the smaller sample.
    """
    one, two = (v.astype(np.float32) for v in normalised(reference, generated))  # twice as fast, same digits
    size = min(size, len(one) // 2, len(two) // 2)
    values = [
        kernel_distance(
            one[rng.choice(len(one), size, replace=False)], two[rng.choice(len(two), size, replace=False)]
        )
        for _ in range(batches)
    ]
    low, high = np.quantile(values, [0.16275, 0.83725])
    return float(np.median(values)), float(high - low) / 2
