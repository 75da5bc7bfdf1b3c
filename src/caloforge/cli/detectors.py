"""`caloforge detectors`: list the detectors, or show one."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.units import format_energy


def command(
    name: Annotated[
        str | None, typer.Argument(help="A shipped detector, or the path of a .toml file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the shipped detectors, or show one: layers, radiation lengths, cells, symmetries."""
    if name is None:
        found = [describe(detectors.load(known)) for known in detectors.names()]
        if as_json:
            print(json.dumps([{k: v for k, v in one.items() if k != "layers"} for one in found], indent=2))
        else:
            _print_list(found)
        return
    described = describe(detectors.load(name))
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        _print_one(described)


def describe(detector: Detector) -> dict[str, Any]:
    """Return what `caloforge detectors NAME --json` prints. Lengths in mm, energies in MeV."""
    return {
        "name": detector.name,
        "description": detector.description,
        "reference": detector.reference,
        "shape": list(detector.shape),
        "cells": detector.n_cells,
        "cell_size": list(detector.readout.size),
        "readout": detector.readout.kind,
        "thickness": round(detector.thickness, 6),
        "radiation_lengths": round(detector.radiation_lengths, 3),
        "threshold": detector.threshold,
        "production_cut": detector.production_cut,
        "gun": list(detector.gun.position),
        "symmetries": [operation.name for operation in detector.symmetries],
        "layers": [
            {
                "layer": layer.index,
                "material": layer.material,
                "thickness": layer.thickness,
                "z": round(layer.z, 6),
                "depth": round(layer.depth, 4),
            }
            for layer in detector.layers
        ],
    }


def _print_list(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for header in ("name", "cells", "size [mm]", "depth", "description"):
        table.add_column(header)
    for one in found:
        table.add_row(
            one["name"],
            " x ".join(map(str, one["shape"])),
            " x ".join(f"{size:g}" for size in one["cell_size"]),
            f"{one['radiation_lengths']:.1f} X0",
            one["description"],
        )
    Console().print(table)


def _print_one(one: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("name", one["name"])
    facts.add_row("description", one["description"])
    facts.add_row("reference", one["reference"])
    facts.add_row("cells", f"{' x '.join(map(str, one['shape']))} = {one['cells']} ({one['readout']})")
    facts.add_row("cell size", " x ".join(f"{size:g}" for size in one["cell_size"]) + " mm")
    facts.add_row("thickness", f"{one['thickness']:g} mm, {one['radiation_lengths']:.2f} X0")
    facts.add_row("threshold", format_energy(one["threshold"]) if one["threshold"] else "none")
    facts.add_row("production cut", f"{one['production_cut']:g} mm")
    facts.add_row("gun", "(" + ", ".join(f"{value:g}" for value in one["gun"]) + ") mm")
    facts.add_row("symmetries", f"{len(one['symmetries'])}: " + ", ".join(one["symmetries"]))
    console.print(facts, markup=False)
    table = Table()
    for header in ("layer", "z [mm]", "depth [X0]", "material", "thickness [mm]"):
        table.add_column(header, justify="left" if header == "material" else "right")
    for layer in one["layers"]:
        table.add_row(
            str(layer["layer"]),
            f"{layer['z']:.2f}",
            f"{layer['depth']:.2f}",
            layer["material"],
            f"{layer['thickness']:g}",
        )
    console.print(table)
