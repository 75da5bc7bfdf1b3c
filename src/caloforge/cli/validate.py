"""`caloforge validate`: compare showers with a reference and write a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caloforge import detectors
from caloforge.errors import InputError
from caloforge.units import GeV
from caloforge.validation import Evaluation, evaluate, metrics, read_sample, write_report
from caloforge.validation.report import small

_COLOURS = {"good": "green", "fair": "yellow", "poor": "red", "skipped": "dim"}


def command(
    generated: Annotated[Path, typer.Argument(help="Showers to judge (HDF5).")],
    reference: Annotated[Path, typer.Argument(help="Showers of Geant4 to compare with (HDF5).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(help="Of everything random in the comparison.", min=0)] = 0,
    mlp: Annotated[bool, typer.Option("--mlp", help="Train a multi-layer perceptron too (slower).")] = False,
    detector: Annotated[
        str | None, typer.Option(help="Detector (name or .toml file), where the files do not say.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json on stdout.")] = False,
) -> None:
    """Compare generated showers with a reference: physics, classifier, floor.

    Writes index.html, which opens offline, and metrics.json into the folder. The files are streamed. The
    detector's threshold is applied to both samples.
    """
    if generated.exists() and reference.exists() and generated.samefile(reference):
        raise InputError(f"'{generated}' is compared with itself: give two independent samples")
    known = detectors.load(detector) if detector else None
    evaluation = evaluate(
        read_sample(generated, str(generated), known, bar=True),
        read_sample(reference, str(reference), known, bar=True),
        seed,
        with_mlp=mlp,
    )
    page = write_report(evaluation, output)
    if as_json:
        print(json.dumps(metrics(evaluation), indent=2, allow_nan=False))
    else:
        _print(evaluation, page)


def _print(evaluation: Evaluation, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table()
    for header in ("metric", "value", "floor", "verdict"):
        table.add_column(header, justify="left" if header in {"metric", "verdict"} else "right")
    for c in evaluation.classifiers:
        value, floor = f"{c.auc:.3f} ± {c.error:.3f}", f"{c.floor:.3f} ± {c.floor_error:.3f}"
        skipped = bool(c.skipped)
        table.add_row(f"AUC, {c.name}", *(("-", "-") if skipped else (value, floor)), _coloured(c.verdict))
    for s in evaluation.separations:
        value, floor = f"{small(s.value)} ± {small(s.error)}", f"{small(s.floor)} ± {small(s.floor_error)}"
        table.add_row(f"separation, {s.observable}", value, floor, _coloured(s.verdict))
    floor = f"{evaluation.score_floor:.4f} ± {evaluation.score_floor_error:.4f}"
    table.add_row("physics score", f"{evaluation.score.total:.4f}", floor, "")
    console.print(table)
    table = Table()
    for header in ("particle", "E [GeV]", "response bias [%]", "", "resolution ratio", ""):
        table.add_column(header, justify="left" if header in {"particle", ""} else "right")
    for b in evaluation.bins:
        table.add_row(
            b.name,
            f"{b.reference.low / GeV:g} to {b.reference.high / GeV:g}",
            f"{100 * b.bias:+.2f} ± {100 * b.bias_error:.2f}",
            _coloured(b.verdict),
            f"{b.resolution_ratio:.3f} ± {b.resolution_ratio_error:.3f}",
            _coloured(b.resolution_verdict),
        )
    console.print(table)
    for c in evaluation.classifiers:
        if c.skipped:
            console.print(f"AUC, {c.name}: {c.skipped}", markup=False, highlight=False)
    console.print(
        f"all in all: {_coloured(evaluation.verdict)}; report: {page}", soft_wrap=True, highlight=False
    )


def _coloured(verdict: str) -> str:
    return f"[{_COLOURS[verdict]}]{verdict}[/]"
