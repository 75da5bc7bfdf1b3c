"""The network that looks showers up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models.conditions import ROUNDING
from caloforge.models.contract import Batch, Generator, incidents_of
from caloforge.showers import Incidents, particle_name

GROWING = ("stored", "energies", "starts", "cells", "deposits", "longest", "kept")
"""Buffers whose sizes depend on what is stored."""


class LibraryGenerator(Generator):
    """Draws stored showers of the nearest incidents.

    The distance of two incidents is that of their ln E, tan(theta) (cos(phi), sin(phi)) and (x, y), each in units of
    its standard deviation in the sample, as far as they are conditions and vary.

    Args:
        detector: Whose showers.
        pdgs: PDG ids of the particles.
        conditions: What the choice depends on.
        neighbours: Nearest stored incidents that one is chosen from.
    """

    pdgs: Tensor
    stored: Tensor
    weights: Tensor
    energies: Tensor
    starts: Tensor
    cells: Tensor
    deposits: Tensor
    longest: Tensor
    kept: Tensor
    destinations: Tensor

    noise_size = 2

    def __init__(
        self, detector: Detector, pdgs: Sequence[int], conditions: Sequence[str], neighbours: int
    ) -> None:
        super().__init__()
        self.detector, self.conditions, self.neighbours = detector, tuple(conditions), neighbours
        self.shape, self.n_cells, self.threshold = detector.shape, detector.n_cells, detector.threshold
        index = torch.int16 if self.n_cells < 2**15 else torch.int32
        self.register_buffer("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        self.register_buffer(
            "stored", torch.zeros(6, 0, dtype=torch.float64)
        )  # number of the particle and coordinates
        self.register_buffer("weights", torch.zeros(6, 1, dtype=torch.float64))
        self.register_buffer("energies", torch.zeros(0))
        self.register_buffer("starts", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("cells", torch.zeros(0, dtype=index))
        self.register_buffer("deposits", torch.zeros(0))
        self.register_buffer("longest", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("kept", torch.zeros(1, dtype=torch.int64))
        # one more cell takes what is not a hit
        destinations = np.pad(detector.destinations(), ((0, 0), (0, 1)), constant_values=self.n_cells)
        self.register_buffer("destinations", torch.from_numpy(destinations).to(index), persistent=False)

    def store(self, sample: Batch) -> None:
        """Replace what is stored.

        Raises:
            InputError: If a particle has fewer showers than are chosen from.
        """
        for pdg in self.pdgs.tolist():
            n = int((sample.incident[:, 0] == pdg).sum())
            if n < self.neighbours:
                raise InputError(
                    f"the library gets {n} showers of {particle_name(int(pdg))}, fewer than "
                    f"model.neighbours = {self.neighbours}: give more data, or take the particle out of model.particles"
                )
        sample = sample.select(torch.isin(sample.incident[:, 0], self.pdgs))
        coordinates = self.coordinates(sample.incident)
        self.stored = coordinates.T.contiguous()
        self.weights = self._weights(coordinates)
        self.energies = sample.incident[:, 1].clone()
        least = max(self.threshold, float(np.finfo(np.float32).tiny))
        cells, deposits = [], []
        for shower in sample.showers.flatten(1).numpy():
            hits = np.flatnonzero(shower >= least)
            cells.append(hits)
            deposits.append(shower[hits])
        counts = np.array([len(hits) for hits in cells])
        self.starts = torch.from_numpy(np.cumsum([0, *counts]))
        # one more hit, of no energy, for what is beyond the last
        self.cells = torch.from_numpy(np.append(np.concatenate(cells), self.n_cells)).to(self.cells.dtype)
        self.deposits = torch.from_numpy(np.append(np.concatenate(deposits), 0).astype(np.float32))
        self.longest = torch.arange(max(1, int(counts.max())))
        self.kept = torch.tensor(symmetries_that_keep(self.detector, incidents_of(sample)))

    def coordinates(self, incident: Tensor) -> Tensor:
        """Number of the particle, ln E, direction and impact point, (n_showers, 6) float64, so that engines agree."""
        kind = (incident[:, :1] == self.pdgs).int().argmax(1)
        slope = torch.tan(incident[:, 2])
        columns = [
            slope * torch.cos(incident[:, 3]),
            slope * torch.sin(incident[:, 3]),
            incident[:, 4],
            incident[:, 5],
        ]
        return torch.stack(
            [kind.double(), incident[:, 1].double().log(), *(column.double() for column in columns)], 1
        )

    def _weights(self, coordinates: Tensor) -> Tensor:
        """Weights of squared differences, (6, 1); 0 for what does not vary or is not a condition."""
        weights = torch.zeros(6, dtype=torch.float64)
        for condition, columns in (("energy", [1]), ("direction", [2, 3]), ("position", [4, 5])):
            variance = coordinates[:, columns].var(0, correction=0).sum()
            if condition in self.conditions and float(variance) > ROUNDING**2:
                weights[columns] = float(1 / variance)
        weights[0] = 1e6  # farther than anything else
        return weights[:, None]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name in GROWING:
            tensor = state_dict.get(prefix + name)
            if isinstance(tensor, Tensor):
                own = getattr(self, name)
                setattr(self, name, own.new_zeros(tensor.shape, dtype=own.dtype))
        super()._load_from_state_dict(cast(Any, state_dict), prefix, *rest)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Look showers up; see `Generator`. Unknown particles get showers of the first known one."""
        chance = (0.5 * (1 + torch.erf(noise / math.sqrt(2)))).clamp(0.0, 1 - 1e-6)
        shower = self.nearest(incident, chance[:, 0])
        symmetry = self.kept[(chance[:, 1] * self.kept.shape[0]).long()]
        start, end = self.starts[shower][:, None], self.starts[shower + 1][:, None]
        hits = start + self.longest
        hits = torch.where(hits < end, hits, torch.full_like(hits, self.cells.shape[0] - 1))
        places = self.destinations.flatten()[symmetry[:, None] * (self.n_cells + 1) + self.cells[hits].long()]
        deposits = self.deposits[hits]
        if "energy" in self.conditions:
            deposits = deposits * (incident[:, 1] / self.energies[shower])[:, None]
        deposits = torch.where(deposits >= self.threshold, deposits, torch.zeros_like(deposits))
        empty = deposits.new_zeros(1, self.n_cells + 1).expand(incident.shape[0], -1)
        drawn = empty.scatter(1, places.long(), deposits)
        return drawn[:, : self.n_cells].reshape(-1, *self.shape)

    def nearest(self, incident: Tensor, chance: Tensor) -> Tensor:
        """Choose a stored shower for each incident among the nearest ones, and those as near as the last of them.

        Args:
            incident: (n_showers, 6).
            chance: Uniform from 0 to 1, (n_showers,).

        Returns:
            Numbers of stored showers, (n_showers,).
        """
        coordinates = self.coordinates(incident)
        squared = torch.zeros_like(coordinates[:, :1])
        for number in range(6):
            difference = coordinates[:, number : number + 1] - self.stored[number]
            squared = squared + self.weights[number] * difference * difference
        last = squared.topk(self.neighbours, dim=1, largest=False).values[:, -1:]
        near = (squared <= last).int()
        chosen = (chance[:, None] * near.sum(1, keepdim=True)).int()  # in the order of storage
        return ((near.cumsum(1) > chosen).int()).argmax(1)


def symmetries_that_keep(detector: Detector, incidents: Incidents) -> list[int]:
    """Return the numbers of the symmetries of a readout that leave incidents as they are.

    All of them do for normal incidence at the centre.

    >>> from caloforge import detectors, showers
    >>> symmetries_that_keep(detectors.load("clic-ecal"), showers.incidents(11, 1e3, x=5.1, y=5.1))
    [0, 4]
    """
    before = incidents.axis(np.array([0.0, 1.0]))
    kept = []
    for number, symmetry in enumerate(detector.symmetries):
        after = incidents.moved(symmetry).axis(np.array([0.0, 1.0]))
        if all(np.allclose(one, other, atol=10 * ROUNDING) for one, other in zip(before, after, strict=True)):
            kept.append(number)
    return kept
