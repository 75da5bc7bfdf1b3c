"""Shower files in HDF5: streamed reading, whole-or-absent writing (see `docs/files.md`)."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

import caloforge
from caloforge.detectors import Detector, check_shape, load, parse
from caloforge.detectors.writer import to_toml
from caloforge.errors import CaloForgeError, FileError, InputError
from caloforge.files import atomic, explain_os_error
from caloforge.showers.guarded import GuardedFile
from caloforge.showers.incidents import Incidents
from caloforge.showers.layouts import recognise, text_attributes
from caloforge.showers.showers import Showers

CHUNK = 100
"""Showers per HDF5 chunk."""

ELECTRON = 11
"""PDG id of the incidents where a file does not say: CaloChallenge data sets 2 and 3 are electrons."""

_CACHE = 32 * 2**20
_COLUMNS = {"pdg": np.int32, "theta": np.float32, "phi": np.float32, "x": np.float32, "y": np.float32}


class ShowerFile:
    """A shower file open for reading; a context manager.

    It reads CaloForge's files, the CaloChallenge's and the original 3D GAN's, and never holds more than what
    `read` is asked for.

    Args:
        path: The file.
        detector: The detector of the showers, where the file does not carry it.
        shape: (n_layers, n_rows, n_columns), where neither the file nor `detector` says.
        pdg: PDG id of the incidents where the file does not say (electrons).

    Attributes:
        path: The file.
        kind: `CaloForge`, `CaloChallenge` or `3D GAN`.
        detector: The detector, or None if it is unknown.
        provenance: The attributes of the file as text, without the detector.

    Raises:
        FileError: If the file is missing, truncated, no HDF5 or no shower file, or contradicts itself.
        DetectorError: If the showers do not fit the detector.
    """

    def __init__(
        self,
        path: str | Path,
        detector: Detector | None = None,
        shape: tuple[int, int, int] | None = None,
        pdg: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._pdg = ELECTRON if pdg is None else pdg
        self._file = _open(self.path)
        try:
            with _reading(self.path):
                self._layout = recognise(self._file, str(path))
                self.provenance: dict[str, str] = text_attributes(self._file.attrs)
                self.detector = detector or self._own_detector()
            self.kind = self._layout.kind
            self._shape = shape
            if self.detector is not None:
                self._fit(self.detector)
        except BaseException:
            self._file.close()
            raise

    def _own_detector(self) -> Detector | None:
        text = self._file.attrs.get("detector")
        if text is None:
            return _lcd_detector(self._layout.shape)
        return parse(text.decode() if isinstance(text, bytes) else str(text), f"{self.path}: detector")

    def _fit(self, detector: Detector) -> None:
        if self._layout.shape is not None:
            check_shape(detector, self._layout.shape, str(self.path))
        if self._layout.n_cells != detector.n_cells:
            raise FileError(
                f"'{self.path}': showers of {self._layout.n_cells} cells do not fit detector "
                f"{detector.name!r} {detector.shape} with {detector.n_cells} cells"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_layers, n_rows, n_columns) of a shower.

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
    def known_shape(self) -> tuple[int, int, int] | None:
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


class ShowerWriter:
    """Writes a shower file piece by piece; a context manager.

    It writes into a hidden file beside `path` that takes the final name when the block ends well, and is
    removed when it does not. Equal showers give equal files, byte by byte, however they are cut into pieces.

    Args:
        path: The file.
        detector: The detector of the showers.
        detector_toml: Its TOML text, kept in the file.
        provenance: Attributes of the file: source, seed, command, ...
        overwrite: False makes an existing file an error.

    Raises:
        FileError: If the file exists and may not be overwritten, or cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        detector: Detector,
        detector_toml: str,
        provenance: Mapping[str, str],
        overwrite: bool = True,
    ) -> None:
        self.path = Path(path)
        self.detector = detector
        self.written = 0
        self._attributes = {
            "units": "MeV, mm, rad",
            "package": f"caloforge {caloforge.__version__}",
            **provenance,
            "detector": detector_toml,
        }
        self._overwrite = overwrite
        self._pending: list[Showers] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self.path.exists() and not self._overwrite:
            raise FileError(f"'{self.path}' exists; remove it or write to another name")
        if self.path.is_dir():
            raise explain_os_error(IsADirectoryError(errno.EISDIR, ""), self.path)
        temporary = self._stack.enter_context(atomic(self.path))
        try:
            with _writing(self.path):
                self._disk = GuardedFile(temporary)
                self._stack.callback(self._disk.close)
                self._file = h5py.File(self._disk, "w", rdcc_nbytes=_CACHE)
                self._create()
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _create(self) -> None:
        n_cells = self.detector.n_cells

        def create(name: str, row: tuple[int, ...], kind: type, chunk: int) -> None:
            self._file.create_dataset(
                name,
                shape=(0, *row),
                maxshape=(None, *row),
                chunks=(chunk, *row),
                dtype=kind,
                compression="gzip",
                compression_opts=1,  # zeros rule: level 4 or shuffling doubles the time and saves no space
                track_times=False,
            )

        create("showers", (n_cells,), np.float32, CHUNK)
        create("incident_energies", (1,), np.float32, 100 * CHUNK)
        for name, kind in _COLUMNS.items():
            create(f"incident_{name}", (), kind, 100 * CHUNK)
        for name, text in sorted(self._attributes.items()):
            self._file.attrs[name] = text

    def append(self, showers: Showers) -> None:
        """Add showers at the end.

        Raises:
            DetectorError: If they are not of the detector of the file.
            FileError: If they cannot be written.
        """
        check_shape(self.detector, showers.shape, str(self.path))
        self._pending.append(showers)
        waiting = sum(map(len, self._pending))
        if waiting >= CHUNK:
            self._flush(waiting - waiting % CHUNK)

    def _flush(self, n: int) -> None:
        joined = Showers.concatenate(self._pending) if len(self._pending) > 1 else self._pending[0]
        self._pending = [joined[n:]] if n < len(joined) else []
        for first in range(0, n, CHUNK):  # always in the same steps, so that equal showers give equal files
            self._store(joined[first : min(first + CHUNK, n)])

    def _store(self, part: Showers) -> None:
        start, stop = self.written, self.written + len(part)
        with _writing(self.path):
            self._put("showers", part.energies.reshape(len(part), -1), start, stop)
            self._put("incident_energies", part.incidents.energy[:, None], start, stop)
            for name in _COLUMNS:
                self._put(f"incident_{name}", getattr(part.incidents, name), start, stop)
            self._check_disk()
        self.written = stop

    def _put(self, name: str, values: NDArray[np.generic], start: int, stop: int) -> None:
        dataset = self._file[name]
        dataset.resize(stop, axis=0)
        dataset[start:stop] = values

    def _check_disk(self) -> None:
        if self._disk.error is not None:
            raise self._disk.error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                if self._pending:
                    self._flush(sum(map(len, self._pending)))
                with _writing(self.path):
                    self._file.close()
                    self._check_disk()
            except BaseException as problem:
                self._abandon(problem)
                raise
            self._stack.close()
        else:
            self._abandon(error)

    def _abandon(self, error: BaseException) -> None:
        with suppress(OSError, RuntimeError, ValueError):
            self._file.close()
        with suppress(CaloForgeError, type(error)):
            self._stack.__exit__(type(error), error, error.__traceback__)


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
        pdg: PDG id of the incidents where the file does not say (electrons).

    Raises:
        FileError: If the file cannot be used (see `ShowerFile`).
    """
    with ShowerFile(path, detector, pdg=pdg) as file:
        return file.read(start, stop)


def write_showers(path: str | Path, showers: Showers, detector_toml: str | None = None) -> None:
    """Write showers with their provenance into a file.

    Args:
        path: The file.
        showers: The showers.
        detector_toml: TOML text of their detector; made from it if not given.

    Raises:
        InputError: If the detector is unknown.
        FileError: If the file cannot be written.
    """
    detector = showers.detector or (parse(detector_toml) if detector_toml else None)
    if detector is None:
        raise InputError(f"the detector of the showers for '{path}' is unknown: give its TOML text")
    with ShowerWriter(path, detector, detector_toml or to_toml(detector), showers.provenance) as file:
        file.append(showers)


def _lcd_detector(shape: tuple[int, int, int] | None) -> Detector | None:
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
            reason = "is no HDF5 file"
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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path) from error
    except RuntimeError as error:
        raise FileError(f"'{path}' cannot be written: {error}") from error
