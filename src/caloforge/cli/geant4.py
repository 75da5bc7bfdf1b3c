"""`caloforge geant4`: which Geant4, physics list and data sets are in use."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from caloforge.geant4 import Installation, installation
from caloforge.geant4.data_sets import ABSENT


def command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON on stdout, with the variables.")
    ] = False,
) -> None:
    """Say which Geant4, physics list and data sets are in use and where they come from."""
    found = installation()
    if as_json:
        print(json.dumps(describe(found), indent=2))
    else:
        _print(found)


def describe(found: Installation) -> dict[str, object]:
    """Return what `--json` prints; `environment` reproduces the set-up outside CaloForge."""
    return {
        "geant4": found.version,
        "geant4_pybind": found.bindings,
        "physics": list(found.physics),
        "data_sets": [
            {
                "name": entry.name,
                "variable": entry.variable,
                "path": None if entry.origin == ABSENT else str(entry.path),
                "origin": entry.origin,
            }
            for entry in found.data_sets.entries
        ],
        "environment": found.data_sets.environment,
    }


def _print(found: Installation) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        f"Geant4 {found.version} through geant4-pybind {found.bindings}", markup=False, highlight=False
    )
    console.print(f"electromagnetic showers (e-, e+, gamma, pi0): {found.physics[0]}", highlight=False)
    missing = ", ".join(entry.name for entry in found.data_sets.missing_hadronic())
    hadrons = f"not possible, data sets missing: {missing}" if missing else found.physics[1]
    console.print(f"hadrons and muons: {hadrons}", highlight=False)
    table = Table()
    for header in ("data set", "variable", "origin", "folder"):
        table.add_column(header, overflow="fold")
    for entry in found.data_sets.entries:
        absent = entry.origin == ABSENT
        table.add_row(entry.name, entry.variable, entry.origin, "" if absent else str(entry.path))
    console.print(table)
