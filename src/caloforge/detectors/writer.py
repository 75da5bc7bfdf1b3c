"""A detector as TOML text, for files that carry their detector along."""

from __future__ import annotations

import json

from caloforge.detectors.detector import Detector, Slice, Stack


def to_toml(detector: Detector) -> str:
    """Return TOML text that reads back as the same detector.

    >>> from caloforge.detectors import load, parse
    >>> parse(to_toml(load("clic-ecal"))) == load("clic-ecal")
    True
    """
    readout = detector.readout
    lines = [
        f"name = {_text(detector.name)}",
        f"description = {_text(detector.description)}",
        f"reference = {_text(detector.reference)}",
        f"production_cut = {detector.production_cut!r}",
        f"threshold = {detector.threshold!r}",
        f"gun = {{ position = {list(detector.gun.position)!r} }}",
        "",
        "[readout]",
        f"kind = {_text(readout.kind)}",
        f"cells = {list(readout.cells)!r}",
        f"size = {list(readout.size)!r}",
    ]
    for stack in detector.stack:
        lines += _stack(stack)
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes, and DEL, which TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _stack(stack: Stack) -> list[str]:
    return [
        "",
        "[[stack]]",
        f"repeat = {stack.repeat}",
        "slices = [",
        *(f"  {_slice(plate)}," for plate in stack.slices),
        "]",
    ]


def _slice(plate: Slice) -> str:
    sensitive = ", sensitive = true" if plate.sensitive else ""
    return f"{{ material = {_text(plate.material)}, thickness = {plate.thickness!r}{sensitive} }}"
