"""The score by which the original 3D GAN was tuned: summed mean relative errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.physics.observables import Observables
from caloforge.physics.response import bin_of, energy_edges

MIN_SHOWERS = 10
"""Fewest showers of either sample in a bin of energy for it to count."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gan3dScore:
    """The score of the original 3D GAN; lower is better.

    Attributes:
        total: Sum of the three parts.
        moments: Mean relative error of the mean first and second moments in x, y and z.
        profiles: Mean relative error of the cells of the mean profiles in x, y and z.
        sampling_fraction: Mean relative error of the mean visible / incident energy.
    """

    total: float
    moments: float
    profiles: float
    sampling_fraction: float


def gan3d_score(generated: Observables, reference: Observables) -> Gan3dScore | None:
    """Return the score of the original 3D GAN (Vallecorsa et al., https://github.com/svalleco/3Dgan).

    Moments are counted in cells from the edge, as there. Errors are relative to the reference, averaged over
    the axes (and cells, and moments), and over bins of incident energy in steps of 1, 2, 5; particles are
    taken together.

    Returns:
        The score, or None if no bin holds ten showers of both samples.
    """
    edges = energy_edges(reference.incidents.energy)
    bins = [bin_of(o.incidents.energy, edges) for o in (generated, reference)]
    found = []
    for number in range(len(edges) - 1):
        chosen = [np.flatnonzero(index == number) for index in bins]
        if min(map(len, chosen)) >= MIN_SHOWERS:
            found.append(_one_bin(generated[chosen[0]], reference[chosen[1]]))
    if not found:
        return None
    parts = np.mean(found, axis=0)
    return Gan3dScore(float(parts.sum()), *map(float, parts))


def _one_bin(fake: Observables, true: Observables) -> tuple[float, float, float]:
    moments, profiles = [], []
    for name in ("columns", "rows", "layer_energies"):
        (m1, p1), (m2, p2) = (_along(getattr(o, name).astype(np.float64)) for o in (fake, true))
        moments.append(_relative(m1, m2).mean())
        profiles.append(_relative(p1, p2).mean())
    fraction = _relative(fake.response.mean(), true.response.mean())
    return float(np.mean(moments)), float(np.mean(profiles)), float(fraction)


def _along(energies: Floats) -> tuple[Floats, Floats]:
    """Return the mean moments (2,) in cells and the mean profile (n_cells,) in MeV."""
    total = energies.sum(axis=1)
    full = energies[total > 0] / total[total > 0, None]
    cells = np.arange(energies.shape[1])
    first = full @ cells
    second = (full * (cells - first[:, None]) ** 2).sum(axis=1)
    moments = np.array([first.mean(), second.mean()]) if len(full) else np.zeros(2)
    return moments, energies.mean(axis=0)


def _relative(value: NDArray[np.floating] | float, reference: NDArray[np.floating] | float) -> Floats:
    value, reference = np.asarray(value), np.asarray(reference)
    zero = np.where(value > 0, 1.0, 0.0)
    found: Floats = np.divide(np.abs(value - reference), np.abs(reference), out=zero, where=reference != 0)
    return found
