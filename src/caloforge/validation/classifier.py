"""Classifier tests: can a trained classifier tell the samples apart?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require
from caloforge.physics import Observables
from caloforge.validation.features import high_level_features, single_feature_auc

MIN_SHOWERS = 400
"""Fewest showers of either sample for a classifier to say something."""

FOLDS = 3
_N_TOP = 12

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """The area under the ROC curve of one classifier, by cross-validation, and its floor.

    Attributes:
        name: `boosted trees` or `MLP`.
        features: What it sees.
        showers: Showers of either sample that it was trained and tested on.
        auc: Mean over folds of the AUC on showers not trained on; 0.5 is perfect.
        error: Its statistical error (Hanley and McNeil, Radiology 143 (1982) 29), or the spread of the folds
            over sqrt(folds) if larger.
        floor: The same between two random halves of the reference.
        floor_error: Its error.
        skipped: Why there is no result, if there is none; the numbers are nan then.
    """

    name: str
    features: str
    showers: int
    auc: float
    error: float
    floor: float
    floor_error: float
    skipped: str = ""

    @property
    def verdict(self) -> str:
        """`good` up to 0.53 or at the floor, `fair` up to 0.62, `poor` above; `skipped` without a result."""
        if self.skipped:
            return "skipped"
        at_floor = self.auc < max(self.floor, 0.5) + 2 * math.hypot(self.error, self.floor_error)
        if at_floor or self.auc <= 0.53:
            return "good"
        return "fair" if self.auc <= 0.62 else "poor"


@dataclass(frozen=True)
class TellTale:
    """A feature that tells the samples apart on its own; `auc` is 0.5 for equal distributions."""

    feature: str
    auc: float


def boosted_trees(seed: int) -> Any:
    """Make the boosted-tree classifier (scikit-learn's histogram gradient boosting).

    It does not stop early: where samples differ little, a validation loss says stop long before the AUC does.
    """
    ensemble = require("sklearn.ensemble", "report")
    return ensemble.HistGradientBoostingClassifier(
        max_iter=300,
        learning_rate=0.05,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )


def mlp(seed: int) -> Any:
    """Make the multi-layer perceptron on features brought to normal distributions."""
    network = require("sklearn.neural_network", "report")
    preprocessing = require("sklearn.preprocessing", "report")
    pipeline = require("sklearn.pipeline", "report")
    return pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        network.MLPClassifier(
            (128, 128),
            alpha=1e-3,
            batch_size=256,
            max_iter=40,
            early_stopping=True,
            n_iter_no_change=5,
            random_state=seed,
        ),
    )


def classify(
    name: str,
    make: Callable[[int], Any],
    generated: Observables,
    reference: Observables,
    seed: int,
) -> Classifier:
    """Train and test a classifier on high-level features, and on halves of the reference for the floor.

    Args:
        name: Of the classifier.
        make: Makes an untrained scikit-learn classifier from a seed.
        generated: One sample.
        reference: The other; as many showers of either are used as the smaller has.
        seed: Of the choice of showers, the folds and the classifier.
    """
    n = min(len(generated), len(reference))
    nan = math.nan
    if n < MIN_SHOWERS:
        reason = (
            f"{n} showers are too few for a classifier; at least {MIN_SHOWERS} of either sample are needed"
        )
        return Classifier(name, "high-level", n, nan, nan, nan, nan, reason)
    rng = np.random.default_rng((seed, 1))
    fake, _ = high_level_features(generated)
    true, _ = high_level_features(reference)
    auc, error = _cross_validated(make, _choose(fake, n, rng), _choose(true, n, rng), seed)
    mixed = true[rng.permutation(len(true))]
    half = len(true) // 2
    floor, floor_error = _cross_validated(make, mixed[:half], mixed[half : 2 * half], seed)
    return Classifier(name, "high-level", n, auc, error, floor, floor_error)


def tell_tales(generated: Observables, reference: Observables) -> tuple[TellTale, ...]:
    """Return the features that tell the samples apart best on their own, the best first."""
    fake, names = high_level_features(generated)
    true, _ = high_level_features(reference)
    areas = single_feature_auc(fake, true)
    return tuple(TellTale(names[i], float(areas[i])) for i in np.argsort(-areas, kind="stable")[:_N_TOP])


def _choose(features: Features, n: int, rng: np.random.Generator) -> Features:
    return features[np.sort(rng.choice(len(features), n, replace=False))]


def _cross_validated(
    make: Callable[[int], Any], fake: Features, true: Features, seed: int
) -> tuple[float, float]:
    selection = require("sklearn.model_selection", "report")
    metrics = require("sklearn.metrics", "report")
    x = np.concatenate([fake, true])
    y = np.concatenate([np.ones(len(fake), dtype=int), np.zeros(len(true), dtype=int)])
    areas = []
    for train, test in selection.StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        model = make(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an MLP that stops at its last epoch is no concern of the user
            model.fit(x[train], y[train])
        areas.append(metrics.roc_auc_score(y[test], model.predict_proba(x[test])[:, 1]))
    auc = float(np.mean(areas))
    spread = float(np.std(areas, ddof=1)) / math.sqrt(FOLDS)
    return auc, max(auc_error(auc, len(fake), len(true)), spread)


def auc_error(auc: float, n: int, m: int) -> float:
    """Return the statistical error of an AUC (Hanley and McNeil, Radiology 143 (1982) 29).

    >>> round(auc_error(0.5, 10_000, 10_000), 4)
    0.0041
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n - 1) * (q1 - auc**2) + (m - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n * m))
