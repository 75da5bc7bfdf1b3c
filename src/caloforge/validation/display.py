"""What the interactive event displays of a report show: pairs of showers of the same particle and energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.showers import particle_name
from caloforge.units import GeV
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.inputs import Sample

_QUANTILES = (0.1, 0.5, 0.9)
_MAX_PARTICLES = 4


def displays(evaluation: Evaluation) -> dict[str, Any]:
    """Return the data of the event displays as plain numbers.

    Returns:
        `detector`: shape, centres of the layers in `z` and of the cells of a layer in `y` and `x`, sizes of a
        cell in z, y, x, all in mm, and the threshold; `pairs`: per pair the
        particle and, for `reference` and `generated`, the energy in GeV, the cells hit and their MeV. The
        generated shower is the one whose energy is the closest to the reference's.
    """
    d = evaluation.detector
    detector = {
        "shape": list(d.shape),
        "z": np.round(d.z, 3).tolist(),
        "size": [float(np.ptp(d.z)) / max(len(d.z) - 1, 1) or 1.0, *d.readout.size],
        "y": np.round(d.cell_y, 2).ravel().tolist(),
        "x": np.round(d.cell_x, 2).ravel().tolist(),
        "threshold": evaluation.reference.observables.threshold,
    }
    return {"detector": detector, "pairs": _pairs(evaluation.generated, evaluation.reference)}


def _pairs(generated: Sample, reference: Sample) -> list[dict[str, Any]]:
    found = []
    one, two = (s.observables.incidents[: len(s.cells)] for s in (generated, reference))
    for pdg in np.unique(two.pdg)[:_MAX_PARTICLES]:
        fake, true = np.flatnonzero(one.pdg == pdg), np.flatnonzero(two.pdg == pdg)
        if not min(len(fake), len(true)):
            continue
        order = true[np.argsort(two.energy[true], kind="stable")]
        for row in dict.fromkeys(order[int(q * (len(order) - 1))] for q in _QUANTILES):
            nearest = fake[_nearest(one.energy[fake], float(two.energy[row]))]
            found.append(
                {
                    "particle": particle_name(int(pdg)),
                    "reference": _shower(reference, int(row)),
                    "generated": _shower(generated, int(nearest)),
                }
            )
    return found


def _nearest(energies: NDArray[np.floating], wanted: float) -> int:
    return int(np.argmin(np.abs(np.log(energies / wanted))))


def _shower(sample: Sample, row: int) -> dict[str, Any]:
    start, stop = sample.cells.start[row : row + 2]
    return {
        "energy": round(float(sample.observables.incidents.energy[row]) / GeV, 3),
        "cells": sample.cells.index[start:stop].tolist(),
        "energies": [float(f"{value:.3g}") for value in sample.cells.energy[start:stop]],
    }
