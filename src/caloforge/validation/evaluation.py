"""The comparison of a sample with a reference: all numbers, no plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.physics import (
    PhysicsScore,
    ResolutionFit,
    bin_of,
    decade_edges,
    energy_edges,
    fit_resolution,
    linearity,
    score_parts,
)
from caloforge.progress import progress
from caloforge.showers import Showers, particle_name
from caloforge.units import GeV
from caloforge.validation.bias import (
    BIAS_LIMIT,
    RESOLUTION_LIMIT,
    Bias,
    angle_biases,
    biases,
    mean_bias,
    mean_resolution_ratio,
    position_biases,
)
from caloforge.validation.classifier import Classifier, TellTale, classify, tell_tales
from caloforge.validation.findings import Finding, findings
from caloforge.validation.floor import resample
from caloforge.validation.histograms import Histogram
from caloforge.validation.inputs import Sample, carried_detector, read_sample
from caloforge.validation.integrity import Check, checks
from caloforge.validation.levels import LEVELS, Level
from caloforge.validation.metrics import Comparison, compare
from caloforge.validation.originality import diversity, memorisation
from caloforge.validation.pairs import check_pair
from caloforge.validation.quantities import QUANTITIES
from caloforge.validation.scores import (
    Score,
    correlation_score,
    feature_scores,
    original_score,
    physics_score_floor,
    skipped,
)
from caloforge.validation.verdict import worst

MIN_SELECTED = 200
"""Fewest showers of either sample for a particle or a range of energy to be compared on its own."""


Source = Showers | Sample | str | Path
"""Showers in memory or in a file, or a sample that was read before."""


@dataclass(frozen=True)
class Fit:
    """Resolution fit and linearity of one particle, both samples.

    Attributes:
        particle: Name of the particle.
        generated: Fit of the generated sample, or None with fewer than three bins.
        reference: Likewise of the reference.
        generated_linearity: Largest relative deviation of the response from its mean over energy.
        reference_linearity: Likewise of the reference.
    """

    particle: str
    generated: ResolutionFit | None
    reference: ResolutionFit | None
    generated_linearity: float
    reference_linearity: float


@dataclass(frozen=True)
class Evaluation:
    """All results of a comparison.

    Attributes:
        generated: The sample that is judged.
        reference: Showers of Geant4.
        training: The showers that the model was trained on, if they were given.
        seed: Of everything random in the comparison.
        level: `fast`, `default` or `full`.
        comparisons: Every observable, for all showers, per particle and in ranges of energy.
        histograms: Of all showers, for the figures.
        classifiers: Classifier tests.
        tell_tales: The features that tell the samples apart best on their own.
        bins: Response bias and resolution ratio in bins of energy (steps 1, 2, 5).
        decades: The same per decade of energy.
        angles: The same in bins of theta, if it varies.
        positions: The same in bins of |x| and |y| of the impact point, if it varies.
        fits: Resolution against energy, per particle.
        scores: Numbers for the whole of the samples: FPD, KPD, coverage, correlations, diversity, ...
        checks: Copies, empty showers, rounding, threshold.
        score: The physics score and its parts.
        score_floor: The physics score between two reference samples of these sizes.
        score_floor_error: Its standard deviation.
    """

    generated: Sample
    reference: Sample
    training: Sample | None
    seed: int
    level: str
    comparisons: tuple[Comparison, ...]
    histograms: tuple[Histogram, ...]
    classifiers: tuple[Classifier, ...]
    tell_tales: tuple[TellTale, ...]
    bins: tuple[Bias, ...]
    decades: tuple[Bias, ...]
    angles: tuple[Bias, ...]
    positions: tuple[Bias, ...]
    fits: tuple[Fit, ...]
    scores: tuple[Score, ...]
    checks: tuple[Check, ...]
    score: PhysicsScore
    score_floor: float
    score_floor_error: float

    @property
    def detector(self) -> Detector:
        """The detector of both samples."""
        return self.reference.observables.detector

    @property
    def separations(self) -> tuple[Comparison, ...]:
        """The comparisons of all showers."""
        return tuple(c for c in self.comparisons if c.selection == "all")

    @property
    def selections(self) -> tuple[str, ...]:
        """What showers were compared: `all`, particles, ranges of energy."""
        return tuple(dict.fromkeys(c.selection for c in self.comparisons))

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict by check; of an observable, the worst of all selections."""
        found: dict[str, str] = {}
        for c in self.comparisons:
            name = f"observable: {c.observable}"
            found[name] = worst([found.get(name, c.verdict), c.verdict])
        found |= {f"AUC: {c.name}, {c.features}": c.verdict for c in self.classifiers if not c.skipped}
        found |= {s.name: s.verdict for s in self.scores if not s.skipped}
        found |= {c.name: c.verdict for c in self.checks}
        for where, bins in (("", self.bins), (", theta", self.angles), (", position", self.positions)):
            if bins:
                found[f"response bias{where}"] = worst(b.verdict for b in bins)
                found[f"resolution{where}"] = worst(b.resolution_verdict for b in bins)
        return found

    @property
    def verdict(self) -> str:
        """The worst of all verdicts: `within floor`, `visible` or `wrong`."""
        return worst(self.verdicts.values())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is visible or wrong, in words, the most telling first."""
        bins = (*self.bins, *self.angles, *self.positions)
        return findings(self.comparisons, self.scores, self.checks, self.classifiers, bins)


def evaluate(
    generated: Source,
    reference: Source,
    seed: int = 0,
    *,
    level: str = "default",
    classifier: bool = True,
    training: Source | None = None,
    detector: Detector | None = None,
    pdg: int | None = None,
    bar: bool = False,
) -> Evaluation:
    """Compare generated showers with a reference.

    The detector's threshold is applied to both. Everything random (bootstrap samples, halves of the
    reference, classifiers) comes from `seed`: the same input gives the same result. Files are read piece by
    piece.

    Args:
        generated: Showers to judge, or the path of their file.
        reference: Showers of Geant4, or the path of their file.
        seed: Of everything random.
        level: `fast` (seconds), `default` (minutes) or `full` (all classifiers, all seeds).
        classifier: False leaves all classifiers out.
        training: The showers that the model was trained on: adds the test of memorisation.
        detector: The detector of all showers. If it is not given, files that do not say are taken to be of
            the detector of the others.
        pdg: PDG id of the incidents in files that do not say.
        bar: Show progress bars.

    Raises:
        FileError: If a file cannot be used.
        InputError: If a sample is too small, holds NaN or negative cells, or the two do not compare.
        MissingExtraError: If scikit-learn is not installed.
    """
    if level not in LEVELS:
        raise InputError(f"unknown level {level!r}; known are {', '.join(LEVELS)}")
    fake, true, known = _samples(generated, reference, training, detector, pdg, bar)
    check_pair(fake, true)
    comparisons, histograms = _compare_all(fake, true, seed, bar)
    # what follows knows no Monte Carlo weights: it gets showers that follow the weighted distribution
    rng = np.random.default_rng((seed, 3))
    plain_fake, plain_true = fake.unweighted(rng), true.unweighted(rng)
    one, two = plain_fake.observables, plain_true.observables
    energies, spectrum = two.incidents.energy, plain_true.spectrum
    bins = biases(one, two, energy_edges(energies))
    floor, floor_error = physics_score_floor(one, two, np.random.default_rng((seed, 2)))
    return Evaluation(
        generated=fake,
        reference=true,
        training=known,
        seed=seed,
        level=level,
        comparisons=comparisons,
        histograms=histograms,
        classifiers=_classifiers(plain_fake, plain_true, LEVELS[level], seed, bar) if classifier else (),
        tell_tales=tell_tales(one, two),
        bins=bins,
        decades=biases(one, two, decade_edges(energies)),
        angles=angle_biases(one, two, spectrum),
        positions=position_biases(one, two, spectrum),
        fits=_fits(bins),
        scores=tuple(_scores(plain_fake, plain_true, known, bins, seed)),
        checks=checks(fake, true),
        score=score_parts(one, two),
        score_floor=floor,
        score_floor_error=floor_error,
    )


def _samples(
    generated: Source,
    reference: Source,
    training: Source | None,
    detector: Detector | None,
    pdg: int | None,
    bar: bool,
) -> tuple[Sample, Sample, Sample | None]:
    sources = {"generated": generated, "reference": reference}
    if training is not None:
        sources["training"] = training
    carried = {name: detector or carried_detector(source, pdg) for name, source in sources.items()}
    known = next((one for one in (carried["reference"], *carried.values()) if one is not None), None)
    found: dict[str, Sample] = {}
    for name, source in sources.items():
        if isinstance(source, Sample):
            found[name] = source
        else:
            title = name if isinstance(source, Showers) else str(source)
            found[name] = read_sample(source, title, carried[name] or known, bar, pdg=pdg)
    return found["generated"], found["reference"], found.get("training")


def _compare_all(
    fake: Sample, true: Sample, seed: int, bar: bool
) -> tuple[tuple[Comparison, ...], tuple[Histogram, ...]]:
    comparisons: list[Comparison] = []
    histograms: list[Histogram] = []
    chosen = list(_selections(fake, true))
    with progress("observables", len(chosen) * len(QUANTITIES), "comparisons", enabled=bar) as shown:
        for number, (selection, rows) in enumerate(chosen):
            one, two = (s.select(r) for s, r in zip((fake, true), rows, strict=True))
            rng = np.random.default_rng((seed, 0, number))
            resampling = resample(len(one), len(two), rng, one.weights, two.weights)
            for quantity in QUANTITIES:
                comparison, several = compare(
                    quantity, one.observables, two.observables, resampling, selection
                )
                comparisons.append(comparison)
                if number == 0:
                    histograms += several
                shown.advance()
    return tuple(comparisons), tuple(histograms)


def _selections(
    fake: Sample, true: Sample
) -> Iterator[tuple[str, tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """All showers, then each particle and each decade of energy, if there are several."""
    samples = (fake, true)
    yield "all", (np.arange(len(fake)), np.arange(len(true)))
    pdgs = np.unique(true.observables.incidents.pdg)
    masks = [
        (particle_name(int(pdg)), [s.observables.incidents.pdg == pdg for s in samples])
        for pdg in (pdgs if len(pdgs) > 1 else [])
    ]
    edges = decade_edges(true.observables.incidents.energy)
    index = [bin_of(s.observables.incidents.energy, edges) for s in samples]
    for number in range(len(edges) - 1 if len(edges) > 2 else 0):
        low, high = edges[number] / GeV, edges[number + 1] / GeV
        masks.append((f"{low:g} to {high:g} GeV", [i == number for i in index]))
    for name, (one, two) in masks:
        rows = np.flatnonzero(one), np.flatnonzero(two)
        if min(map(len, rows)) >= MIN_SELECTED:
            yield name, rows


def _classifiers(fake: Sample, true: Sample, level: Level, seed: int, bar: bool) -> tuple[Classifier, ...]:
    found = []
    total = sum(2 * n_seeds for _, _, n_seeds in level.classifiers)
    with progress("classifiers", total, "trainings", enabled=bar) as shown:
        for key, learner, n_seeds in level.classifiers:
            shown.note(f"{learner.name}, {learner.features}")
            seeds = [seed + 1000 * number for number in range(n_seeds)]
            found.append(classify(key, learner, fake, true, seeds, shown))
    return tuple(found)


def _fits(bins: Sequence[Bias]) -> tuple[Fit, ...]:
    found = []
    for pdg in dict.fromkeys(b.reference.pdg for b in bins):
        own = [b for b in bins if b.reference.pdg == pdg]
        one, two = [b.generated for b in own], [b.reference for b in own]
        found.append(
            Fit(particle_name(pdg), fit_resolution(one), fit_resolution(two), linearity(one), linearity(two))
        )
    return tuple(found)


def _scores(
    fake: Sample, true: Sample, training: Sample | None, bins: Sequence[Bias], seed: int
) -> Iterator[Score]:
    one, two = fake.observables, true.observables
    for key, name, (value, error), middle, limit in (
        ("response_bias_mean", "response bias, mean over energies", mean_bias(bins), 0.0, BIAS_LIMIT),
        (
            "resolution_ratio_mean",
            "resolution ratio, mean over energies",
            mean_resolution_ratio(bins),
            1.0,
            RESOLUTION_LIMIT,
        ),
    ):
        if bins and not math.isnan(value):
            yield Score(key, name, value, error, middle, 0.0, limit, two_sided=True)
        else:
            yield skipped(key, name, "no bin of energy has enough showers that are not empty")
    for number, (selection, rows) in enumerate(_selections(fake, true)):
        rng = np.random.default_rng((seed, 4, number))
        yield correlation_score(one[rows[0]], two[rows[1]], rng, selection)
    yield original_score(one, two, np.random.default_rng((seed, 5)))
    yield from feature_scores(one, two, np.random.default_rng((seed, 6)))
    yield from diversity(fake, true, np.random.default_rng((seed, 7)))
    if training is not None:
        yield memorisation(fake, true, training, np.random.default_rng((seed, 8)))
    else:
        yield skipped("memorised", "memorisation", "give the showers of the training with --training")
