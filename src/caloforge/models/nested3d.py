"""Nested 3D: from totals to halves to layers, and from every fourth layer to the cells between, by maximum likelihood.

`causal3d` showed that cells which know their neighbours, taught by likelihood, cannot be told from Geant4's; but it
draws 25 layers of five passes one after the other, some 13 000 small operations. Given what a layer holds, though,
layers four apart fluctuate independently. So here all scales are nested: the totals of a shower are shared out to
halves of halves (`_layers`), every fourth layer is drawn at once, then those between (`_nested_cells`), and inside a
layer every second row and column. Energies are worked out only for cells that are hit. Multi-scale orders were
proposed for images by Reed et al. (arXiv:1703.03664).
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models._base import Approach, ApproachConfig, Batch, Generator, Step
from caloforge.models._fields import Count, Particles, Rate, Window
from caloforge.models._layers import LayerModel, encode_incident
from caloforge.models._nested_cells import NestedCells
from caloforge.showers import pdg_id


class Nested3DConfig(ApproachConfig):
    """Hyper-parameters.

    Attributes:
        particles: Names of the particles it is trained for.
        window: Rows and columns around the axis that are drawn in four passes.
        width: Channels of the networks of cells there (multiples of 16 are fastest).
        depth: Number of their hidden layers after the first.
        energy_width: Width of the networks of the energies of hits there.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits outside the window that a layer can have at most (the fewer, the faster).
        shapes: Transverse shapes of the hits outside the window.
        layer_width: Width of the networks that split hits and energies between layers.
        cell_batch: Showers of a batch that the cells learn from; the layer model takes all.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
    """

    approach: Literal["nested3d"] = "nested3d"
    particles: Particles = ("e-", "gamma")
    window: Window = 9
    width: Count = 16
    depth: Annotated[int, Field(ge=0)] = 1
    energy_width: Count = 32
    hidden: Count = 48
    features: Count = 16
    mixtures: Annotated[int, Field(ge=2)] = 4
    most_around: Count = 56
    shapes: Annotated[int, Field(ge=2)] = 8
    layer_width: Count = 96
    cell_batch: Count = 32
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 3e-3


class Nested3DGenerator(Generator):
    """Draws layers, then cells.

    Args:
        detector: Whose showers.
        config: Hyper-parameters.
    """

    def __init__(self, detector: Detector, config: Nested3DConfig) -> None:
        super().__init__()
        self.particles = tuple(map(pdg_id, config.particles))
        context = 1 + len(self.particles)
        self.layers = LayerModel(detector.shape[0], context, detector.threshold, config.layer_width)
        self.cells = NestedCells(
            detector,
            context,
            window=config.window,
            width=config.width,
            depth=config.depth,
            energy_width=config.energy_width,
            hidden=config.hidden,
            features=config.features,
            mixtures=config.mixtures,
            most_around=config.most_around,
            shapes=config.shapes,
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
        of_layers = self.layers.loss(context, incident[:, 1], *layers_of(showers), random)
        return of_layers.mean(), *self.cells.losses(context[:n_cells], showers[:n_cells], random)


class Nested3D(Approach[Nested3DConfig]):
    """The approach `nested3d`."""

    name = "nested3d"
    config_type = Nested3DConfig

    def __init__(self, detector: Detector, config: Nested3DConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": Nested3DGenerator(detector, config)}

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the layer model.

        Raises:
            InputError: If layers have more hits outside the window than `most_around`.
        """
        generator = cast(Nested3DGenerator, self.generator)
        context = encode_incident(sample.incident, generator.particles)
        generator.layers.fit_scales(context, sample.incident[:, 1], *layers_of(sample.showers))
        cells = generator.cells
        around = sample.showers.flatten(2)[:, :, torch.tensor(cells.lattice.around)]
        most = int((around > 0).sum(2).max())
        if most > cells.most_around:
            raise InputError(
                f"a layer has {most} hits outside the window: set model.most_around to at least {int(1.2 * most)}, "
                "or model.window larger"
            )

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW for the layers, Adam for the cells."""
        config, generator = self.config, cast(Nested3DGenerator, self.generator)
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
        teach = cast(Nested3DGenerator, generator).likelihood
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
