"""Writing shower files in HDF5: whole or absent, the same bytes for the same showers (see `docs/files.md`)."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
from numpy.typing import NDArray

import caloforge
from caloforge.detectors import Detector, check_shape, parse, to_toml
from caloforge.errors import CaloForgeError, FileError, InputError
from caloforge.files import atomic, explain_os_error
from caloforge.showers.guarded import GuardedFile
from caloforge.showers.showers import Showers

CHUNK = 100
"""Showers per HDF5 chunk."""

_CACHE = 32 * 2**20
_COLUMNS = {"pdg": np.int32, "theta": np.float32, "phi": np.float32, "x": np.float32, "y": np.float32}


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
            self._put("showers", part.flat, start, stop)
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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain_os_error(error, path) from error
    except RuntimeError as error:
        raise FileError(f"'{path}' cannot be written: {error}") from error
