"""The two samples of a comparison: reading them, and refusing pairs that do not compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.physics import Observables, observe
from caloforge.progress import progress
from caloforge.showers import Incidents, ShowerFile, Showers, particle_name
from caloforge.units import GeV

MIN_SHOWERS = 50
"""Fewest showers of a sample that can be compared."""

_PIECE = 500
_DISPLAY_ENERGY = 50 * GeV


@dataclass(frozen=True)
class Sample:
    """One of the two samples of a comparison.

    Attributes:
        name: For people: the file, or what the caller calls it.
        observables: Of all its showers.
        provenance: Where it comes from.
        example: One shower for the event display: of the first particle, the closest to 50 GeV.
    """

    name: str
    observables: Observables
    provenance: dict[str, str] = field(default_factory=dict)
    example: Showers | None = None

    def __len__(self) -> int:
        return len(self.observables)


def read_sample(
    source: Showers | str | Path, name: str, detector: Detector | None = None, bar: bool = False
) -> Sample:
    """Observe showers, or the showers of a file piece by piece.

    Args:
        source: Showers, or the path of a shower file (of any size).
        name: Name of the sample in messages and in the report.
        detector: The detector, where the showers do not carry it.
        bar: Show a progress bar.

    Raises:
        FileError: If the file cannot be used.
        InputError: If the showers are empty, not finite or negative, or their detector is unknown.
    """
    if isinstance(source, Showers):
        _not_empty(len(source), name)
        showers = source.check(name)
        nearest = _nearest(showers.incidents)
        example = showers[nearest : nearest + 1]
        return Sample(name, observe(showers), dict(showers.provenance), example)
    with ShowerFile(source, detector) as file:
        _not_empty(len(file), name)
        parts = []
        with progress(f"reading {name}", len(file), enabled=bar) as shown:
            for piece in file.chunks(_PIECE):
                parts.append(observe(piece))
                shown.advance(len(piece))
        nearest = _nearest(file.incidents)
        return Sample(name, Observables.concatenate(parts), file.provenance, file.read(nearest, nearest + 1))


def _not_empty(n: int, name: str) -> None:
    if n < MIN_SHOWERS:
        raise InputError(f"{name}: {n} showers are too few to compare; at least {MIN_SHOWERS} are needed")


def _nearest(incidents: Incidents) -> int:
    distance = np.abs(np.log(incidents.energy / _DISPLAY_ENERGY))
    return int(np.argmin(np.where(incidents.pdg == incidents.pdg.min(), distance, np.inf)))


def check_pair(generated: Sample, reference: Sample) -> None:
    """Refuse samples whose difference would say nothing about the model.

    Raises:
        InputError: If detectors, particles, their mix or the incident spectra differ; naming both sides.
    """
    one, two = generated.observables, reference.observables
    if one.detector.shape != two.detector.shape or one.detector.readout != two.detector.readout:
        raise InputError(
            f"{generated.name} has detector {one.detector.name!r} {one.detector.shape}, "
            f"{reference.name} {two.detector.name!r} {two.detector.shape}: they do not compare"
        )
    if one.threshold != two.threshold:
        raise InputError(
            f"{generated.name} has a threshold of {one.threshold} MeV, {reference.name} one of "
            f"{two.threshold} MeV: compare showers of the same detector"
        )
    _check_mix(generated, reference)
    for pdg in np.unique(two.incidents.pdg):
        _check_spectrum(generated, reference, int(pdg))


def particle_counts(sample: Sample) -> dict[str, int]:
    """Return the number of showers by particle name."""
    pdgs, counts = np.unique(sample.observables.incidents.pdg, return_counts=True)
    return {particle_name(int(pdg)): int(n) for pdg, n in zip(pdgs, counts, strict=True)}


def _check_mix(generated: Sample, reference: Sample) -> None:
    one, two = particle_counts(generated), particle_counts(reference)
    noise = 5 * np.sqrt(0.25 / len(generated) + 0.25 / len(reference))
    differs = any(
        abs(one.get(name, 0) / len(generated) - two.get(name, 0) / len(reference)) > 0.02 + noise
        for name in {*one, *two}
    )
    if differs or set(one) != set(two):
        raise InputError(
            f"the particles differ: {generated.name} has {_mix(one)}, {reference.name} {_mix(two)}; "
            "generate the same mix"
        )


def _mix(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _check_spectrum(generated: Sample, reference: Sample, pdg: int) -> None:
    """Compare incident energies by the largest difference of the cumulative distributions."""
    one, two = (
        np.sort(s.observables.incidents.energy[s.observables.incidents.pdg == pdg])
        for s in (generated, reference)
    )
    grid = np.concatenate([one, two])
    below = (np.searchsorted(v, grid * (1 + 1e-5), side="right") / len(v) for v in (one, two))
    distance = float(np.abs(next(below) - next(below)).max())
    if distance > 0.03 + 2.2 * np.sqrt(1 / len(one) + 1 / len(two)):
        raise InputError(
            f"the incident energies of {particle_name(pdg)} differ: {generated.name} has {_range(one)}, "
            f"{reference.name} {_range(two)} (their cumulative distributions differ by {distance:.2f}); "
            "generate with the same spectrum"
        )


def _range(energy: Any) -> str:
    low, middle, high = (float(np.quantile(energy, q)) / GeV for q in (0, 0.5, 1))
    return f"{low:.3g} to {high:.3g} GeV (median {middle:.3g})"
