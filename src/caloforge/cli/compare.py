"""`caloforge compare`: reports of several models side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from caloforge.errors import InputError
from caloforge.validation import comparison, read_report, write_comparison
from caloforge.validation.report import measured, small

_COLOURS = {"within floor": "green", "visible": "yellow", "wrong": "red", "not tested": "dim"}


def command(
    reports: Annotated[list[Path], typer.Argument(help="Folders that `caloforge validate` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the comparison.")] = Path(
        "comparison"
    ),
    names: Annotated[
        str | None, typer.Option(help="What the models are called, with commas [names of the folders].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json on stdout.")] = False,
) -> None:
    """Put the reports of several models side by side in one table and one set of figures.

    Writes index.html, which opens offline, and comparison.json into the folder.
    """
    called = [name.strip() for name in names.split(",")] if names else _distinct(reports)
    if len(called) != len(reports):
        raise InputError(f"{len(called)} names for {len(reports)} reports")
    read = [read_report(path, name) for path, name in zip(reports, called, strict=True)]
    page = write_comparison(read, output)
    found = comparison(read)
    if as_json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        _print(found, page)


def _distinct(reports: list[Path]) -> list[str]:
    """Names of the folders; with their parents where they are the same."""
    folders = [path.resolve().parent if path.is_file() else path.resolve() for path in reports]
    names = [folder.name for folder in folders]
    if len(set(names)) == len(names):
        return names
    return [f"{folder.parent.name}/{folder.name}" for folder in folders]


def _print(found: dict[str, Any], page: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for warning in found["warnings"]:
        console.print(f"note: {warning}", markup=False, highlight=False)
    table = Table()
    table.add_column("number")
    table.add_column("floor", justify="right")
    for model in found["models"]:
        table.add_column(model["name"], justify="right")
    for row in found["numbers"]:
        cells = []
        for cell in row["cells"]:
            text = measured(cell["value"], cell["error"])
            if cell["best"]:
                text = f"[bold]{text}[/]"
            cells.append(f"[{_COLOURS[cell['verdict']]}]{text}[/]" if cell["verdict"] else text)
        table.add_row(row["name"], small(row["floor"]), *cells)
    for level in ("visible", "wrong"):
        table.add_row(f"checks {level}", "", *(str(model["counts"][level]) for model in found["models"]))
    console.print(table)
    console.print(f"report: {page}", soft_wrap=True, highlight=False)
