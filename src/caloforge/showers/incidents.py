"""Incidents: the particles that enter the calorimeter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, Symmetry
from caloforge.errors import InputError
from caloforge.showers.particles import LARGEST_ID

Condition = Literal["particle", "energy", "direction", "position"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
"""What of an incident a model can be conditioned on: PDG id; kinetic energy; theta and phi; impact point x and y."""


@dataclass(frozen=True)
class Incidents:
    """N incidents as columns.

    Attributes:
        pdg: PDG ids, int32, shape (N,).
        energy: Kinetic energies in MeV, float32, shape (N,).
        theta: Polar angles from the layer normal in rad, float32, shape (N,).
        phi: Azimuths in rad, float32, shape (N,).
        x: Impact points on the front face in mm from the centre of the readout, float32, shape (N,).
        y: Likewise.
    """

    pdg: NDArray[np.int32]
    energy: NDArray[np.float32]
    theta: NDArray[np.float32]
    phi: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]

    def __post_init__(self) -> None:
        for column in fields(self):
            values = getattr(self, column.name)
            if values.shape != (len(self.energy),):
                raise InputError(
                    f"incident {column.name}: shape {values.shape}, expected ({len(self.energy)},)"
                )
            if not np.all(np.isfinite(values)):
                raise InputError(f"incident {column.name}: not all values are finite")
        if np.any(self.energy <= 0):
            raise InputError("incident energy: all kinetic energies must be positive")
        if np.any((self.theta < 0) | (self.theta >= np.pi / 2)):
            raise InputError("incident theta: must be at least 0 and below 90 degrees")

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, key: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Incidents:
        """Select incidents by a slice, a mask or indices."""
        return Incidents(**{column.name: getattr(self, column.name)[key] for column in fields(self)})

    def matrix(self) -> NDArray[np.float32]:
        """Return the model input (N, 6) float32: pdg, kinetic energy in MeV, theta, phi, x, y."""
        return np.stack([getattr(self, column.name).astype(np.float32) for column in fields(self)], axis=1)

    def moved(self, symmetry: Symmetry) -> Incidents:
        """Return the incidents that a symmetry of the readout turns these into."""
        x, y = symmetry.points(self.x, self.y)
        phi = symmetry.azimuth(self.phi)
        return replace(
            self,
            phi=np.asarray(phi, dtype=np.float32),
            x=np.asarray(x, dtype=np.float32),
            y=np.asarray(y, dtype=np.float32),
        )

    def axis(self, z: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return where the shower axes cross planes, x and y in mm, both (N, n_planes).

        Args:
            z: Depths of the planes behind the front face in mm, (n_planes,) or (N, n_planes).
        """
        slope = np.tan(self.theta.astype(np.float64))[:, None] * np.asarray(z, dtype=np.float64)
        phi = self.phi.astype(np.float64)[:, None]
        return self.x[:, None] + slope * np.cos(phi), self.y[:, None] + slope * np.sin(phi)

    def check_inside(self, detector: Detector) -> None:
        """Raise if an impact point lies outside the readout of a detector.

        Raises:
            InputError: Naming the first such point.
        """
        inside = detector.readout.covers(self.x.astype(np.float64), self.y.astype(np.float64))
        if not np.all(inside):
            first = int(np.argmin(inside))
            width, height = detector.readout.half_size
            raise InputError(
                f"impact point ({self.x[first]:.5g}, {self.y[first]:.5g}) mm lies outside the readout of detector "
                f"{detector.name!r}, which reaches to {width:.5g} mm in x and {height:.5g} mm in y"
            )

    @staticmethod
    def concatenate(parts: Sequence[Incidents]) -> Incidents:
        """Join incidents in order."""
        return Incidents(
            **{c.name: np.concatenate([getattr(p, c.name) for p in parts]) for c in fields(Incidents)}
        )


def incidents(
    pdg: int | NDArray[np.integer],
    energy: float | NDArray[np.floating],
    theta: float | NDArray[np.floating] = 0.0,
    phi: float | NDArray[np.floating] = 0.0,
    x: float | NDArray[np.floating] = 0.0,
    y: float | NDArray[np.floating] = 0.0,
) -> Incidents:
    """Build incidents from scalars and arrays (broadcast against each other).

    >>> len(incidents(11, np.array([1e3, 2e3])))
    2

    Args:
        pdg: PDG ids.
        energy: Kinetic energies in MeV.
        theta: Polar angles in rad.
        phi: Azimuths in rad.
        x: Impact points in mm.
        y: Impact points in mm.

    Raises:
        InputError: If a value is not finite, an energy not positive, or an angle not below 90 degrees.
    """
    ids, *others = np.broadcast_arrays(pdg, energy, theta, phi, x, y)
    if ids.size and int(np.abs(ids.astype(np.int64)).max()) > LARGEST_ID:
        raise InputError(f"PDG ids must not exceed {LARGEST_ID}")
    columns = (np.atleast_1d(np.array(column, dtype=np.float32)) for column in others)
    return Incidents(np.atleast_1d(np.array(ids, dtype=np.int32)), *columns)
