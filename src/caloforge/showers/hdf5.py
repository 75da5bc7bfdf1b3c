"""Reading shower files in HDF5, piece by piece (see `docs/files.md`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, check_shape, detector_differences, load, parse
from caloforge.errors import DetectorError, FileError, InputError
from caloforge.files import explain_os_error
from caloforge.showers.incidents import Incidents
from caloforge.showers.layouts import CALOCHALLENGE, recognise, text_attributes
from caloforge.showers.showers import Showers
from caloforge.showers.spectrum import IncidentSpectrum

CALOCHALLENGE_DETECTORS = {6480: "calochallenge-2", 40500: "calochallenge-3"}
"""Detector by number of cells: the CaloChallenge's data sets 2 and 3 (arXiv:2410.21611)."""

CALOCHALLENGE_1 = {368: "photons", 533: "pions"}
"""Number of cells of the CaloChallenge's data set 1, whose layers differ in their cells (same source)."""

ELECTRON = 11
"""PDG id of the incidents of data sets 2 and 3 (same source)."""

_CACHE = 32 * 2**20


class ShowerFile:
    """A shower file open for reading; a context manager.

    It reads CaloForge's files, the CaloChallenge's and the original 3D GAN's, and never holds more than what
    `read` is asked for.

    Args:
        path: The file.
        detector: The detector of the showers, where the file does not carry it.
        shape: Axes of a shower, where neither the file nor `detector` says.
        pdg: PDG id of the incidents where the file does not say; needed there, but for the CaloChallenge's data
            sets 2 and 3, which are electrons.

    Attributes:
        path: The file.
        kind: `CaloForge`, `CaloChallenge` or `3D GAN`.
        detector: The detector, or None if it is unknown.
        provenance: The attributes of the file as text, without the detector.

    Raises:
        FileError: If the file is missing, truncated, not HDF5 or not a shower file, or contradicts itself.
        DetectorError: If the showers do not fit the detector.
    """

    def __init__(
        self,
        path: str | Path,
        detector: Detector | None = None,
        shape: tuple[int, ...] | None = None,
        pdg: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            with _reading(self.path):
                self._layout = recognise(self._file, str(path))
                self.provenance: dict[str, str] = text_attributes(self._file.attrs)
                self.kind = self._layout.kind
                self._shape = shape
                self.detector = self._detector(detector)
            self._pdg = ELECTRON if pdg is None and self._is_calochallenge() else pdg
            if self.detector is not None:
                self._fit(self.detector)
        except BaseException:
            self._file.close()
            raise

    def _detector(self, given: Detector | None) -> Detector | None:
        """The detector that the file carries, else the given one; both only where they are the same."""
        text = self._file.attrs.get("detector")
        if given is None:
            return self._own_detector()
        if text is None:
            return given
        try:
            own = self._own_detector()
        except DetectorError:  # of a version that cannot be read any more
            return given
        differing = detector_differences(own, given) if own is not None else []
        if own is not None and differing:
            raise DetectorError(
                f"it holds showers of detector {own.name!r}, which differs from the given {given.name!r} in "
                f"{', '.join(differing)}"
            )
        return given

    def _own_detector(self) -> Detector | None:
        text = self._file.attrs.get("detector")
        if text is not None:
            return parse(text.decode() if isinstance(text, bytes) else str(text), "attribute 'detector'")
        if self.kind != CALOCHALLENGE or self._shape is not None:
            return _lcd_detector(self._layout.shape)
        n_cells = self._layout.n_cells
        if n_cells in CALOCHALLENGE_1:
            raise FileError(
                f"'{self.path}' has the {n_cells} cells of the {CALOCHALLENGE_1[n_cells]} of CaloChallenge data set 1: "
                "its layers differ in their cells, which is not supported yet (data sets 2 and 3 are)"
            )
        name = CALOCHALLENGE_DETECTORS.get(n_cells)
        return load(name) if name else None

    def _is_calochallenge(self) -> bool:
        """Whether these are showers of the CaloChallenge's data sets 2 or 3."""
        name = CALOCHALLENGE_DETECTORS.get(self._layout.n_cells)
        known = self.kind == CALOCHALLENGE and name is not None
        return known and (self.detector is None or self.detector.shape == load(str(name)).shape)

    def _fit(self, detector: Detector) -> None:
        if self._layout.shape is not None:
            check_shape(detector, self._layout.shape, str(self.path))
        if self._layout.n_cells != detector.n_cells:
            raise FileError(
                f"'{self.path}': showers of {self._layout.n_cells} cells do not fit detector "
                f"{detector.name!r} {detector.shape} with {detector.n_cells} cells"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of a shower, (n_layers, n_rows, n_columns) for a cartesian readout.

        Raises:
            FileError: If neither the file nor the arguments say.
        """
        if self.detector is not None:
            return self.detector.shape
        shape = self._shape or self._layout.shape
        if shape is None:
            raise FileError(
                f"'{self.path}' does not say how its {self._layout.n_cells} cells are arranged: "
                "give the detector"
            )
        if np.prod(shape) != self._layout.n_cells:
            raise FileError(f"'{self.path}': showers of {self._layout.n_cells} cells have no shape {shape}")
        return shape

    @property
    def known_shape(self) -> tuple[int, ...] | None:
        """The shape, or None if neither the file nor the arguments say."""
        known = self.detector is not None or self._shape or self._layout.shape
        return self.shape if known else None

    @property
    def n_cells(self) -> int:
        """Number of cells of a shower."""
        return self._layout.n_cells

    def __len__(self) -> int:
        return self._layout.n_showers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @cached_property
    def spectrum(self) -> IncidentSpectrum | None:
        """How the incidents were drawn, with impact points in mm, or None if the file does not say.

        Raises:
            FileError: If it is there and cannot be used.
        """
        text = self.provenance.get("spectrum")
        if text is None:
            return None
        with _reading(self.path):
            found = IncidentSpectrum.parse_json(text, "attribute 'spectrum'")
            return found.on(self.detector) if self.detector is not None else found

    @property
    def physics(self) -> str | None:
        """Physics list and electromagnetic data of the simulation, or None if the file does not say."""
        return self.provenance.get("physics")

    @cached_property
    def incidents(self) -> Incidents:
        """All incidents of the file.

        Raises:
            FileError: If a column is missing, has the wrong shape, or holds unusable values.
        """
        with _reading(self.path):
            return self._layout.incidents(self._pdg)

    def read(self, start: int = 0, stop: int | None = None) -> Showers:
        """Read showers `start` to `stop` (like a slice).

        Raises:
            FileError: If they cannot be read or hold negative or non-finite cells.
        """
        shape = self.shape
        energies = self.read_flat(start, stop)
        showers = energies.reshape(len(energies), *shape)
        return Showers(showers, self.incidents[start:stop], self.detector, self.provenance)

    def read_flat(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Read the cells of showers `start` to `stop` in MeV, (n_showers, n_cells), whatever their shape.

        Raises:
            FileError: If they cannot be read or hold negative or non-finite cells.
        """
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        with _reading(self.path):
            energies = self._layout.energies(start, stop).reshape(stop - start, self.n_cells)
        self._check(energies, start)
        return energies

    def chunks(self, size: int = 1000) -> Iterator[Showers]:
        """Read the whole file in pieces of `size` showers."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def _check(self, energies: NDArray[np.float32], start: int) -> None:
        if energies.size == 0 or (energies.min() >= 0 and energies.max() < np.inf):
            return
        bad = ~((energies >= 0) & (energies < np.inf)).all(axis=1)
        raise FileError(
            f"'{self.path}': shower {start + int(np.argmax(bad))} has cells that are negative or not finite "
            f"({bad.sum()} such showers from {start} to {start + len(energies)})"
        )


def read_showers(
    path: str | Path,
    start: int = 0,
    stop: int | None = None,
    detector: Detector | None = None,
    pdg: int | None = None,
) -> Showers:
    """Read showers `start` to `stop` (like a slice) of a file into memory.

    Args:
        path: The file.
        start: First shower.
        stop: One past the last shower; the end if not given.
        detector: The detector, where the file does not carry it.
        pdg: PDG id of the incidents where the file does not say.

    Raises:
        FileError: If the file cannot be used (see `ShowerFile`).
    """
    with ShowerFile(path, detector, pdg=pdg) as file:
        return file.read(start, stop)


def _lcd_detector(shape: tuple[int, ...] | None) -> Detector | None:
    """Return the detector of the original 3D GAN's files where their shape is its."""
    clic = load("clic-ecal")
    return clic if shape == clic.shape else None


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise FileError(f"shower file '{path}' does not exist")
    if path.is_dir():
        raise FileError(f"shower file '{path}' is a folder")
    try:
        return h5py.File(path, "r", rdcc_nbytes=_CACHE)
    except OSError as error:
        text = str(error)
        if "truncated" in text:
            reason = "is truncated: copy or make it again"
        elif "signature not found" in text:
            reason = "is not an HDF5 file"
        else:
            reason = f"cannot be opened: {explain_h5_error(error)}"
        raise FileError(f"shower file '{path}' {reason}") from error


def explain_h5_error(error: Exception) -> str:
    """Return what HDF5 says about an error without its call stack."""
    number = re.search(r"errno = (\d+)", str(error))
    if number:
        return str(explain_os_error(OSError(int(number[1]), str(error)), "file")).removeprefix("'file': ")
    return str(error)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileError:
        raise
    except InputError as error:
        raise FileError(f"'{path}': {error}") from error
    except (OSError, RuntimeError, KeyError) as error:
        raise FileError(f"'{path}' is damaged and cannot be read: {explain_h5_error(error)}") from error
