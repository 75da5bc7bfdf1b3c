"""`caloforge generate`: draw showers from a model."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from caloforge.cli import _options as options


def command(
    model: Annotated[str, typer.Argument(help="A shipped model ('caloforge models') or an .onnx file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HDF5 file to write.")],
    n: Annotated[int, typer.Option("-n", "--number", help="Number of showers.")] = 1000,
    particle: options.Particle = "e-",
    energy: options.Energy = "1:100",
    theta: options.Theta = "0",
    phi: options.Phi = "0",
    position: options.Position = "0,0",
    seed: Annotated[int, typer.Option(help="Seed: the same seed gives the same showers.")] = 0,
    batch: Annotated[int, typer.Option(help="Showers that the model draws at once.")] = 128,
    threads: options.Threads = None,
    backend: options.Backend = "onnxruntime",
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail, instead of warning, outside what the model was trained on."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Draw showers from a model into an HDF5 file.

    No torch and no Geant4 are needed. Showers are streamed to disk; an interrupted call, also a killed one,
    leaves no broken file, and the same call goes on where it was. Incidents that leave what the model was trained
    on in what it is not conditioned on are refused ('caloforge models NAME' says both).
    """
    from caloforge.cli._warnings import shown
    from caloforge.runtime import Job, OutOfRangeWarning, generate_file, load
    from caloforge.showers import parse_spectrum

    job = Job(parse_spectrum(particle, energy, theta, phi, position), n, seed)
    start = time.perf_counter()
    with shown(OutOfRangeWarning), load(model, threads, backend) as loaded:
        resumed = generate_file(
            loaded,
            job,
            output,
            batch=batch,
            strict=strict,
            command=shlex.join(["caloforge", *sys.argv[1:]]),
        )
    seconds = time.perf_counter() - start
    if as_json:
        summary = {
            "file": str(output),
            "model": loaded.card.name,
            "model_sha256": loaded.sha256,
            "spectrum": asdict(job.spectrum.on(loaded.detector)),
            "showers": n,
            "resumed_from": resumed,
            "seconds": seconds,
            "batch": batch,
            "threads": loaded.backend.threads,
            "backend": loaded.backend.name,
        }
        print(json.dumps(summary, indent=2))
        return
    drawn = n - resumed
    went_on = f" ({resumed} of them from the interrupted call)" if resumed else ""
    rate = f", {seconds / drawn * 1e3:.3g} ms per shower with writing" if drawn else ""
    print(f"{output}: {n} showers of {loaded.card.name}{went_on} in {seconds:.1f} s{rate}")
