"""What Geant4 there is: version, physics list, data sets and their origin."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

from caloforge.geant4.data_sets import DataSets
from caloforge.geant4.kernel import geant4_version, import_geant4
from caloforge.geant4.physics import ELECTROMAGNETIC, HADRONIC


@dataclass(frozen=True)
class Installation:
    """Geant4 as CaloForge uses it here.

    Attributes:
        version: Of Geant4.
        bindings: Version of geant4-pybind.
        physics: The physics lists that can be used; the second simulates hadrons and muons.
        data_sets: Data sets with their origin.
    """

    version: str
    bindings: str
    physics: tuple[str, ...]
    data_sets: DataSets


def installation() -> Installation:
    """Look at Geant4 here; sets the environment variables of its data sets in this process.

    Raises:
        MissingExtraError: If geant4-pybind is not installed.
        Geant4Error: If a variable points to something that is not such a data set.
        FileError: If the cache cannot be written.
    """
    g4, data_sets = import_geant4()
    physics = (ELECTROMAGNETIC,) if data_sets.missing_hadronic() else (ELECTROMAGNETIC, HADRONIC)
    return Installation(geant4_version(g4), metadata.version("geant4-pybind"), physics, data_sets)
