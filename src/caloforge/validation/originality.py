"""Does the model make new showers, as varied as Geant4's? Memorisation and diversity."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError
from caloforge.physics import PooledValues
from caloforge.showers import Incidents
from caloforge.validation.embedding import Cloud, circular, nearest_image
from caloforge.validation.inputs import Sample
from caloforge.validation.pairs import check_same_detector
from caloforge.validation.scores import Score, pooled_error, skipped, too_few
from caloforge.validation.windows import Window

CLOSE = 0.01
"""Share of the reference that counts as close to the training showers."""

_SHOWERS = 2000
_SHOWERS_IN_TURNS = 1000
_MIN = 200
_GROUPS = 8
_REPETITIONS = 5


def memorisation(generated: Sample, reference: Sample, training: Sample, rng: np.random.Generator) -> Score:
    """Return the share of generated showers that are closer to a training shower than 1 % of the reference's.

    A model that has learned the distribution has 1 %; one that repeats its training showers more. Showers are compared
    in windows that follow their axes, in all ways in which the detector's symmetries turn them: one that is moved by
    whole cells, turned or mirrored is not a new one.

    Args:
        generated: Showers of the model.
        reference: Showers of Geant4 that were not trained on.
        training: Showers that were trained on.
        rng: Of the choice of showers.

    Raises:
        InputError: If the reference holds training showers.
    """
    name = "closer to training showers than 1 % of Geant4's"
    n = min(len(generated.cells), len(reference.cells))
    if n < _MIN:
        return skipped("memorised", name, too_few(n, _MIN))
    check_same_detector(training, reference)
    detector = reference.observables.detector
    most = _SHOWERS_IN_TURNS if circular(detector) else _SHOWERS
    known = _incidents(training)
    window = Window.of(training.cells, known, detector)
    distances = []
    for sample in (generated, reference):
        n_cells = len(sample.cells)
        chosen = _filled(sample, rng.choice(n_cells, min(n_cells, most), replace=False))
        distances.append(
            nearest_image(
                sample.cells[chosen], sample.observables.incidents[chosen], training.cells, known, window
            )
        )
    from_fake, from_true = distances
    copies = float((from_true < 1e-3).mean())
    if copies > 0.01:
        raise InputError(
            f"{100 * copies:.0f} % of the showers of {reference.name} are in {training.name}: give a "
            "reference that the model was not trained on"
        )
    share = float((from_fake < np.quantile(from_true, CLOSE)).mean()) if len(from_fake) else 0.0
    spread = math.sqrt(CLOSE * (1 - CLOSE))
    return Score(
        "memorised",
        name,
        share,
        max(math.sqrt(share * (1 - share)), spread) / math.sqrt(max(len(from_fake), 1)),
        CLOSE,
        spread / math.sqrt(len(from_true)),
        limit=0.04,
    )


def _incidents(sample: Sample) -> Incidents:
    """Incidents of the showers whose cells are kept."""
    return sample.observables.incidents[: len(sample.cells)]


def _filled(sample: Sample, chosen: NDArray[np.integer]) -> NDArray[np.integer]:
    lengths = np.diff(sample.cells.start)
    return np.sort(chosen[lengths[chosen] > 0])


def diversity(generated: Sample, reference: Sample, rng: np.random.Generator) -> Iterator[Score]:
    """Yield how the distances between showers of a sample compare with those between showers of Geant4.

    Showers are compared by their cells, in windows that follow their axes, with those of the same particle and a
    similar incident energy. A model that makes few kinds of showers has small distances. Two numbers: the ratio of
    the median distances, and the Wasserstein distance of the two spectra of distances over the reference's median;
    the floor of both is what two parts of the reference show, of as many showers.
    """
    names = {
        "diversity": "median distance between showers / Geant4's",
        "diversity_spectrum": "distances between showers, Wasserstein",
    }
    size = min(len(generated.cells), len(reference.cells) // 2, _SHOWERS)
    if size < _MIN:
        yield from (skipped(key, name, too_few(size, _MIN)) for key, name in names.items())
        return
    found = []
    window = Window.of(reference.cells, _incidents(reference), reference.observables.detector)
    for _ in range(_REPETITIONS):
        order = rng.permutation(len(reference.cells))
        one = _pair_distances(reference, order[:size], window)
        others = (
            _pair_distances(generated, rng.choice(len(generated.cells), size, replace=False), window),
            _pair_distances(reference, order[size : 2 * size], window),
        )
        middle = float(np.median(one))
        found.append([[float(np.median(d)) / middle, _spectrum(d, one) / middle] for d in others])
    (value, floor), error = np.mean(found, axis=0), pooled_error(np.array(found))
    for number, (key, name) in enumerate(names.items()):
        two_sided, own = key == "diversity", max(float(error[number]), 1e-3)
        expected = 1.0 if two_sided else float(floor[number])
        yield Score(key, name, float(value[number]), own, expected, own, 0.05, two_sided)


def _spectrum(one: NDArray[np.float32], two: NDArray[np.float32]) -> float:
    return float(PooledValues(one, two).wasserstein(np.ones(len(one)), np.ones(len(two))))


def _pair_distances(sample: Sample, chosen: NDArray[np.integer], window: Window) -> NDArray[np.float32]:
    """Return the distances of pairs of one particle and similar energy: neighbours in groups by energy."""
    chosen = _filled(sample, chosen)
    incidents = sample.observables.incidents
    found = []
    for pdg in np.unique(incidents.pdg[chosen]):
        own = chosen[incidents.pdg[chosen] == pdg]
        own = own[np.argsort(incidents.energy[own], kind="stable")]
        for group in np.array_split(own, max(1, min(_GROUPS, len(own) // 20))):
            if len(group) > 1:
                distance = Cloud(window.seen(sample.cells[group], incidents[group])).distances()
                found.append(distance[np.triu_indices(len(group), 1)])
    return np.concatenate(found) if found else np.zeros(1, dtype=np.float32)
