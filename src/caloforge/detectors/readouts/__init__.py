"""Readouts: how sensitive material is divided into cells, one file for each kind."""

from typing import Annotated

from pydantic import Field

from caloforge.detectors.readouts.cartesian import CartesianReadout
from caloforge.detectors.readouts.cylindrical import CylindricalReadout
from caloforge.detectors.readouts.protocol import Readout
from caloforge.detectors.readouts.symmetry import Symmetry, permutation

AnyReadout = Annotated[CartesianReadout | CylindricalReadout, Field(discriminator="kind")]
"""What the table `[readout]` of a detector file may be."""

__all__ = ["AnyReadout", "CartesianReadout", "CylindricalReadout", "Readout", "Symmetry", "permutation"]
