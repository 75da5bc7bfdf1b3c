"""The Monte Carlo: Geant4 from PyPI, in this process or in many worker processes.

>>> from caloforge import detectors, geant4
>>> from caloforge.showers.incidents import incidents
>>> showers = geant4.simulate(detectors.load("clic-ecal"), incidents(11, 1000.0), seed=1)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from caloforge.geant4.about import Installation, installation
    from caloforge.geant4.data_sets import DataSets, find_data_sets
    from caloforge.geant4.production import produce
    from caloforge.geant4.simulation import simulate

_LAZY = {
    "DataSets": "caloforge.geant4.data_sets",
    "Installation": "caloforge.geant4.about",
    "find_data_sets": "caloforge.geant4.data_sets",
    "installation": "caloforge.geant4.about",
    "produce": "caloforge.geant4.production",
    "simulate": "caloforge.geant4.simulation",
}

__all__ = [
    "DataSets",
    "Installation",
    "find_data_sets",
    "installation",
    "produce",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'caloforge.geant4' has no attribute {name!r}")
