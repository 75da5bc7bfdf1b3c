"""Known faults, put into good showers to prove that the validation finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.physics import Trend, from_axis
from caloforge.showers import IncidentSpectrum, Showers
from caloforge.units import degree

Generator = np.random.Generator
Cells = NDArray[np.float32]

_GROUP = 50


@dataclass(frozen=True)
class Fault:
    """A way in which a model can be wrong.

    Attributes:
        name: What is wrong.
        make: Puts it into showers.
        seen_by: The observables of which at least one must see it.
    """

    name: str
    make: Callable[[Showers, Generator], Showers]
    seen_by: tuple[str, ...]


def _with(showers: Showers, cells: NDArray[np.floating]) -> Showers:
    energies = np.ascontiguousarray(cells, dtype=np.float32).reshape(showers.energies.shape)
    return replace(showers, energies=energies)


def _detector(showers: Showers) -> Detector:
    if showers.detector is None:
        raise InputError("the detector of these showers is unknown")
    return showers.detector


def scaled(showers: Showers, factor: float) -> Showers:
    """Scale all energies."""
    return _with(showers, showers.energies * np.float32(factor))


def smeared(showers: Showers, factor: float) -> Showers:
    """Widen the response around its mean at every energy by a factor, per particle."""
    response = showers.with_threshold().visible_energy / showers.incidents.energy
    scale = np.ones(len(showers))
    for pdg in np.unique(showers.incidents.pdg):
        own = showers.incidents.pdg == pdg
        log_energy = np.log(showers.incidents.energy[own])
        mean = Trend(log_energy, response[own][:, None], order=3)(log_energy)[:, 0]
        wanted = np.maximum(mean + factor * (response[own] - mean), 0)
        scale[own] = np.divide(wanted, response[own], out=np.ones(own.sum()), where=response[own] > 0)
    return _with(showers, showers.flat * scale.astype(np.float32)[:, None])


def layer_scaled(showers: Showers, layer: int, factor: float) -> Showers:
    """Scale the energies of one layer."""
    own = _detector(showers).cell_layers == layer
    return _with(showers, showers.flat * np.where(own, factor, 1).astype(np.float32))


def widened(showers: Showers, factor: float, rng: Generator) -> Showers:
    """Move cells away from the axis by a factor, to neighbours at random, so that the mean is right."""
    detector = _detector(showers)
    shower, cell = np.nonzero(showers.flat)
    energy = showers.flat[shower, cell]
    wanted = [(factor - 1) * away for away in from_axis(detector, showers.incidents, shower, cell)]
    for following in detector.neighbours[1:]:
        for step in (following, _backwards(following)):
            there = np.where(step >= 0, step, np.arange(len(step)))[cell]
            x, y, _ = (detector.positions[there] - detector.positions[cell]).T
            length = x**2 + y**2
            share = np.divide(
                x * wanted[0] + y * wanted[1], length, out=np.zeros_like(length), where=length > 0
            )
            cell = np.where(rng.random(len(cell)) < share, there, cell)
    cells = np.bincount(shower * detector.n_cells + cell, energy, minlength=showers.flat.size)
    return _with(showers, cells.astype(np.float32))


def _backwards(following: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the previous cell of each, -1 where there is none, given the next one."""
    before = np.full_like(following, -1)
    there = following >= 0
    before[following[there]] = np.flatnonzero(there)
    return before


def duplicated(showers: Showers, share: float, rng: Generator) -> Showers:
    """Replace a share of the showers by copies of others, with their incidents."""
    n = round(share * len(showers))
    chosen = rng.permutation(len(showers))[: 2 * n]
    rows = np.arange(len(showers))
    rows[chosen[:n]] = chosen[n:]
    return showers[rows]


def shuffled(showers: Showers, rng: Generator) -> Showers:
    """Shuffle the cells of each layer."""
    cells = showers.flat.copy()
    for layer in range(_detector(showers).n_layers):
        own = _detector(showers).cell_layers == layer
        cells[:, own] = rng.permuted(cells[:, own], axis=1)
    return _with(showers, cells)


def redrawn(showers: Showers, rng: Generator) -> Showers:
    """Draw each cell independently from showers of the same particle and energy; keep the layer energies."""
    order = np.lexsort((showers.incidents.energy, showers.incidents.pdg))
    cells = np.empty_like(showers.energies)
    for start in range(0, len(order), _GROUP):
        rows = order[start : start + _GROUP]
        cells[rows] = rng.permuted(showers.energies[rows], axis=0)
    layers = replace(showers, energies=cells).layer_energies
    scale = np.divide(showers.layer_energies, layers, out=np.ones_like(layers), where=layers > 0)
    return _with(showers, cells.reshape(showers.flat.shape) * scale[:, _detector(showers).cell_layers])


def rounded(showers: Showers, step: float) -> Showers:
    """Round all cell energies to multiples of a step in MeV."""
    return _with(showers, np.round(showers.energies / np.float32(step)) * np.float32(step))


def cut(showers: Showers, threshold: float) -> Showers:
    """Leave out cells below a threshold in MeV."""
    return showers.with_threshold(threshold)


def angle_ignored(showers: Showers, rng: Generator) -> Showers:
    """Give showers the directions of others: the model draws angles, but not those that were asked for."""
    order = rng.permutation(len(showers))
    given = showers.incidents[order]
    return replace(showers, incidents=replace(showers.incidents, theta=given.theta, phi=given.phi))


def position_ignored(showers: Showers, rng: Generator) -> Showers:
    """Give showers the impact points of others."""
    order = rng.permutation(len(showers))
    given = showers.incidents[order]
    return replace(showers, incidents=replace(showers.incidents, x=given.x, y=given.y))


def tilted(showers: Showers, angle: float, rng: Generator) -> Showers:
    """Label showers with a theta that is smaller by an angle (rad): the model draws them too steep.

    Some showers are left out, so that the labels are uniform in solid angle as before; those within the angle of the
    upper end have the right label.
    """
    theta = showers.incidents.theta.astype(np.float64)
    low, high = float(theta.min()), float(theta.max())
    label = theta - angle
    shifted = np.where(label > low, np.sin(label) / np.maximum(np.sin(theta), 1e-9), 0.0)
    kept = np.where(theta > high - angle, 1.0, 0.0)
    scale = 1 / float((shifted + kept).max())
    drawn = rng.random(len(showers))
    change = drawn < scale * shifted
    stay = ~change & (drawn < scale * (shifted + kept))
    chosen = np.flatnonzero(change | stay)
    given = np.where(change, label, theta)[chosen].astype(np.float32)
    found = showers[chosen]
    return replace(found, incidents=replace(found.incidents, theta=given))


_AXIS = (
    "centroid along phi",
    "centroid across phi",
    "moment 1 x",
    "moment 1 y",
    "radial profile",
    "hottest radii",
)
"""Observables around the shower axis."""


def known_faults(threshold: float, layer: int, spectrum: IncidentSpectrum | None = None) -> tuple[Fault, ...]:
    """Return the faults of the proof.

    Args:
        threshold: Of the detector, in MeV.
        layer: A layer near the shower maximum.
        spectrum: Of the incidents: adds faults of angles and impact points where they vary.
    """
    step = 2 * threshold / 3
    found = [
        Fault(
            "energy scale +1 %",
            lambda s, _: scaled(s, 1.01),
            ("response", "response bias, mean over energies"),
        ),
        Fault(
            "resolution 10 % worse",
            lambda s, _: smeared(s, 1.1),
            ("response", "resolution ratio, mean over energies"),
        ),
        Fault(
            f"layer {layer} +3 %",
            lambda s, _: layer_scaled(s, layer, 1.03),
            ("layer fractions", "longitudinal profile"),
        ),
        Fault(
            "lateral scale +5 %",
            lambda s, rng: widened(s, 1.05, rng),
            ("width", "containment 90 %", "radial profile"),
        ),
        Fault("2 % of showers duplicated", lambda s, rng: duplicated(s, 0.02, rng), ("copied showers",)),
        Fault("cells shuffled within their layer", shuffled, ("width", "radial profile", "neighbours")),
        Fault(
            "cells redrawn independently",
            redrawn,
            ("neighbours", "next neighbours", "hit neighbours"),
        ),
        Fault(
            f"energies rounded to {1e3 * step:g} keV",
            lambda s, _: rounded(s, step),
            ("distinct cell energies",),
        ),
        Fault(
            f"threshold at {2e3 * threshold:g} keV",
            lambda s, _: cut(s, 2 * threshold),
            ("cells below the other sample's smallest",),
        ),
    ]
    if spectrum is not None and spectrum.theta[0] < spectrum.theta[1]:
        found += [
            Fault("angle ignored", angle_ignored, _AXIS),
            Fault("theta off by 2 degrees", lambda s, rng: tilted(s, 2 * degree, rng), _AXIS),
        ]
    if spectrum is not None and len(spectrum.position) != 2:
        found.append(Fault("position ignored", position_ignored, _AXIS))
    return tuple(found)
