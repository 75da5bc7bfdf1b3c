"""`caloforge simulate`: showers from Geant4."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from caloforge import detectors
from caloforge.cli import _options as options
from caloforge.geant4 import produce
from caloforge.showers import parse_spectrum


def command(
    detector: Annotated[str, typer.Argument(help="A shipped detector, or the path of a file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HDF5 file to write.")],
    n: Annotated[int, typer.Option("-n", help="Number of showers.", min=1)] = 1000,
    particle: options.Particle = "e-",
    energy: options.Energy = "1:100",
    theta: options.Theta = "0",
    phi: options.Phi = "0",
    position: options.Position = "0,0",
    seed: Annotated[int, typer.Option(help="The same seed gives the same file.", min=0)] = 1,
    workers: Annotated[int, typer.Option(help="Number of Geant4 processes.", min=1)] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file or another unfinished production.")
    ] = False,
) -> None:
    """Simulate showers with Geant4.

    Interrupted or killed, the same command goes on where it was.
    """
    path = produce(
        detectors.load(detector),
        parse_spectrum(particle, energy, theta, phi, position),
        n,
        seed,
        output,
        workers=workers,
        overwrite=overwrite,
        show_progress=True,
    )
    print(f"{n} showers of {detector} in '{path}'", file=sys.stderr)
