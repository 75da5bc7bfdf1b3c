"""A detector as TOML text, for files that carry their detector along."""

from __future__ import annotations

import tomli_w
from pydantic import TypeAdapter

from caloforge.detectors.detector import Detector


def to_toml(detector: Detector) -> str:
    """Return TOML text that reads back as the same detector.

    >>> from caloforge.detectors import load, parse
    >>> parse(to_toml(load("clic-ecal"))) == load("clic-ecal")
    True
    """
    plain = TypeAdapter(Detector).dump_python(detector, mode="json", exclude_none=True)
    defaults = {"description": "", "reference": "", "margin": 0.0, "material": []}
    kept = {key: value for key, value in plain.items() if defaults.get(key) != value}
    return tomli_w.dumps(kept)
