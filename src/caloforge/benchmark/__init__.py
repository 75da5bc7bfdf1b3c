"""Geant4 and a model timed side by side."""

from caloforge.benchmark.comparison import BenchmarkResult, ModelTiming, run, same_incidents
from caloforge.benchmark.machine import Machine, this_machine
from caloforge.benchmark.timing import Timing, summarise

__all__ = [
    "BenchmarkResult",
    "Machine",
    "ModelTiming",
    "Timing",
    "run",
    "same_incidents",
    "summarise",
    "this_machine",
]
