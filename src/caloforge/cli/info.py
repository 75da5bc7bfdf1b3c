"""`caloforge info`: describe a shower file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from caloforge import detectors
from caloforge.progress import progress
from caloforge.showers import Incidents, IncidentSpectrum, ShowerFile, particle_name, pdg_id
from caloforge.units import GeV, format_energy

_PIECE = 1000


@dataclass(frozen=True)
class Particle:
    """What a file holds of one particle. Energies in MeV; the response is visible / incident energy."""

    pdg: int
    name: str
    showers: int
    energy_min: float
    energy_max: float
    response_mean: float
    response_std: float
    hits_mean: float
    maximum_cell: float


def command(
    file: Annotated[Path, typer.Argument(help="Shower file (HDF5): ours, CaloChallenge, original 3D GAN.")],
    detector: Annotated[
        str | None, typer.Option(help="Detector (name or .toml file), where the file does not say.")
    ] = None,
    particle: Annotated[str | None, typer.Option(help="Particle, where the file does not say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Describe a shower file: detector, spectrum, response, hits, where it comes from.

    The file is streamed, so it may be larger than memory.
    """
    known = detectors.load(detector) if detector else None
    with ShowerFile(file, known, pdg=pdg_id(particle) if particle else None) as showers:
        described = describe(showers)
    if as_json:
        print(json.dumps(described, indent=2))
    else:
        _print(described)


def describe(file: ShowerFile) -> dict[str, Any]:
    """Return what `caloforge info --json` prints."""
    shape = file.known_shape
    threshold = file.detector.threshold if file.detector else 0.0
    incidents = file.incidents
    measured: list[Any] = []
    with progress("reading", len(file)) as bar:
        for start in range(0, len(file), _PIECE):
            piece = file.read_flat(start, start + _PIECE)
            measured.append(_measure(piece, threshold))
            bar.advance(len(piece))
    visible, hits, maximum = np.concatenate(measured, axis=1) if measured else np.zeros((3, 0))
    particles = [
        asdict(_particle(int(pdg), incidents, visible, hits, maximum)) for pdg in np.unique(incidents.pdg)
    ]
    return {
        "file": str(file.path),
        "kind": file.kind,
        "bytes": file.path.stat().st_size,
        "showers": len(file),
        "detector": file.detector.name if file.detector else None,
        "shape": list(shape) if shape else None,
        "cells": file.n_cells,
        "threshold": threshold,
        "units": "MeV",
        "particles": particles,
        "spectrum": json.loads(file.spectrum.to_json()) if file.spectrum else None,
        "spectrum_in_words": _in_words(file),
        "provenance": file.provenance,
    }


def _in_words(file: ShowerFile) -> str:
    """The spectrum of the file, or what its incidents lie within."""
    if file.spectrum is not None:
        return file.spectrum.describe()
    return f"within {IncidentSpectrum.around(file.incidents).describe()}" if len(file) else "none"


def _measure(energies: Any, threshold: float) -> Any:
    """Visible energy, hits and maximum cell, (3, n_showers)."""
    kept = np.where(energies >= np.float32(threshold), energies, np.float32(0))
    return np.stack([kept.sum(axis=1, dtype=np.float64), np.count_nonzero(kept, axis=1), kept.max(axis=1)])


def _particle(pdg: int, incidents: Incidents, visible: Any, hits: Any, maximum: Any) -> Particle:
    mine = incidents.pdg == pdg
    energy = incidents.energy[mine].astype(np.float64)
    response = visible[mine] / energy
    return Particle(
        pdg=pdg,
        name=particle_name(pdg),
        showers=int(mine.sum()),
        energy_min=float(energy.min()),
        energy_max=float(energy.max()),
        response_mean=float(response.mean()),
        response_std=float(response.std()),
        hits_mean=float(hits[mine].mean()),
        maximum_cell=float(maximum[mine].max()),
    )


def _print(described: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    facts = Table(show_header=False, box=None, pad_edge=False)
    shape = described["shape"]
    facts.add_row(
        "file", f"{described['file']} ({described['bytes'] / 1e6:.1f} MB, {described['kind']} layout)"
    )
    facts.add_row("detector", str(described["detector"] or "unknown"))
    facts.add_row(
        "cells", f"{' x '.join(map(str, shape))} = {described['cells']}" if shape else str(described["cells"])
    )
    facts.add_row("showers", str(described["showers"]))
    facts.add_row("incidents", described["spectrum_in_words"])
    for name, text in described["provenance"].items():
        if name != "spectrum":
            facts.add_row(name, text)
    console.print(facts, markup=False)
    table = Table(
        caption=f"cells of at least {format_energy(described['threshold'])}"
        if described["threshold"]
        else None
    )
    for header in (
        "particle",
        "showers",
        "E [GeV]",
        "response [%]",
        "spread [%]",
        "hits",
        "max [MeV]",
    ):
        table.add_column(header, justify="left" if header == "particle" else "right")
    for row in described["particles"]:
        low, high = row["energy_min"] / GeV, row["energy_max"] / GeV
        table.add_row(
            row["name"],
            str(row["showers"]),
            f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}",
            f"{100 * row['response_mean']:.3f}",
            f"{100 * row['response_std']:.3f}",
            f"{row['hits_mean']:.1f}",
            f"{row['maximum_cell']:.4g}",
        )
    console.print(table)
