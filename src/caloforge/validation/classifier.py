"""Classifier tests: can a trained classifier tell the samples apart? The protocol for all of them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import MissingExtraError
from caloforge.physics import Observables
from caloforge.progress import Progress
from caloforge.validation.cells import SparseCells
from caloforge.validation.embedding import circular
from caloforge.validation.features import conditions, high_level_features, single_feature_auc
from caloforge.validation.inputs import Sample
from caloforge.validation.roc import area, auc_error, divergence
from caloforge.validation.verdict import NOT_TESTED, judge, pull
from caloforge.validation.windows import Window

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
        features: High-level features, (n, n_features).
        conditions: What is known of the incidents, `features.CONDITIONS`, (n, 7): part of the features too.
        cells: The cells of the same showers in a window that follows their axes, or None for classifiers that do
            not see them.
        truth: 1 for the first sample and 0 for the second, (n,).
        train: Showers to train on (60 %).
        choose: Showers to choose the best epoch on, and to calibrate (20 %).
        test: Showers that decide (20 %).
        scale: Energy in MeV at which the logarithm of cell energies sets in.
        circular: Whether the second axis of the cells closes on itself.
    """

    features: Features
    conditions: Features
    cells: SparseCells | None
    truth: NDArray[np.int64]
    train: Indices
    choose: Indices
    test: Indices
    scale: float = 1.0
    circular: bool = False


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

    @property
    def on_array(self) -> bool:
        """Whether it needs cells in a regular array."""
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
    shuffled alike. Classifiers on cells see them in a window that follows the shower axis, so that a spread of angles
    or impact points does not hide what happens around it.

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
    detector = reference.observables.detector
    if learner.on_array and len(detector.shape) != 3:
        reason = f"it needs cells in a regular array, which the readout of {detector.name!r} is not"
        return Classifier(key, learner.name, learner.features, n, skipped=reason)
    began = time.monotonic()
    if learner.on_cells:
        generated, reference = in_window(generated, reference)
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


def in_window(generated: Sample, reference: Sample) -> tuple[Sample, Sample]:
    """Return both samples with their cells in the window that the reference asks for."""
    incidents = [s.observables.incidents[: len(s.cells)] for s in (generated, reference)]
    window = Window.of(reference.cells, incidents[1], reference.observables.detector)
    one, two = (
        replace(s, cells=window.seen(s.cells, i))
        for s, i in zip((generated, reference), incidents, strict=True)
    )
    return one, two


def make_task(
    samples: tuple[Sample, Sample], chosen: Sequence[Indices], rng: np.random.Generator, on_cells: bool
) -> Task:
    """Put showers of two samples together, shuffled, 60 % to train, 20 % to choose, 20 % to test."""
    pairs = list(zip(samples, chosen, strict=True))
    features = np.concatenate([high_level_features(s.observables[rows])[0] for s, rows in pairs])
    known = np.concatenate([conditions(s.observables.incidents[rows]) for s, rows in pairs])
    cells = SparseCells.concatenate([s.cells[rows] for s, rows in pairs]) if on_cells else None
    truth = np.concatenate([np.ones(len(chosen[0]), np.int64), np.zeros(len(chosen[1]), np.int64)])
    parts: list[list[Indices]] = [[], [], []]
    for kind in (1, 0):
        own = rng.permutation(np.flatnonzero(truth == kind))
        cuts = [int(0.6 * len(own)), int(0.8 * len(own))]
        for part, rows in zip(parts, np.split(own, cuts), strict=True):
            part.append(rows)
    train, choose, test = (rng.permutation(np.concatenate(part)) for part in parts)
    detector = samples[1].observables.detector
    scale = energy_scale(detector, samples[1].observables.threshold)
    return Task(features, known, cells, truth, train, choose, test, scale, circular(detector))


def energy_scale(detector: Detector, threshold: float) -> float:
    """Return the energy in MeV at which the logarithm of cell energies sets in.

    Five times the threshold, at most what a minimum ionising particle leaves: hits at the threshold are small
    numbers, not zero, and the hottest cells of order 10.
    """
    mip = float(detector.mip_energy.min())
    return min(5 * threshold, mip) if threshold > 0 else mip


def tell_tales(generated: Observables, reference: Observables) -> tuple[TellTale, ...]:
    """Return the features that tell the samples apart best on their own, the best first."""
    fake, names = high_level_features(generated)
    true, _ = high_level_features(reference)
    areas = single_feature_auc(fake, true)
    return tuple(TellTale(names[i], float(areas[i])) for i in np.argsort(-areas, kind="stable")[:_N_TOP])
