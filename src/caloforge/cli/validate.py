"""`caloforge validate`: compare showers with a reference and write a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from caloforge import detectors, errors
from caloforge.errors import InputError
from caloforge.files import prepared_folder
from caloforge.showers import pdg_id
from caloforge.validation import (
    Evaluation,
    Requirement,
    evaluate,
    metrics,
    parse_requirements,
    write_report,
)
from caloforge.validation.report import measured, small

NOT_MET = 8
"""Exit status when a requirement is not met."""

_COLOURS = {"within floor": "green", "visible": "yellow", "wrong": "red", "not tested": "dim"}
_MOST_FINDINGS = 8


def command(
    generated: Annotated[Path, typer.Argument(help="Showers to judge (HDF5).")],
    reference: Annotated[Path, typer.Argument(help="Showers of Geant4 to compare with (HDF5).")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the report.")] = Path("report"),
    seed: Annotated[int, typer.Option(help="Of everything random in the comparison.", min=0)] = 0,
    fast: Annotated[
        bool, typer.Option("--fast", help="Less than a minute: few trees as the only classifier.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="All classifiers with all seeds: some ten minutes.")
    ] = False,
    training: Annotated[
        Path | None, typer.Option(help="Showers the model was trained on: tests for memorised ones.")
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(help="Limits that decide the exit status: 'auc_high<0.6,response_bias<0.01'."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="Detector where the files do not say: name, .toml, or CaloChallenge .xml."),
    ] = None,
    particle: Annotated[str | None, typer.Option(help="Particle where the files do not say.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print metrics.json on stdout.")] = False,
) -> None:
    """Compare generated showers with a reference: physics, classifiers, floor.

    Both must have the same detector and the same spectrum of particles, energies, angles and impact points.
    Writes index.html, which opens offline, and metrics.json into the folder. The files are streamed. The
    detector's threshold is applied to both samples. Exit status 8: a requirement is not met.
    """
    if fast and full:
        raise InputError("--fast and --full exclude each other")
    if generated.exists() and reference.exists() and generated.samefile(reference):
        raise InputError(f"'{generated}' is compared with itself: give two independent samples")
    requirements = () if require is None else parse_requirements(require)
    for module in ("sklearn", "mplhep", "jinja2"):  # what the report needs should be missed at once
        errors.require(module, "report")
    with prepared_folder(output):
        evaluation = evaluate(
            generated,
            reference,
            seed,
            level="fast" if fast else "full" if full else "default",
            training=training,
            detector=detectors.load(detector) if detector else None,
            pdg=pdg_id(particle) if particle else None,
            bar=True,
        )
        page = write_report(evaluation, output, requirements)
    found = metrics(evaluation, requirements)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(evaluation, page)
    if not _all_met(requirements, found["values"]):
        raise typer.Exit(NOT_MET)


def _all_met(requirements: tuple[Requirement, ...], numbers: dict[str, float | None]) -> bool:
    from rich.console import Console

    console = Console(stderr=True)
    for one in requirements:
        value = numbers[one.name]
        shown = "not tested" if value is None else f"{value:.4g}"
        if not one.holds(numbers):
            console.print(f"requirement not met: {one} ({shown})", markup=False, highlight=False)
    return all(one.holds(numbers) for one in requirements)


def _print(evaluation: Evaluation, page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table()
    for header in ("metric", "value", "floor", "verdict"):
        table.add_column(header, justify="left" if header in {"metric", "verdict"} else "right")
    for c in evaluation.classifiers:
        value, floor = f"{c.auc:.3f} ± {c.error:.3f}", f"{c.floor:.3f} ± {c.floor_error:.3f}"
        cells = ("-", "-") if c.skipped else (value, floor)
        table.add_row(f"AUC, {c.name} on {c.features}", *cells, _coloured(c.verdict))
    for s in evaluation.scores:
        value, floor = measured(s.value, s.error), measured(s.floor, s.floor_error)
        table.add_row(s.name, *(("-", "-") if s.skipped else (value, floor)), _coloured(s.verdict))
    for check in evaluation.checks:
        table.add_row(check.name, small(check.value), small(check.floor), _coloured(check.verdict))
    for one in evaluation.separations:
        value, floor = measured(one.value, one.error), measured(one.floor, one.floor_error)
        verdict = evaluation.verdicts[f"observable: {one.observable}"]
        table.add_row(f"separation, {one.observable}", value, floor, _coloured(verdict))
    floor = f"{evaluation.score_floor:.4f} ± {evaluation.score_floor_error:.4f}"
    table.add_row("physics score", f"{evaluation.score.total:.4f}", floor, "")
    console.print(table)
    table = Table()
    for header in ("particle", "bin", "response bias [%]", "", "resolution ratio", ""):
        table.add_column(header, justify="left" if header in {"particle", ""} else "right")
    for b in (*evaluation.bins, *evaluation.angles, *evaluation.positions):
        table.add_row(
            b.name,
            f"{'' if b.variable == 'energy' else b.variable} {b.low:.4g} to {b.high:.4g} {b.unit}".strip(),
            f"{100 * b.bias:+.2f} ± {100 * b.bias_error:.2f}",
            _coloured(b.verdict),
            f"{b.resolution_ratio:.3f} ± {b.resolution_ratio_error:.3f}",
            _coloured(b.resolution_verdict),
        )
    console.print(table)
    for c in evaluation.classifiers:
        if c.skipped or c.warning:
            text = f"AUC, {c.name} on {c.features}: {c.skipped or c.warning}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    for finding in evaluation.findings[:_MOST_FINDINGS]:
        console.print(
            f"{_coloured(finding.verdict)} {finding.observable}: {finding.text}",
            soft_wrap=True,
            highlight=False,
        )
    rest = len(evaluation.findings) - _MOST_FINDINGS
    if rest > 0:
        console.print(f"and {rest} more findings in the report", highlight=False)
    console.print(
        f"all in all: {_coloured(evaluation.verdict)}; report: {page}", soft_wrap=True, highlight=False
    )


def _coloured(verdict: str) -> str:
    return f"[{_COLOURS[verdict]}]{verdict}[/]"
