"""Stopping a training by Ctrl-C or SIGTERM without losing anything."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from caloforge.errors import TrainingError


class InterruptionError(TrainingError):
    """A training was stopped by a signal after it wrote a checkpoint."""

    def __init__(self, step: int, folder: Path, number: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}; a checkpoint is in '{folder}'. "
            "Run the same command with --resume to go on"
        )
        self.exit_code = 128 + number


class Stop:
    """Says whether, and by which signal, a stop was asked for."""

    def __init__(self) -> None:
        self.signal: int = signal.SIGINT
        self._event = threading.Event()

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def ask(self, number: int) -> None:
        """Ask to stop; asked a second time by Ctrl-C, it interrupts at once."""
        if self.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        self._event.set()


@contextmanager
def stopped() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM inside the block into a request to stop (in the main thread only)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, _: FrameType | None) -> None:
        stop.ask(number)

    kept = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
