"""Faults of a sample that no distribution shows well: copies, rounding, another threshold, empty showers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from caloforge.validation.cells import SparseCells
from caloforge.validation.inputs import Sample
from caloforge.validation.verdict import VISIBLE, WITHIN, WRONG

_MAX_CELLS = 200_000


@dataclass(frozen=True)
class Check:
    """A property of the generated sample beside the same property of the reference.

    Attributes:
        key: Name in `metrics.json` and in `--require`.
        name: Name for people.
        value: Of the generated sample.
        floor: Of the reference.
        verdict: As of every metric.
        finding: What is wrong, in words; empty if nothing is.
    """

    key: str
    name: str
    value: float
    floor: float
    verdict: str
    finding: str = ""


def checks(generated: Sample, reference: Sample) -> tuple[Check, ...]:
    """Look for copies, empty showers, rounded energies and another threshold."""
    return tuple(check(generated, reference) for check in _CHECKS)


def _copies(generated: Sample, reference: Sample) -> Check:
    value, floor = (_copied_share(s.cells) for s in (generated, reference))
    there = np.isin(generated.cells.fingerprints(), reference.cells.fingerprints())
    from_reference = float((there & (np.diff(generated.cells.start) > 0)).mean())
    finding = ""
    if value > floor:
        finding = f"{_percent(value)} of the showers are copies of another shower of the sample"
    if from_reference > 0:
        finding += (
            f"{'; ' if finding else ''}{_percent(from_reference)} are copies of showers of the reference"
        )
    worst = max(value, from_reference)
    verdict = WITHIN if not finding else WRONG if worst > 0.01 else VISIBLE
    return Check("copies", "copied showers", value, floor, verdict, finding)


def _copied_share(cells: SparseCells) -> float:
    """Share of showers that repeat an earlier one cell by cell; empty ones do not count."""
    prints = cells.fingerprints()[np.diff(cells.start) > 0]
    return 1 - len(np.unique(prints)) / len(prints) if len(prints) else 0.0


def _empty(generated: Sample, reference: Sample) -> Check:
    value, floor = (float((s.observables.hits == 0).mean()) for s in (generated, reference))
    error = math.sqrt(max(floor, 1 / len(reference)) * (1 / len(generated) + 1 / len(reference)))
    wrong = abs(value - floor) > 4 * error
    finding = f"{_percent(value)} of the showers are empty, {_percent(floor)} of Geant4's" if wrong else ""
    return Check("empty", "empty showers", value, floor, WRONG if wrong else WITHIN, finding)


def _rounding(generated: Sample, reference: Sample) -> Check:
    size = min(_MAX_CELLS, len(generated.cells.energy), len(reference.cells.energy))
    if size < 100:
        return Check("distinct", "distinct cell energies", math.nan, math.nan, WITHIN)
    found = [np.unique(s.cells.energy[:size]) for s in (generated, reference)]
    value, floor = (len(values) / size for values in found)
    if value > 0.8 * floor:
        return Check("distinct", "distinct cell energies", value, floor, WITHIN)
    step = float(np.median(np.diff(found[0][: max(len(found[0]) // 10, 2)]))) if len(found[0]) > 1 else 0.0
    finding = (
        f"cell energies are rounded: {len(found[0])} different values in {size} cells, where Geant4 has "
        f"{len(found[1])}; the smallest ones are {1e3 * step:.2g} keV apart"
    )
    return Check("distinct", "distinct cell energies", value, floor, WRONG, finding)


def _threshold(generated: Sample, reference: Sample) -> Check:
    energies = [s.cells.energy[:_MAX_CELLS] for s in (generated, reference)]
    name = "cells below the other sample's smallest"
    if min(map(len, energies)) < 100:
        return Check("threshold", name, math.nan, math.nan, WITHIN)
    lowest = [float(np.quantile(e, 1e-4)) for e in energies]
    missing = float((energies[1] < lowest[0]).mean())
    added = float((energies[0] < lowest[1]).mean())
    value = max(missing, added)
    finding = ""
    if value > 0.005:
        lacks, has = ("generated", "reference") if missing >= added else ("reference", "generated")
        finding = (
            f"the samples have different thresholds: the {lacks} sample has no cells below "
            f"{1e3 * max(lowest):.3g} keV, where the {has} one has {_percent(value)} of its cells"
        )
    return Check("threshold", name, value, 1e-4, WRONG if finding else WITHIN, finding)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


_CHECKS: tuple[Callable[[Sample, Sample], Check], ...] = (_copies, _empty, _rounding, _threshold)
