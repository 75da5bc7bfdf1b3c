"""The worker processes of a production: started, fed, watched, replaced and ended."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import caloforge.errors
from caloforge.errors import Geant4Error
from caloforge.files import writing
from caloforge.geant4.parts import Chunk, Plan
from caloforge.progress import Progress
from caloforge.showers import Incidents, IncidentSpectrum

ATTEMPTS = 3
"""How often a chunk is tried when its worker dies."""

_TAIL = 2000


@dataclass
class _Worker:
    tasks: IO[bytes]
    answers: IO[bytes]
    process: subprocess.Popen[bytes]
    log: Path
    chunk: Chunk | None = None
    reported: int = 0
    unread: bytes = b""

    def read(self) -> list[dict[str, Any]] | None:
        """Return the answers that have come, or None when there will be no more."""
        received = os.read(self.answers.fileno(), 65536)
        if not received:
            return None
        *lines, self.unread = (self.unread + received).split(b"\n")
        return [json.loads(line) for line in lines]


@dataclass
class _Queue:
    waiting: deque[Chunk]
    attempts: dict[int, int] = field(default_factory=dict)


def simulate_chunks(
    plan: Plan, incidents: Incidents, todo: Sequence[Chunk], folder: Path, workers: int, bar: Progress
) -> None:
    """Simulate chunks in worker processes until all are done.

    Args:
        plan: The production.
        incidents: All incidents of the sample.
        todo: The chunks that are missing.
        folder: Where the finished chunks go.
        workers: Number of processes.
        bar: Told about every shower.

    Raises:
        CaloForgeError: What a worker reports, for instance that the disk is full.
        Geant4Error: If workers died too often on a chunk.
    """
    queue = _Queue(deque(todo))
    with selectors.DefaultSelector() as selector, _pool() as pool:
        for number in range(workers):
            _launch(plan, folder, number, pool, selector, queue, incidents)
        while selector.get_map():
            for key, _ in selector.select():
                worker: _Worker = key.data
                answers = worker.read()
                if answers is not None:
                    for answer in answers:
                        _handle(worker, answer, queue, incidents, bar)
                else:
                    selector.unregister(worker.answers)
                    if _bury(worker, queue, bar):
                        _launch(plan, folder, len(pool), pool, selector, queue, incidents)


@contextmanager
def _pool() -> Iterator[list[_Worker]]:
    """Workers that are ended, whatever happens, when the block is left."""
    pool: list[_Worker] = []
    try:
        yield pool
    finally:
        for worker in pool:
            if worker.process.poll() is None:
                worker.process.kill()
        for worker in pool:
            worker.process.wait()
            for stream in (worker.tasks, worker.answers):
                with suppress(OSError):
                    stream.close()


def _launch(
    plan: Plan,
    folder: Path,
    number: int,
    pool: list[_Worker],
    selector: selectors.BaseSelector,
    queue: _Queue,
    incidents: Incidents,
) -> None:
    log = folder / f"worker-{number}.log"
    with writing(log), log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "caloforge.geant4.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    worker = _Worker(process.stdin, process.stdout, process, log)
    pool.append(worker)
    selector.register(worker.answers, selectors.EVENT_READ, worker)
    particles = IncidentSpectrum.parse_json(plan.spectrum, "plan").particles
    job = {"detector": plan.detector, "pdgs": particles, "seed": plan.seed}
    _send(worker, {**job, "folder": str(folder.resolve()), "log": str(log.resolve())})
    _assign(worker, queue, incidents)


def _send(worker: _Worker, message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # it died; the end of its answers says so
        worker.tasks.write(json.dumps(message).encode() + b"\n")


def _assign(worker: _Worker, queue: _Queue, incidents: Incidents) -> None:
    """Give a worker its next chunk, or end it by ending its stdin."""
    worker.reported = 0
    worker.chunk = queue.waiting.popleft() if queue.waiting else None
    if worker.chunk is None:
        worker.tasks.close()
        return
    part = incidents[worker.chunk.start : worker.chunk.stop]
    columns = {name: (values.dtype.name, values.tolist()) for name, values in vars(part).items()}
    _send(worker, {"chunk": vars(worker.chunk), "incidents": columns})


def _handle(
    worker: _Worker, answer: dict[str, Any], queue: _Queue, incidents: Incidents, bar: Progress
) -> None:
    if "error" in answer:
        kind = getattr(caloforge.errors, answer["error"], Geant4Error)
        raise kind(answer["message"])
    if "shower" in answer:
        worker.reported += 1
        bar.advance()
    else:
        _assign(worker, queue, incidents)


def _bury(worker: _Worker, queue: _Queue, bar: Progress) -> bool:
    """Take note of a worker's end; return True if another has to do its chunk.

    Raises:
        Geant4Error: If workers died too often on this chunk.
    """
    status = worker.process.wait()
    if worker.chunk is None:
        return False
    chunk, worker.chunk = worker.chunk, None
    bar.advance(-worker.reported)
    attempts = queue.attempts[chunk.number] = queue.attempts.get(chunk.number, 0) + 1
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    if attempts >= ATTEMPTS:
        tail = worker.log.read_text(errors="replace")[-_TAIL:].strip()
        raise Geant4Error(
            f"{attempts} Geant4 workers died in turn ({how}) on showers {chunk.start} to {chunk.stop - 1}; "
            f"everything finished is kept in '{worker.log.parent}', run the same command again. "
            f"The end of the log:\n{tail}"
        )
    bar.note(f"a worker died ({how}), its chunk is done again")
    queue.waiting.appendleft(chunk)
    return True
