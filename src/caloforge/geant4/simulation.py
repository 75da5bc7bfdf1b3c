"""Showers from Geant4 in this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np

from caloforge.detectors import Detector
from caloforge.geant4.kernel import Kernel, kernel, quiet
from caloforge.showers import Incidents, Showers


def shower_seed(seed: int, index: int) -> int:
    """Seed of Geant4's random engine for one shower of a sample.

    Args:
        seed: Of the sample, not negative.
        index: Number of the shower in the sample.
    """
    low, high = np.random.SeedSequence([seed, index]).generate_state(2, np.uint32)
    return int(low) | (int(high) & 0x3FFFFFFF) << 32


def source_name(made: Kernel) -> str:
    """What made the showers, for their provenance."""
    return (
        f"Geant4 {made.version} through geant4-pybind {metadata.version('geant4-pybind')}, {made.physics}, "
        f"range cut {made.detector.physics.production_cut:g} mm, {made.data_sets.electromagnetic}"
    )


def simulate(
    detector: Detector,
    incidents: Incidents,
    seed: int,
    on_shower: Callable[[int, float], None] | None = None,
    first: int = 0,
    log: Path | None = None,
) -> Showers:
    """Simulate showers with Geant4 in this process, one after another.

    Shower i depends only on the incident, `seed` and `first + i`. Geant4 can be set up once per process, so
    all calls must have the same detector and kind of physics; `produce` has no such limit and uses many
    processes.

    Args:
        detector: The detector.
        incidents: N incidents.
        seed: Of the sample.
        on_shower: Called after each shower with its index (from 0) and Geant4's wall time in seconds.
        first: Number of the first shower in its sample.
        log: File that receives Geant4's output; `geant4.log` in the cache if not given.

    Returns:
        N showers, energies float32 in MeV of shape (N, *detector.shape), no threshold applied.

    Raises:
        Geant4Error: If data sets are missing, or Geant4 was set up for something else in this process.
        InputError: If a particle or an incident cannot be simulated.
        MissingExtraError: If geant4-pybind is not installed.
        FileError: If the cache cannot be written.
    """
    made = kernel(detector, tuple(sorted({int(pdg) for pdg in incidents.pdg})), log)
    return run(made, incidents, seed, on_shower, first, log)


def run(
    made: Kernel,
    incidents: Incidents,
    seed: int,
    on_shower: Callable[[int, float], None] | None = None,
    first: int = 0,
    log: Path | None = None,
) -> Showers:
    """Simulate showers with a kernel that is set up; see `simulate`."""
    detector = made.detector
    incidents.check_inside(detector)
    energies = np.zeros((len(incidents), detector.n_cells), dtype=np.float32)
    columns = {name: values.tolist() for name, values in vars(incidents).items()}
    for i in range(len(incidents)):
        incident = {name: values[i] for name, values in columns.items()}
        with quiet(log):
            start = time.perf_counter()
            energies[i] = made.shoot(**incident, seed=shower_seed(seed, first + i))
            elapsed = time.perf_counter() - start
        if on_shower is not None:
            on_shower(i, elapsed)
    provenance = {"source": source_name(made), "seed": str(seed)}
    return Showers(energies.reshape(len(incidents), *detector.shape), incidents, detector, provenance)
