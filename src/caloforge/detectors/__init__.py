"""Detectors: geometry, readout, materials and symmetries, from TOML files."""

from caloforge.detectors.calochallenge import read_binning
from caloforge.detectors.detector import (
    Detector,
    Gun,
    Layer,
    Physics,
    Slice,
    Stack,
    cartesian,
    check_shape,
    detector_differences,
)
from caloforge.detectors.materials import Material, Properties, properties
from caloforge.detectors.reader import load, names, parse, toml
from caloforge.detectors.readouts import (
    CartesianReadout,
    CylindricalReadout,
    Readout,
    Symmetry,
    permutation,
)
from caloforge.detectors.writer import to_toml

__all__ = [
    "CartesianReadout",
    "CylindricalReadout",
    "Detector",
    "Gun",
    "Layer",
    "Material",
    "Physics",
    "Properties",
    "Readout",
    "Slice",
    "Stack",
    "Symmetry",
    "cartesian",
    "check_shape",
    "detector_differences",
    "load",
    "names",
    "parse",
    "permutation",
    "properties",
    "read_binning",
    "to_toml",
    "toml",
]
