"""The figures of a report: Geant4 as grey fill with error band, the model as coloured steps, ratios below."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caloforge.physics import layer_correlation
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.floor import effective_number
from caloforge.validation.histograms import Histogram
from caloforge.validation.plotting import (
    BAND,
    MODELS,
    REFERENCE,
    Figure,
    Steps,
    draw,
    png,
    ratio_panels,
    style,
)
from caloforge.validation.response_figures import response, response_by_incident


def figures(evaluation: Evaluation) -> tuple[Figure, ...]:
    """Draw all figures of a comparison.

    Raises:
        MissingExtraError: If matplotlib or mplhep is not installed.
    """
    with style():
        return tuple(figure for make in _FIGURES if (figure := make(evaluation)) is not None)


def _draw(top: Any, ratio: Any, h: Histogram, floor: float, log_x: bool = False, log_y: bool = False) -> None:
    steps = Steps("model", h.edges, h.generated, h.generated_error, h.reference, h.reference_error)
    draw(top, ratio, [steps], floor, log_x, log_y)


def _floor(evaluation: Evaluation) -> float:
    one, two = (effective_number(s.weights) for s in (evaluation.generated, evaluation.reference))
    return math.sqrt(1 + two / one)


def _by_name(evaluation: Evaluation, name: str) -> list[Histogram]:
    return [h for h in evaluation.histograms if h.quantity.name == name]


def _value(evaluation: Evaluation, name: str, column: int | None = None) -> str:
    s = next(s for s in evaluation.separations if s.observable == name)
    if column is not None:
        return f"$S$ = {s.per_column[column]:.2g}"
    return f"$S$ = {s.value:.2g}, floor {s.floor:.2g} $\\pm$ {s.floor_error:.1g}"


def _grid(evaluation: Evaluation, names: Sequence[str], per_row: int = 3) -> Any:
    """Draw observables of single showers, or single columns of observables of several: `name#column`."""
    figure, panels = ratio_panels(len(names), per_row)
    for (top, ratio), full_name in zip(panels, names, strict=True):
        name, _, column = full_name.partition("#")
        histogram = _by_name(evaluation, name)[int(column or 0)]
        _draw(top, ratio, histogram, _floor(evaluation))
        top.set_ylabel("fraction of showers")
        ratio.set_xlabel(histogram.quantity.label)
        title = _value(evaluation, name, int(column) if column else None)
        if column:
            title = f"{name}, {histogram.quantity.column_name(int(column), evaluation.detector)}: {title}"
        top.set_title(title)
    panels[0][0].legend(loc="best")
    return figure


_BAND = "the hatched band is the statistical error of Geant4; in the ratio, what two samples of Geant4 show."


_MOMENTS = tuple(f"moment {order} {axis}" for order in (1, 2) for axis in "xyz")
_TWO_POINT = tuple(
    f"{name}#{column}" for name in ("neighbours", "next neighbours", "hit neighbours") for column in (0, 2)
)

_GRIDS = {
    "observables": (
        "Observables of single showers",
        "All energies and particles together. The first and last bin hold the underflow and overflow; ",
        ("response", "hits", "maximum cell", "depth", "length", "width"),
    ),
    "development": (
        "Shower development and containment",
        "Start of the shower, layer of its maximum and share of the energy there; radii around the axis that "
        "hold 68, 90 and 95 % of the visible energy; ",
        ("start layer", "maximum layer", "shower maximum", *(f"containment {n} %" for n in (68, 90, 95))),
    ),
    "moments": (
        "Moments and asymmetries",
        "Energy-weighted mean and standard deviation along each axis, x and y from the shower axis, and the mean "
        "along and across the azimuth of the incident (x and y at normal incidence); how much single showers break "
        "the symmetry about their axis; ",
        (
            *_MOMENTS,
            "centroid along phi",
            "centroid across phi",
            "asymmetry x",
            "asymmetry y",
            "asymmetry xy",
        ),
    ),
    "two-point": (
        "Neighbouring cells and hottest cells",
        "Two-point functions in the directions of the readout (z: the cell behind); energy and layer "
        "of the hottest cells; ",
        (*_TWO_POINT, "hottest cells#1", "hottest cells#4", "hottest layers#0"),
    ),
}
"""Figures of observables of single showers: title, caption and observables."""


def _gridded(key: str) -> Callable[[Evaluation], Figure]:
    title, caption, names = _GRIDS[key]
    return lambda evaluation: Figure(key, title, caption + _BAND, png(_grid(evaluation, names)))


def _profiles(evaluation: Evaluation) -> Figure:
    names = ("longitudinal profile", "radial profile", "lateral profile x", "lateral profile y")
    figure, panels = ratio_panels(len(names), 2, (5.2, 3.9))
    for (top, ratio), name in zip(panels, names, strict=True):
        histogram = _by_name(evaluation, name)[0]
        _draw(top, ratio, histogram, _floor(evaluation), log_y=name != "longitudinal profile")
        top.set_ylabel("energy per shower [MeV]")
        ratio.set_xlabel(histogram.quantity.label)
        top.set_title(_value(evaluation, name))
    panels[0][0].legend(loc="upper right")
    return Figure(
        "profiles",
        "Shower profiles",
        "Mean energy per shower along the axis (by layer), by distance from the axis, and across in x and y from it.",
        png(figure),
    )


def _spectrum(evaluation: Evaluation) -> Figure:
    figure, panels = ratio_panels(1, 1, (6.4, 4.8))
    top, ratio = panels[0]
    histogram = _by_name(evaluation, "cell spectrum")[0]
    filled = np.flatnonzero(histogram.reference + histogram.generated)
    low, high = (filled[0], filled[-1] + 1) if len(filled) else (0, len(histogram.reference))
    shown = Histogram(
        histogram.quantity,
        None,
        histogram.edges[low : high + 1],
        *(
            getattr(histogram, part)[low:high]
            for part in ("generated", "reference", "generated_error", "reference_error")
        ),
    )
    _draw(top, ratio, shown, _floor(evaluation), log_x=True, log_y=True)
    top.set_ylabel("cells per shower and bin")
    ratio.set_xlabel("cell energy [MeV]")
    top.set_title(_value(evaluation, "cell spectrum"))
    top.legend(loc="upper right")
    return Figure(
        "spectrum",
        "Cell energies",
        f"Spectrum of the energies of cells above {1e3 * evaluation.detector.threshold:g} keV.",
        png(figure),
    )


def _layers(evaluation: Evaluation) -> Figure:
    several = _by_name(evaluation, "layer fractions")
    chosen = np.unique(np.linspace(0, len(several) - 1, min(6, len(several))).round().astype(int))
    figure, panels = ratio_panels(len(chosen), 3)
    separation = next(s for s in evaluation.separations if s.observable == "layer fractions")
    for (top, ratio), layer in zip(panels, chosen, strict=True):
        _draw(top, ratio, several[layer], _floor(evaluation))
        top.set_ylabel("fraction of showers")
        ratio.set_xlabel("layer / incident energy")
        top.set_title(f"layer {layer}: $S$ = {separation.per_column[layer]:.4f}")
    panels[0][0].legend(loc="upper left")
    return Figure(
        "layers",
        "Layer energies",
        "Distribution of the energy in some layers over the incident energy; " + _BAND,
        png(figure),
    )


def _per_layer(evaluation: Evaluation) -> Figure:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8.6, 3.4))
    marks = ("o", "s", "^", "v", "D", "P", "X")
    n_layers = len(evaluation.detector.layers)
    chosen = [s for s in evaluation.separations if s.observable.startswith("layer ")]
    colours = [plt.get_cmap("tab10")(number) for number in range(len(marks))]
    for separation, mark, colour in zip(chosen, marks, colours, strict=False):
        values = np.maximum(separation.per_column, 1e-6)
        axes.plot(np.arange(n_layers), values, mark, color=colour, markersize=4, label=separation.observable)
        axes.axhline(max(separation.floor, 1e-6), color=colour, linewidth=0.7, linestyle="--")
    axes.set_yscale("log")
    axes.set_xlabel("layer")
    axes.set_ylabel("separation power")
    axes.legend(ncols=4, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, 1.24))
    return Figure(
        "per-layer",
        "Separation power layer by layer",
        "Dashed: the mean floor of each observable.",
        png(figure),
    )


def _correlations(evaluation: Evaluation) -> Figure:
    import matplotlib.pyplot as plt

    true = layer_correlation(evaluation.reference.observables)
    fake = layer_correlation(evaluation.generated.observables)
    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.4))
    limit = max(0.05, float(np.abs(fake - true).max()))
    for panel, matrix, title, reach in zip(
        axes, (true, fake, fake - true), ("Geant4", "model", "model - Geant4"), (1, 1, limit), strict=True
    ):
        image = panel.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, origin="lower")
        panel.set_title(title)
        panel.set_xlabel("layer")
        panel.set_ylabel("layer")
        figure.colorbar(image, ax=panel, shrink=0.85)
    return Figure(
        "correlations",
        "Correlation of the layers",
        "Correlation matrix of the layer energies divided by the incident energy.",
        png(figure),
    )


def _classifiers(evaluation: Evaluation) -> Figure | None:
    import matplotlib.pyplot as plt

    tested = [c for c in evaluation.classifiers if not c.skipped]
    if not tested:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 0.9 + 0.55 * len(tested)))
    for row, c in enumerate(reversed(tested)):
        axes.barh(row, 2 * c.floor_error, 0.6, c.floor - c.floor_error, color=REFERENCE)
        axes.plot([c.floor, c.floor], [row - 0.3, row + 0.3], color=BAND, linewidth=1)
        axes.plot(c.seeds, [row + 0.18] * len(c.seeds), "|", color=MODELS[0], markersize=6, alpha=0.6)
        axes.errorbar(c.auc, row, xerr=c.error, fmt="o", color=MODELS[0], markersize=5)
    axes.set_yticks(range(len(tested)), [f"{c.name}, {c.features}" for c in reversed(tested)])
    axes.axvline(0.5, color="black", linewidth=0.6)
    axes.tick_params(axis="y", which="minor", left=False, right=False)
    highest = max(max(c.auc + c.error, c.floor + c.floor_error) for c in tested)
    axes.set_xlim(min(0.46, *(c.floor - 2 * c.floor_error for c in tested)), max(0.56, highest + 0.02))
    axes.set_xlabel("area under the ROC curve")
    return Figure(
        "classifiers",
        "Classifier tests",
        "Grey: the floor, the same classifier between two halves of Geant4, with its error. Small bars: "
        "every seed.",
        png(figure),
    )


_FIGURES: tuple[Callable[[Evaluation], Figure | None], ...] = (
    _classifiers,
    response,
    response_by_incident,
    _gridded("observables"),
    _gridded("development"),
    _profiles,
    _spectrum,
    _gridded("moments"),
    _layers,
    _per_layer,
    _gridded("two-point"),
    _correlations,
)
