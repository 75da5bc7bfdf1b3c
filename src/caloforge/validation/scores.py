"""Numbers for the whole of two samples: distances, coverage, correlations, each with its floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError
from caloforge.physics import (
    Observables,
    fpd,
    gan3d_score,
    kpd,
    layer_correlation,
    manifold,
    score_parts,
)
from caloforge.validation.features import high_level_features
from caloforge.validation.floor import SPLITS, halves_scale, random_halves
from caloforge.validation.quantities import slug
from caloforge.validation.verdict import NOT_TESTED, Z_LIMIT, judge, pull

MIN_SHOWERS = 400
"""Fewest showers of either sample for the distances of feature vectors to say something."""

_SPLITS = 5
_DISTANCE_SPLITS = 3
_MANIFOLD = 3000

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """One number for two samples, and the same for two samples of the reference.

    Attributes:
        key: Name in `metrics.json` and in `--require`.
        name: Name for people.
        value: The number; nan without a result.
        error: Its statistical error.
        floor: Its value between two reference samples.
        floor_error: Its standard deviation.
        limit: Distance from the floor above which a significant difference is `wrong`.
        two_sided: Whether a value below the floor is a difference too.
        skipped: Why there is no result, if there is none.
    """

    key: str
    name: str
    value: float
    error: float
    floor: float
    floor_error: float
    limit: float
    two_sided: bool = False
    skipped: str = ""

    @property
    def excess(self) -> float:
        """Difference from the floor."""
        return self.value - self.floor

    @property
    def significance(self) -> float:
        """Excess in standard deviations."""
        return pull(self.excess, self.error, self.floor_error)

    @property
    def verdict(self) -> str:
        """`within floor` up to 4 standard deviations, `wrong` if farther than the limit, else `visible`."""
        if self.skipped:
            return NOT_TESTED
        z, difference = (
            (abs(self.significance), abs(self.excess)) if self.two_sided else (self.significance, self.excess)
        )
        return judge(not math.isfinite(self.value) or z > Z_LIMIT, not difference < self.limit)


def skipped(key: str, name: str, reason: str) -> Score:
    """Return a score without a result."""
    return Score(key, name, math.nan, math.nan, math.nan, math.nan, math.inf, skipped=reason)


def too_few(n: int, least: int = MIN_SHOWERS) -> str:
    """Return what a test says that is skipped for want of showers."""
    return f"{n} showers are too few; at least {least} of either sample are needed"


def physics_score_floor(
    generated: Observables, reference: Observables, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the physics score between halves of the reference, scaled to the sample sizes, and its error."""
    try:
        floors = [
            score_parts(reference[half], reference[~half]).total for half in _halves(len(reference), rng)
        ]
    except InputError:  # the halves are too small, while the whole sample may do
        return math.nan, math.nan
    scale = math.sqrt(halves_scale(len(generated), len(reference)))
    return float(np.mean(floors)) * scale, float(np.std(floors, ddof=1)) * scale


def _halves(n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    return random_halves(n, _SPLITS, rng) > 0


def correlation_score(
    generated: Observables, reference: Observables, rng: np.random.Generator, selection: str = "all"
) -> Score:
    """Return the root mean square difference of the layer-energy correlation matrices.

    Args:
        generated: Showers to judge.
        reference: Showers of Geant4.
        rng: Of the halves for the floor.
        selection: What the showers are called: `all`, a particle or a range of energy.
    """

    def difference(one: Observables, two: Observables) -> float:
        return float(np.sqrt(((layer_correlation(one) - layer_correlation(two)) ** 2).mean()))

    key, name = "layer_correlation", "layer correlation"
    if selection != "all":
        key, name = f"{key}_{slug(selection)}", f"{name}, {selection}"
    return _scaled(key, name, difference, generated, reference, rng, limit=0.05)


def original_score(generated: Observables, reference: Observables, rng: np.random.Generator) -> Score:
    """Return the score of the original 3D GAN."""

    def total(one: Observables, two: Observables) -> float:
        found = gan3d_score(one, two)
        return found.total if found else math.nan

    score = _scaled("gan3d_score", "original 3D GAN's score", total, generated, reference, rng, limit=0.1)
    if math.isnan(score.value):
        return skipped(score.key, score.name, "no energy bin has ten showers of both samples")
    return score


def _scaled(
    key: str,
    name: str,
    distance: Callable[[Observables, Observables], float],
    generated: Observables,
    reference: Observables,
    rng: np.random.Generator,
    limit: float,
) -> Score:
    """Take the floor from halves: these distances fall with the square root of the sample size."""
    scale = math.sqrt(halves_scale(len(generated), len(reference)))
    halves = random_halves(len(reference), SPLITS, rng) > 0
    floors = [scale * distance(reference[half], reference[~half]) for half in halves]
    spread = float(np.std(floors, ddof=1))
    return Score(key, name, distance(generated, reference), spread, float(np.mean(floors)), spread, limit)


def feature_scores(
    generated: Observables, reference: Observables, rng: np.random.Generator
) -> Iterator[Score]:
    """Yield FPD, KPD, precision, recall, density and coverage on high-level features."""
    names = {
        "fpd": "FPD",
        "kpd": "KPD",
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
    }
    n = min(len(generated), len(reference))
    if n < MIN_SHOWERS:
        yield from (skipped(key, name, too_few(n)) for key, name in names.items())
        return
    fake, true = (high_level_features(o)[0].astype(np.float64) for o in (generated, reference))
    halves = _halves(len(true), rng)[:_DISTANCE_SPLITS]
    scale = halves_scale(len(fake), len(true))  # what is left of the bias and the noise falls like 1/n
    for key, distance, limit in (("fpd", fpd, 3e-3), ("kpd", kpd, 3e-3)):
        value, error = distance(true, fake, rng)
        floors = scale * np.array([distance(true[half], true[~half], rng) for half in halves])
        floor_error = max(float(floors[:, 0].std(ddof=1)), float(floors[:, 1].mean()))
        yield Score(key, names[key], value, error, float(floors[:, 0].mean()), floor_error, limit)
    spread = true.std(axis=0)
    unit = np.where(spread > 0, spread, 1.0)
    fake, true = (v / unit for v in (fake, true))
    size = min(len(fake), len(true) // 2, _MANIFOLD)
    found = np.array([_manifolds(fake, true, size, rng) for _ in range(_SPLITS)])
    mean, noise = found.mean(axis=0), pooled_error(found)
    for number, key in enumerate(("precision", "recall", "density", "coverage")):
        yield Score(
            key,
            names[key],
            float(mean[0, number]),
            float(noise[number]),
            float(mean[1, number]),
            float(noise[number]),
            limit=0.1,
            two_sided=True,
        )


def pooled_error(found: Features) -> Features:
    """Return the standard deviation of repeated results, of generated and reference showers together.

    Few repetitions know their own spread badly, and both samples have the same.

    Args:
        found: (n_repetitions, 2, ...), the second axis for the two samples.

    Returns:
        Shape (...).
    """
    error: Features = np.sqrt(found.var(axis=0, ddof=1).mean(axis=0))
    return error


def _manifolds(
    fake: Features, true: Features, size: int, rng: np.random.Generator
) -> list[tuple[float, float, float, float]]:
    """Return the four numbers for the generated sample and for another part of the reference.

    Both are held against the same part of the reference, so they have the same size and share their noise.
    """
    order = rng.permutation(len(true))
    one = true[order[:size]]
    others = (fake[rng.choice(len(fake), size, replace=False)], true[order[size : 2 * size]])
    results = (manifold(other, one) for other in others)
    return [(m.precision, m.recall, m.density, m.coverage) for m in results]
