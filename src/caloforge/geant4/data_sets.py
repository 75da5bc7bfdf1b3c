"""Which Geant4 data sets are used and where they come from: the user's own first, else CaloForge's tables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from caloforge.errors import Geant4Error
from caloforge.geant4.em_tables import SHELL_CHOICES, cache_folder, tables_hash, write_data_set

VARIABLES = {
    "G4NEUTRONHPDATA": "G4NDL",
    "G4LEDATA": "G4EMLOW",
    "G4LEVELGAMMADATA": "PhotonEvaporation",
    "G4RADIOACTIVEDATA": "RadioactiveDecay",
    "G4PARTICLEXSDATA": "G4PARTICLEXS",
    "G4PIIDATA": "G4PII",
    "G4REALSURFACEDATA": "RealSurface",
    "G4SAIDXSDATA": "G4SAIDDATA",
    "G4ABLADATA": "G4ABLA",
    "G4INCLDATA": "G4INCL",
    "G4ENSDFSTATEDATA": "G4ENSDFSTATE",
    "G4CHANNELINGDATA": "G4CHANNELING",
}
"""Variable and name of each Geant4 data set (Geant4 installation guide; geant4-pybind asks for all)."""

HADRONIC = ("G4LEVELGAMMADATA", "G4PARTICLEXSDATA", "G4ENSDFSTATEDATA")
"""What FTFP_BERT opens beside G4LEDATA."""

OURS = "CaloForge"
ABSENT = "absent"
_ELECTROMAGNETIC_FILES = ("brem_SB/br74", "epics2017/phot/pe-high-74.dat", "epics2017/rayl/re-cs-74.dat")


@dataclass(frozen=True)
class DataSet:
    """One data set: its variable, name, folder, and origin.

    Attributes:
        variable: Environment variable that Geant4 reads.
        name: Geant4's name of the data set.
        path: Folder the variable points to.
        origin: What made us choose it: the variable itself, another place, "CaloForge" or "absent".
    """

    variable: str
    name: str
    path: Path
    origin: str


@dataclass(frozen=True)
class DataSets:
    """All data sets in use.

    Attributes:
        entries: One for each variable.
        shells: Choice of photoelectric shells of CaloForge's tables.
    """

    entries: tuple[DataSet, ...]
    shells: str = SHELL_CHOICES[0]

    def __getitem__(self, variable: str) -> DataSet:
        return next(entry for entry in self.entries if entry.variable == variable)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables to set before Geant4 starts."""
        return {entry.variable: str(entry.path) for entry in self.entries}

    @property
    def electromagnetic(self) -> str:
        """Name of the electromagnetic data set: ours with its hash, or the user's folder name."""
        entry = self["G4LEDATA"]
        ours = f"CaloForge EM tables {tables_hash(self.shells)} (photoelectric shells: {self.shells})"
        return ours if entry.origin == OURS else entry.path.name

    def missing_hadronic(self) -> tuple[DataSet, ...]:
        """The data sets that FTFP_BERT needs and that are not there."""
        return tuple(self[name] for name in HADRONIC if self[name].origin in {OURS, ABSENT})


def find_data_sets(environment: Mapping[str, str] | None = None, shells: str = SHELL_CHOICES[0]) -> DataSets:
    """Find the user's data sets, and write CaloForge's own electromagnetic one where they have none.

    In this order: the data set's own environment variable, `GEANT4_DATA_DIR`, where geant4-pybind and Geant4
    install them.

    Args:
        environment: `os.environ` if not given.
        shells: Photoelectric shells that the detector asks for.

    Raises:
        Geant4Error: If a variable points to something that is not such a data set, or the user's own data do not
            have the shells that are asked for.
        FileError: If the cache cannot be written.
    """
    settings = os.environ if environment is None else environment
    ours = cache_folder() / "geant4" / f"em-{tables_hash(shells)}"
    entries: list[DataSet] = []
    for variable, name in VARIABLES.items():
        entry = _from_variable(variable, name, settings, ours) or _installed(variable, name, settings)
        if entry is None and variable == "G4LEDATA":
            entry = DataSet(variable, name, write_data_set(shells), OURS)
        elif entry is None and variable == "G4ENSDFSTATEDATA":
            entry = DataSet(variable, name, write_data_set(shells) / "ensdfstate", OURS)
        elif entry is None:
            entry = DataSet(variable, name, ours / "absent", ABSENT)
        entries.append(entry)
    found = DataSets(tuple(entries), shells)
    if shells != SHELL_CHOICES[0] and found["G4LEDATA"].origin != OURS:
        raise Geant4Error(
            f"photoelectric shells {shells!r} are a choice of CaloForge's own tables, but G4LEDATA is the user's "
            f"'{found['G4LEDATA'].path}', which has the {SHELL_CHOICES[0]} ones: change [physics] or unset G4LEDATA"
        )
    return found


def prepare(shells: str = SHELL_CHOICES[0]) -> DataSets:
    """Find the data sets and set the environment variables of this process, before Geant4 is imported.

    Args:
        shells: Photoelectric shells that the detector asks for.

    Raises:
        Geant4Error: As `find_data_sets`.
        FileError: If the cache cannot be written.
    """
    found = find_data_sets(shells=shells)
    os.environ.update(found.environment)
    return found


def _from_variable(variable: str, name: str, settings: Mapping[str, str], ours: Path) -> DataSet | None:
    value = settings.get(variable)
    if (
        not value or ours.parent in Path(value).parents
    ):  # set by an earlier call in this process or its parent
        return None
    path = Path(value)
    problem = _problem(variable, path)
    if problem:
        raise Geant4Error(
            f"{variable}={value}: {problem}; point it to Geant4's data set {name}, or unset it"
            + (" to use CaloForge's own electromagnetic tables" if variable == "G4LEDATA" else "")
        )
    return DataSet(variable, name, path, variable)


def _installed(variable: str, name: str, settings: Mapping[str, str]) -> DataSet | None:
    for folder, origin in _places(settings):
        for path in sorted(folder.glob(f"{name}[0-9]*"), reverse=True):
            if not _problem(variable, path):
                return DataSet(variable, name, path, origin)
    return None


def _places(settings: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    if settings.get("GEANT4_DATA_DIR"):
        yield Path(settings["GEANT4_DATA_DIR"]), "GEANT4_DATA_DIR"
    yield Path(settings.get("HOME") or Path.home()) / ".geant4_pybind", "geant4-pybind"
    prefixes = [settings.get("CONDA_PREFIX"), sys.prefix, _geant4_prefix(settings)]
    for prefix in dict.fromkeys(filter(None, prefixes)):
        for share in ("share/Geant4/data", "share/geant4/data"):
            yield Path(str(prefix)) / share, f"Geant4 in {prefix}"


def _geant4_prefix(settings: Mapping[str, str]) -> str | None:
    program = shutil.which("geant4-config", path=settings.get("PATH"))
    if program is None:
        return None
    answer = subprocess.run([program, "--prefix"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _problem(variable: str, path: Path) -> str:
    """Say why this folder cannot be used, empty if it can."""
    if not path.is_dir():
        return "there is no such folder"
    if variable == "G4LEDATA":
        absent = [name for name in _ELECTROMAGNETIC_FILES if not (path / name).is_file()]
        if absent:
            return f"it has no {absent[0]} (Geant4 11.4 needs G4EMLOW 8.0 or later)"
    if variable == "G4ENSDFSTATEDATA" and not (path / "ENSDFSTATE.dat").is_file():
        return "it has no ENSDFSTATE.dat"
    return ""
