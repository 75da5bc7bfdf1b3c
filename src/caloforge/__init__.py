"""CaloForge: calorimeter showers from generative models, trained on and validated against Geant4.

>>> import caloforge
>>> model = caloforge.load("clic-ecal")  # doctest: +SKIP
>>> showers = model.generate(particle="e-", energy=50_000, n=100, seed=1)  # doctest: +SKIP
>>> showers.energies.shape  # doctest: +SKIP
(100, 25, 25, 25)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caloforge.detectors import Detector
    from caloforge.runtime import Model, load
    from caloforge.showers import Incidents, IncidentSpectrum, Showers, read_showers, write_showers

__version__ = "0.1.0"

_LAZY = {
    "Detector": "caloforge.detectors",
    "IncidentSpectrum": "caloforge.showers",
    "Incidents": "caloforge.showers",
    "Model": "caloforge.runtime",
    "Showers": "caloforge.showers",
    "load": "caloforge.runtime",
    "read_showers": "caloforge.showers",
    "write_showers": "caloforge.showers",
}

__all__ = [
    "Detector",
    "IncidentSpectrum",
    "Incidents",
    "Model",
    "Showers",
    "__version__",
    "load",
    "read_showers",
    "write_showers",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'caloforge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
