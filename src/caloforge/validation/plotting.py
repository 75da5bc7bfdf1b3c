"""What all figures share: mplhep's style, colours, and panels with ratios, bands and overflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require

REFERENCE = "#c8ccd2"
BAND = "#6b7280"
MODELS = ("#c8102e", "#0b6fb8", "#2e8b57", "#8e44ad", "#d9820f", "#4a4e57")
"""Colours of the reference's fill and band, and of the models."""

_SMALLER: Any = {  # mplhep's style is for single figures of 10 inches: these are grids of panels of 4
    "figure.figsize": (6.4, 4.6),
    "font.size": 10,
    "axes.linewidth": 1.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "legend.fontsize": 9,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.7,
    "xtick.major.size": 5,
    "xtick.minor.size": 2.5,
    "xtick.major.pad": 4,
    "ytick.major.size": 5,
    "ytick.minor.size": 2.5,
    "figure.dpi": 110,
    "savefig.dpi": 140,
}

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A picture for the report.

    Attributes:
        name: Short, for anchors and file names.
        title: Heading.
        caption: What it shows, in a sentence or two.
        png: The picture.
    """

    name: str
    title: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Steps:
    """The histogram of a model beside its reference's.

    Attributes:
        label: In the legend.
        edges: (n_bins + 1,).
        values: Contents, (n_bins,).
        errors: Standard errors, (n_bins,).
        reference: Contents of the reference, for the ratio, (n_bins,).
        reference_errors: Their standard errors.
    """

    label: str
    edges: Floats
    values: Floats
    errors: Floats
    reference: Floats
    reference_errors: Floats


@contextmanager
def style() -> Iterator[None]:
    """Draw in the style of mplhep inside the block, without a display.

    Raises:
        MissingExtraError: If matplotlib or mplhep is not installed.
    """
    matplotlib, mplhep = require("matplotlib", "report"), require("mplhep", "report")
    matplotlib.use("Agg")
    with matplotlib.rc_context({**mplhep.style.ROOT, **_SMALLER}):
        yield


def png(figure: Any) -> bytes:
    """Return a figure as PNG, and close it."""
    import matplotlib.pyplot as plt

    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def ratio_panels(
    n: int, columns: int, size: tuple[float, float] = (3.9, 3.7)
) -> tuple[Any, list[tuple[Any, Any]]]:
    """Make n panels, each with a ratio panel below."""
    import matplotlib.pyplot as plt

    rows = -(-n // columns)
    figure = plt.figure(figsize=(columns * size[0], rows * size[1]))
    outer = figure.add_gridspec(rows, columns, hspace=0.3, wspace=0.32)
    pairs = []
    for index in range(n):
        inner = outer[index].subgridspec(2, 1, height_ratios=[3, 1], hspace=0.08)
        top = figure.add_subplot(inner[0])
        ratio = figure.add_subplot(inner[1], sharex=top)
        top.tick_params(labelbottom=False)
        ratio.set_ylabel("ratio", loc="center")
        pairs.append((top, ratio))
    return figure, pairs


def draw(
    top: Any, ratio: Any, models: Sequence[Steps], floor: float, log_x: bool = False, log_y: bool = False
) -> None:
    """Draw Geant4 as grey fill with its statistical band, models as steps, and their ratios to Geant4.

    One model has points with errors in the ratio, several have steps. Points beyond the panel are shown as
    arrows at its edge.

    Args:
        top: Upper panel.
        ratio: Lower panel.
        models: At least one; the first one's reference is drawn.
        floor: Half width of the band in the ratio over the error of the reference: what two samples of
            Geant4 of the sizes at hand differ by.
        log_x: Logarithmic axis.
        log_y: Likewise.
    """
    first = models[0]
    edges, reference, error = first.edges, first.reference, first.reference_errors
    filled = reference > 0
    relative = np.divide(error, reference, out=np.zeros_like(error), where=filled)
    histplot(top, reference, edges, histtype="fill", color=REFERENCE, label="Geant4")
    band(top, edges, reference, error)
    band(ratio, edges, np.ones_like(reference), floor * relative)
    ratio.axhline(1, color="black", linewidth=0.6)
    ratios = [
        np.divide(m.values, m.reference, out=np.full_like(m.values, np.nan), where=m.reference > 0)
        for m in models
    ]
    same = [value for value, m in zip(ratios, models, strict=True) if len(m.values) == len(relative)]
    half = _reach(np.concatenate([value[relative < 0.3] for value in same]))
    for value, m, colour in zip(ratios, models, _colours(models), strict=True):
        histplot(top, m.values, m.edges, color=colour, edges=False, label=m.label)
        if len(models) > 1:
            ratio.stairs(value, m.edges, color=colour, linewidth=1.0, baseline=None)
        else:
            errors = np.divide(m.errors, m.reference, out=np.zeros_like(m.errors), where=m.reference > 0)
            _points(ratio, _centres(m.edges, log_x), value, errors, half, colour)
    ratio.set_ylim(1 - half, 1 + half)
    ratio.set_yticks([1 - half / 2, 1, 1 + half / 2])
    _limits(top, edges, reference, first.values, log_x, log_y)


def _colours(models: Sequence[Steps]) -> list[str]:
    return [MODELS[number % len(MODELS)] for number in range(len(models))]


def _centres(edges: Floats, log_x: bool) -> Floats:
    return np.asarray(np.sqrt(edges[1:] * edges[:-1]) if log_x else (edges[1:] + edges[:-1]) / 2)


def _points(axes: Any, x: Floats, y: Floats, errors: Floats, half: float, colour: str) -> None:
    inside = np.abs(y - 1) <= half
    axes.errorbar(x[inside], y[inside], errors[inside], fmt=".", color=colour, markersize=3, linewidth=0.8)
    for beyond, edge, mark in ((y > 1 + half, 1 + 0.9 * half, "^"), (y < 1 - half, 1 - 0.9 * half, "v")):
        axes.plot(x[beyond], np.full(int(beyond.sum()), edge), mark, color=colour, markersize=2.5)


def _reach(values: Floats) -> float:
    """Return the half width of a ratio panel that shows nearly all values."""
    values = values[np.isfinite(values)]
    largest = float(np.quantile(np.abs(values - 1), 0.95)) if len(values) else 0.3
    return next((step for step in (0.04, 0.1, 0.2, 0.4) if largest < 0.8 * step), 0.8)


def _limits(top: Any, edges: Floats, reference: Floats, values: Floats, log_x: bool, log_y: bool) -> None:
    shown = np.flatnonzero(reference + values)
    if len(shown):
        top.set_xlim(edges[shown[0]], edges[shown[-1] + 1])
    if log_x:
        top.set_xscale("log")
    positive = reference[reference > 0]
    if log_y:
        top.set_yscale("log")
        if len(positive):
            top.set_ylim(positive.min() / 3, positive.max() * 5)
    else:
        top.set_ylim(0, max(reference.max(), values.max(), 1e-12) * 1.25)


def histplot(axes: Any, values: Floats, bins: Floats, **options: Any) -> None:
    """Draw a histogram with mplhep, without errors of its own."""
    require("mplhep", "report").histplot(values, bins, ax=axes, yerr=False, flow="none", **options)


def band(axes: Any, edges: Floats, values: Floats, errors: Floats) -> None:
    """Draw a hatched band of errors around values."""
    require("mplhep", "report").histplot(
        values,
        edges,
        ax=axes,
        yerr=errors,
        flow="none",
        histtype="band",
        facecolor="none",
        edgecolor=BAND,
        hatch="//////",
        linewidth=0,
        alpha=1.0,
    )


def energy_axis(axes: Any) -> None:
    """Make the x axis one of incident energy in GeV: logarithmic, with plain numbers."""
    from matplotlib import ticker

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("incident energy [GeV]")
