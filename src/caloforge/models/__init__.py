"""Approaches: each package in this room is one way to model showers.

The contract (`Approach`, `Generator`, ...) is public: other packages offer approaches by entry points of the group
`caloforge.approaches`, and test them with `caloforge.testing`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caloforge.models.registry import get, names

if TYPE_CHECKING:
    from caloforge.models.conditions import check_sample, varying
    from caloforge.models.contract import (
        Approach,
        ApproachConfig,
        Batch,
        FittedApproach,
        FittedConfig,
        Generator,
        Step,
        StepRandom,
    )

_LAZY = {
    **dict.fromkeys(("check_sample", "varying"), "conditions"),
    **dict.fromkeys(
        (
            "Approach",
            "ApproachConfig",
            "Batch",
            "FittedApproach",
            "FittedConfig",
            "Generator",
            "Step",
            "StepRandom",
        ),
        "contract",
    ),
}

__all__ = [
    "Approach",
    "ApproachConfig",
    "Batch",
    "FittedApproach",
    "FittedConfig",
    "Generator",
    "Step",
    "StepRandom",
    "check_sample",
    "get",
    "names",
    "varying",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"caloforge.models.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'caloforge.models' has no attribute {name!r}")
