"""Load and run an exported model: no torch, no Geant4, no training code."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caloforge.runtime.backends import BACKENDS, Backend
    from caloforge.runtime.card import ModelCard
    from caloforge.runtime.generation import Job, generate_file
    from caloforge.runtime.library import load, names
    from caloforge.runtime.model import Model, OutOfRangeWarning
    from caloforge.runtime.model_file import ModelFile, read_card_of

_LAZY = {
    "BACKENDS": "backends",
    "Backend": "backends",
    "Job": "generation",
    "Model": "model",
    "ModelCard": "card",
    "ModelFile": "model_file",
    "OutOfRangeWarning": "model",
    "generate_file": "generation",
    "load": "library",
    "names": "library",
    "read_card_of": "model_file",
}

__all__ = [
    "BACKENDS",
    "Backend",
    "Job",
    "Model",
    "ModelCard",
    "ModelFile",
    "OutOfRangeWarning",
    "generate_file",
    "load",
    "names",
    "read_card_of",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"caloforge.runtime.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'caloforge.runtime' has no attribute {name!r}")
