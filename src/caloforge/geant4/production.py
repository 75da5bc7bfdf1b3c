"""Samples of showers from many Geant4 processes: reproducible, interruptible, resumable."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from caloforge.detectors import Detector, names, to_toml
from caloforge.errors import CaloForgeError, FileError, InputError, require
from caloforge.files import check_target, make_folder
from caloforge.geant4.data_sets import prepare
from caloforge.geant4.geometry import check_start
from caloforge.geant4.parts import (
    Chunk,
    Plan,
    chunk_path,
    open_parts,
    read_chunk,
    remove_parts,
)
from caloforge.geant4.physics import choose_physics
from caloforge.geant4.pool import simulate_chunks
from caloforge.progress import progress
from caloforge.showers import Incidents, IncidentSpectrum, ShowerFile, ShowerWriter

_INCIDENTS = 0
"""Spawn key of the random numbers that draw the incidents, apart from those of the showers."""


def produce(
    detector: Detector,
    spectrum: IncidentSpectrum,
    n: int,
    seed: int,
    path: str | Path,
    workers: int = 1,
    overwrite: bool = False,
    show_progress: bool = False,
) -> Path:
    """Simulate a sample of showers with Geant4 in worker processes and write it to an HDF5 file.

    The content of the file depends on the arguments up to `seed` only, not on the number of workers. Finished
    chunks are kept in `<path>.parts/`; when the call is interrupted, killed or fails, the same call goes on where
    it was. The file appears under its name when it is complete.

    Args:
        detector: The detector.
        spectrum: How incidents are distributed.
        n: Number of showers.
        seed: Not negative.
        path: The file.
        workers: Number of processes.
        overwrite: Replace an existing file, and an unfinished production with other parameters.
        show_progress: Show a progress bar.

    Returns:
        The path of the file.

    Raises:
        InputError: If an argument cannot be used, or an unfinished production with other parameters is there.
        FileError: If the file exists or cannot be written.
        Geant4Error: If data sets are missing or workers keep dying.
        MissingExtraError: If geant4-pybind is not installed.
    """
    final = Path(path)
    plan = make_plan(detector, spectrum, n, seed)
    if workers < 1:
        raise InputError(f"workers = {workers}: at least one is needed")
    check_target(final)
    if final.exists() and not overwrite:
        if _is_complete(final, plan):
            remove_parts(final)
            return final
        raise FileError(f"'{final}' exists; choose another name, or replace it with --overwrite")
    make_folder(final.parent)
    with open_parts(final, plan, overwrite) as folder:
        chunks = plan.chunks()
        while todo := [chunk for chunk in chunks if read_chunk(folder, chunk, detector) is None]:
            done = plan.n - sum(map(len, todo))
            with progress("simulate", plan.n, done=done, enabled=show_progress) as bar:
                simulate_chunks(
                    plan, plan_incidents(plan, detector), todo, folder, min(workers, len(todo)), bar
                )
        _assemble(plan, detector, chunks, folder, final)
        remove_parts(final)
    return final


def make_plan(detector: Detector, spectrum: IncidentSpectrum, n: int, seed: int) -> Plan:
    """Check the arguments of `produce` and collect what the sample depends on.

    Raises:
        InputError: If an argument cannot be used.
        Geant4Error: If data sets are missing.
        MissingExtraError: If geant4-pybind is not installed.
    """
    if n < 1:
        raise InputError(f"n = {n}: at least one shower is needed")
    if seed < 0:
        raise InputError(f"seed = {seed}: it must not be negative")
    spectrum = spectrum.on(detector)
    x0, x1, y0, y1 = spectrum.rectangle
    check_start(detector, spectrum.theta[1], max(abs(x0), abs(x1)), max(abs(y0), abs(y1)))
    try:
        version = metadata.version("geant4-pybind")
    except metadata.PackageNotFoundError:
        require("geant4_pybind", "geant4")
        version = "unknown"
    data_sets = prepare(detector.physics.photoelectric_shells)
    physics = choose_physics(spectrum.particles, data_sets, detector.physics.physics_list)
    return Plan(
        detector=to_toml(detector),
        n=n,
        spectrum=spectrum.to_json(),
        seed=seed,
        physics=physics,
        data=data_sets.electromagnetic,
        geant4=version,
    )


def plan_incidents(plan: Plan, detector: Detector) -> Incidents:
    """Draw all incidents of a sample."""
    rng = np.random.default_rng(np.random.SeedSequence(plan.seed, spawn_key=(_INCIDENTS,)))
    return IncidentSpectrum.parse_json(plan.spectrum, "plan").draw(plan.n, rng, detector)


def command_line(plan: Plan, detector_name: str) -> str:
    """The command that makes the sample, without what does not change its content.

    A detector that the library does not have is one from a file: `NAME.toml`.
    """
    detector = detector_name if detector_name in names() else f"{detector_name}.toml"
    options = IncidentSpectrum.parse_json(plan.spectrum, "plan").options()
    words = ["caloforge", "simulate", detector, "-n", str(plan.n), *options, "--seed", str(plan.seed)]
    return shlex.join(words)


def _is_complete(path: Path, plan: Plan) -> bool:
    try:
        with ShowerFile(path) as file:
            return file.provenance.get("fingerprint") == plan.fingerprint and len(file) == plan.n
    except CaloForgeError:
        return False


def _assemble(plan: Plan, detector: Detector, chunks: Sequence[Chunk], folder: Path, final: Path) -> None:
    first = read_chunk(folder, chunks[0], detector)
    provenance = {
        "source": first.provenance["source"] if first else "",
        "seed": str(plan.seed),
        "command": command_line(plan, detector.name),
        "fingerprint": plan.fingerprint,
        "spectrum": plan.spectrum,
        "physics": f"{plan.physics}, {plan.data}",
    }
    with ShowerWriter(final, detector, plan.detector, provenance) as writer:
        for chunk in chunks:
            showers = read_chunk(folder, chunk, detector)
            if showers is None:
                raise FileError(
                    f"'{chunk_path(folder, chunk)}' vanished or was damaged; run the same command again"
                )
            writer.append(showers)
