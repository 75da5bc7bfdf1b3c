"""Known faults, put into good showers to prove that the validation finds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import Trend
from caloforge.showers import Showers

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
    return replace(showers, energies=np.ascontiguousarray(cells, dtype=np.float32))


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
    return _with(showers, showers.energies * scale.astype(np.float32)[:, None, None, None])


def layer_scaled(showers: Showers, layer: int, factor: float) -> Showers:
    """Scale the energies of one layer."""
    cells = showers.energies.copy()
    cells[:, layer] *= np.float32(factor)
    return _with(showers, cells)


def widened(showers: Showers, factor: float, rng: Generator) -> Showers:
    """Move cells away from the axis by a factor, to whole cells at random, so that the mean is right."""
    n, n_layers, n_rows, n_columns = showers.energies.shape
    place = np.nonzero(showers.energies)
    moved = []
    for index, size in ((place[2], n_rows), (place[3], n_columns)):
        middle = (size - 1) / 2
        wanted = middle + factor * (index - middle)
        moved.append(np.clip(np.floor(wanted + rng.random(len(index))), 0, size - 1).astype(np.intp))
    flat = np.ravel_multi_index((place[0], place[1], *moved), (n, n_layers, n_rows, n_columns))
    cells = np.bincount(flat, showers.energies[place], minlength=showers.energies.size)
    return _with(showers, cells.reshape(showers.energies.shape).astype(np.float32))


def duplicated(showers: Showers, share: float, rng: Generator) -> Showers:
    """Replace a share of the showers by copies of others, with their incidents."""
    n = round(share * len(showers))
    chosen = rng.permutation(len(showers))[: 2 * n]
    rows = np.arange(len(showers))
    rows[chosen[:n]] = chosen[n:]
    return showers[rows]


def shuffled(showers: Showers, rng: Generator) -> Showers:
    """Shuffle the cells of each layer."""
    cells = showers.energies.reshape(*showers.energies.shape[:2], -1)
    return _with(showers, rng.permuted(cells, axis=2).reshape(showers.energies.shape))


def redrawn(showers: Showers, rng: Generator) -> Showers:
    """Draw each cell independently from showers of the same particle and energy; keep the layer energies."""
    order = np.lexsort((showers.incidents.energy, showers.incidents.pdg))
    cells = np.empty_like(showers.energies)
    for start in range(0, len(order), _GROUP):
        rows = order[start : start + _GROUP]
        cells[rows] = rng.permuted(showers.energies[rows], axis=0)
    layers = cells.sum(axis=(2, 3), dtype=np.float64)
    scale = np.divide(showers.layer_energies, layers, out=np.ones_like(layers), where=layers > 0)
    return _with(showers, cells * scale[..., None, None])


def rounded(showers: Showers, step: float) -> Showers:
    """Round all cell energies to multiples of a step in MeV."""
    return _with(showers, np.round(showers.energies / np.float32(step)) * np.float32(step))


def cut(showers: Showers, threshold: float) -> Showers:
    """Leave out cells below a threshold in MeV."""
    return showers.with_threshold(threshold)


def known_faults(threshold: float, layer: int) -> tuple[Fault, ...]:
    """Return the faults of the proof.

    Args:
        threshold: Of the detector, in MeV.
        layer: A layer near the shower maximum.
    """
    step = 2 * threshold / 3
    return (
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
    )
