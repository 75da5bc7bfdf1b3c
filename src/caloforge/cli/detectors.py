"""`caloforge detectors`: list the detectors, or show one."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.units import format_energy

_FEW = 8
"""Symmetries that are listed by name; those of sectors are many."""


def command(
    name: Annotated[str | None, typer.Argument(help="A shipped detector, or the path of a file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List the shipped detectors, or show one: layers, depth, cells, physics, symmetries."""
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
        "readout": asdict(detector.readout),
        "thickness": round(detector.thickness, 6),
        "radiation_lengths": round(detector.radiation_lengths, 3),
        "threshold": detector.threshold,
        "physics": asdict(detector.physics),
        "gun": asdict(detector.gun),
        "margin": detector.margin,
        "materials": [asdict(mixture) for mixture in detector.material],
        "symmetries": [operation.name for operation in detector.symmetries],
        "layers": [
            {
                "layer": layer.index,
                "material": layer.material,
                "thickness": layer.thickness,
                "z": round(layer.z, 6),
                "depth": round(layer.depth, 4),
                "slices": layer.slices,
                "mip": float(f"{mip:.5g}"),
            }
            for layer, mip in zip(detector.layers, detector.mip_energy.tolist(), strict=True)
        ],
    }


def _print_list(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for header in ("name", "cells", "readout", "depth", "description"):
        table.add_column(header)
    for one in found:
        table.add_row(
            one["name"],
            " x ".join(map(str, one["shape"])),
            one["readout"]["kind"],
            f"{one['radiation_lengths']:.1f} X0",
            one["description"],
        )
    Console().print(table)


def _cells(readout: dict[str, Any]) -> str:
    """How a layer is divided, in words."""
    if "rings" not in readout:
        (rows, columns), (height, width) = readout["cells"], readout["size"]
        return f"{rows} rows x {columns} columns of {height:g} x {width:g} mm"
    edges = ", ".join(f"{edge:g}" for edge in readout["rings"])
    return f"{readout['sectors']} sectors x {len(readout['rings']) - 1} rings with edges {edges} mm"


def _print_one(one: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("name", one["name"])
    facts.add_row("description", one["description"])
    facts.add_row("reference", one["reference"])
    facts.add_row("cells", f"{' x '.join(map(str, one['shape']))} = {one['cells']}")
    readout, physics = one["readout"], one["physics"]
    facts.add_row("readout", f"{readout['kind']}: {_cells(readout)}")
    if readout["merge"] > 1:
        facts.add_row("merge", f"{readout['merge']} sensitive slices are a layer")
    if readout["calibration"] != 1:
        facts.add_row("calibration", f"{readout['calibration']:.6g}")
    facts.add_row("thickness", f"{one['thickness']:g} mm, {one['radiation_lengths']:.2f} X0")
    facts.add_row("threshold", format_energy(one["threshold"]) if one["threshold"] else "none")
    facts.add_row(
        "physics",
        f"production cut {physics['production_cut']:g} mm, photoelectric shells {physics['photoelectric_shells']}, "
        f"physics list {physics['physics_list']}",
    )
    facts.add_row("gun", f"{one['gun']['distance']:g} mm before the front face")
    if one["margin"]:
        facts.add_row("margin", f"plates reach {one['margin']:g} mm beyond the readout")
    for mixture in one["materials"]:
        parts = ", ".join(f"{100 * share:.4g} % {part}" for part, share in mixture["fractions"].items())
        facts.add_row("material", f"{mixture['name']}: {mixture['density']:g} g/cm3, {parts}")
    names = one["symmetries"]
    listed = ": " + ", ".join(names) if len(names) <= _FEW else ""
    facts.add_row("symmetries", f"{len(names)}{listed}")
    console.print(facts, markup=False)
    table = Table()
    for header in ("layer", "z [mm]", "depth [X0]", "material", "thickness [mm]", "MIP"):
        table.add_column(header, justify="left" if header == "material" else "right")
    for layer in one["layers"]:
        table.add_row(
            str(layer["layer"]),
            f"{layer['z']:.2f}",
            f"{layer['depth']:.2f}",
            layer["material"],
            f"{layer['thickness']:g}",
            format_energy(float(f"{layer['mip']:.3g}")),
        )
    console.print(table)
