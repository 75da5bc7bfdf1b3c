"""What of an incident a model can be conditioned on, and what of it varies in a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caloforge.errors import InputError, did_you_mean
from caloforge.showers import CONDITIONS, Condition, Incidents, particle_name

ROUNDING = 1e-5
"""rad and mm: smaller differences between incidents are rounding."""


def varying(incidents: Incidents) -> tuple[Condition, ...]:
    """Return the conditions in which incidents differ from each other.

    The azimuth of an incident along the layer normal means nothing.
    """

    def differ(*columns: np.ndarray) -> bool:
        return any(len(column) > 0 and float(np.ptp(column)) > ROUNDING for column in columns)

    x, y = incidents.axis(np.ones(1))
    slopes = (x[:, 0] - incidents.x, y[:, 0] - incidents.y)
    found: list[Condition] = []
    if len(np.unique(incidents.pdg)) > 1:
        found.append("particle")
    if len(incidents) and float(np.ptp(incidents.energy)) > 1e-6 * float(incidents.energy.max()):
        found.append("energy")
    if differ(*slopes):
        found.append("direction")
    if differ(incidents.x, incidents.y):
        found.append("position")
    return tuple(found)


def check_conditions(conditions: Sequence[str], supported: Sequence[str], approach: str) -> None:
    """Raise if conditions are not among those that an approach supports.

    Raises:
        InputError: Naming the first that is not.
    """
    for name in conditions:
        if name not in CONDITIONS:
            raise InputError(f"unknown condition {name!r}{did_you_mean(name, CONDITIONS)}")
        if name not in supported:
            raise InputError(
                f"approach {approach!r} cannot be conditioned on {name!r} here: it supports {', '.join(supported)}"
            )


def check_central(incidents: Incidents, supported: Sequence[str], approach: str) -> None:
    """Raise if all incidents are tilted alike, or beside the centre, and an approach cannot be conditioned on that.

    Those that vary in it are refused by `check_sample`.

    Raises:
        InputError: Saying which.
    """
    for name, columns, what in (
        ("direction", (incidents.theta,), "along the layer normal"),
        ("position", (incidents.x, incidents.y), "at (0, 0)"),
    ):
        if (
            name not in supported
            and name not in varying(incidents)
            and any((np.abs(column) > ROUNDING).any() for column in columns)
        ):
            raise InputError(
                f"approach {approach!r} knows incidents {what} only, and the training showers hold others: use "
                "another approach"
            )


def check_sample(
    incidents: Incidents, conditions: Sequence[str], pdgs: Sequence[int], approach: str, source: str
) -> None:
    """Raise if incidents vary in what a model is not conditioned on, or have particles that it does not know.

    Args:
        incidents: Of the training showers.
        conditions: What the model is conditioned on.
        pdgs: PDG ids that it knows.
        approach: Its approach, for the message.
        source: Where the showers come from, for the message.

    Raises:
        InputError: Saying what varies and what to do.
    """
    strangers = sorted(set(incidents.pdg.tolist()) - set(pdgs))
    if strangers:
        raise InputError(
            f"{source} holds {', '.join(map(particle_name, strangers))}, but model.particles are "
            f"{', '.join(map(particle_name, pdgs))}: add them there, or choose showers by data.particles"
        )
    undeclared = [name for name in varying(incidents) if name not in conditions]
    if undeclared:
        raise InputError(
            f"{source}: the incidents vary in {', '.join(undeclared)}, but {approach!r} is conditioned on "
            f"{', '.join(conditions) or 'nothing'} here: take showers that do not vary in it, or an approach "
            "(and model.conditions) that is conditioned on it"
        )
