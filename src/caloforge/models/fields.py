"""Kinds of hyper-parameters that approaches have in common, with their checks."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from caloforge.errors import CaloForgeError
from caloforge.showers import pdg_id


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        pdgs = [pdg_id(name) for name in names]
    except CaloForgeError as error:
        raise ValueError(str(error)) from error
    if len(set(pdgs)) != len(pdgs):
        raise ValueError("name each particle once")
    return names


def _odd(window: int) -> int:
    if window % 2 == 0:
        raise ValueError("the window must be odd: it has the central cell in its middle")
    return window


Count = Annotated[int, Field(ge=1)]
Part = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Particles = Annotated[tuple[str, ...], AfterValidator(_each_once)]
"""Names of particles."""
Window = Annotated[int, Field(ge=3), AfterValidator(_odd)]
"""Rows and columns around the axis."""
