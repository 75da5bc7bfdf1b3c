"""The words in which every check is judged."""

from __future__ import annotations

import math
from collections.abc import Iterable

WITHIN = "within floor"
"""No difference from Geant4 beyond what two samples of Geant4 show."""

VISIBLE = "visible"
"""A difference beyond the statistics, but a small one."""

WRONG = "wrong"
"""A difference beyond the statistics, and a large one."""

NOT_TESTED = "not tested"
"""No result: too few showers, or something is not installed."""

LEVELS = (WITHIN, VISIBLE, WRONG)

FALSE_ALARMS = 0.01
"""Share of reports on two samples of Geant4 in which the tests of observables find a difference."""

TESTS = 200
"""Tests of observables in a report: 41 observables of all showers, of two particles and in two decades."""

P_LIMIT = FALSE_ALARMS / TESTS
"""p-value below which a difference is beyond the statistics (Bonferroni)."""

Z_LIMIT = 4.0
"""Likewise in standard deviations: p = 6e-5."""


def pull(excess: float, *errors: float) -> float:
    """Return a difference in standard deviations, its errors added in quadrature."""
    return excess / max(math.hypot(*errors), 1e-12)


def judge(significant: bool, large: bool) -> str:
    """Return the verdict on a difference."""
    if not significant:
        return WITHIN
    return WRONG if large else VISIBLE


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst verdict; what was not tested does not count.

    >>> worst(["visible", "not tested", "within floor"])
    'visible'
    """
    tested = [verdict for verdict in verdicts if verdict in LEVELS]
    return max(tested, key=LEVELS.index) if tested else NOT_TESTED
