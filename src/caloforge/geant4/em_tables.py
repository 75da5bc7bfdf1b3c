"""The electromagnetic tables that CaloForge ships, and the files that Geant4 reads them from.

The numbers and their sources are described in `data/README.md`. Geant4 wants them in the layout of its
G4EMLOW data set; `write_data_set` makes that in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import ArrayLike, NDArray

from caloforge.errors import FileError, InputError, did_you_mean
from caloforge.files import make_folder, writing

Z_MAX = 92
LAYOUT = 2
"""Version of the files written here; a new one goes to a new folder of the cache."""

SHELL_CHOICES = ("measured", "outermost")
"""From which shell the photoelectric effect takes its electron (`detectors.Physics.photoelectric_shells`).

`G4EmStandardPhysics` has no fluorescence and leaves the binding energy where the photon is absorbed. "measured"
shells, as Geant4's own data have them, leave the K shell's 69.5 keV in tungsten as often as the K shell is hit;
"outermost" gives the photoelectron the whole energy of the photon, 1 % more response in silicon.
"""

ELECTRON_MASS = 0.51099895
"""MeV (CODATA 2018)."""
AVOGADRO = 6.02214076e23
"""Per mole (SI)."""
MM2_PER_BARN = 1e-22
CM2_PER_BARN = 1e-24

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Photoelectric:
    """Photoelectric cross section of one element, doubled points at the edges.

    Attributes:
        energy: Photon energies in MeV, shape (n,).
        table: E^3 sigma in MeV^3 barn, shape (n,).
        edges: Binding energies in MeV from the innermost shell, shape (n_shells,).
        shells: E^3 sigma of each shell in MeV^3 barn on the last points of `energy`.
    """

    energy: Array
    table: Array
    edges: Array
    shells: tuple[Array, ...]


@dataclass(frozen=True)
class EmTables:
    """Electromagnetic tables for Z = 1..92.

    Attributes:
        brem_energy: Kinetic energies T of the electron in MeV, shape (n_energies,).
        brem_fraction: Photon energies as a fraction k/T, shape (n_fractions,).
        brem_table: (beta^2/Z^2) k dsigma/dk in mb, shape (92, n_fractions, n_energies).
        rayleigh_energy: Photon energies in MeV, shape (n_rayleigh,).
        rayleigh_table: E^2 sigma in MeV^2 barn, shape (92, n_rayleigh).
        photoelectric: One entry per element.
    """

    brem_energy: Array
    brem_fraction: Array
    brem_table: Array
    rayleigh_energy: Array
    rayleigh_table: Array
    photoelectric: tuple[Photoelectric, ...]


def table_bytes() -> bytes:
    """The shipped table file."""
    return (resources.files("caloforge.geant4") / "data" / "em_tables.npz").read_bytes()


@lru_cache
def load_tables() -> EmTables:
    """Read the shipped tables."""
    with (
        resources.as_file(resources.files("caloforge.geant4") / "data" / "em_tables.npz") as path,
        np.load(path, allow_pickle=False) as stored,
    ):
        data = {name: stored[name] for name in stored.files}
    photo_ends = np.cumsum(data["photo_points"])
    shell_ends = np.cumsum(data["shell_points"])
    last_shells = np.cumsum(data["shell_count"])
    elements: list[Photoelectric] = []
    for z in range(Z_MAX):
        points = slice(photo_ends[z] - data["photo_points"][z], photo_ends[z])
        first, last = last_shells[z] - data["shell_count"][z], last_shells[z]
        parts = tuple(
            data["shell_table"][shell_ends[i] - data["shell_points"][i] : shell_ends[i]].astype(float)
            for i in range(first, last)
        )
        elements.append(
            Photoelectric(
                data["photo_energy"][points],
                data["photo_table"][points].astype(float),
                data["shell_edge"][first:last],
                parts,
            )
        )
    return EmTables(
        data["brem_energy"],
        data["brem_fraction"],
        data["brem_table"].astype(float),
        data["rayleigh_energy"],
        data["rayleigh_table"].astype(float),
        tuple(elements),
    )


def _element(z: int) -> int:
    if not 1 <= z <= Z_MAX:
        raise InputError(f"no electromagnetic tables for Z = {z}; they cover 1 to {Z_MAX}")
    return z - 1


def photoelectric_cross_section(z: int, energy: ArrayLike) -> Array:
    """Photoelectric cross section in barn per atom, as Geant4 interpolates it.

    Args:
        z: Atomic number, 1 to 92.
        energy: Photon energies in MeV.

    Raises:
        InputError: If there are no tables for this element.
    """
    element = load_tables().photoelectric[_element(z)]
    photon = np.asarray(energy, dtype=float)
    return np.asarray(np.interp(photon, element.energy, element.table) / photon**3)


def rayleigh_cross_section(z: int, energy: ArrayLike) -> Array:
    """Cross section of coherent (Rayleigh) scattering in barn per atom; see `photoelectric_cross_section`.

    Raises:
        InputError: If there are no tables for this element.
    """
    tables = load_tables()
    photon = np.asarray(energy, dtype=float)
    value = np.interp(photon, tables.rayleigh_energy, tables.rayleigh_table[_element(z)])
    return np.asarray(value / photon**2)


def radiative_stopping_power(z: int, molar_mass: float, kinetic_energy: float) -> float:
    """Radiative mass stopping power of electrons in MeV cm2/g: the integral of the bremsstrahlung tables.

    The density effect and the suppression by the LPM effect are not in it (nor are they in ESTAR).

    Args:
        z: Atomic number, 1 to 92.
        molar_mass: In g/mol.
        kinetic_energy: Of the electron in MeV, within 1 keV to 1 GeV.

    Raises:
        InputError: If there are no tables for this element or energy.
    """
    tables = load_tables()
    low, high = tables.brem_energy[0], tables.brem_energy[-1]
    if not low <= kinetic_energy <= high:
        raise InputError(f"bremsstrahlung tables reach from {low} to {high} MeV, not to {kinetic_energy}")
    rows = tables.brem_table[_element(z)]
    log_energy = np.log(tables.brem_energy)
    spectrum = np.array([np.interp(np.log(kinetic_energy), log_energy, row) for row in rows])
    integral = np.sum(np.diff(tables.brem_fraction) * (spectrum[1:] + spectrum[:-1]) / 2)
    gamma = 1 + kinetic_energy / ELECTRON_MASS
    beta2 = 1 - 1 / gamma**2
    per_atom = kinetic_energy * integral * 1e-3 * z**2 / beta2
    return float(AVOGADRO / molar_mass * per_atom * CM2_PER_BARN)


def cache_folder() -> Path:
    """Folder of CaloForge's cache: `CALOFORGE_CACHE` if set, else the platform's."""
    return Path(os.environ.get("CALOFORGE_CACHE") or platformdirs.user_cache_dir("caloforge"))


@lru_cache
def tables_hash(shells: str = SHELL_CHOICES[0]) -> str:
    """Short hash that names the shipped tables, the choice of shells, and the layout of the files made of them.

    Raises:
        InputError: If `shells` is not one of `SHELL_CHOICES`.
    """
    if shells not in SHELL_CHOICES:
        raise InputError(f"photoelectric shells {shells!r}{did_you_mean(shells, SHELL_CHOICES)}")
    return hashlib.sha256(table_bytes() + f"{LAYOUT} {shells}".encode()).hexdigest()[:12]


def write_data_set(shells: str = SHELL_CHOICES[0], cache: Path | None = None) -> Path:
    """Write the tables as Geant4 reads them, once, and return the folder.

    The folder holds `brem_SB/`, `epics2017/phot/`, `epics2017/rayl/` (what G4LEDATA points to) and
    `ensdfstate/ENSDFSTATE.dat`, empty (G4ENSDFSTATEDATA). It appears whole or not at all, also when several
    processes write at the same time.

    Args:
        shells: One of `SHELL_CHOICES`.
        cache: Where to; `cache_folder()` if not given.

    Raises:
        FileError: If the cache cannot be written.
        InputError: If `shells` is not one of `SHELL_CHOICES`.
    """
    parent = make_folder((cache or cache_folder()) / "geant4")
    final = parent / f"em-{tables_hash(shells)}"
    if final.is_dir():
        return final
    with writing(parent):
        temporary = Path(tempfile.mkdtemp(prefix=".em-", dir=parent))
        try:
            _write_files(temporary, shells)
            temporary.chmod(0o755)
            try:
                temporary.rename(final)
            except OSError:  # another process was faster
                if not final.is_dir():
                    raise
        except OSError as error:
            raise FileError(
                f"cannot write Geant4's data files into the cache '{parent}': {error.strerror or error}; "
                "free some space there or set CALOFORGE_CACHE to another folder"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write_files(folder: Path, shells: str) -> None:
    tables = load_tables()
    for name in ("brem_SB", "epics2017/phot", "epics2017/rayl", "ensdfstate", "absent"):
        (folder / name).mkdir(parents=True)
    (folder / "ensdfstate" / "ENSDFSTATE.dat").write_text("")
    (folder / "absent" / "README").write_text(
        "Geant4 data sets that electromagnetic physics does not open.\n"
    )
    for z in range(1, Z_MAX + 1):
        (folder / f"brem_SB/br{z}").write_text(_brem_file(tables, z))
        for name, text in _photo_files(tables.photoelectric[z - 1], shells).items():
            (folder / f"epics2017/phot/pe-{name}-{z}.dat").write_text(text)
        table = tables.rayleigh_table[z - 1] * MM2_PER_BARN
        (folder / f"epics2017/rayl/re-cs-{z}.dat").write_text(_vector(tables.rayleigh_energy, table))


def _row(values: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def _pairs(x: Array, y: Array) -> str:
    return "".join(f"{a:.9g} {b:.9g}\n" for a, b in zip(x, y, strict=True))


def _vector(x: Array, y: Array) -> str:
    """A G4PhysicsVector in ASCII."""
    return f"{x[0]:.9g} {x[-1]:.9g} {len(x)}\n{len(x)}\n{_pairs(x, y)}"


def _brem_file(tables: EmTables, z: int) -> str:
    """For `G4SeltzerBergerModel::ReadData`: a G4Physics2DVector in (k/T, ln T)."""
    head = f"0 {len(tables.brem_fraction)} {len(tables.brem_energy)}"
    rows = [_row(row) for row in tables.brem_table[z - 1].T]
    return "\n".join([head, _row(tables.brem_fraction), _row(np.log(tables.brem_energy)), *rows]) + "\n"


def _photo_files(element: Photoelectric, shells: str) -> dict[str, str]:
    """For `G4LivermorePhotoElectricModel::ReadData`; the Emin of the fits in pe-high and pe-low bars them.

    Its `SampleSecondaries` takes the last, outermost shell if no cross section of a shell is reached: shells of
    no cross section, then, choose it always.
    """
    edges = element.edges
    never = 1e12
    count = len(edges)
    fits = f"{count} {count} {never:g}\n" + "".join(f"{edge:.9g} 0 0 0 0 0 0\n" for edge in edges)
    above = element.energy >= edges[0]
    below = ~above
    files = {"high": fits, "low": fits, "cs": _vector(element.energy[above], element.table[above])}
    if count > 1:
        if below.any():
            files["le-cs"] = _vector(element.energy[below], element.table[below])
        else:  # Li and lighter: all edges lie below the tables
            files["le-cs"] = _vector(np.array([edges[-1], edges[0]]), np.repeat(element.table[0], 2))
        text = ""
        for index, shell in enumerate(element.shells):
            energy = element.energy[-len(shell) :]
            if shells == "outermost":
                shell = np.zeros_like(shell)  # noqa: PLW2901
            text += f"{energy[0]:.9g} {energy[-1]:.9g} {len(shell)} {index}\n{_pairs(energy, shell)}"
        files["ss-cs"] = text
    return files
