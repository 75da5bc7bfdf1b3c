"""What the interactive event displays of a report show: pairs of showers of the same particle and energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.showers import Incidents, particle_name
from caloforge.units import GeV, degree
from caloforge.validation.embedding import circular
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.inputs import Sample

_QUANTILES = (0.1, 0.5, 0.9)
_MAX_PARTICLES = 4
_SAME_ENERGY, _SAME_ANGLE = 0.1, 0.05
"""Differences of log energy and of direction that count as much as one of a cell."""


def displays(evaluation: Evaluation) -> dict[str, Any]:
    """Return the data of the event displays as plain numbers.

    Returns:
        `detector`: ends of what is read out in `z`, `y`, `x`, thickness of a layer, all in mm, whether it is `round`,
        and the threshold; `cells`: of those that are hit, centres in z, y, x and widths in y and x; `pairs`: per pair
        the particle and, for `reference` and `generated`, the energy in GeV, the direction in degrees, where the
        shower axis enters and how it goes on, the hit cells as places in `cells`, and their MeV. The generated shower
        is the one whose incident is the closest to the reference's.
    """
    d = evaluation.detector
    samples = {"reference": evaluation.reference, "generated": evaluation.generated}
    pairs = _pairs(evaluation.generated, evaluation.reference)
    shown = [samples[name].cells[np.array([rows[name]])] for rows in pairs for name in samples]
    hit = np.unique(np.concatenate([cells.index for cells in shown])) if shown else np.zeros(0, np.int32)
    thickness = float(np.ptp(d.z)) / (d.n_layers - 1) if d.n_layers > 1 else d.layers[0].thickness
    width, height = d.readout.half_size
    return {
        "detector": {
            "z": [round(float(d.z[0]) - thickness / 2, 3), round(float(d.z[-1]) + thickness / 2, 3)],
            "y": [-height, height],
            "x": [-width, width],
            "thickness": thickness,
            "round": circular(d),
            "threshold": evaluation.reference.observables.threshold,
        },
        "cells": np.round(_boxes(d, hit), 2).tolist(),
        "pairs": [
            {
                "particle": rows["particle"],
                **{name: _shower(sample, rows[name], hit) for name, sample in samples.items()},
            }
            for rows in pairs
        ],
    }


def _boxes(detector: Detector, cells: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return centres in z, y, x and widths in y and x of cells in mm, (n_cells, 5).

    Cells are as wide as the readout's pitch, narrower where the next one is closer (inner cells of rings).
    """
    x, y, z = detector.positions[cells].T
    closest = np.full(len(cells), np.inf)
    for following in detector.neighbours[1:]:
        there = detector.positions[np.where(following >= 0, following, np.arange(detector.n_cells))]
        apart = np.hypot(*(there - detector.positions)[:, :2].T)
        apart[apart == 0] = np.inf
        closest = np.minimum(closest, apart[cells])
    pitch_x, pitch_y = detector.readout.pitch
    narrow = np.minimum(1, closest / min(pitch_x, pitch_y))
    return np.stack([z, y, x, narrow * pitch_y, narrow * pitch_x], axis=1)


def _pairs(generated: Sample, reference: Sample) -> list[dict[str, Any]]:
    """Choose showers of the reference, and for each the generated one with the closest incident."""
    found = []
    one, two = (s.observables.incidents[: len(s.cells)] for s in (generated, reference))
    pitch = np.array(reference.observables.detector.readout.pitch)
    for pdg in np.unique(two.pdg)[:_MAX_PARTICLES]:
        fake, true = np.flatnonzero(one.pdg == pdg), np.flatnonzero(two.pdg == pdg)
        if not min(len(fake), len(true)):
            continue
        order = true[np.argsort(two.energy[true], kind="stable")]
        for row in dict.fromkeys(int(order[int(q * (len(order) - 1))]) for q in _QUANTILES):
            apart = _places(one[fake], pitch) - _places(two[np.array([row])], pitch)
            nearest = int(fake[np.argmin((apart**2).sum(axis=1))])
            found.append({"particle": particle_name(int(pdg)), "reference": row, "generated": nearest})
    return found


def _places(incidents: Incidents, pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return incidents as points whose distance says how different they are, (n, 5)."""
    sine = np.sin(incidents.theta.astype(np.float64))
    return np.stack(
        [
            np.log(incidents.energy) / _SAME_ENERGY,
            sine * np.cos(incidents.phi) / _SAME_ANGLE,
            sine * np.sin(incidents.phi) / _SAME_ANGLE,
            incidents.x / pitch[0],
            incidents.y / pitch[1],
        ],
        axis=1,
    )


def _shower(sample: Sample, row: int, hit: NDArray[np.integer]) -> dict[str, Any]:
    cells = sample.cells[np.array([row])]
    incident = sample.observables.incidents[np.array([row])]
    x, y = (places[0] for places in incident.axis(np.array([0.0, 1.0])))
    return {
        "energy": round(float(incident.energy[0]) / GeV, 3),
        "theta": round(float(incident.theta[0]) / degree, 1),
        "phi": round(float(incident.phi[0]) / degree % 360, 0),
        "entry": [round(float(y[0]), 2), round(float(x[0]), 2)],
        "slope": [round(float(y[1] - y[0]), 4), round(float(x[1] - x[0]), 4)],
        "cells": np.searchsorted(hit, cells.index).tolist(),
        "energies": [float(f"{value:.3g}") for value in cells.energy],
    }
