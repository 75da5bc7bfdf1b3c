"""The words in which every check is judged."""

from __future__ import annotations

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

P_LIMIT = 1e-5
"""p-value below which a difference is beyond the statistics: a report holds some two hundred."""

Z_LIMIT = 4.0
"""Likewise in standard deviations."""


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
