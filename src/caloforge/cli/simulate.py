"""`caloforge simulate`: showers from Geant4."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from caloforge import detectors
from caloforge.geant4 import produce
from caloforge.showers import parse_particles
from caloforge.units import parse_energy_range


def command(
    detector: Annotated[str, typer.Argument(help="A shipped detector, or the path of a .toml file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HDF5 file to write.")],
    n: Annotated[int, typer.Option("-n", help="Number of showers.", min=1)] = 1000,
    particle: Annotated[str, typer.Option(help="Particles, in turn: e-, e+, gamma, pi0, ...")] = "e-",
    energy: Annotated[
        str, typer.Option(help="Kinetic energy in GeV, or a range 'low:high' (log-uniform).")
    ] = "1:100",
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
        n,
        parse_particles(particle),
        parse_energy_range(energy),
        seed,
        output,
        workers=workers,
        overwrite=overwrite,
        show_progress=True,
    )
    print(f"{n} showers of {detector} in '{path}'", file=sys.stderr)
