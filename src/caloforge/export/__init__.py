"""Turning a trained run into a model: an ONNX file, checked against torch, and its weights."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caloforge.export.card import figures, replace_figures, run_card
    from caloforge.export.exporter import export_generator, export_run, write_weights
    from caloforge.export.parity import Parity

_LAZY = {
    "Parity": "parity",
    "export_generator": "exporter",
    "export_run": "exporter",
    "figures": "card",
    "replace_figures": "card",
    "run_card": "card",
    "write_weights": "exporter",
}

__all__ = [
    "Parity",
    "export_generator",
    "export_run",
    "figures",
    "replace_figures",
    "run_card",
    "write_weights",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"caloforge.export.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'caloforge.export' has no attribute {name!r}")
