"""A worker process of a production: `python -m caloforge.geant4.worker`, started by `production`.

It reads JSON lines from stdin: first the job, then one chunk after another; it answers with JSON lines on the
stdout it was started with. Geant4 and everything else that prints goes to stderr, the worker's log. When its
parent dies, stdin ends and answers cannot be written any more; either ends the worker.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from caloforge.detectors import parse
from caloforge.errors import CaloForgeError
from caloforge.geant4.kernel import Kernel, kernel
from caloforge.geant4.parts import Chunk, write_chunk
from caloforge.geant4.simulation import run
from caloforge.showers import Incidents


def main() -> int:
    """Work until stdin ends and return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        job = json.loads(sys.stdin.readline())
        made = kernel(parse(job["detector"], "job"), tuple(job["pdgs"]), Path(job["log"]))
        for line in sys.stdin:
            _work(made, job, json.loads(line), answers)
    except CaloForgeError as error:
        _answer(answers, error=type(error).__name__, message=str(error))
        return 1
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
    return 0


def _work(made: Kernel, job: dict[str, Any], task: dict[str, Any], answers: TextIO) -> None:
    chunk = Chunk(**task["chunk"])
    columns = {name: np.array(values, dtype=kind) for name, (kind, values) in task["incidents"].items()}

    def report(index: int, seconds: float) -> None:
        _answer(answers, shower=index, seconds=seconds)

    incidents = Incidents(**columns)
    showers = run(made, incidents, job["seed"], report, first=chunk.start, log=Path(job["log"]))
    write_chunk(Path(job["folder"]), chunk, showers)
    _answer(answers, chunk=chunk.number)


def _answer(answers: TextIO, **content: Any) -> None:
    answers.write(json.dumps(content) + "\n")


if __name__ == "__main__":
    sys.exit(main())
