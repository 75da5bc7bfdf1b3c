"""The container that flows through CaloForge: showers with their incidents, detector and provenance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, check_shape
from caloforge.errors import InputError
from caloforge.showers.incidents import Incidents


@dataclass(frozen=True)
class Showers:
    """N showers: energies per cell, the incidents that made them, the detector and where they come from.

    Attributes:
        energies: Energy per cell in MeV, float32, not negative, (n_showers, *detector.shape): (n_showers, n_layers,
            n_rows, n_columns) for a cartesian readout.
        incidents: The n_showers incidents.
        detector: The detector, or None if the file they come from does not say.
        provenance: Source, seed, command, versions, as text by name (a file's attributes).
    """

    energies: NDArray[np.float32]
    incidents: Incidents
    detector: Detector | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.energies.ndim < 2:
            raise InputError(
                f"showers: {self.energies.ndim} axes, expected (showers, cells) or (showers, layers, ...)"
            )
        if len(self.energies) != len(self.incidents):
            raise InputError(f"{len(self.energies)} showers but {len(self.incidents)} incidents")
        if self.detector is not None:
            check_shape(self.detector, self.energies.shape[1:], "showers")

    def __len__(self) -> int:
        return len(self.energies)

    def __getitem__(self, key: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Showers:
        """Select showers by a slice, a mask or indices."""
        return replace(self, energies=self.energies[key], incidents=self.incidents[key])

    @property
    def shape(self) -> tuple[int, ...]:
        """Axes of one shower, (n_layers, n_rows, n_columns) for a cartesian readout."""
        return self.energies.shape[1:]

    @property
    def flat(self) -> NDArray[np.float32]:
        """The cells in the order of the readout, (n_showers, n_cells)."""
        return self.energies.reshape(len(self), math.prod(self.shape))

    @property
    def visible_energy(self) -> NDArray[np.float64]:
        """Sum over all cells in MeV, shape (n_showers,)."""
        return np.asarray(self.flat.sum(axis=1, dtype=np.float64))

    @property
    def layer_energies(self) -> NDArray[np.float64]:
        """Sum over each layer in MeV, shape (n_showers, n_layers)."""
        if len(self.shape) > 1:
            layers = self.energies.reshape(len(self), self.shape[0], math.prod(self.shape[1:]))
            return np.asarray(layers.sum(axis=2, dtype=np.float64))
        if self.detector is None:
            raise InputError(
                "the detector of these showers is unknown, and with it the layers of their cells"
            )
        first = np.searchsorted(self.detector.cell_layers, np.arange(self.detector.n_layers))
        return np.asarray(np.add.reduceat(self.flat.astype(np.float64), first, axis=1))

    def with_threshold(self, threshold: float | None = None) -> Showers:
        """Return the showers with cells below the threshold set to zero.

        Args:
            threshold: In MeV; the detector's if not given.

        Raises:
            InputError: If none is given and the detector is unknown.
        """
        if threshold is None:
            if self.detector is None:
                raise InputError("the detector of these showers is unknown: give the threshold")
            threshold = self.detector.threshold
        return replace(self, energies=np.where(self.energies < threshold, np.float32(0), self.energies))

    def check(self, source: str = "showers") -> Showers:
        """Return the showers if all cells are finite and not negative.

        Raises:
            InputError: Naming the first shower that is not.
        """
        bad = ~(np.isfinite(self.energies) & (self.energies >= 0)).reshape(
            len(self), math.prod(self.shape)
        ).all(axis=1)
        if bad.any():
            first = int(np.argmax(bad))
            raise InputError(
                f"{source}: shower {first} has cells that are negative or not finite "
                f"({bad.sum()} such showers)"
            )
        return self

    @staticmethod
    def concatenate(parts: Sequence[Showers]) -> Showers:
        """Join showers of one detector in order; the provenance is the first part's."""
        return replace(
            parts[0],
            energies=np.concatenate([part.energies for part in parts]),
            incidents=Incidents.concatenate([part.incidents for part in parts]),
        )
