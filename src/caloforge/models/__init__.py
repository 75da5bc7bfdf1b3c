"""Approaches: each file is one way to model showers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from caloforge.errors import InputError, did_you_mean, require

if TYPE_CHECKING:
    from caloforge.models._base import Approach

APPROACHES = {
    "gan3d-2018": "caloforge.models.gan3d_2018:Gan3D2018",
    "gan3d": "caloforge.models.gan3d:Gan3D",
    "causal3d": "caloforge.models.causal3d:Causal3D",
    "nested3d": "caloforge.models.nested3d:Nested3D",
    "library": "caloforge.models.library:Library",
    "parametrised": "caloforge.models.parametrised:Parametrised",
}
"""Where each approach lives, by its name in recipes."""


def get(name: str) -> type[Approach[Any]]:
    """Return the class of an approach by its name.

    Raises:
        InputError: If there is none of that name.
        MissingExtraError: If torch is not installed.
    """
    if name not in APPROACHES:
        raise InputError(f"unknown approach {name!r}{did_you_mean(name, APPROACHES)}")
    require("torch", "train")
    module, _, attribute = APPROACHES[name].partition(":")
    found: type[Approach[Any]] = getattr(importlib.import_module(module), attribute)
    return found
