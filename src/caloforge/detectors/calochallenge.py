"""Detectors of the CaloChallenge from their binning files: cells in layers, angle and radius."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from caloforge.config import read_text
from caloforge.detectors.detector import SYMMETRIES, CartesianReadout, Detector, Slice, Stack, Symmetry
from caloforge.errors import DetectorError

THRESHOLD = 0.01515
"""MeV: the cut of data sets 2 and 3 (CaloChallenge, arXiv:2410.21611)."""

_SLICES = (Slice("G4_W", 2.8), Slice("G4_Si", 0.6, sensitive=True))
"""A layer of data sets 2 and 3: two times 1.4 mm of tungsten and 0.3 mm of silicon (same source)."""


@dataclass(frozen=True)
class CylindricalDetector(Detector):
    """A detector whose cells are segments of rings around the shower axis; for reading and comparing only.

    A shower is (n_layers, n_alpha, n_r). `x` and `y` are the centres of bins of equal width across the whole
    detector, for profiles; `cell_x` and `cell_y` are those of the cells.

    Attributes:
        r_edges: Edges of the rings in mm, (n_r + 1,).
    """

    r_edges: tuple[float, ...] = ()

    @cached_property
    def x(self) -> NDArray[np.float64]:
        """Centres of bins in x in mm."""
        width = self.readout.size[1]
        half = int(np.ceil(self.r_edges[-1] / width))
        return np.asarray(width * np.arange(-half, half + 1), dtype=np.float64)

    @property
    def y(self) -> NDArray[np.float64]:
        """Centres of bins in y in mm."""
        return self.x

    @cached_property
    def cell_x(self) -> NDArray[np.float64]:
        """Centres of the cells in x in mm, (n_alpha, n_r)."""
        return np.outer(np.cos(self._alpha), self._r)

    @cached_property
    def cell_y(self) -> NDArray[np.float64]:
        """Centres of the cells in y in mm, (n_alpha, n_r)."""
        return np.outer(np.sin(self._alpha), self._r)

    @property
    def _alpha(self) -> NDArray[np.float64]:
        n = self.readout.cells[0]
        return (np.arange(n) + 0.5) * 2 * np.pi / n

    @property
    def _r(self) -> NDArray[np.float64]:
        edges = np.array(self.r_edges)
        return np.asarray((edges[1:] + edges[:-1]) / 2)

    @property
    def symmetries(self) -> tuple[Symmetry, ...]:
        """Those that act on rows and columns of a grid: only the identity."""
        return SYMMETRIES[:1]


def read_binning(path: str | Path) -> CylindricalDetector:
    """Read a binning file of the CaloChallenge (`binning_dataset_2.xml`, `binning_dataset_3.xml`).

    Args:
        path: The file; of several particles, the first one's bins are taken.

    Raises:
        FileError: If it is missing or unreadable.
        DetectorError: If it holds no layers, or they differ (data set 1): its cells are no regular array.
    """
    text = read_text(path, "binning file")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DetectorError(f"'{path}' is no XML: {error}") from error
    particle = root if root.tag == "Particle" else root.find(".//Particle")
    layers = list((root if particle is None else particle).iter("Layer"))
    if not layers:
        raise DetectorError(f"'{path}' is no binning file: it has no 'Layer' elements")
    bins = [_layer(layer.attrib, str(path)) for layer in layers]
    if len(set(bins)) > 1:
        raise DetectorError(
            f"'{path}': its layers have different bins, so showers are no regular array (sets 2 and 3 are)"
        )
    n_alpha, edges = bins[0]
    width = float(np.min(np.diff(edges)))
    return CylindricalDetector(
        name=Path(path).stem,
        description="cells of a CaloChallenge data set",
        reference="arXiv:2410.21611",
        readout=CartesianReadout("cartesian", (n_alpha, len(edges) - 1), (width, width)),
        stack=(Stack(len(bins), _SLICES),),
        production_cut=0.7,
        threshold=THRESHOLD,
        r_edges=edges,
    )


def _layer(attributes: dict[str, str], path: str) -> tuple[int, tuple[float, ...]]:
    try:
        n_alpha = int(attributes["n_bin_alpha"])
        edges = tuple(float(edge) for edge in attributes["r_edges"].split(","))
    except (KeyError, ValueError) as error:
        raise DetectorError(
            f"'{path}': a layer needs 'n_bin_alpha' and 'r_edges', got {attributes}"
        ) from error
    if n_alpha < 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise DetectorError(f"'{path}': a layer has impossible bins: {attributes}")
    return n_alpha, edges
