"""The physics score: one number for how far showers are from the reference, to choose models by."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import InputError
from caloforge.physics.correlations import layer_correlation
from caloforge.physics.distances import wasserstein
from caloforge.physics.observables import Observables, observe
from caloforge.physics.trend import Trend
from caloforge.showers import Showers, particle_name

MIN_SHOWERS = 10
"""Fewest showers of a particle in a bin of energy, in either sample, for the bin to count."""

_MAX_BINS = 3
_PER_BIN = 40
_CAP = 5.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PhysicsScore:
    """The physics score and what it is made of.

    Attributes:
        total: Mean of the parts; lower is better, infinite if a cell is not finite or negative.
        parts: By observable. For observables of single showers, the Wasserstein distance in units of the
            reference's standard deviation; for `resolution`, |ln(ratio)|; for mean profiles and the cell
            spectrum, the summed absolute difference divided by the sum; for `layer correlation`, the mean
            absolute difference. Each is averaged over particles and up to three bins of energy.
    """

    total: float
    parts: dict[str, float]


def physics_score(generated: Showers | Observables, reference: Showers | Observables) -> float:
    """Return the physics score of generated showers; lower is better.

    The detector's threshold is applied to both samples. See `score_parts`.
    """
    return score_parts(generated, reference).total


def score_parts(generated: Showers | Observables, reference: Showers | Observables) -> PhysicsScore:
    """Return the physics score with its parts.

    The dependence on energy is taken out first: the reference's mean against log energy is fitted with a
    parabola per particle and subtracted from both samples, so wide bins of energy are enough and a few
    hundred showers give a stable score. What lies across is taken from the shower axis, along and across phi.
    Between two reference samples it is not zero but a floor that falls with their size: about 0.10 for 1000 and
    1000 showers of `clic-ecal`.

    Args:
        generated: Showers to judge, or their observables.
        reference: Showers of Geant4, or their observables; about the same energies.

    Raises:
        InputError: If the samples have no particle with enough showers in common, or differ in detector.
    """
    if isinstance(generated, Showers) and not _usable(generated):
        return PhysicsScore(math.inf, {})
    first = observe(generated) if isinstance(generated, Showers) else generated
    second = observe(reference) if isinstance(reference, Showers) else reference
    if first.detector.shape != second.detector.shape:
        raise InputError(
            f"showers of shapes {first.detector.shape} and {second.detector.shape} do not compare"
        )
    found: dict[str, list[float]] = {}
    for fake, true in _bins(first, second):
        for name, value in _compare(*fake, *true).items():
            found.setdefault(name, []).append(min(value, _CAP))
    if not found:
        raise InputError(
            f"too few showers to score: at least {MIN_SHOWERS} of one particle are needed in either sample"
        )
    parts = {name: float(np.mean(values)) for name, values in found.items()}
    return PhysicsScore(float(np.mean(list(parts.values()))), parts)


def _usable(showers: Showers) -> bool:
    energies = showers.energies
    return len(energies) > 0 and bool(energies.min() >= 0 and energies.max() < np.inf)


Part = tuple[Observables, dict[str, Floats]]


def _bins(generated: Observables, reference: Observables) -> Iterator[tuple[Part, Part]]:
    missing = set(reference.incidents.pdg.tolist()) - set(generated.incidents.pdg.tolist())
    if missing:
        names = ", ".join(sorted(map(particle_name, missing)))
        raise InputError(f"the generated showers have none of {names}, which the reference has")
    for pdg in np.unique(reference.incidents.pdg):
        fake, true = (o[o.incidents.pdg == pdg] for o in (generated, reference))
        fake_features, true_features = _features(fake), _features(true)
        fake_log, true_log = np.log(fake.incidents.energy), np.log(true.incidents.energy)
        for name, values in true_features.items():
            trend = Trend(true_log, values)
            true_features[name] = values - trend(true_log)
            fake_features[name] = fake_features[name] - trend(fake_log)
        n_bins = min(max(min(len(fake), len(true)) // _PER_BIN, 1), _MAX_BINS)
        edges = np.quantile(true_log, np.arange(1, n_bins) / n_bins)
        fake_bin, true_bin = np.searchsorted(edges, fake_log), np.searchsorted(edges, true_log)
        for number in range(n_bins):
            one, two = np.flatnonzero(fake_bin == number), np.flatnonzero(true_bin == number)
            if min(len(one), len(two)) >= MIN_SHOWERS:
                yield (
                    (fake[one], {name: values[one] for name, values in fake_features.items()}),
                    (true[two], {name: values[two] for name, values in true_features.items()}),
                )


def _features(o: Observables) -> dict[str, Floats]:
    energy = o.incidents.energy.astype(np.float64)[:, None]
    columns = {
        "response": o.response,
        "depth": o.depth_x0,
        "length": o.length_x0,
        "width": o.width,
        "hits": np.log(o.hits + 1),
        "maximum cell": np.log(o.maximum.astype(np.float64) + 1e-3),
        "neighbours": o.neighbours,
        "layer energies": o.layer_energies / energy,
        "layer hits": np.sqrt(o.layer_hits),
        "centroid": o.centroid_along_phi,
        "layer centres": np.concatenate(o.along_phi(o.centre_x, o.centre_y), axis=1),
        "layer widths": np.concatenate([o.width_x, o.width_y], axis=1),
    }
    return {
        name: np.asarray(values, dtype=np.float64).reshape(len(o), -1) for name, values in columns.items()
    }


def _compare(
    fake: Observables, fake_features: dict[str, Floats], true: Observables, true_features: dict[str, Floats]
) -> dict[str, float]:
    parts = {name: _standard_distance(fake_features[name], values) for name, values in true_features.items()}
    parts["resolution"] = abs(
        math.log(
            _spread(fake.response, fake_features["response"])
            / _spread(true.response, true_features["response"])
        )
    )
    for name, part in (
        ("longitudinal profile", "layer_energies"),
        ("lateral profiles", "columns"),
        ("radial profile", "rings"),
        ("cell spectrum", "spectrum"),
    ):
        parts[name] = _relative_difference(fake, true, part)
    parts["lateral profiles"] = (parts["lateral profiles"] + _relative_difference(fake, true, "rows")) / 2
    parts["layer correlation"] = float(np.abs(layer_correlation(fake) - layer_correlation(true)).mean())
    return parts


def _standard_distance(fake: Floats, true: Floats) -> float:
    spread = true.std(axis=0)
    scale = np.where(spread > 0, spread, np.maximum(fake.std(axis=0), 1e-9))
    return float(np.minimum(wasserstein(fake / scale, true / scale), _CAP).mean())


def _spread(response: Floats, residual: Floats) -> float:
    return max(float(residual.std()) / max(float(response.mean()), 1e-9), 1e-6)


def _relative_difference(fake: Observables, true: Observables, name: str) -> float:
    """Compare means per shower; energies are taken relative to the incident energy."""
    first, second = (_mean(o, name) for o in (fake, true))
    return float(np.abs(first - second).sum() / max(second.sum(), 1e-12))


def _mean(o: Observables, name: str) -> Floats:
    values: NDArray[np.float32] = getattr(o, name)
    result: Floats = (values / o.incidents.energy[:, None]).mean(axis=0, dtype=np.float64)
    return result
