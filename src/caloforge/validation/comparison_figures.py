"""The figures of a comparison of reports: Geant4 in grey, every model in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caloforge.errors import require
from caloforge.validation import plotting
from caloforge.validation.plotting import BAND, MODELS, REFERENCE, Figure

if TYPE_CHECKING:
    from caloforge.validation.comparison import Report

_OBSERVABLES = ("response", "hits", "maximum cell", "depth", "length", "width")
_PROFILES = ("longitudinal profile", "radial profile", "lateral profile x", "cell spectrum")


def comparison_figures(reports: Sequence[Report]) -> tuple[Figure, ...]:
    """Draw all figures of a comparison.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require("matplotlib", "report").use("Agg")
    with plotting.style():
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
                "per shower",
                "Mean energy per shower in MeV along the axis, by distance from it, and across; mean number "
                "of cells per shower and bin of energy.",
            ),
            _response(reports),
            _separations(reports),
        ]
        return tuple(found)


def _overlay(
    reports: Sequence[Report], names: Sequence[str], key: str, title: str, y_label: str, caption: str
) -> Figure:
    figure, panels = plotting.ratio_panels(len(names), 3 if len(names) > 4 else 2, (4.6, 3.9))
    for (top, ratio), name in zip(panels, names, strict=True):
        several = [next(h for h in r.metrics["histograms"] if h["observable"] == name) for r in reports]
        edges = np.array(several[0]["edges"])
        reference, error = (np.array(several[0][k]) for k in ("reference", "reference_error"))
        top.stairs(reference, edges, fill=True, color=REFERENCE, label="Geant4")
        filled = reference > 0
        relative = np.divide(error, reference, out=np.zeros_like(error), where=filled)
        plotting.band(ratio, edges, 1 - relative, 1 + relative)
        ratio.axhline(1, color="black", linewidth=0.6)
        for number, (report, h) in enumerate(zip(reports, several, strict=True)):
            colour = MODELS[number % len(MODELS)]
            own_edges, values, own = (np.array(h[k]) for k in ("edges", "generated", "reference"))
            top.stairs(values, own_edges, color=colour, linewidth=1.2, label=report.name)
            value = np.divide(values, own, out=np.full_like(values, np.nan), where=own > 0)
            ratio.stairs(value, own_edges, color=colour, linewidth=1.0, baseline=None)
        shown = np.flatnonzero(reference)
        if len(shown):
            top.set_xlim(edges[shown[0]], edges[shown[-1] + 1])
        ratio.set_ylim(0.7, 1.3)
        if name == "cell spectrum":
            top.set_xscale("log")
        if name in _PROFILES and name != "longitudinal profile":
            top.set_yscale("log")
        top.set_title(name, fontsize=10)
        top.set_ylabel(y_label)
        ratio.set_xlabel(several[0]["label"])
    panels[0][0].legend(loc="best", fontsize=8)
    return Figure(
        key,
        title,
        caption + " Hatched in the ratio: the statistical error of Geant4.",
        plotting.png(figure),
    )


def _response(reports: Sequence[Report]) -> Figure:
    particles = list(dict.fromkeys(b["particle"] for b in reports[0].metrics["response"]["bins"]))
    figure, axes = _plots(max(len(particles), 1), 2)
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
                    if b["particle"] == particle and b[value] is not None
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
            panel.set_xscale("log")
            panel.xaxis.set_minor_formatter(require("matplotlib.ticker", "report").NullFormatter())
            panel.set_xlabel("incident energy [GeV]")
            panel.set_ylabel(label)
            panel.set_title(particle, fontsize=10)
    axes[0][0].legend(loc="best", fontsize=8)
    figure.tight_layout()
    return Figure(
        "response",
        "Response and resolution against energy",
        "Relative to Geant4; shaded up to the limit of a wrong result, 1 % and 5 %.",
        plotting.png(figure),
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
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    axes.grid(axis="y", color="#eceef1", linewidth=0.7)
    axes.set_xlabel("separation power")
    axes.legend(loc="lower left", fontsize=8, ncols=4, bbox_to_anchor=(0, 1.0))
    return Figure(
        "separations",
        "Separation power of every observable",
        "Bars: the floor, two samples of Geant4 of the sizes of the first report.",
        plotting.png(figure),
    )
