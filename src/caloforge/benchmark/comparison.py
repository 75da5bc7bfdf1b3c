"""Geant4 and a model measured in one run, on the same incident energies."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge import __version__
from caloforge.benchmark.machine import Machine, this_machine
from caloforge.benchmark.timing import Timing, summarise
from caloforge.errors import InputError
from caloforge.progress import Progress, progress
from caloforge.runtime import Model
from caloforge.runtime.model import energy_bounds, noise, particle_ids
from caloforge.showers import Incidents, incidents, particle_name

WARM_UP = 3
"""Showers of Geant4, and batches of the model, that run before the clock starts."""
SECONDS = 2.0
MIN_REPEATS, MAX_REPEATS = 10, 1000
"""The model is measured for `SECONDS` at each batch size, with this many batches at the least and most."""


@dataclass(frozen=True)
class ModelTiming:
    """A model at one batch size.

    Attributes:
        batch: Showers drawn at once.
        timing: Per shower, drawing of noise included.
        speedup: Mean time of one Geant4 process over mean time of the model on all its threads.
        speedup_error: Its standard error.
        speedup_per_core: The same core for core: as if as many Geant4 processes ran as the model has threads.
    """

    batch: int
    timing: Timing
    speedup: float | None
    speedup_error: float | None
    speedup_per_core: float | None


@dataclass(frozen=True)
class BenchmarkResult:
    """What a benchmark found, with all that is needed to repeat it.

    Attributes:
        detector: Name of the detector.
        model: Name of the model.
        model_sha256: Hash of its file.
        approach: Its approach.
        backend: The engine.
        threads: Threads of the engine.
        particles: Names of the incident particles.
        energy_range: In MeV; the energies are spread evenly in the logarithm.
        showers: Number of different incidents, the same ones for Geant4 and model.
        mean_energy: Mean incident energy in MeV.
        seed: Seed of energies, Geant4 and noise.
        geant4: Geant4 in one process on one core, or None if it was not measured.
        models: The model by batch size.
        machine: What it ran on.
        versions: Of packages and of Geant4 with its physics.
        warm_up: Showers and batches run before the clock started.
    """

    detector: str
    model: str
    model_sha256: str
    approach: str
    backend: str
    threads: int
    particles: tuple[str, ...]
    energy_range: tuple[float, float]
    showers: int
    mean_energy: float
    seed: int
    geant4: Timing | None
    models: tuple[ModelTiming, ...]
    machine: Machine
    versions: dict[str, str]
    warm_up: int = WARM_UP

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; times in ms per shower, energies in MeV."""
        return asdict(self)


def run(
    model: Model,
    geant4: int = 20,
    batches: Sequence[int] = (1, 16, 128),
    particle: str | int | Sequence[int] = "e-",
    energy: float | tuple[float, float] = (1e3, 1e5),
    seed: int = 1,
    *,
    seconds: float = SECONDS,
    show: bool = True,
) -> BenchmarkResult:
    """Time Geant4 and a model in this process, one after the other, on the same incident energies.

    Args:
        model: The model, with its engine and threads.
        geant4: Number of showers that Geant4 simulates; 0 measures the model alone.
        batches: Batch sizes of the model.
        particle: Name, PDG id, or several, used in turn.
        energy: Kinetic energy in MeV, or (lowest, highest), spread evenly in the logarithm.
        seed: Seed of energies, Geant4 and noise.
        seconds: How long the model is measured at each batch size, about.
        show: False hides the progress bars.

    Raises:
        InputError: If an argument cannot be used.
        MissingExtraError: If geant4-pybind is not installed.
        Geant4Error: If Geant4 or its data sets cannot do it.
        ModelError: If the model fails.
    """
    if geant4 < 0:
        raise InputError(f"geant4 = {geant4}: expected a number of showers, or 0 for the model alone")
    if not batches or min(batches) < 1:
        raise InputError(f"batches {list(batches)}: expected sizes of at least 1")
    pdgs, bounds = particle_ids(particle), energy_bounds(energy)
    given = same_energies(geant4 or max(batches), pdgs, bounds, seed)
    model.check_range(given)
    machine = this_machine()
    versions = _versions(model)
    reference: Timing | None = None
    if geant4:
        reference, versions["geant4"] = _time_geant4(model, given, seed, show)
    with progress("model", len(batches), "batch sizes", enabled=show) as bar:
        timings = [_time_model(model, given, size, seed, seconds, bar) for size in batches]
    return BenchmarkResult(
        detector=model.detector.name,
        model=model.card.name,
        model_sha256=model.sha256,
        approach=model.card.approach,
        backend=model.backend.name,
        threads=model.backend.threads,
        particles=tuple(map(particle_name, pdgs)),
        energy_range=bounds,
        showers=len(given),
        mean_energy=float(given.energy.mean(dtype=np.float64)),
        seed=seed,
        geant4=reference,
        models=tuple(
            _compare(size, timing, reference, model.backend.threads)
            for size, timing in zip(batches, timings, strict=True)
        ),
        machine=machine,
        versions=versions,
    )


def same_energies(n: int, pdgs: Sequence[int], energy_range: tuple[float, float], seed: int) -> Incidents:
    """Make n incidents, one in each of n equal parts of the logarithm of the energy, in shuffled order.

    So the mean energy, which Geant4's time follows, is close to that of many showers already for few.

    >>> same_energies(2, [11], (1e3, 1e5), seed=1).energy.max() >= 1e4
    np.True_
    """
    rng = np.random.default_rng(seed)
    low, high = np.log(energy_range)
    parts = (rng.permutation(n) + rng.uniform(size=n)) / n
    energy = np.exp(low + parts * (high - low)).clip(*energy_range)
    return incidents(np.asarray(pdgs)[np.arange(n) % len(pdgs)], energy)


def _time_geant4(model: Model, given: Incidents, seed: int, show: bool) -> tuple[Timing, str]:
    from caloforge.geant4 import simulate

    milliseconds = np.zeros(len(given))
    pdgs = sorted(set(given.pdg.tolist()))
    rows = max(WARM_UP, len(pdgs))
    warm_up = incidents(np.resize(pdgs, rows), float(given.energy.min()))
    simulate(model.detector, warm_up, seed, first=len(given))
    with progress("Geant4", len(given), enabled=show) as bar:

        def note(index: int, seconds: float) -> None:
            milliseconds[index] = 1e3 * seconds
            bar.advance()

        showers = simulate(model.detector, given, seed, on_shower=note)
    return summarise(milliseconds, given.energy), showers.provenance.get("source", "Geant4")


def _time_model(
    model: Model, given: Incidents, batch: int, seed: int, seconds: float, bar: Progress
) -> Timing:
    times: list[float] = []
    begin = 0.0
    done = -WARM_UP
    while done < MIN_REPEATS or (time.perf_counter() - begin < seconds and done < MAX_REPEATS):
        if done == 0:
            begin = time.perf_counter()
        matrix = _batch_of(given, batch, done + WARM_UP)
        start = time.perf_counter()
        drawn = noise(seed, done + WARM_UP, batch, model.card.noise_size, model.backend.threads)
        model.forward(matrix, drawn, batch)
        if done >= 0:
            times.append(1e3 * (time.perf_counter() - start) / batch)
        done += 1
    bar.advance()
    return summarise(np.array(times))


def _batch_of(given: Incidents, batch: int, index: int) -> NDArray[np.float32]:
    rows = (np.arange(batch) + index * batch) % len(given)
    return given[rows].matrix()


def _compare(batch: int, timing: Timing, reference: Timing | None, threads: int) -> ModelTiming:
    if reference is None:
        return ModelTiming(batch, timing, None, None, None)
    speedup = reference.mean / timing.mean
    relative = math.hypot(reference.standard_error / reference.mean, timing.standard_error / timing.mean)
    return ModelTiming(batch, timing, speedup, speedup * relative, speedup / threads)


def _versions(model: Model) -> dict[str, str]:
    import platform

    return {
        "caloforge": __version__,
        model.backend.name: model.backend.version,
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
    }
