"""The approach `nested3d`."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from caloforge.detectors import CartesianReadout, CylindricalReadout, Detector
from caloforge.errors import DetectorError, InputError
from caloforge.models.contract import Approach, Batch, Step
from caloforge.models.nested3d.config import Nested3DConfig, choose_sizes
from caloforge.models.nested3d.generator import Nested3DGenerator
from caloforge.showers import Condition

PER_CELL = 100.0
"""By how much the losses of cells, sums over some hundred hits, count less than those of layers."""


class Nested3D(Approach[Nested3DConfig]):
    """Layers, then cells, both learnt by maximum likelihood."""

    name = "nested3d"
    config_type = Nested3DConfig

    def __init__(self, detector: Detector, config: Nested3DConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": Nested3DGenerator(detector, config)}

    @classmethod
    def check_readout(cls, detector: Detector) -> None:
        """Raise unless the readout is cartesian or cylindrical.

        Raises:
            DetectorError: Naming approach, detector and what is supported.
        """
        if not isinstance(detector.readout, CartesianReadout | CylindricalReadout):
            raise DetectorError(
                f"approach {cls.name!r} knows cartesian and cylindrical readouts; detector {detector.name!r} has a "
                f"{detector.readout.kind} one"
            )

    @classmethod
    def supported_conditions(cls, detector: Detector) -> tuple[Condition, ...]:
        """All on cartesian readouts; energy and particle on those around the axis."""
        if isinstance(detector.readout, CartesianReadout):
            return ("particle", "energy", "direction", "position")
        return ("particle", "energy")

    @classmethod
    def size(cls, config: Nested3DConfig, detector: Detector, sample: Batch) -> Nested3DConfig:
        """Choose particles, conditions, window, hits around it, random numbers and the unit of energy."""
        return choose_sizes(super().size(config, detector, sample), detector, sample)

    def prepare(self, sample: Batch) -> None:
        """Fit all scales.

        Raises:
            InputError: If showers do not hit a central cell.
        """
        generator = cast(Nested3DGenerator, self.generator)
        if generator.frame is not None and bool(generator.frame.off_centre(sample.incident).any()):
            raise InputError(
                "approach 'nested3d' learns from showers that hit a central cell of the readout, and moves them by "
                "whole cells itself: simulate training showers with --position cell (or 0,0)"
            )
        in_layer = self.detector.positions[self.detector.cell_layers == 0, :2]
        positions = torch.tensor(in_layer, dtype=torch.float32)
        generator.fit_scales(sample.incident, sample.showers, positions)

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW; weights of layers and shares decay."""
        config, generator = self.config, cast(Nested3DGenerator, self.generator)
        cells = [p for name, p in generator.cells.named_parameters() if not name.startswith("shares.")]
        groups = [
            {"params": [*cells, *generator.core.parameters()], "weight_decay": 0.0},
            {"params": list(generator.cells.shares.parameters()), "weight_decay": config.share_decay},
        ]
        layers = torch.optim.AdamW(generator.layers.parameters(), config.layer_rate, weight_decay=0.01)
        return {
            "layers": ("generator", layers),
            "cells": ("generator", torch.optim.AdamW(groups, config.cell_rate, betas=(0.9, 0.99))),
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """One step of maximum likelihood."""
        generator = step.networks["generator"]
        mark = getattr(
            generator, "mark_forward_method", None
        )  # fabric's wrapper: `likelihood` goes through it
        if callable(mark):
            mark("likelihood")
        stride = -(-batch.total // self.config.cell_batch)
        chosen = (batch.index % stride == 0).nonzero()[:, 0]
        # a mean over the showers chosen on all ranks; a rank that has none adds 0
        chosen_of_all = -(-batch.total // stride)
        weight = len(chosen) * batch.total / (len(batch) * chosen_of_all)
        if not len(chosen):
            chosen = batch.index.argmin()[None]
        uniform = step.random.uniform(batch, 2)
        own = cast(Nested3DGenerator, self.generator)
        normal = step.random.normal(batch, own.core.n_parts + 2)
        teach = cast(Nested3DGenerator, generator).likelihood
        terms = teach(batch.incident, batch.showers, uniform, normal, chosen)
        for name in ("layers", "cells"):
            step.optimizers[name].zero_grad()
        step.backward(terms[0] + weight * (terms[1] + sum(terms[2:]) / PER_CELL))
        for name in ("layers", "cells"):
            step.optimizers[name].step()
        names = ("layers", "core", "shares", "hits", "energies")
        return {name: term.detach() for name, term in zip(names, terms, strict=True)}
