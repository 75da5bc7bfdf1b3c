"""The folder of an unfinished production: its plan, its finished chunks, the logs of its workers."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from caloforge.detectors import Detector
from caloforge.errors import FileError, InputError
from caloforge.files import atomic, make_folder, writing
from caloforge.showers import Incidents, Showers

CHUNK_SIZE = 25
"""Showers per chunk: seconds of work, so that little is lost when a production is killed."""

_FORMAT = 2
_COLUMNS = ("pdg", "energy", "theta", "phi", "x", "y")


@dataclass(frozen=True)
class Chunk:
    """Showers `start` to `stop` (exclusive) of a sample."""

    number: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """Everything that the content of a sample depends on.

    Attributes:
        detector: TOML text of the detector.
        n: Number of showers.
        spectrum: The spectrum of incidents, as JSON.
        seed: Of the sample.
        physics: Name of the physics list.
        data: Name and hash of the electromagnetic data set.
        geant4: Version of geant4-pybind.
    """

    detector: str
    n: int
    spectrum: str
    seed: int
    physics: str
    data: str
    geant4: str

    @property
    def fingerprint(self) -> str:
        """Hash of all parameters."""
        text = json.dumps({**asdict(self), "format": _FORMAT, "chunk": CHUNK_SIZE}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def chunks(self) -> tuple[Chunk, ...]:
        """Cut the sample into chunks, the same for any number of workers."""
        starts = range(0, self.n, CHUNK_SIZE)
        return tuple(Chunk(i, start, min(start + CHUNK_SIZE, self.n)) for i, start in enumerate(starts))

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Say in words which parameters differ from those of another plan, as JSON knows it."""
        mine = json.loads(json.dumps(asdict(self)))
        names = [name for name in mine if mine[name] != other.get(name)]
        return [
            name if name in {"detector", "spectrum"} else f"{name} {other.get(name)} instead of {mine[name]}"
            for name in names
        ]


def parts_folder(path: Path) -> Path:
    """The folder beside the output file `path` that holds its unfinished production."""
    return path.with_name(f"{path.name}.parts")


@contextmanager
def open_parts(path: Path, plan: Plan, overwrite: bool) -> Iterator[Path]:
    """Hold the folder of a production for this process: create it, or take up what an earlier call left.

    Args:
        path: The output file.
        plan: The production.
        overwrite: Throw away what a production with other parameters left.

    Raises:
        InputError: If an unfinished production with other parameters is there and `overwrite` is False.
        FileError: If another process is at work on it, or the folder cannot be written.
    """
    folder = make_folder(parts_folder(path))
    with writing(folder):
        lock = (folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FileError(
                f"another process is simulating into '{path}'; wait for it or choose another name"
            ) from error
        except OSError as error:
            raise FileError(
                f"'{path}': '{lock.name}' cannot be locked ({error.strerror}): write to another file system and move "
                "the file there"
            ) from error
        with writing(folder):
            _take_up(path, folder, plan, overwrite)
        yield folder


def _take_up(path: Path, folder: Path, plan: Plan, overwrite: bool) -> None:
    for stale in (*path.parent.glob(f".{escape(path.name)}.*.part"), *folder.glob(".*.part")):
        stale.unlink()  # what a killed call was writing
    record = folder / "plan.json"
    old = _read_plan(record)
    if old is not None and old.get("fingerprint") != plan.fingerprint:
        if not overwrite:
            changes = "; ".join(plan.differences(old)) or "an older version of CaloForge"
            raise InputError(
                f"'{folder}' holds an unfinished production with other parameters ({changes}): repeat its "
                f"command to finish it, choose another output than '{path}', or start anew with --overwrite"
            )
        old = None
    if old is None:
        for chunk in folder.glob("chunk-*.npz"):
            chunk.unlink()
        with atomic(record) as temporary:
            temporary.write_text(json.dumps({**asdict(plan), "fingerprint": plan.fingerprint}))


def _read_plan(record: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(record.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


def remove_parts(path: Path) -> None:
    """Remove the folder of a finished production."""
    shutil.rmtree(parts_folder(path), ignore_errors=True)


def chunk_path(folder: Path, chunk: Chunk) -> Path:
    """File of a finished chunk."""
    return folder / f"chunk-{chunk.number:06d}.npz"


def write_chunk(folder: Path, chunk: Chunk, showers: Showers) -> None:
    """Store a finished chunk; its file is whole or absent.

    Raises:
        FileError: If it cannot be written.
    """
    columns = {name: getattr(showers.incidents, name) for name in _COLUMNS}
    source = np.array(showers.provenance.get("source", ""))
    with atomic(chunk_path(folder, chunk)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, energies=showers.energies, source=source, **columns)


def read_chunk(folder: Path, chunk: Chunk, detector: Detector) -> Showers | None:
    """Read a finished chunk, or return None if there is none that can be used."""
    path = chunk_path(folder, chunk)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            incidents = Incidents(**{name: stored[name] for name in _COLUMNS})
            showers = Showers(stored["energies"], incidents, detector, {"source": str(stored["source"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, InputError, zipfile.BadZipFile, zlib.error):
        with suppress(OSError):
            path.unlink()
        return None
    return showers if len(showers) == len(chunk) else None
