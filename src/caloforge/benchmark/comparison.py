"""Geant4 and a model measured in one run, on the same incidents."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge import __version__
from caloforge.benchmark.machine import Machine, this_machine
from caloforge.benchmark.timing import Timing, summarise
from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.progress import Progress, progress
from caloforge.runtime import Model
from caloforge.runtime.random_numbers import noise
from caloforge.showers import Incidents, IncidentSpectrum, incidents

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
        spectrum: How the incidents are distributed, with the position in mm.
        showers: Number of different incidents, the same ones for Geant4 and model.
        mean_energy: Mean incident energy in MeV.
        seed: Seed of incidents, Geant4 and noise.
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
    spectrum: IncidentSpectrum
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
    spectrum: IncidentSpectrum,
    geant4: int = 20,
    batches: Sequence[int] = (1, 16, 128),
    seed: int = 1,
    *,
    seconds: float = SECONDS,
    show: bool = True,
) -> BenchmarkResult:
    """Time Geant4 and a model in this process, one after the other, on the same incidents.

    Args:
        model: The model, with its engine and threads.
        spectrum: How incidents are distributed; energies are spread evenly (see `same_incidents`).
        geant4: Number of showers that Geant4 simulates, at least 2; 0 measures the model alone.
        batches: Batch sizes of the model.
        seed: Seed of incidents, Geant4 and noise.
        seconds: How long the model is measured at each batch size, about.
        show: False hides the progress bars.

    Raises:
        InputError: If an argument cannot be used, or the spectrum leaves what the model is conditioned on.
        MissingExtraError: If geant4-pybind is not installed.
        Geant4Error: If Geant4 or its data sets cannot do it.
        ModelError: If the model fails.
    """
    if geant4 < 0 or geant4 == 1:
        raise InputError(
            f"geant4 = {geant4}: expected at least 2 showers, so that the mean has an error, or 0 for the model alone"
        )
    if not batches or min(batches) < 1:
        raise InputError(f"batches {list(batches)}: expected sizes of at least 1")
    model.check(spectrum)
    given = same_incidents(spectrum, geant4 or max(batches), seed, model.detector)
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
        spectrum=spectrum.on(model.detector),
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


def same_incidents(spectrum: IncidentSpectrum, n: int, seed: int, detector: Detector) -> Incidents:
    """Draw n incidents whose energies are spread evenly: one in each of n equal parts of their distribution, shuffled.

    So the mean energy, which Geant4's time follows, is close to that of many showers already for few. Angles and
    impact points are drawn.

    >>> from caloforge.detectors import load
    >>> same_incidents(IncidentSpectrum((11,), (1e3, 1e5)), 2, 1, load("clic-ecal")).energy.max() >= 1e4
    np.True_

    Args:
        spectrum: How incidents are distributed.
        n: Number of incidents.
        seed: Of all that is drawn.
        detector: What they hit.
    """
    rng = np.random.default_rng(seed)
    drawn = spectrum.draw(n, rng, detector)
    parts = (rng.permutation(n) + rng.uniform(size=n)) / n
    low, high = spectrum.energy_range
    if spectrum.energies == "list":
        energy = np.asarray(spectrum.energy)[(parts * len(spectrum.energy)).astype(int)]
    elif spectrum.energies == "uniform":
        energy = low + parts * (high - low)
    else:
        energy = np.exp(np.log(low) + parts * np.log(high / low)).clip(low, high)
    return replace(drawn, energy=energy.astype(np.float32))


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
