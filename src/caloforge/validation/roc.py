"""What the scores of a classifier say: area under the ROC curve and divergence."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require


def area(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the area under the ROC curve: how often a score of the first sample is the larger.

    >>> area(np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    0.875
    """
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left") + np.searchsorted(ordered, first, side="right")
    return float(below.sum(dtype=np.float64)) / (2 * len(first) * len(second))


def divergence(
    choose: NDArray[np.floating],
    choose_truth: NDArray[np.integer],
    test: NDArray[np.floating],
    test_truth: NDArray[np.integer],
) -> float:
    """Return the Jensen-Shannon divergence that a classifier sees, 0 (equal) to 1 (disjoint).

    Scores are turned into probabilities by an isotonic fit on one part of the showers; with those of the test
    part, 1 - (binary cross-entropy) / ln 2 is the divergence in bits (CaloChallenge, arXiv:2410.21611), a
    lower limit of the true one, so negative fluctuations are set to 0.

    Args:
        choose: Scores to calibrate with, (n,).
        choose_truth: Their samples, 1 or 0.
        test: Scores that decide, (m,).
        test_truth: Their samples.
    """
    isotonic = require("sklearn.isotonic", "report")
    fit = isotonic.IsotonicRegression(out_of_bounds="clip", y_min=1e-3, y_max=1 - 1e-3)
    p = fit.fit(choose, choose_truth).predict(test)
    entropy = -np.mean(np.where(test_truth == 1, np.log(p), np.log(1 - p)))
    return float(np.clip(1 - entropy / math.log(2), 0, 1))


def auc_error(auc: float, n: int, m: int) -> float:
    """Return the statistical error of an AUC (Hanley and McNeil, Radiology 143 (1982) 29).

    >>> round(auc_error(0.5, 10_000, 10_000), 4)
    0.0041
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (m - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n * m))
