"""Detectors: geometry, readout and symmetries, from TOML files."""

from caloforge.detectors.calochallenge import CylindricalDetector, read_binning
from caloforge.detectors.detector import (
    SYMMETRIES,
    CartesianReadout,
    Detector,
    Gun,
    Layer,
    Slice,
    Stack,
    Symmetry,
    check_shape,
)
from caloforge.detectors.reader import load, names, parse, toml

__all__ = [
    "SYMMETRIES",
    "CartesianReadout",
    "CylindricalDetector",
    "Detector",
    "Gun",
    "Layer",
    "Slice",
    "Stack",
    "Symmetry",
    "check_shape",
    "load",
    "names",
    "parse",
    "read_binning",
    "toml",
]
