"""Several reports side by side: one table and one set of figures for many models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caloforge.errors import FileError, InputError
from caloforge.files import make_folder
from caloforge.validation.record import SCHEMA
from caloforge.validation.report import pictures, render, write_pages
from caloforge.validation.verdict import LEVELS

ROWS = (
    ("auc_trees", "AUC, boosted trees on high-level"),
    ("auc_mlp_high", "AUC, MLP on high-level"),
    ("auc_mlp_cells", "AUC, MLP on cells"),
    ("auc_resnet_cells", "AUC, 3D ResNet on cells"),
    ("response_bias", "largest response bias, decades"),
    ("resolution_bias", "largest resolution bias, decades"),
    ("response_bias_theta", "largest response bias, theta"),
    ("resolution_bias_theta", "largest resolution bias, theta"),
    ("response_bias_position", "largest response bias, position"),
    ("resolution_bias_position", "largest resolution bias, position"),
    ("separation_max", "largest separation power"),
    ("layer_correlation", "layer correlation"),
    ("fpd", "FPD"),
    ("kpd", "KPD"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("density", "density"),
    ("coverage", "coverage"),
    ("gan3d_score", "original 3D GAN's score"),
    ("diversity", "median distance between showers / Geant4's"),
    ("memorised", "closer to training showers than 1 % of Geant4's"),
    ("physics_score", "physics score"),
)
"""Numbers of the table of models, in its order."""

_TWO_SIDED = {"precision", "recall", "density", "coverage", "diversity", "memorised"}
"""Numbers of which the one closest to the floor is the best; of the others it is the smallest."""


_BIASES = {
    f"{part}_bias{key}": f"{name}{where}"
    for part, name in (("response", "response bias"), ("resolution", "resolution"))
    for key, where in (("", ""), ("_theta", ", theta"), ("_position", ", position"))
}
"""The verdicts that go with numbers."""


@dataclass(frozen=True)
class Report:
    """A report that was written before.

    Attributes:
        name: What it is called in the comparison.
        metrics: Content of its `metrics.json`.
    """

    name: str
    metrics: dict[str, Any]


_KEYS = (
    "classifiers",
    "detector",
    "findings",
    "histograms",
    "level",
    "observables",
    "response",
    "samples",
    "scores",
    "shape",
    "verdicts",
)
"""What a report must hold."""


def read_report(path: str | Path, name: str | None = None) -> Report:
    """Read the `metrics.json` of a report.

    Args:
        path: The folder of the report, or the file.
        name: What it is called; the name of the folder if not given.

    Raises:
        FileError: If it is not there or no report of this version.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "metrics.json"
    if not file.exists():
        raise FileError(f"'{path}' is no report: '{file}' does not exist")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"'{file}' cannot be read: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise FileError(f"'{file}' has schema {schema!r}, expected {SCHEMA!r}: make the report again")
    missing = [key for key in _KEYS if key not in found]
    if missing:
        raise FileError(f"'{file}' is incomplete ({', '.join(missing)} missing): make the report again")
    return Report(name or file.resolve().parent.name, found)


def check_reports(reports: Sequence[Report]) -> list[str]:
    """Return warnings about reports that compare with care, after refusing those that do not.

    Raises:
        InputError: If there are fewer than two, or their detectors differ.
    """
    if len(reports) < 2:
        raise InputError("give at least two reports to compare")
    first = reports[0].metrics
    for other in reports[1:]:
        m = other.metrics
        if (m["detector"], m["shape"]) != (first["detector"], first["shape"]):
            raise InputError(
                f"{reports[0].name} is of detector {first['detector']!r}, {other.name} of {m['detector']!r}: "
                "they do not compare"
            )
    warnings = []
    for what, values in (
        ("references", {r.metrics["samples"]["reference"]["sha256"] for r in reports}),
        (
            "spectra of incidents",
            {r.metrics["samples"]["generated"]["spectrum"] for r in reports if _declares(r)},
        ),
        ("numbers of generated showers", {r.metrics["samples"]["generated"]["showers"] for r in reports}),
        ("levels", {r.metrics["level"] for r in reports}),
    ):
        if len(values) > 1:
            warnings.append(f"the reports have different {what}: compare their numbers with care")
    return warnings


def _declares(report: Report) -> bool:
    return bool(report.metrics["samples"]["generated"]["spectrum_declared"])


def table(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return the rows of the table of models: name, floor, and per model value, error, verdict, best."""
    rows = []
    for key, name in ROWS:
        cells = [_cell(report.metrics, key) for report in reports]
        if all(cell["value"] is None for cell in cells):
            continue
        ranks = [_rank(key, cell) for cell in cells]
        for cell, rank in zip(cells, ranks, strict=True):
            cell["best"] = rank == min(ranks) < math.inf and sum(r < math.inf for r in ranks) > 1
        rows.append({"key": key, "name": name, "floor": cells[0]["floor"], "cells": cells})
    return rows


def _rank(key: str, cell: dict[str, Any]) -> float:
    """Return what is the smaller the better; infinite without a result."""
    value, floor = cell["value"], cell["floor"]
    if value is None or (key in _TWO_SIDED and floor is None):
        return math.inf
    return float(abs(value - floor) if key in _TWO_SIDED else value)


def _cell(metrics: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "value": metrics["values"].get(key),
        "error": None,
        "floor": None,
        "verdict": None,
    }
    for c in metrics["classifiers"]:
        if c["key"] == key and not c["skipped"]:
            found |= {"error": c["error"], "floor": c["floor"], "verdict": c["verdict"]}
    for s in metrics["scores"]:
        if s["key"] == key and not s["skipped"]:
            found |= {"error": s["error"], "floor": s["floor"], "verdict": s["verdict"]}
    if key == "physics_score":
        found["floor"] = metrics["physics_score"]["floor"]
    if key in _BIASES:
        found["verdict"] = metrics["verdicts"].get(_BIASES[key])
    return found


def observables(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return the separation power of every observable of every model, with floor and verdict."""
    columns = [
        {c["observable"]: c for c in r.metrics["observables"] if c["selection"] == "all"} for r in reports
    ]
    rows = []
    for name in columns[0]:
        cells = [
            {
                "value": column[name]["separation"]["value"],
                "error": column[name]["separation"]["error"],
                "verdict": r.metrics["verdicts"][f"observable: {name}"],
            }
            for column, r in zip(columns, reports, strict=True)
            if name in column
        ]
        rows.append({"name": name, "floor": columns[0][name]["separation"]["floor"], "cells": cells})
    return rows


def summary(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Return per model its name, verdict, number of showers, file, and how many checks have which verdict."""
    return [
        {
            "name": r.name,
            "verdict": r.metrics["verdict"],
            "showers": r.metrics["samples"]["generated"]["showers"],
            "file": r.metrics["samples"]["generated"]["name"],
            "counts": {level: list(r.metrics["verdicts"].values()).count(level) for level in LEVELS},
            "findings": [f["observable"] for f in r.metrics["findings"][:3]],
        }
        for r in reports
    ]


def comparison(reports: Sequence[Report]) -> dict[str, Any]:
    """Return everything that a comparison of reports shows, as plain numbers and texts.

    Raises:
        InputError: If the reports do not compare.
    """
    warnings = check_reports(reports)
    return {
        "schema": "caloforge.comparison/1",
        "detector": reports[0].metrics["detector"],
        "warnings": warnings,
        "models": summary(reports),
        "numbers": table(reports),
        "observables": observables(reports),
    }


def write_comparison(reports: Sequence[Report], folder: str | Path) -> Path:
    """Write `index.html` (one file, opens offline) and `comparison.json` into a folder.

    Returns:
        The path of `index.html`.

    Raises:
        InputError: If the reports do not compare.
        FileError: If the folder cannot be written.
        MissingExtraError: If matplotlib or jinja2 is not installed.
    """
    from caloforge.validation.comparison_figures import comparison_figures

    found = comparison(reports)
    page = render("comparison.html.j2", c=found, figures=pictures(comparison_figures(reports)))
    target = make_folder(folder)
    text = json.dumps(found, indent=2, allow_nan=False) + "\n"
    write_pages(target, {"comparison.json": text, "index.html": page})
    return target / "index.html"
