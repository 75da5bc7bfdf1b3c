"""The report of a comparison: one HTML page that opens offline, and `metrics.json`."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import caloforge
from caloforge.errors import require
from caloforge.files import atomic, make_folder
from caloforge.physics import ResponseBin
from caloforge.showers import particle_name
from caloforge.units import GeV
from caloforge.validation.bias import Bias
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.figures import figures
from caloforge.validation.inputs import Sample, particle_counts

SCHEMA = "caloforge.validation/1"
"""Version of the layout of `metrics.json`, described in `docs/validation.md`."""


def metrics(evaluation: Evaluation) -> dict[str, Any]:
    """Return the content of `metrics.json`: plain numbers, texts, lists; null where there is no number."""
    e = evaluation
    found = {
        "schema": SCHEMA,
        "package": f"caloforge {caloforge.__version__}",
        "seed": e.seed,
        "detector": e.detector.name,
        "shape": list(e.detector.shape),
        "threshold_mev": e.reference.observables.threshold,
        "samples": {"generated": _sample(e.generated), "reference": _sample(e.reference)},
        "verdict": e.verdict,
        "verdicts": e.verdicts,
        "physics_score": {
            "value": e.score.total,
            "floor": e.score_floor,
            "floor_error": e.score_floor_error,
            "parts": e.score.parts,
        },
        "separation": [
            {
                "observable": s.observable,
                "value": s.value,
                "error": s.error,
                "floor": s.floor,
                "floor_error": s.floor_error,
                "excess": s.excess,
                "significance": s.significance,
                "verdict": s.verdict,
                "per_layer": list(s.per_layer),
            }
            for s in e.separations
        ],
        "classifiers": [{**asdict(c), "verdict": c.verdict} for c in e.classifiers],
        "tell_tales": [asdict(t) for t in e.tell_tales],
        "response": {"bins": [_bias(b) for b in e.bins], "decades": [_bias(b) for b in e.decades]},
    }
    plain = _plain(found)
    assert isinstance(plain, dict)
    return plain


def _sample(sample: Sample) -> dict[str, Any]:
    energy = sample.observables.incidents.energy
    return {
        "name": sample.name,
        "showers": len(sample),
        "particles": particle_counts(sample),
        "energy_min_gev": float(energy.min()) / GeV,
        "energy_max_gev": float(energy.max()) / GeV,
        "provenance": sample.provenance,
    }


def _bias(b: Bias) -> dict[str, Any]:
    return {
        "particle": particle_name(b.reference.pdg),
        "low_gev": b.reference.low / GeV,
        "high_gev": b.reference.high / GeV,
        "bias": b.bias,
        "bias_error": b.bias_error,
        "bias_verdict": b.verdict,
        "resolution_ratio": b.resolution_ratio,
        "resolution_ratio_error": b.resolution_ratio_error,
        "resolution_verdict": b.resolution_verdict,
        "generated": _response(b.generated),
        "reference": _response(b.reference),
    }


def _response(b: ResponseBin) -> dict[str, Any]:
    return {
        "showers": b.n,
        "response": b.response,
        "response_error": b.response_error,
        "resolution": b.resolution,
        "resolution_error": b.resolution_error,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def write_report(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write `index.html` (one file, opens offline) and `metrics.json` into a folder.

    Returns:
        The path of `index.html`.

    Raises:
        FileError: If the folder cannot be written.
        MissingExtraError: If matplotlib or jinja2 is not installed.
    """
    target = make_folder(folder)
    page = html(evaluation)
    for name, text in (
        ("metrics.json", json.dumps(metrics(evaluation), indent=2, allow_nan=False) + "\n"),
        ("index.html", page),
    ):
        with atomic(target / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return target / "index.html"


def html(evaluation: Evaluation) -> str:
    """Return the report as one HTML page with its figures inside.

    Raises:
        MissingExtraError: If matplotlib or jinja2 is not installed.
    """
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"number": _number, "small": small, "signed": _signed, "percent": _percent}
    text = (resources.files("caloforge.validation") / "report.html.j2").read_text(encoding="utf-8")
    pictures = [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "data": base64.b64encode(figure.png).decode("ascii"),
        }
        for figure in figures(evaluation)
    ]
    found = metrics(evaluation)
    known = [b for b in found["response"]["bins"] if b["bias"] is not None]
    provenances = [sample["provenance"] for sample in found["samples"].values()]
    page: str = environment.from_string(text).render(
        m=found,
        figures=pictures,
        worst_bias=max(known, key=lambda b: abs(b["bias"]), default=None),
        provenance_names=sorted({name for provenance in provenances for name in provenance}),
    )
    return page


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def small(value: float | None) -> str:
    """Write a separation power: five digits, or two significant ones where that is too few.

    >>> small(0.01234567), small(0.0000123)
    ('0.01235', '1.2e-05')
    """
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _signed(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"


def _percent(value: float | None, digits: int = 2, sign: str = "+") -> str:
    return "-" if value is None else f"{100 * value:{sign}.{digits}f}"
