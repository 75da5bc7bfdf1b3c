"""The comparison of a sample with a reference: all numbers, no plots."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.physics import Observables, PhysicsScore, decade_edges, energy_edges, score_parts
from caloforge.showers import Showers
from caloforge.validation.bias import Bias, biases
from caloforge.validation.classifier import (
    Classifier,
    TellTale,
    boosted_trees,
    classify,
    mlp,
    tell_tales,
)
from caloforge.validation.floor import halves_scale, random_halves, resample
from caloforge.validation.inputs import Sample, check_pair, read_sample
from caloforge.validation.metrics import QUANTITIES, Histogram, Separation, compare

_SCORE_SPLITS = 5


@dataclass(frozen=True)
class Evaluation:
    """All results of a comparison.

    Attributes:
        generated: The sample that is judged.
        reference: Showers of Geant4.
        seed: Of everything random in the comparison.
        separations: Separation power of every observable.
        histograms: What they were computed from, for the figures.
        classifiers: Classifier tests.
        tell_tales: The features that tell the samples apart best on their own.
        bins: Response bias and resolution ratio in bins of energy (steps 1, 2, 5).
        decades: The same per decade of energy.
        score: The physics score and its parts.
        score_floor: The physics score between two reference samples of these sizes.
        score_floor_error: Its standard deviation.
    """

    generated: Sample
    reference: Sample
    seed: int
    separations: tuple[Separation, ...]
    histograms: tuple[Histogram, ...]
    classifiers: tuple[Classifier, ...]
    tell_tales: tuple[TellTale, ...]
    bins: tuple[Bias, ...]
    decades: tuple[Bias, ...]
    score: PhysicsScore
    score_floor: float
    score_floor_error: float

    @property
    def detector(self) -> Detector:
        """The detector of both samples."""
        return self.reference.observables.detector

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict by check: every separation and classifier, the worst bin of response and resolution."""
        found = {f"separation: {s.observable}": s.verdict for s in self.separations}
        found |= {f"AUC: {c.name}": c.verdict for c in self.classifiers if not c.skipped}
        if self.bins:
            found["response bias"] = _worst([b.verdict for b in self.bins])
            found["resolution"] = _worst([b.resolution_verdict for b in self.bins])
        return found

    @property
    def verdict(self) -> str:
        """The worst of all verdicts: `good`, `fair` or `poor`."""
        return _worst(list(self.verdicts.values()))


def _worst(verdicts: list[str]) -> str:
    return max(verdicts, key=("good", "fair", "poor").index)


def evaluate(
    generated: Showers | Sample | str | Path,
    reference: Showers | Sample | str | Path,
    seed: int = 0,
    *,
    classifier: bool = True,
    with_mlp: bool = False,
    bar: bool = False,
) -> Evaluation:
    """Compare generated showers with a reference.

    The detector's threshold is applied to both. Everything random (bootstrap samples, halves of the
    reference, folds) comes from `seed`: the same input gives the same result. Files are read piece by piece.

    Args:
        generated: Showers to judge, or the path of their file.
        reference: Showers of Geant4, or the path of their file.
        seed: Of everything random.
        classifier: Train the boosted trees (skipped, with the reason, for samples that are too small).
        with_mlp: Train a multi-layer perceptron too.
        bar: Show progress bars while reading files.

    Raises:
        FileError: If a file cannot be used.
        InputError: If a sample is too small, holds NaN or negative cells, or the two do not compare.
        MissingExtraError: If scikit-learn is not installed and a classifier is asked for.
    """
    fake, true = _sample(generated, "generated", bar), _sample(reference, "reference", bar)
    check_pair(fake, true)
    one, two = fake.observables, true.observables
    resampling = resample(len(one), len(two), np.random.default_rng((seed, 0)))
    compared = [compare(quantity, one, two, resampling) for quantity in QUANTITIES]
    tests = []
    if classifier:
        tests.append(classify("boosted trees", boosted_trees, one, two, seed))
    if with_mlp:
        tests.append(classify("MLP", mlp, one, two, seed))
    floor, floor_error = _score_floor(two, len(one), np.random.default_rng((seed, 2)))
    energies = two.incidents.energy
    return Evaluation(
        generated=fake,
        reference=true,
        seed=seed,
        separations=tuple(separation for separation, _ in compared),
        histograms=tuple(histogram for _, several in compared for histogram in several),
        classifiers=tuple(tests),
        tell_tales=tell_tales(one, two),
        bins=biases(one, two, energy_edges(energies)),
        decades=biases(one, two, decade_edges(energies)),
        score=score_parts(one, two),
        score_floor=floor,
        score_floor_error=floor_error,
    )


def _sample(source: Showers | Sample | str | Path, name: str, bar: bool) -> Sample:
    if isinstance(source, Sample):
        return source
    return read_sample(source, name if isinstance(source, Showers) else str(source), bar=bar)


def _score_floor(reference: Observables, n_generated: int, rng: np.random.Generator) -> tuple[float, float]:
    """Physics score between halves of the reference; it falls with the square root of the sample size."""
    halves = random_halves(len(reference), _SCORE_SPLITS, rng) > 0
    try:
        scores = [score_parts(reference[half], reference[~half]).total for half in halves]
    except InputError:  # the halves are too small, while the whole sample may do
        return math.nan, math.nan
    scale = math.sqrt(halves_scale(n_generated, len(reference)))
    return float(np.mean(scores)) * scale, float(np.std(scores, ddof=1)) * scale
