"""A library of frozen showers: showers of Geant4, stored and used again.

Each shower drawn is a stored one of the same particle and nearly the same energy, scaled in energy and turned or
mirrored by one of the symmetries of the detector, as ATLAS does for low-energy showers (Barberio et al., J. Phys. Conf.
Ser. 160 (2009) 012082).

A baseline that networks are compared with, not a model to ship: nearly perfect wherever it has showers, but it draws
no new ones. A million showers from ten thousand repeat each a hundred times, and each further condition (angle,
impact point) multiplies its size.

Nothing is trained: `prepare` stores the hits of its sample as a list of cells and one of energies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models._base import Batch, FittedApproach, FittedConfig, Generator
from caloforge.models._fields import Count, Particles
from caloforge.showers import particle_name, pdg_id

ROUNDING = 1e-5
"""Logarithms of energy that differ less are the same."""


class LibraryConfig(FittedConfig):
    """Hyper-parameters.

    Attributes:
        particles: Names of the particles it holds showers of.
        showers: Showers that it stores at most.
        neighbours: Showers of the nearest energies that one is chosen from.
    """

    approach: Literal["library"] = "library"
    particles: Particles = ("e-", "gamma")
    showers: Count = 10_000
    neighbours: Count = 4


class LibraryGenerator(Generator):
    """Looks showers up.

    Showers are sorted by particle and energy. The buffers grow with what is stored, so they take the size of the
    state that is loaded into them.

    Args:
        detector: Whose showers.
        particles: PDG ids.
        neighbours: Showers of the nearest energies that one is chosen from.
    """

    known: Tensor
    first: Tensor
    energies: Tensor
    starts: Tensor
    cells: Tensor
    deposits: Tensor
    window: Tensor
    moves: Tensor

    noise_size = 2

    def __init__(self, detector: Detector, particles: tuple[int, ...], neighbours: int) -> None:
        super().__init__()
        self.shape, self.threshold, self.neighbours = detector.shape, detector.threshold, neighbours
        self.n_cells = detector.n_cells
        index = torch.int16 if self.n_cells < 2**15 else torch.int32
        self.register_buffer("known", torch.tensor(particles, dtype=torch.float32))
        self.register_buffer("first", torch.zeros(len(particles) + 1, dtype=torch.int64))
        self.register_buffer("energies", torch.zeros(0))
        self.register_buffer("starts", torch.zeros(1, dtype=torch.int64))
        self.register_buffer("cells", torch.zeros(0, dtype=index))
        self.register_buffer("deposits", torch.zeros(0))
        self.register_buffer("window", torch.zeros(0, dtype=torch.int64))
        # where each symmetry moves each cell, and the bin for what is no hit
        places = np.arange(self.n_cells).reshape(self.shape)
        moves = np.stack([np.argsort(op(places).reshape(-1)) for op in detector.symmetries])
        moves = np.pad(moves, ((0, 0), (0, 1)), constant_values=self.n_cells)
        self.register_buffer("moves", torch.from_numpy(moves).to(index), persistent=False)

    def store(self, incident: Tensor, showers: Tensor) -> None:
        """Replace what is stored.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, n_layers, n_rows, n_columns) in MeV.

        Raises:
            InputError: If a particle has too few showers.
        """
        pdg, energy = incident[:, 0].numpy(), incident[:, 1].numpy()
        chosen = [np.flatnonzero(pdg == known) for known in self.known.numpy()]
        for known, of_particle in zip(self.known.tolist(), chosen, strict=True):
            if len(of_particle) < self.neighbours:
                raise InputError(
                    f"the library gets {len(of_particle)} showers of {particle_name(int(known))}, fewer than "
                    f"model.neighbours = {self.neighbours}: give more data, or take the particle out of model.particles"
                )
        order = np.concatenate([part[np.argsort(energy[part], kind="stable")] for part in chosen])
        least = max(self.threshold, float(np.finfo(np.float32).tiny))
        hits = [np.flatnonzero(shower >= least) for shower in showers.flatten(1).numpy()[order]]
        deposits = [
            showers[number].flatten().numpy()[found] for number, found in zip(order, hits, strict=True)
        ]
        counts = np.array([len(found) for found in hits])
        self.first = torch.from_numpy(np.cumsum([0, *map(len, chosen)]))
        self.energies = torch.from_numpy(energy[order].astype(np.float32))
        self.starts = torch.from_numpy(np.cumsum([0, *counts]))
        # one more hit, of no energy: the first beyond the last
        self.cells = torch.from_numpy(np.append(np.concatenate(hits), self.n_cells)).to(self.cells.dtype)
        self.deposits = torch.from_numpy(np.append(np.concatenate(deposits), 0).astype(np.float32))
        self.window = torch.arange(max(1, int(counts.max())))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("energies", "starts", "cells", "deposits", "window"):
            stored = state_dict.get(prefix + name)
            if isinstance(stored, Tensor):
                own = getattr(self, name)
                setattr(self, name, own.new_zeros(stored.shape, dtype=own.dtype))
        super()._load_from_state_dict(cast(Any, state_dict), prefix, *rest)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Look showers up; see `Generator`. Unknown particles get showers of the first known one."""
        chance = (0.5 * (1 + torch.erf(noise / math.sqrt(2)))).clamp(0.0, 1 - 1e-6)
        shower = self.nearest(incident, chance[:, 0])
        symmetry = (chance[:, 1] * self.moves.shape[0]).long()
        scale = incident[:, 1] / self.energies[shower]
        start, end = self.starts[shower][:, None], self.starts[shower + 1][:, None]
        hits = start + self.window
        hits = torch.where(hits < end, hits, torch.full_like(hits, self.cells.shape[0] - 1))
        places = self.moves.flatten()[symmetry[:, None] * (self.n_cells + 1) + self.cells[hits].long()]
        deposits = self.deposits[hits] * scale[:, None]
        deposits = torch.where(deposits >= self.threshold, deposits, torch.zeros_like(deposits))
        empty = deposits.new_zeros(1, self.n_cells + 1).expand(incident.shape[0], -1)
        drawn = empty.scatter(1, places.long(), deposits)
        return drawn[:, : self.n_cells].reshape(-1, *self.shape)

    def nearest(self, incident: Tensor, chance: Tensor) -> Tensor:
        """Choose a stored shower for each incident, among those of its particle that are nearest in log energy.

        Args:
            incident: (n_showers, 6).
            chance: (n_showers,), uniform from 0 to 1.

        Returns:
            (n_showers,) indices.
        """
        kind = (incident[:, :1] == self.known).int().argmax(1)
        begin, end = self.first[kind], self.first[kind + 1]
        number = torch.arange(self.energies.shape[0], device=incident.device)
        mine = (number >= begin[:, None]) & (number < end[:, None])
        rank = begin + (mine & (self.energies < incident[:, 1:2])).sum(1)
        k = self.neighbours
        shifts = torch.arange(-k, 1, device=incident.device)
        starts = torch.minimum(torch.maximum(rank[:, None] + shifts, begin[:, None]), end[:, None] - k)
        below = (incident[:, 1:2] / self.energies[starts]).log()
        above = (self.energies[starts + k - 1] / incident[:, 1:2]).log()
        farthest = torch.maximum(below, above)
        # the first of those that are as good but for rounding, so that runtimes agree
        best = (farthest <= farthest.amin(1, keepdim=True) + ROUNDING).int().argmax(1, keepdim=True)
        return starts.gather(1, best)[:, 0] + (chance * k).long()


class Library(FittedApproach[LibraryConfig]):
    """The approach `library`."""

    name = "library"
    config_type = LibraryConfig

    def __init__(self, detector: Detector, config: LibraryConfig) -> None:
        super().__init__(detector, config)
        particles = tuple(map(pdg_id, config.particles))
        self.networks = {"generator": LibraryGenerator(detector, particles, config.neighbours)}

    def prepare(self, sample: Batch) -> None:
        """Store the showers of the sample.

        Raises:
            InputError: If a particle has too few showers.
        """
        cast(LibraryGenerator, self.generator).store(sample.incident, sample.showers)
