"""What all figures share: style, colours, panels with ratios, bands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

REFERENCE = "#c8ccd2"
BAND = "#6b7280"
MODELS = ("#c8102e", "#0b6fb8", "#2e8b57", "#8e44ad")
"""Colours of the reference's fill and band, and of the models."""

_STYLE: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "DejaVu Serif"],
    "mathtext.fontset": "stix",
    "font.size": 11,
    "axes.linewidth": 0.8,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.dpi": 110,
    "savefig.dpi": 140,
}


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


@contextmanager
def style() -> Iterator[None]:
    """Draw like a paper inside the block."""
    import matplotlib

    with matplotlib.rc_context(_STYLE):
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
    outer = figure.add_gridspec(rows, columns, hspace=0.28, wspace=0.3)
    pairs = []
    for index in range(n):
        inner = outer[index].subgridspec(2, 1, height_ratios=[3, 1], hspace=0.06)
        top = figure.add_subplot(inner[0])
        ratio = figure.add_subplot(inner[1], sharex=top)
        top.tick_params(labelbottom=False)
        ratio.set_ylabel("ratio", fontsize=9)
        pairs.append((top, ratio))
    return figure, pairs


def band(axes: Any, edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Draw a hatched band between two step lines."""
    axes.stairs(
        np.nan_to_num(high, nan=1.0),
        edges,
        baseline=np.nan_to_num(low, nan=1.0),
        fill=True,
        facecolor="none",
        edgecolor=BAND,
        hatch="//////",
        linewidth=0,
    )
