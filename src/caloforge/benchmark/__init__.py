"""Geant4 and a model timed side by side."""

from caloforge.benchmark.comparison import BenchmarkResult, ModelTiming, run, same_energies
from caloforge.benchmark.machine import Machine, this_machine
from caloforge.benchmark.timing import Timing, summarise

__all__ = [
    "BenchmarkResult",
    "Machine",
    "ModelTiming",
    "Timing",
    "run",
    "same_energies",
    "summarise",
    "this_machine",
]
