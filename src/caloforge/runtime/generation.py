"""Drawing a large sample into a file: streamed, resumable, whole or absent."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import IO

from caloforge.errors import FileError, InputError
from caloforge.files import check_target, writing
from caloforge.progress import progress
from caloforge.runtime.joining import join_files
from caloforge.runtime.model import Model
from caloforge.runtime.random_numbers import CHUNK
from caloforge.showers import IncidentSpectrum, Showers, ShowerWriter

PART_CHUNKS = 5
"""Chunks of showers in one part; what a killed job loses is one part at the most."""


@dataclass(frozen=True)
class Job:
    """What decides the content of a file of generated showers.

    Attributes:
        spectrum: How incidents are distributed.
        n: Number of showers.
        seed: Seed of incidents and noise.
    """

    spectrum: IncidentSpectrum
    n: int
    seed: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise InputError(f"n = {self.n}: expected at least one shower")

    def fingerprint(self, model: Model) -> str:
        """Return a text that is equal for jobs of equal content."""
        facts = {
            "spectrum": self.spectrum.on(model.detector).to_json(),
            "n": self.n,
            "seed": self.seed,
            "model": model.sha256,
            "backend": model.backend.name,
            "chunk": CHUNK,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def generate_file(
    model: Model,
    job: Job,
    path: str | Path,
    *,
    batch: int = 128,
    strict: bool = False,
    command: str = "",
    show: bool = True,
) -> int:
    """Draw showers into an HDF5 file, going on where an interrupted call with the same job stopped.

    Parts of some thousand showers are collected in a hidden folder beside `path` and joined at the end, so
    that the final name never holds a broken file, however the job ends.

    Args:
        model: The model.
        job: What to draw.
        path: The file to write; an older one is replaced when the new one is whole.
        batch: Number of showers that the graph gets at once.
        strict: Fail, instead of warning, outside what the model was trained on.
        command: The command line, kept in the file.
        show: False hides the progress bar.

    Returns:
        The number of showers that were already there from an interrupted call.

    Raises:
        InputError: If an argument cannot be used, see `Model.generate`.
        FileError: If the file cannot be written, or another process is writing it.
        ModelError: If the model fails.
    """
    path = Path(path)
    check_target(path)
    if not path.absolute().parent.is_dir():
        raise FileError(f"'{path}': the folder '{path.absolute().parent}' does not exist")
    model.stream(job.spectrum, job.n, job.seed, batch=batch, strict=strict)  # checks before any work
    with _part_folder(path, job.fingerprint(model)) as folder:
        size = PART_CHUNKS * CHUNK
        parts = [folder / f"{index:06d}.h5" for index in range(-(-job.n // size))]
        done = _count_done(parts)
        resumed = min(done * size, job.n)
        with progress("generate", job.n, "showers", resumed, show) as bar:
            numbers = range(done * PART_CHUNKS, -(-job.n // CHUNK))
            chunks = (model.draw_chunk(job.spectrum, k, job.n, job.seed, batch=batch) for k in numbers)
            for part in parts[done:]:
                with ShowerWriter(
                    part,
                    model.detector,
                    model.card.detector_toml,
                    {**model.provenance(job.seed, job.spectrum), "command": command},
                ) as file:
                    for showers in _write_behind(chunks, file):
                        bar.advance(showers)
        join_files(parts, path)
        for part in parts:
            part.unlink(missing_ok=True)  # still locked: the empty folder goes with the lock
    return resumed


def _write_behind(chunks: Iterator[Showers], file: ShowerWriter) -> Iterator[int]:
    """Append the chunks of one part, each while the next one is drawn."""
    with ThreadPoolExecutor(1) as pool:
        waiting: Future[None] | None = None
        for _ in range(PART_CHUNKS):
            showers = next(chunks, None)
            if waiting is not None:
                waiting.result()
            if showers is None:
                return
            waiting = pool.submit(file.append, showers)
            yield len(showers)
        if waiting is not None:
            waiting.result()


def _count_done(parts: list[Path]) -> int:
    return next((index for index, part in enumerate(parts) if not part.exists()), len(parts))


@contextmanager
def _part_folder(path: Path, fingerprint: str) -> Iterator[Path]:
    """Yield the locked folder of parts beside `path`, emptied if they are of another job."""
    folder = path.with_name(f".{path.name}.parts")
    with writing(path):
        folder.mkdir(exist_ok=True)
        with (folder / "lock").open("w") as lock:
            _lock(lock, path)
            try:
                note = folder / "job"
                if not (note.exists() and note.read_text() == fingerprint):
                    for old in folder.glob("*.h5"):
                        old.unlink()
                    note.write_text(fingerprint)
                for leftover in [*folder.glob(".*.part"), *path.parent.glob(f".{escape(path.name)}.*.part")]:
                    leftover.unlink()
                yield folder
            finally:
                with suppress(OSError):
                    if not any(folder.glob("*.h5")):
                        shutil.rmtree(folder)


def _lock(file: IO[str], path: Path) -> None:
    """Lock a file until it is closed.

    Raises:
        FileError: If another process has locked it, or the file system cannot lock.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise FileError(f"another process is writing '{path}': wait for it or stop it") from error
    except OSError as error:
        raise FileError(
            f"'{path}': '{file.name}' cannot be locked ({error.strerror}): write to another file system and move "
            "the file there"
        ) from error
