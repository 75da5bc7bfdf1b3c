"""Classifier tests: can a trained classifier tell the samples apart? The protocol for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import MissingExtraError, require
from caloforge.physics import Observables
from caloforge.progress import Progress
from caloforge.validation.cells import SparseCells
from caloforge.validation.features import high_level_features, single_feature_auc
from caloforge.validation.inputs import Sample
from caloforge.validation.verdict import NOT_TESTED, judge, pull

MIN_SHOWERS = 400
"""Fewest showers of either sample for a classifier to say something."""

FEW_SHOWERS = 4000
"""Fewer showers than these of either sample leave a classifier too weak to see what the eye sees."""

MAX_SHOWERS = 50_000
"""More showers of either sample are not used."""

AUC_LIMIT = 0.62
"""AUC above which samples that are told apart are `wrong`."""

_N_TOP = 12

Features = NDArray[np.float32]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Task:
    """Showers of two samples to tell apart, shuffled, and cut into three parts.

    Attributes:
        features: High-level features, (n, n_features); the last two are log10 of the incident energy in MeV
            and the PDG id.
        cells: The cells of the same showers, or None for classifiers that do not see them.
        truth: 1 for the first sample and 0 for the second, (n,).
        train: Showers to train on (60 %).
        choose: Showers to choose the best epoch on, and to calibrate (20 %).
        test: Showers that decide (20 %).
    """

    features: Features
    cells: SparseCells | None
    truth: NDArray[np.int64]
    train: Indices
    choose: Indices
    test: Indices


class Learner(Protocol):
    """A kind of classifier."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def features(self) -> str:
        """What it sees: `high-level` or `cells`."""
        ...

    @property
    def on_cells(self) -> bool:
        """Whether it needs the cells."""
        ...

    def scores(self, task: Task, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Train, and return scores of `task.choose` and `task.test`: higher for the first sample."""
        ...


@dataclass(frozen=True)
class Classifier:
    """How well one classifier tells the samples apart, and its floor.

    Attributes:
        key: Name in `metrics.json` and in `--require`.
        name: `boosted trees`, `MLP` or `3D ResNet`.
        features: What it sees: `high-level` or `cells`.
        showers: Showers of either sample that were used.
        auc: Mean over seeds of the AUC on showers not trained on; 0.5 is perfect.
        error: Its statistical error (Hanley and McNeil, Radiology 143 (1982) 29), or the spread of the seeds
            if larger.
        floor: The same between two random halves of the reference.
        floor_error: Its error.
        statistical_error: The statistical error alone, which is what counts against equal samples: trainings of
            which some see the difference and some do not spread, but they do see it.
        jsd: Jensen-Shannon divergence of the samples as the calibrated classifier sees it, 0 to 1.
        jsd_error: Standard deviation over seeds.
        jsd_floor: The same between two random halves of the reference.
        seeds: AUC of every seed: other splits, other initial weights.
        seconds: Wall time of all trainings, the floor's included.
        skipped: Why there is no result, if there is none; the numbers are nan then.
        warning: Why the result means little, if so.
    """

    key: str
    name: str
    features: str
    showers: int
    auc: float = math.nan
    error: float = math.nan
    floor: float = math.nan
    floor_error: float = math.nan
    statistical_error: float = math.nan
    jsd: float = math.nan
    jsd_error: float = math.nan
    jsd_floor: float = math.nan
    seeds: tuple[float, ...] = ()
    seconds: float = 0.0
    skipped: str = ""
    warning: str = ""

    @property
    def significance(self) -> float:
        """AUC above the floor (or 0.5) in standard deviations."""
        return pull(self.auc - max(self.floor, 0.5), self.statistical_error, self.floor_error)

    @property
    def verdict(self) -> str:
        """`within floor` up to 3 errors above it, `visible` up to 0.62, `wrong` above."""
        if self.skipped:
            return NOT_TESTED
        return judge(self.significance > 3, self.auc > AUC_LIMIT)


@dataclass(frozen=True)
class TellTale:
    """A feature that tells the samples apart on its own; `auc` is 0.5 for equal distributions."""

    feature: str
    auc: float


def classify(
    key: str,
    learner: Learner,
    generated: Sample,
    reference: Sample,
    seeds: Sequence[int],
    shown: Progress | None = None,
) -> Classifier:
    """Train and test a classifier on both samples, and on halves of the reference for the floor.

    As many showers of either sample are used as the smaller has, thresholds are applied to both, and both are
    shuffled alike.

    Args:
        key: Name of the result.
        learner: The kind of classifier.
        generated: One sample.
        reference: The other.
        seeds: One training each; the floor is trained once per seed too.
        shown: Told of every training that is done.
    """
    sizes = [len(s.cells) if learner.on_cells else len(s) for s in (generated, reference)]
    n = min(*sizes, MAX_SHOWERS)
    if n < MIN_SHOWERS:
        reason = (
            f"{n} showers are too few for a classifier; at least {MIN_SHOWERS} of either sample are needed"
        )
        return Classifier(key, learner.name, learner.features, n, skipped=reason)
    began = time.monotonic()
    values, floors = [], []
    try:
        for seed in seeds:
            rng = np.random.default_rng((seed, 1))
            chosen = [rng.permutation(size)[:n] for size in sizes]
            values.append(_one(learner, (generated, reference), chosen, rng, seed))
            if shown:
                shown.advance()
            mixed = rng.permutation(sizes[1])[: 2 * n]
            parts = [mixed[: len(mixed) // 2], mixed[len(mixed) // 2 : 2 * (len(mixed) // 2)]]
            floors.append(_one(learner, (reference, reference), parts, rng, seed))
            if shown:
                shown.advance()
    except MissingExtraError as missing:
        return Classifier(key, learner.name, learner.features, n, skipped=str(missing))
    auc, error, jsd = _summary(values)
    floor, floor_error, jsd_floor = _summary(floors)
    return Classifier(
        key,
        learner.name,
        learner.features,
        n,
        auc,
        error,
        floor,
        floor_error,
        float(np.mean([one.error for one in values])),
        jsd,
        float(np.std([one.jsd for one in values], ddof=1)) if len(values) > 1 else math.nan,
        jsd_floor,
        tuple(one.auc for one in values),
        time.monotonic() - began,
        warning=f"{n} showers are few: a classifier trained on them overlooks much"
        if n < FEW_SHOWERS
        else "",
    )


@dataclass(frozen=True)
class _Result:
    auc: float
    error: float
    jsd: float


def _summary(results: Sequence[_Result]) -> tuple[float, float, float]:
    areas = [one.auc for one in results]
    spread = float(np.std(areas, ddof=1)) if len(areas) > 1 else 0.0
    error = float(np.mean([one.error for one in results]))
    return float(np.mean(areas)), max(error, spread), float(np.mean([one.jsd for one in results]))


def _one(
    learner: Learner,
    samples: tuple[Sample, Sample],
    chosen: Sequence[Indices],
    rng: np.random.Generator,
    seed: int,
) -> _Result:
    task = make_task(samples, chosen, rng, learner.on_cells)
    choose, test = learner.scores(task, seed)
    truth = task.truth[task.test]
    auc = area(test[truth == 1], test[truth == 0])
    error = auc_error(auc, int(truth.sum()), int((1 - truth).sum()))
    return _Result(auc, error, divergence(choose, task.truth[task.choose], test, truth))


def make_task(
    samples: tuple[Sample, Sample], chosen: Sequence[Indices], rng: np.random.Generator, on_cells: bool
) -> Task:
    """Put showers of two samples together, shuffled, 60 % to train, 20 % to choose, 20 % to test."""
    features = np.concatenate(
        [high_level_features(s.observables[rows])[0] for s, rows in zip(samples, chosen, strict=True)]
    )
    cells = None
    if on_cells:
        cells = SparseCells.concatenate([s.cells[rows] for s, rows in zip(samples, chosen, strict=True)])
    truth = np.concatenate([np.ones(len(chosen[0]), np.int64), np.zeros(len(chosen[1]), np.int64)])
    parts: list[list[Indices]] = [[], [], []]
    for kind in (1, 0):
        own = rng.permutation(np.flatnonzero(truth == kind))
        cuts = [int(0.6 * len(own)), int(0.8 * len(own))]
        for part, rows in zip(parts, np.split(own, cuts), strict=True):
            part.append(rows)
    train, choose, test = (rng.permutation(np.concatenate(part)) for part in parts)
    return Task(features, cells, truth, train, choose, test)


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


def tell_tales(generated: Observables, reference: Observables) -> tuple[TellTale, ...]:
    """Return the features that tell the samples apart best on their own, the best first."""
    fake, names = high_level_features(generated)
    true, _ = high_level_features(reference)
    areas = single_feature_auc(fake, true)
    return tuple(TellTale(names[i], float(areas[i])) for i in np.argsort(-areas, kind="stable")[:_N_TOP])
