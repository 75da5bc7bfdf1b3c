"""The approach `gan3d`: what it learns from."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models.contract import Approach, Batch, Step
from caloforge.models.gan3d.config import Gan3DConfig
from caloforge.models.gan3d.discriminator import Gan3DDiscriminator
from caloforge.models.gan3d.generator import Gan3DGenerator
from caloforge.models.parts.encoder import largest_visible_energy

ROOM = 1.3
"""Hits of a layer that can be drawn, in units of the most that are seen."""


class Gan3D(Approach[Gan3DConfig]):
    """A conditional 3D GAN for cartesian readouts; see the package."""

    name = "gan3d"
    config_type = Gan3DConfig

    def __init__(self, detector: Detector, config: Gan3DConfig) -> None:
        super().__init__(detector, config)
        generator = Gan3DGenerator(detector, config)
        discriminator = Gan3DDiscriminator(detector, config, generator.encoder.size)
        self.networks = {"generator": generator, "discriminator": discriminator}

    @classmethod
    def size(cls, config: Gan3DConfig, detector: Detector, sample: Batch) -> Gan3DConfig:
        """Choose the energy of a typical hit and the number of hits of a layer, beside what the base chooses."""
        config = super().size(config, detector, sample)
        hit = sample.showers[sample.showers > 0]
        typical = float(hit.median()) if len(hit) else max(detector.threshold, 1.0)
        most = int(ROOM * int((sample.showers > 0).sum((2, 3)).max())) + 8
        n_cells = detector.n_cells // detector.n_layers
        return config.model_copy(
            update={
                "hit_energy": config.hit_energy or float(f"{typical:.4g}"),
                "most_hits": config.most_hits or min(most, n_cells),
            }
        )

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the encoder and of the layer model.

        Raises:
            InputError: If layers have more hits than `most_hits`.
        """
        generator = cast(Gan3DGenerator, self.generator)
        hits, energy = layers_of(sample.showers, generator.unit)
        most = int(hits.max())
        if most > generator.most_hits:
            raise InputError(f"a layer has {most} hits: set model.most_hits to at least {int(1.2 * most)}")
        generator.encoder.fit(sample.incident)
        limit = largest_visible_energy(sample.incident, self.detector.readout) / generator.unit
        generator.layers.fit_scales(generator.encoder(sample.incident), limit, hits, energy)

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW for the layers, Adam for cells and discriminator."""
        config, generator = self.config, self.networks["generator"]
        weights = dict(generator.named_parameters())
        layers = [p for name, p in weights.items() if name.startswith("layers.")]
        cells = [p for name, p in weights.items() if not name.startswith("layers.")]
        judge = self.networks["discriminator"].parameters()
        return {
            "layers": ("generator", torch.optim.AdamW(layers, config.layer_rate, weight_decay=0.01)),
            "cells": ("generator", torch.optim.Adam(cells, config.cell_rate, betas=(0.5, 0.99))),
            "discriminator": (
                "discriminator",
                torch.optim.Adam(judge, config.discriminator_rate, betas=(0.5, 0.99)),
            ),
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Teach the discriminator, then the layers by likelihood and the cells by energy score and discriminator."""
        config, original = self.config, cast(Gan3DGenerator, self.generator)
        judge = cast(Gan3DDiscriminator, self.networks["discriminator"])
        hits, energy = layers_of(batch.showers, original.unit)
        likelihood, first, second = _teach(
            step.networks["generator"],
            batch.incident,
            hits,
            energy,
            step.random.uniform(batch),
            step.random.normal(batch, 2, sum(original.noise_sizes[1:])),
        )
        likelihood, score = likelihood.mean(), judge.shapes.energy_score(batch.showers, first, second)
        loss = likelihood + config.score_weight * score
        losses = {"likelihood": likelihood, "score": score, "adversarial": score.new_zeros(())}
        losses["discriminator"] = losses["adversarial"]
        if step.progress >= config.adversarial_start and config.adversarial_weight:
            given = (original.encoder(batch.incident), hits, energy)
            losses["discriminator"] = self._teach_discriminator(batch.showers, first.detach(), given, step)
            judge.requires_grad_(False)
            with torch.no_grad():
                on_real = judge(judge.shapes.compress(batch.showers), *given)
            on_drawn = judge(judge.shapes.compress(first), *given)
            losses["adversarial"] = functional.softplus(on_real - on_drawn).mean()
            loss = loss + config.adversarial_weight * losses["adversarial"]
        for name in ("layers", "cells"):
            step.optimizers[name].zero_grad()
        step.backward(loss)
        for name in ("layers", "cells"):
            step.optimizers[name].step()
        judge.requires_grad_(True)
        return {name: value.detach() for name, value in losses.items()}

    def _teach_discriminator(
        self, real: Tensor, drawn: Tensor, given: tuple[Tensor, ...], step: Step
    ) -> Tensor:
        config, judge = self.config, cast(Gan3DDiscriminator, self.networks["discriminator"])
        judge.steps += 1
        penalised = int(judge.steps) % config.penalty_every == 0 and config.gradient_penalty > 0
        seen = judge.shapes.compress(torch.cat([real, drawn])).requires_grad_(penalised)
        verdict = step.networks["discriminator"](seen, *(values.repeat(2, 1) for values in given))
        on_real, on_drawn = verdict.chunk(2)
        loss = functional.softplus(on_drawn - on_real).mean()
        total = loss
        if penalised:
            (slopes,) = torch.autograd.grad(verdict.sum(), seen, create_graph=True)
            penalty = slopes.square().flatten(1).sum(1).mean()  # half of the sum of real and drawn ones
            total = loss + config.penalty_every * config.gradient_penalty * penalty
        step.optimizers["discriminator"].zero_grad()
        step.backward(total)
        step.optimizers["discriminator"].step()
        return loss


def _teach(generator: nn.Module, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Call `Gan3DGenerator.teach` through what the training loop has wrapped around the generator."""
    mark = getattr(generator, "mark_forward_method", None)
    if callable(mark):
        mark("teach")
    likelihood, first, second = cast(Gan3DGenerator, generator).teach(*inputs)
    return likelihood, first, second


def layers_of(showers: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Hits, and energy in units of `unit` MeV, of the layers of showers, both (n_showers, n_layers)."""
    return (showers > 0).sum((2, 3)).to(showers.dtype), showers.sum((2, 3)) / unit
