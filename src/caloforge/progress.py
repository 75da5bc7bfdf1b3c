"""One progress bar for all long work: on stderr, only on rank 0, quiet where nobody watches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What long work reports to."""

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more units are done."""

    def note(self, text: str) -> None:
        """Show a short text behind the bar, for instance losses."""


def rank() -> int:
    """Rank of this process in a distributed launch (torchrun, MPI, SLURM), 0 if there is none."""
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


@contextmanager
def progress(
    title: str, total: int, unit: str = "showers", done: int = 0, enabled: bool = True
) -> Iterator[Progress]:
    """Show the progress of long work: bar, count, units per second, time left.

    On a terminal it is a live bar; in a log file one line a minute.

    Args:
        title: What is being done.
        total: Number of units.
        unit: Their name, in the plural.
        done: Units done before (a resumed work).
        enabled: False hides it.
    """
    if not enabled or rank() != 0:
        yield _Silent()
    elif not sys.stderr.isatty():
        yield _Lines(title, total, unit, done)
    else:
        with _bar(title, total, unit, done) as bar:
            yield bar


class _Silent:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class _Lines:
    def __init__(self, title: str, total: int, unit: str, done: int, every: float = 60.0) -> None:
        self.title, self.total, self.unit, self.every = title, total, unit, every
        self.done, self.text = done, ""
        self.last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if time.monotonic() - self.last > self.every:
            self.last = time.monotonic()
            print(f"{self.title}: {self.done}/{self.total} {self.unit} {self.text}".rstrip(), file=sys.stderr)

    def note(self, text: str) -> None:
        self.text = text


@contextmanager
def _bar(title: str, total: int, unit: str, done: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.3g} {unit}/s" if task.speed else "", style="cyan")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True), speed_estimate_period=60) as live:
        task = live.add_task(title, total=total, completed=done, note="")

        class Bar:
            def advance(self, amount: int = 1) -> None:
                live.advance(task, amount)

            def note(self, text: str) -> None:
                live.update(task, note=text)

        yield Bar()
