"""Detectors of the CaloChallenge from their binning files: sectors and rings of layers of two plates."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from caloforge.config import read_text
from caloforge.detectors.detector import Detector, Physics, Slice, Stack
from caloforge.detectors.readouts import CylindricalReadout
from caloforge.errors import DetectorError

SAMPLING_FRACTION = 0.033
"""By which the challenge divides energies of data sets 2 and 3 (arXiv:2410.21611)."""

THRESHOLD = 0.0005 / SAMPLING_FRACTION
"""MeV: 0.5 keV before calibration, the cut of data sets 2 and 3 (same source)."""

MARGIN = 60.0
"""mm of plates around the readout: the challenge's cylinder goes on behind its outermost ring."""

_SLICES = (Slice("G4_W", 1.4), Slice("G4_Si", 0.3, sensitive=True))
"""Of data sets 2 and 3; two sensitive slices make a layer (same source)."""


def read_binning(path: str | Path) -> Detector:
    """Read a binning file of the CaloChallenge (`binning_dataset_2.xml`, `binning_dataset_3.xml`).

    Plates, calibration and threshold are those of data sets 2 and 3.

    Args:
        path: The file; of several particles, the first one's bins are taken.

    Raises:
        FileError: If it is missing or unreadable.
        DetectorError: If it holds no layers, or they differ (data set 1): its cells are not a regular array.
    """
    text = read_text(path, "binning file")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DetectorError(f"'{path}' declares a document type or entities, which binning files do not have")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DetectorError(f"'{path}' is not XML: {error}") from error
    particle = root if root.tag == "Particle" else root.find(".//Particle")
    layers = list((root if particle is None else particle).iter("Layer"))
    if not layers:
        raise DetectorError(f"'{path}' is not a binning file: it has no 'Layer' elements")
    bins = [_layer(layer.attrib, str(path)) for layer in layers]
    if len(set(bins)) > 1:
        raise DetectorError(
            f"'{path}': its layers have different bins, so showers are not a regular array (sets 2 and 3 are)"
        )
    n_alpha, edges = bins[0]
    return Detector(
        name=Path(path).stem,
        description="cells of a CaloChallenge data set",
        reference="arXiv:2410.21611",
        readout=CylindricalReadout("cylindrical", n_alpha, edges, merge=2, calibration=1 / SAMPLING_FRACTION),
        stack=(Stack(2 * len(bins), _SLICES),),
        physics=Physics(production_cut=0.7),
        threshold=THRESHOLD,
        margin=MARGIN,
    )


def _layer(attributes: dict[str, str], path: str) -> tuple[int, tuple[float, ...]]:
    try:
        n_alpha = int(attributes["n_bin_alpha"])
        edges = tuple(float(edge) for edge in attributes["r_edges"].split(","))
    except (KeyError, ValueError) as error:
        raise DetectorError(
            f"'{path}': a layer needs 'n_bin_alpha' and 'r_edges', got {attributes}"
        ) from error
    if (
        n_alpha < 1
        or len(edges) < 2
        or edges[0] < 0
        or not np.all(np.isfinite(edges))
        or not np.all(np.diff(edges) > 0)
    ):
        raise DetectorError(f"'{path}': a layer has impossible bins: {attributes}")
    return n_alpha, edges
