"""The figures of a comparison of reports: Geant4 in grey, every model in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caloforge.validation.plotting import (
    BAND,
    MODELS,
    Figure,
    Steps,
    draw,
    energy_axis,
    png,
    ratio_panels,
    style,
)

if TYPE_CHECKING:
    from caloforge.validation.comparison import Report

_OBSERVABLES = ("response", "hits", "maximum cell", "depth", "length", "width")
_PROFILES = ("longitudinal profile", "radial profile", "lateral profile x", "cell spectrum")


def comparison_figures(reports: Sequence[Report]) -> tuple[Figure, ...]:
    """Draw all figures of a comparison.

    Raises:
        MissingExtraError: If matplotlib or mplhep is not installed.
    """
    with style():
        found = [
            _overlay(
                reports,
                _OBSERVABLES,
                "observables",
                "Observables of single showers",
                "fraction of showers",
                "All energies and particles together; the first and last bin hold underflow and overflow.",
            ),
            _overlay(
                reports,
                _PROFILES,
                "profiles",
                "Profiles and cell energies",
                "energy per shower [MeV]",
                "Mean energy per shower along the axis, by distance from it, and across; mean number "
                "of cells per shower and bin of energy.",
            ),
            _response(reports),
            _separations(reports),
        ]
        return tuple(figure for figure in found if figure is not None)


def _overlay(
    reports: Sequence[Report], names: Sequence[str], key: str, title: str, y_label: str, caption: str
) -> Figure:
    figure, panels = ratio_panels(len(names), 3 if len(names) > 4 else 2, (4.6, 3.9))
    for (top, ratio), name in zip(panels, names, strict=True):
        found = [next(h for h in r.metrics["histograms"] if h["observable"] == name) for r in reports]
        models = [_steps(r.name, h) for r, h in zip(reports, found, strict=True)]
        log_y = name in _PROFILES and name != "longitudinal profile"
        draw(top, ratio, models, 1.0, name == "cell spectrum", log_y)
        top.set_title(name)
        top.set_ylabel("cells per shower and bin" if name == "cell spectrum" else y_label)
        ratio.set_xlabel(found[0]["label"])
    panels[0][0].legend(loc="best", fontsize=8)
    return Figure(
        key,
        title,
        caption + " Hatched in the ratio: the statistical error of Geant4.",
        png(figure),
    )


def _steps(name: str, h: dict[str, Any]) -> Steps:
    parts = ("edges", "generated", "generated_error", "reference", "reference_error")
    return Steps(name, *(np.array(h[part]) for part in parts))


def _response(reports: Sequence[Report]) -> Figure | None:
    particles = list(dict.fromkeys(b["particle"] for b in reports[0].metrics["response"]["bins"]))
    if not particles:
        return None
    figure, axes = _plots(len(particles), 2)
    edges = np.array(
        [b[k] for r in reports for b in r.metrics["response"]["bins"] for k in ("low_gev", "high_gev")]
    )
    for row, particle in zip(axes, particles, strict=False):
        for panel, value, error, limit, middle, label in (
            (row[0], "bias", "bias_error", 1.0, 0.0, "response bias [%]"),
            (row[1], "resolution_ratio", "resolution_ratio_error", 0.05, 1.0, "resolution ratio"),
        ):
            panel.axhspan(middle - limit, middle + limit, color="#eceef1", linewidth=0)
            panel.axhline(middle, color="black", linewidth=0.6)
            for number, report in enumerate(reports):
                bins = [
                    b
                    for b in report.metrics["response"]["bins"]
                    if b["particle"] == particle and None not in (b[value], b[error])
                ]
                scale = 100 if value == "bias" else 1
                shift = 1 + 0.05 * (number - (len(reports) - 1) / 2)
                panel.errorbar(
                    [shift * np.sqrt(b["low_gev"] * b["high_gev"]) for b in bins],
                    [scale * b[value] for b in bins],
                    [scale * b[error] for b in bins],
                    fmt="o",
                    color=MODELS[number % len(MODELS)],
                    markersize=4,
                    label=report.name,
                )
            energy_axis(panel)
            panel.set_xlim(edges.min() / 1.15, edges.max() * 1.15)
            panel.set_ylabel(label)
            panel.set_title(particle)
    axes[0][0].legend(loc="best", fontsize=8)
    figure.tight_layout()
    return Figure(
        "response",
        "Response and resolution against energy",
        "Relative to Geant4; shaded up to the limit of a wrong result, 1 % and 5 %.",
        png(figure),
    )


def _plots(rows: int, columns: int) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(5.2 * columns, 3.3 * rows), squeeze=False)


def _separations(reports: Sequence[Report]) -> Figure:
    import matplotlib.pyplot as plt

    names = [c["observable"] for c in reports[0].metrics["observables"] if c["selection"] == "all"]
    figure, axes = plt.subplots(figsize=(8.2, 0.26 * len(names) + 1.2))
    rows = np.arange(len(names))[::-1]
    for number, report in enumerate(reports):
        by_name = {
            c["observable"]: c["separation"] for c in report.metrics["observables"] if c["selection"] == "all"
        }
        values = [max(by_name[name]["value"], 1e-7) for name in names]
        axes.plot(
            values, rows, "o", color=MODELS[number % len(MODELS)], markersize=4.5, label=report.name, zorder=3
        )
        if number == 0:
            floors = [max(by_name[name]["floor"], 1e-7) for name in names]
            axes.plot(floors, rows, "|", color=BAND, markersize=9, label="floor")
    axes.set_xscale("log")
    axes.set_yticks(rows, names, fontsize=8)
    axes.set_ylim(-0.8, len(names) - 0.2)
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    axes.grid(axis="y", color="#dfe2e7", linewidth=0.7)
    axes.set_xlabel("separation power")
    axes.legend(loc="lower left", fontsize=8, ncols=4, bbox_to_anchor=(0, 1.0))
    return Figure(
        "separations",
        "Separation power of every observable",
        "Bars: the floor, two samples of Geant4 of the sizes of the first report.",
        png(figure),
    )
