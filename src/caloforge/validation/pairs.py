"""Which samples compare: refusing pairs whose difference would say nothing about the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, detector_differences
from caloforge.errors import InputError
from caloforge.showers import Incidents, IncidentSpectrum, particle_name
from caloforge.units import GeV, degree
from caloforge.validation.floor import effective_number
from caloforge.validation.inputs import Sample, particle_counts

P_SPECTRUM = 1e-6
"""p-value of the Kolmogorov-Smirnov test below which two spectra of incidents differ."""

_REACH = math.sqrt(-math.log(P_SPECTRUM / 2) / 2)
_LEAST = 20

Floats = NDArray[np.float64]


def check_pair(generated: Sample, reference: Sample) -> None:
    """Refuse samples whose difference would say nothing about the model.

    Raises:
        InputError: If detectors, particles, their mix or the incident spectra differ; naming both sides.
    """
    one, two = generated.observables, reference.observables
    check_same_detector(generated, reference)
    if not two.visible_energy.any():
        raise InputError(
            f"{reference.name}: all {len(reference)} showers are empty above {two.threshold} MeV"
        )
    if one.threshold != two.threshold:
        raise InputError(
            f"{generated.name} has a threshold of {one.threshold} MeV, {reference.name} one of "
            f"{two.threshold} MeV: compare showers of the same detector"
        )
    _check_mix(generated, reference)
    _check_declared(generated, reference)
    for pdg in np.unique(two.incidents.pdg):
        for name, unit, scale, values in _VARIABLES:
            _check_distribution(generated, reference, int(pdg), name, unit, scale, values)


def check_same_detector(one: Sample, other: Sample) -> None:
    """Raise if samples are of detectors that differ in what decides about their showers.

    Raises:
        InputError: Naming both, and in what they differ.
    """
    first, second = one.observables.detector, other.observables.detector
    differing = detector_differences(first, second)
    if differing:
        raise InputError(
            f"{one.name} has detector {first.name!r} {first.shape}, {other.name} {second.name!r} {second.shape}, which "
            f"differ in {', '.join(differing)}: they do not compare"
        )


def _check_mix(generated: Sample, reference: Sample) -> None:
    one, two = _shares(generated), _shares(reference)
    noise = 5 * math.sqrt(sum(0.25 / effective_number(s.weights) for s in (generated, reference)))
    differs = any(abs(one.get(pdg, 0) - two.get(pdg, 0)) > 0.02 + noise for pdg in {*one, *two})
    if differs or set(one) != set(two):
        raise InputError(
            f"the particles differ: {generated.name} has {_mix(generated)}, {reference.name} {_mix(reference)}; "
            "generate the same mix"
        )


def _shares(sample: Sample) -> dict[int, float]:
    pdg = sample.observables.incidents.pdg
    total = sample.weights.sum()
    return {int(one): float(sample.weights[pdg == one].sum() / total) for one in np.unique(pdg)}


def _mix(sample: Sample) -> str:
    return ", ".join(f"{n} {name}" for name, n in particle_counts(sample).items())


def _check_declared(generated: Sample, reference: Sample) -> None:
    """Compare what the files say of their spectra; Monte Carlo weights may turn one into another."""
    one, two = generated.declared, reference.declared
    if one is None or two is None or generated.weighted or reference.weighted:
        return
    differing = differences(one, two, reference.observables.detector)
    if differing:
        raise InputError(
            f"the spectra of incidents differ in {', '.join(differing)}: {generated.name} has {one.describe()}; "
            f"{reference.name} has {two.describe()}; generate with the same spectrum"
        )


def differences(one: IncidentSpectrum, two: IncidentSpectrum, detector: Detector) -> list[str]:
    """Return in what two spectra on a detector differ, empty if they are the same."""
    spectra = (one.on(detector), two.on(detector))
    pairs: dict[str, list[Sequence[float]]] = {
        "particles": [_particles(s) for s in spectra],
        "energy": [_energies(s) for s in spectra],
        "theta": [s.theta for s in spectra],
        "phi": [_turn(s) for s in spectra],
        "position": [s.rectangle for s in spectra],
    }
    return [
        name
        for name, (a, b) in pairs.items()
        if len(a) != len(b) or not np.allclose(a, b, rtol=1e-6, atol=1e-6)
    ]


def _particles(spectrum: IncidentSpectrum) -> list[float]:
    weights = spectrum.weights or (1.0,) * len(spectrum.particles)
    share = dict.fromkeys(sorted(spectrum.particles), 0.0)
    for pdg, weight in zip(spectrum.particles, weights, strict=True):
        share[pdg] += weight / math.fsum(weights)
    return [number for pair in share.items() for number in pair]


def _energies(spectrum: IncidentSpectrum) -> list[float]:
    energy = sorted(spectrum.energy)
    if len(set(energy)) == 1:
        return energy[:1]
    return [("log-uniform", "uniform", "list").index(spectrum.energies), *energy]


def _turn(spectrum: IncidentSpectrum) -> tuple[float, float]:
    """Return where the range of azimuths begins and how wide it is; the same for all full turns."""
    low, high = spectrum.phi
    if spectrum.theta[1] == 0:
        return 0.0, 0.0
    width = min(high - low, 2 * math.pi)
    full = math.isclose(width, 2 * math.pi, rel_tol=1e-6)
    return (0.0 if full else low % (2 * math.pi)), width


def _azimuth(incidents: Incidents) -> Floats:
    """Azimuths from 0 to a full turn; 0 where theta is 0."""
    slack = 1e-5
    phi = (incidents.phi.astype(np.float64) + slack) % (2 * math.pi) - slack
    return np.where(incidents.theta > 0, phi, 0.0)


_VARIABLES: tuple[tuple[str, str, float, Callable[[Incidents], Floats]], ...] = (
    ("incident energies", "GeV", GeV, lambda i: i.energy.astype(np.float64)),
    ("angles theta", "degrees", degree, lambda i: i.theta.astype(np.float64)),
    ("azimuths phi", "degrees", degree, _azimuth),
    ("impact points x", "mm", 1.0, lambda i: i.x.astype(np.float64)),
    ("impact points y", "mm", 1.0, lambda i: i.y.astype(np.float64)),
)


def _check_distribution(
    generated: Sample,
    reference: Sample,
    pdg: int,
    name: str,
    unit: str,
    scale: float,
    variable: Callable[[Incidents], Floats],
) -> None:
    """Compare a variable of the incidents by the largest difference of the (weighted) cumulative distributions."""
    sides = []
    for sample in (generated, reference):
        own = sample.observables.incidents.pdg == pdg
        sides.append((variable(sample.observables.incidents[own]), sample.weights[own]))
    numbers = [effective_number(weights) for _, weights in sides]
    if min(numbers) < _LEAST:
        return
    noise = math.sqrt(sum(1 / n for n in numbers))
    distance = _distance(*sides)
    if distance > min(_REACH * noise, 0.03 + 2.2 * noise):
        one, two = (_range(values, unit, scale) for values, _ in sides)
        raise InputError(
            f"the {name} of {particle_name(pdg)} differ: {generated.name} has {one}, {reference.name} {two} "
            f"(their cumulative distributions differ by {distance:.2f}); generate with the same spectrum"
        )


def _distance(one: tuple[Floats, Floats], two: tuple[Floats, Floats]) -> float:
    """Return the Kolmogorov-Smirnov distance of weighted values; values equal up to float32 are equal."""
    grid = np.concatenate([one[0], two[0]])
    grid = grid + 1e-5 * np.abs(grid) + 1e-6
    below = []
    for values, weights in (one, two):
        order = np.argsort(values)
        total = np.concatenate([[0.0], np.cumsum(weights[order])])
        below.append(total[np.searchsorted(values[order], grid, side="right")] / total[-1])
    return float(np.abs(below[0] - below[1]).max())


def _range(values: Floats, unit: str, scale: float) -> str:
    low, middle, high = (float(np.quantile(values, q)) / scale for q in (0, 0.5, 1))
    return f"{low:.3g} to {high:.3g} {unit} (median {middle:.3g})"
