"""Approaches by name: those of CaloForge and those that other packages offer."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from caloforge.errors import InputError, did_you_mean, require

if TYPE_CHECKING:
    from caloforge.models.contract import Approach

GROUP = "caloforge.approaches"
"""Group of entry points under which a package offers approaches: `name = "package.module:Class"`."""

OWN = {
    "gan3d": "caloforge.models.gan3d:Gan3D",
    "gan3d-2018": "caloforge.models.gan3d_2018:Gan3D2018",
    "library": "caloforge.models.library:Library",
    "nested3d": "caloforge.models.nested3d:Nested3D",
    "parametrised": "caloforge.models.parametrised:Parametrised",
}
"""Where CaloForge's own approaches live."""


@lru_cache
def _offered() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """Names of all approaches, as recipes write them."""
    return tuple(sorted({*OWN, *_offered()}))


def get(name: str) -> type[Approach[Any]]:
    """Return the class of an approach by its name.

    Raises:
        InputError: If there is none of that name, or what another package offers cannot be loaded.
        MissingExtraError: If torch is not installed.
    """
    if name not in names():
        raise InputError(f"unknown approach {name!r}{did_you_mean(name, names())}")
    require("torch", "train")
    if name in OWN:
        module, _, attribute = OWN[name].partition(":")
        found: type[Approach[Any]] = getattr(importlib.import_module(module), attribute)
        return found
    point = _offered()[name]
    try:
        offered: type[Approach[Any]] = point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"approach {name!r} of {point.value!r} cannot be loaded: {error}") from error
    return offered
