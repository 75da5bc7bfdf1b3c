"""Causal 3D: layers first, then cells front to back and in four passes per layer, all by maximum likelihood.

What limits single-pass generators is that neighbouring cells are drawn at once: a classifier sees that they know
nothing of each other. Here each cell knows the layers before it and the cells of its own layer in earlier passes
(`_causal_cells`), as PixelCNN (van den Oord et al., arXiv:1601.06759) does for images and L2LFlows
(Diefenbacher et al., arXiv:2302.11594) from layer to layer; passes over sub-lattices keep the number of steps small.
Hits and energy of all layers come first (`_layers.LayerModel`), so that the response is right by itself.
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.models._base import Approach, ApproachConfig, Batch, Generator, Step
from caloforge.models._causal_cells import CausalCells
from caloforge.models._fields import Count, Part, Particles, Rate, Window
from caloforge.models._layers import LayerModel, encode_incident
from caloforge.showers import pdg_id


class Causal3DConfig(ApproachConfig):
    """Hyper-parameters.

    Attributes:
        particles: Names of the particles it is trained for.
        window: Rows and columns around the axis that are drawn in four passes.
        width: Of the network of a cell there.
        depth: Number of its hidden layers after the first.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits outside the window that a layer can have at most (the fewer, the faster).
        most_in_pass: Hits that one of the four passes can have at most, likewise.
        clumping: How alike the random numbers of neighbouring cells outside the window are (0 to 1). No likelihood
            knows it: it is set so that such cells have as many neighbours that are hit as Geant4's.
        cell_batch: Showers of a batch that the cells learn from; the layer model takes all.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
    """

    approach: Literal["causal3d"] = "causal3d"
    particles: Particles = ("e-", "gamma")
    window: Window = 13
    width: Count = 24
    depth: Annotated[int, Field(ge=0)] = 2
    hidden: Count = 64
    features: Count = 16
    mixtures: Annotated[int, Field(ge=2)] = 4
    most_around: Count = 36
    most_in_pass: Count = 30
    clumping: Part = 0.3
    cell_batch: Count = 24
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 3e-3


class Causal3DGenerator(Generator):
    """Draws layers, then cells.

    Args:
        detector: Whose showers.
        config: Hyper-parameters.
    """

    def __init__(self, detector: Detector, config: Causal3DConfig) -> None:
        super().__init__()
        n_layers, _n_rows, _n_columns = detector.shape
        self.particles = tuple(map(pdg_id, config.particles))
        context = 1 + len(self.particles)
        self.layers = LayerModel(n_layers, context, detector.threshold)
        self.cells = CausalCells(
            detector,
            context,
            window=config.window,
            width=config.width,
            depth=config.depth,
            hidden=config.hidden,
            features=config.features,
            mixtures=config.mixtures,
            most_around=config.most_around,
            most_in_pass=config.most_in_pass,
            clumping=config.clumping,
        )
        self.noise_sizes = [self.layers.noise_size, self.cells.noise_size]
        self.noise_size = sum(self.noise_sizes)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`."""
        context = encode_incident(incident, self.particles)
        for_layers, for_cells = noise.split(self.noise_sizes, dim=1)
        hits, energy = self.layers.sample(context, incident[:, 1], for_layers)
        return self.cells.sample(context, hits, energy, for_cells)

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
        hits, energy = layers_of(showers)
        of_layers = self.layers.loss(context, incident[:, 1], hits, energy, random)
        return of_layers.mean(), *self.cells.losses(context[:n_cells], showers[:n_cells], random)


class Causal3D(Approach[Causal3DConfig]):
    """The approach `causal3d`."""

    name = "causal3d"
    config_type = Causal3DConfig

    def __init__(self, detector: Detector, config: Causal3DConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": Causal3DGenerator(detector, config)}

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the layer model."""
        generator = cast(Causal3DGenerator, self.generator)
        context = encode_incident(sample.incident, generator.particles)
        generator.layers.fit_scales(context, sample.incident[:, 1], *layers_of(sample.showers))

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW for the layers, Adam for the cells."""
        config, generator = self.config, cast(Causal3DGenerator, self.generator)
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
        )  # fabric's wrapper: send `likelihood` through it
        if callable(mark):
            mark("likelihood")
        n = min(self.config.cell_batch, len(batch))
        teach = cast(Causal3DGenerator, generator).likelihood
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
