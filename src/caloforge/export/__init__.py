"""Turning a trained run into one ONNX file, checked against torch, with its metadata."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caloforge.export.card import figures, replace_figures, run_card
    from caloforge.export.exporter import export_generator, export_run
    from caloforge.export.parity import Parity

_LAZY = {
    "Parity": "parity",
    "export_generator": "exporter",
    "export_run": "exporter",
    "figures": "card",
    "replace_figures": "card",
    "run_card": "card",
}

__all__ = ["Parity", "export_generator", "export_run", "figures", "replace_figures", "run_card"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"caloforge.export.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'caloforge.export' has no attribute {name!r}")
