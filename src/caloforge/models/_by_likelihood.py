"""What approaches have in common that draw layers, then cells, and learn both by maximum likelihood."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from caloforge.detectors import Detector
from caloforge.models._base import Approach, ApproachConfig, Batch, Generator, Step
from caloforge.models._fields import Count, Particles, Rate
from caloforge.models._layers import LayerModel, encode_incident
from caloforge.showers import pdg_id


class LikelihoodConfig(ApproachConfig):
    """Hyper-parameters that such approaches share.

    Attributes:
        particles: Names of the particles it is trained for.
        layer_width: Width of the networks that split hits and energies between layers.
        cell_batch: Showers of a batch that the cells learn from; the layer model takes all.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
    """

    particles: Particles = ("e-", "gamma")
    layer_width: Count = 96
    cell_batch: Count = 24
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 3e-3


class Cells(Protocol):
    """The cells of showers, given their layers."""

    @property
    def noise_size(self) -> int:
        """Random numbers that the cells of a shower take."""

    def losses(
        self, context: Tensor, showers: Tensor, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of the shares of groups, of hits and of energies, given the layers."""

    def sample(self, context: Tensor, hits: Tensor, energy: Tensor, noise: Tensor) -> Tensor:
        """Draw the cells of showers with the given layers."""


class LayersThenCells(Generator):
    """Draws layers, then cells.

    Args:
        detector: Whose showers.
        config: Hyper-parameters.
    """

    cells: nn.Module

    def __init__(self, detector: Detector, config: LikelihoodConfig) -> None:
        super().__init__()
        self.particles = tuple(map(pdg_id, config.particles))
        context = 1 + len(self.particles)
        self.layers = LayerModel(detector.shape[0], context, detector.threshold, config.layer_width)
        self.cells = self.make_cells(detector, context, config)
        self.noise_sizes = [self.layers.noise_size, cast(Cells, self.cells).noise_size]
        self.noise_size = sum(self.noise_sizes)

    @abstractmethod
    def make_cells(self, detector: Detector, context: int, config: LikelihoodConfig) -> nn.Module:
        """Make the networks of the cells, which are `Cells`, for incidents encoded as `context` numbers."""

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`."""
        context = encode_incident(incident, self.particles)
        for_layers, for_cells = noise.split(self.noise_sizes, dim=1)
        hits, energy = self.layers.sample(context, incident[:, 1], for_layers)
        return cast(Cells, self.cells).sample(context, hits, energy, for_cells)

    def likelihood(
        self, incident: Tensor, showers: Tensor, n_cells: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Negative log-likelihood of showers.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, n_layers, n_rows, n_columns) in MeV.
            n_cells: The cells of the first so many showers count.
            random: Source of the noise that makes whole numbers of hits continuous, and of quadratures.

        Returns:
            Of the layers, of the shares of groups, of the hits and of the energies of cells: means over showers.
        """
        context = encode_incident(incident, self.particles)
        of_layers = self.layers.loss(context, incident[:, 1], *layers_of(showers), random)
        of_cells = cast(Cells, self.cells).losses(context[:n_cells], showers[:n_cells], random)
        return of_layers.mean(), *of_cells


ConfigT = TypeVar("ConfigT", bound=LikelihoodConfig)


class ByLikelihood(Approach[ConfigT]):
    """An approach whose generator is `LayersThenCells`."""

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the layer model."""
        generator = cast(LayersThenCells, self.generator)
        context = encode_incident(sample.incident, generator.particles)
        generator.layers.fit_scales(context, sample.incident[:, 1], *layers_of(sample.showers))

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW for the layers, Adam for the cells."""
        config, generator = self.config, cast(LayersThenCells, self.generator)
        layers, cells = generator.layers.parameters(), generator.cells.parameters()
        return {
            "layers": ("generator", torch.optim.AdamW(layers, config.layer_rate, weight_decay=0.01)),
            "cells": ("generator", torch.optim.Adam(cells, config.cell_rate, betas=(0.9, 0.99))),
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """One step of maximum likelihood."""
        generator = step.networks["generator"]
        mark = getattr(
            generator, "mark_forward_method", None
        )  # fabric's wrapper: `likelihood` goes through it
        if callable(mark):
            mark("likelihood")
        n = min(self.config.cell_batch, len(batch))
        teach = cast(LayersThenCells, generator).likelihood
        terms = teach(batch.incident, batch.showers, n, step.random)
        of_layers, of_shares, of_hits, of_energy = terms
        for name in ("layers", "cells"):
            step.optimizers[name].zero_grad()
        step.backward(of_layers + (of_shares + of_hits + of_energy) / 100)
        for name in ("layers", "cells"):
            step.optimizers[name].step()
        names = ("layers", "shares", "hits", "energies")
        return {name: term.detach() for name, term in zip(names, terms, strict=True)}


def layers_of(showers: Tensor) -> tuple[Tensor, Tensor]:
    """Return hits and energy in MeV of every layer, both (n_showers, n_layers)."""
    return (showers > 0).sum((2, 3)).to(showers.dtype), showers.sum((2, 3))
