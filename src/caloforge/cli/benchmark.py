"""`caloforge benchmark`: time Geant4 and a model side by side."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from caloforge.cli import _options as options

if TYPE_CHECKING:
    from caloforge.benchmark import BenchmarkResult, Timing


def command(
    model: Annotated[str, typer.Argument(help="A shipped model ('caloforge models') or an .onnx file.")],
    geant4: Annotated[int, typer.Option(help="Showers that Geant4 simulates; 0 times the model alone.")] = 20,
    batch: Annotated[str, typer.Option(help="Batch sizes of the model.")] = "1,16,128",
    threads: options.Threads = None,
    particle: options.Particle = "e-",
    energy: options.Energy = "1:100",
    theta: options.Theta = "0",
    phi: options.Phi = "0",
    position: options.Position = "0,0",
    seed: Annotated[int, typer.Option(help="Seed of incidents, Geant4 and noise.", min=0)] = 1,
    backend: options.Backend = "onnxruntime",
    as_json: options.AsJson = False,
) -> None:
    """Time Geant4 and a model side by side, in one run and on the same incidents.

    Geant4 runs in one process on one core; set-up and the first showers of both are left out. The model's
    time includes the drawing of its noise. The speed-up is given as measured, and core for core.
    """
    from caloforge.benchmark import run
    from caloforge.cli._warnings import shown
    from caloforge.errors import InputError
    from caloforge.runtime import OutOfRangeWarning, load
    from caloforge.showers import parse_spectrum

    words = [word.strip() for word in batch.split(",") if word.strip()]
    if not words or not all(word.isdigit() for word in words):
        raise InputError(f"--batch {batch!r}: write whole numbers, for instance 1,16,128")
    spectrum = parse_spectrum(particle, energy, theta, phi, position)
    with shown(OutOfRangeWarning), load(model, threads, backend) as loaded:
        result = run(loaded, spectrum, geant4, tuple(map(int, words)), seed)
    print(json.dumps(result.to_json(), indent=2) if as_json else describe(result))


def describe(result: BenchmarkResult) -> str:
    """The result as a table for people."""
    from caloforge.units import format_energy

    lines = [
        f"incidents {result.spectrum.describe()}",
        f"          {result.showers} on {result.detector}, mean energy {format_energy(result.mean_energy)}",
        f"machine   {result.machine.cpu}, {result.machine.cores} cores, load {result.machine.load:g}",
        f"model     {result.model} ({result.approach}), {result.backend}, {result.threads} threads",
        "versions  " + ", ".join(f"{name} {version}" for name, version in result.versions.items()),
        "warm-up   "
        + (f"{result.warm_up} showers of Geant4, " if result.geant4 else "")
        + f"{result.warm_up} batches of the model, not counted",
        "",
        f"{'ms per shower':<22}{'mean':>18}{'median':>10}{'5 % to 95 %':>20}"
        + (f"{'speed-up':>16}{'core for core':>15}" if result.geant4 else ""),
    ]
    if result.geant4:
        lines.append(_row("Geant4, 1 process", result.geant4))
    for entry in result.models:
        row = _row(f"model, batch {entry.batch}", entry.timing)
        if entry.speedup is not None:
            row += f"{f'{entry.speedup:.4g} ± {entry.speedup_error:.2g}':>16}{entry.speedup_per_core:>15.4g}"
        lines.append(row)
    return "\n".join(lines)


def _row(title: str, timing: Timing) -> str:
    low, _, _, high = timing.quantiles
    mean = f"{timing.mean:.4g} ± {timing.standard_error:.2g}"
    return f"{title:<22}{mean:>18}{timing.median:>10.4g}{f'{low:.3g} to {high:.3g}':>20}"
