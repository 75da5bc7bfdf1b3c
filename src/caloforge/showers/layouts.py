"""Layouts of HDF5 shower files: ours (the CaloChallenge's with additions) and the original 3D GAN's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from caloforge.errors import FileError
from caloforge.showers.incidents import Incidents, incidents
from caloforge.units import GeV

CALOCHALLENGE = "CaloChallenge"
"""Name of the layout without `incident_pdg`."""

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """How one kind of file stores showers.

    Attributes:
        kind: Name of the layout for people.
        n_showers: Number of showers in the file.
        shape: Axes of a shower if the layout fixes them.
        n_cells: Number of cells of a shower.
        incidents: Reads all incidents, given the particle for where the file does not name it (None: an error).
        energies: Reads showers `start` to `stop` in MeV, shape (n, n_cells) or (n, *shape).
    """

    kind: str
    n_showers: int
    shape: tuple[int, ...] | None
    n_cells: int
    incidents: Callable[[int | None], Incidents]
    energies: Callable[[int, int], Array]


def recognise(file: h5py.File, path: str) -> Layout:
    """Find out which layout an open file has.

    Raises:
        FileError: If it has none of the known layouts or its datasets contradict each other.
    """
    if "ECAL" in file:
        return _gan3d(file, path)
    if "showers" in file or "incident_energies" in file:
        return _calochallenge(file, path)
    names = ", ".join(repr(name) for name in file) or "nothing"
    raise FileError(
        f"'{path}' is not a shower file: it has neither 'showers' with 'incident_energies' (CaloForge, "
        f"CaloChallenge) nor 'ECAL' with 'target' or 'energy' (original 3D GAN); it holds {names}"
    )


def _dataset(file: h5py.File, name: str, path: str) -> h5py.Dataset:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset):
        raise FileError(f"'{path}': dataset '{name}' is missing")
    if found.dtype.kind not in "fiu":
        raise FileError(f"'{path}': dataset '{name}' holds {found.dtype}, not numbers")
    return found


def _column(dataset: h5py.Dataset, n: int, path: str) -> NDArray[Any]:
    if dataset.shape not in {(n,), (n, 1)}:
        raise FileError(
            f"'{path}': dataset '{dataset.name[1:]}' has shape {dataset.shape}, expected ({n},) or ({n}, 1) "
            f"for {n} showers"
        )
    return np.asarray(dataset[()]).reshape(n)


def _calochallenge(file: h5py.File, path: str) -> Layout:
    showers = _dataset(file, "showers", path)
    energies = _dataset(file, "incident_energies", path)
    if showers.ndim != 2 or showers.shape[1] == 0:
        raise FileError(f"'{path}': dataset 'showers' has shape {showers.shape}, expected (showers, cells)")
    n, n_cells = showers.shape

    def read_incidents(pdg: int | None) -> Incidents:
        if pdg is None and not ours:
            raise _unnamed(path)
        columns: dict[str, Any] = {"pdg": pdg, "energy": _column(energies, n, path)}
        for name in ("pdg", "theta", "phi", "x", "y"):
            if f"incident_{name}" in file:
                columns[name] = _column(_dataset(file, f"incident_{name}", path), n, path)
        return incidents(**columns)

    _column(energies, n, path)
    ours = "incident_pdg" in file
    return Layout(
        "CaloForge" if ours else CALOCHALLENGE,
        n,
        None,
        n_cells,
        read_incidents,
        lambda start, stop: np.asarray(showers.astype(np.float32)[start:stop]),
    )


def _gan3d(file: h5py.File, path: str) -> Layout:
    """Layout of the LCD files of the original 3D GAN (https://github.com/svalleco/3Dgan).

    `ECAL` is (showers, x, y, z) with z the layer. The energy in GeV is `target` or `energy`: one number per
    shower, or a row (pdg, energy, ...). Cells are in GeV; a first generation of files has MeV, told apart by
    the visible energy, which cannot exceed the incident energy.
    """
    cells = _dataset(file, "ECAL", path)
    if cells.ndim != 4 or 0 in cells.shape[1:]:
        raise FileError(f"'{path}': dataset 'ECAL' has shape {cells.shape}, expected (showers, x, y, z)")
    n, columns, rows, layers = cells.shape
    name = next((known for known in ("target", "energy") if known in file), None)
    if name is None:
        raise FileError(f"'{path}': beside 'ECAL', neither 'target' nor 'energy' is there")
    angles = [known for known in ("theta", "mtheta", "eta") if known in file]
    if angles:
        raise FileError(
            f"'{path}': the showers have angles ({', '.join(angles)}), which are not read from files of the 3D GAN"
        )
    pdgs, energy = _truth(_dataset(file, name, path), n, path)
    probe = np.asarray(cells[: min(n, 50)], dtype=np.float64).sum(axis=(1, 2, 3))
    in_mev = n > 0 and float(np.median(probe / energy[: len(probe)])) > 1.0
    scale = np.float32(1.0 if in_mev else GeV)

    def read_incidents(pdg: int | None) -> Incidents:
        if "pdgID" in file:
            return incidents(_column(_dataset(file, "pdgID", path), n, path), energy * GeV)
        if pdgs is not None:
            return incidents(pdgs, energy * GeV)
        if pdg is None:
            raise _unnamed(path)
        return incidents(pdg, energy * GeV)

    def read_energies(start: int, stop: int) -> Array:
        part = cells.astype(np.float32)[start:stop]
        return np.ascontiguousarray(part.transpose(0, 3, 2, 1)) * scale

    return Layout(
        "3D GAN", n, (layers, rows, columns), layers * rows * columns, read_incidents, read_energies
    )


def _truth(dataset: h5py.Dataset, n: int, path: str) -> tuple[NDArray[np.int64] | None, NDArray[np.float64]]:
    values = np.asarray(dataset[()], dtype=np.float64)
    if values.shape[:1] != (n,) or values.size == 0 or values.size % n:
        raise FileError(f"'{path}': dataset '{dataset.name[1:]}' has shape {values.shape} beside {n} showers")
    values = values.reshape(n, -1)
    if values.shape[1] == 1:
        return None, values[:, 0]
    known = np.all(values[:, 0] == np.round(values[:, 0])) and np.all(values[:, 0] != 0)
    return (values[:, 0].astype(np.int64) if known else None), values[:, 1]


def _unnamed(path: str) -> FileError:
    return FileError(
        f"'{path}' does not name the particles of its incidents: give --particle (in Python: pdg=), for instance 'e-'"
    )


def text_attributes(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes of a file as text, without its detector."""

    def as_text(value: Any) -> str:
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    return {name: as_text(value) for name, value in sorted(attributes.items()) if name != "detector"}
