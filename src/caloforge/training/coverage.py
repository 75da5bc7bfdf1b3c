"""What a model is trained for: the intersection of approach, recipe and training showers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from caloforge.detectors import Detector, Symmetry
from caloforge.showers import Incidents, IncidentSpectrum
from caloforge.training.recipe import DataRecipe


def covered(
    training: Incidents,
    declared: IncidentSpectrum | None,
    recipe: DataRecipe,
    detector: Detector,
) -> IncidentSpectrum:
    """Return the spectrum of incidents that a model holds for.

    Args:
        training: Incidents of the training showers, held-out ones not counted.
        declared: The spectrum that the file says they were drawn from.
        recipe: Which showers the recipe selects.
        detector: Their detector.

    Returns:
        The declared spectrum, cut to what the recipe selects and to the particles of the training showers; without one,
        the ranges of the training showers, energies rounded outward.
    """
    particles = tuple(sorted({int(pdg) for pdg in training.pdg}))
    if declared is None:
        found = IncidentSpectrum.around(training)
        low, high = outward(*found.energy_range)
    else:
        found = declared.on(detector)
        low, high = found.energy_range
    low, high = max(low, recipe.energy_range[0]), min(high, recipe.energy_range[1])
    least, most = recipe.theta_range
    theta = (max(found.theta[0], least), min(found.theta[1], most))
    if found.energies == "list":
        energies = tuple(energy for energy in found.energy if low <= energy <= high)
    else:
        energies = tuple(dict.fromkeys((low, high)))
    kept = [pdg for pdg in found.particles if pdg in particles]
    return replace(found, particles=tuple(kept) or particles, energy=energies, theta=theta, weights=())


def outward(low: float, high: float) -> tuple[float, float]:
    """Round a range outward to three digits: the range that energies were drawn from, not what was drawn.

    >>> outward(1000.17, 99963.2)
    (1000.0, 100000.0)
    """

    def rounded(value: float, up: bool) -> float:
        unit = Decimal(1).scaleb(Decimal(value).adjusted() - 2)
        steps = math.ceil(Decimal(value) / unit) if up else math.floor(Decimal(value) / unit)
        return float(steps * unit)

    return rounded(float(low), up=False), rounded(float(high), up=True)


def usable_symmetries(
    detector: Detector, incidents: Incidents, conditions: Sequence[str]
) -> tuple[tuple[int, Symmetry], ...]:
    """Return the symmetries that multiply training showers, with their numbers in `detector.symmetries`.

    Those that turn an incident into one that the model can be told apart by its conditions, and those that leave all
    incidents as they are.
    """
    x, y = incidents.axis(np.array([0.0, 1.0]))
    slope = (x[:, 1] - x[:, 0], y[:, 1] - y[:, 0])
    found = []
    for number, one in enumerate(detector.symmetries):
        direction = "direction" in conditions or _leaves(one, *slope)
        if direction and ("position" in conditions or _leaves(one, incidents.x, incidents.y)):
            found.append((number, one))
    return tuple(found)


def _leaves(symmetry: Symmetry, x: np.ndarray, y: np.ndarray) -> bool:
    moved = symmetry.points(x, y)
    return all(np.allclose(one, other, atol=1e-5) for one, other in zip(moved, (x, y), strict=True))
