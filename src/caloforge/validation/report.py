"""The report of a comparison: one HTML page that opens offline, and `metrics.json`."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Any

from caloforge.errors import require
from caloforge.files import atomic, make_folder
from caloforge.validation.display import displays
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.figures import figures
from caloforge.validation.plotting import Figure
from caloforge.validation.published import published
from caloforge.validation.record import metrics
from caloforge.validation.requirements import Requirement

_MOST_DIGITS = 5

_CSS = {"within floor": "good", "visible": "fair", "wrong": "poor", "not tested": "skipped"}


def write_report(
    evaluation: Evaluation, folder: str | Path, requirements: tuple[Requirement, ...] = ()
) -> Path:
    """Write `index.html` (one file, opens offline) and `metrics.json` into a folder.

    The numbers are written first: they are there even if the page cannot be made.

    Args:
        evaluation: What was found.
        folder: Where to; made if it is not there.
        requirements: Shown with what they found.

    Returns:
        The path of `index.html`.

    Raises:
        FileError: If the folder cannot be written.
        MissingExtraError: If matplotlib or jinja2 is not installed.
    """
    target = make_folder(folder)
    found = metrics(evaluation, requirements)
    write_pages(target, {"metrics.json": json.dumps(found, indent=2, allow_nan=False) + "\n"})
    write_pages(target, {"index.html": html(evaluation, found)})
    return target / "index.html"


def write_pages(folder: Path, pages: dict[str, str]) -> None:
    """Write texts into files of a folder, each whole or not at all."""
    for name, text in pages.items():
        with atomic(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def html(evaluation: Evaluation, found: dict[str, Any]) -> str:
    """Return the report as one HTML page with its figures inside.

    Args:
        evaluation: What was found.
        found: The same as `metrics` gives it.

    Raises:
        MissingExtraError: If matplotlib or jinja2 is not installed.
    """
    known = [b for b in found["response"]["bins"] if b["bias"] is not None]
    provenances = [sample["provenance"] for sample in found["samples"].values() if sample]
    return render(
        "report.html.j2",
        m=found,
        overall=[c for c in found["observables"] if c["selection"] == "all"],
        counts=Counter(found["verdicts"].values()),
        display=safe_json(displays(evaluation)),
        script=script(),
        figures=pictures(figures(evaluation)),
        published=published(evaluation),
        worst_bias=max(known, key=lambda b: abs(b["bias"]), default=None),
        provenance_names=sorted({name for provenance in provenances for name in provenance} - {"spectrum"}),
    )


def render(template: str, **values: Any) -> str:
    """Fill one of the templates of this room.

    Raises:
        MissingExtraError: If jinja2 is not installed.
    """
    jinja2 = require("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("caloforge.validation", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "brief": _brief,
        "css": _CSS.__getitem__,
        "measured": measured,
        "number": _number,
        "percent": _percent,
        "signed": _signed,
        "small": small,
    }
    page: str = environment.get_template(template).render(**values)
    return page


def script() -> Any:
    """Return the code of the event display for a page."""
    markup = require("markupsafe", "report")
    text = (resources.files("caloforge.validation") / "display.js").read_text(encoding="utf-8")
    return markup.Markup(text)


def safe_json(value: Any) -> Any:
    """Return JSON that can stand inside a script element, whatever texts it holds."""
    markup = require("markupsafe", "report")
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return markup.Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def pictures(drawn: tuple[Figure, ...]) -> list[dict[str, str]]:
    """Return figures for a page: name, title, caption and the picture in base64."""
    return [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "data": base64.b64encode(figure.png).decode("ascii"),
        }
        for figure in drawn
    ]


def _brief(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def small(value: float | None) -> str:
    """Write a number that may be small: five digits, or two significant ones where that is too few.

    >>> small(0.01234567), small(0.0000123)
    ('0.01235', '1.2e-05')
    """
    if value is None:
        return "-"
    return f"{value:.5f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def measured(value: float | None, error: float | None) -> str:
    """Write a number with its error, to two digits of the error.

    >>> measured(0.61234, 0.0138), measured(-2.6e-6, 5.1e-5), measured(5.52e-6, 3e-8)
    ('0.612 ± 0.014', '(-0.3 ± 5.1)e-05', '(5.520 ± 0.030)e-06')
    >>> measured(2.0, None), measured(None, None)
    ('2.00000', '-')
    """
    if value is None or error is None or not math.isfinite(error) or error <= 0:
        return small(value)
    digits = max(1 - math.floor(math.log10(error)), 0)
    if digits <= _MOST_DIGITS:
        return f"{value:.{digits}f} ± {error:.{digits}f}"
    power = math.floor(math.log10(max(abs(value), error)))
    digits, unit = digits + power, 10.0**power
    return f"({value / unit:.{digits}f} ± {error / unit:.{digits}f})e{power:+03d}"


def _signed(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:+.{digits}f}"


def _percent(value: float | None, digits: int = 2, sign: str = "+") -> str:
    return "-" if value is None else f"{100 * value:{sign}.{digits}f}"
