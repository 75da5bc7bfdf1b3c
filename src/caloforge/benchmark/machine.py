"""What a timing was measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from caloforge.runtime.backends import default_threads


@dataclass(frozen=True)
class Machine:
    """A computer.

    Attributes:
        cpu: Name of the processor.
        cores: Cores that this process may use.
        system: Operating system and architecture.
        load: Load average of the last minute when the measurement began; above 0 others were working too.
    """

    cpu: str
    cores: int
    system: str
    load: float


def this_machine() -> Machine:
    """Describe the computer that this process runs on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return Machine(
        _cpu_name(), default_threads(), f"{platform.system()} {platform.machine()}", round(load, 2)
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()
