"""A modern conditional 3D GAN: layers first, then cells by 3D convolutions of noise, at a few MFLOP per shower.

The idea of the original (Vallecorsa, Carminati, Khattak, EPJ Web Conf. 214 (2019) 02010) is kept: 3D convolutions, an
adversary, auxiliary regression of the incident energy. What is new:

- A small autoregressive model (`_layers.LayerModel`) draws hits and energy of every layer; the cells of a layer
  then share out exactly that many hits and that energy. The adversary has only the shapes of showers to judge.
- Cells start from a product of per-layer features and learnt transverse maps; two 3D convolutions of the noise
  around the core add what neighbouring cells, also of neighbouring layers, have in common.
- The hits of a layer are the cells with the highest scores, and the energy of a hit grows from the threshold with
  its score above the cut, so that showers are sparse and yet differentiable.
- The generator learns from an energy score (`_energy_score`) and from a discriminator (non-saturating loss with R1
  penalty, Mescheder et al., arXiv:1801.04406) that is told the layer energies and hits.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models._base import Approach, ApproachConfig, Batch, Generator, Step
from caloforge.models._energy_score import CELL_SCALE, centred, compress, energy_score, layer_shapes
from caloforge.models._fields import Count, Part, Particles, Rate, Weight, Window
from caloforge.models._layers import LayerModel, encode_incident, mean_excess
from caloforge.models._sublattices import split_layer
from caloforge.showers import pdg_id

NEVER = -1e6
"""What the score of a cell loses for each unit by which it is behind the one opposite to it."""
PENALTY_EVERY = 8
"""The gradient penalty is taken in one step of so many, that much stronger (lazily, as in arXiv:1912.04958)."""


class Gan3DConfig(ApproachConfig):
    """Hyper-parameters.

    Attributes:
        particles: Names of the particles it is trained for.
        maps: Learnt transverse maps.
        channels: Of the hidden 3D convolution.
        window: Rows and columns around the axis on which the convolutions act (odd). If most cells lie outside it, one
            random number serves two that are opposite to each other, and at most one of them is hit.
        latents: Random numbers per layer that bend its shape as a whole.
        hidden: Width of the network over layers.
        most_hits: Hits that a layer can have at most (the fewer, the faster).
        cell_batch: Showers of a batch that the cells learn from; the layer model takes all.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
        discriminator_rate: Learning rate of the discriminator (Adam).
        discriminator_channels: Of its first convolution.
        score_weight: Weight of the energy score.
        adversarial_weight: Weight of the adversary, once it has started.
        adversarial_start: Part of the training after which the adversary starts.
        energy_weight: Weight of the auxiliary regression of the incident energy.
        gradient_penalty: Weight of the R1 penalty.
    """

    approach: Literal["gan3d"] = "gan3d"
    particles: Particles = ("e-", "gamma")
    maps: Count = 32
    channels: Count = 8
    window: Window = 13
    latents: Count = 8
    hidden: Count = 64
    most_hits: Count = 160
    cell_batch: Count = 16
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 2e-3
    discriminator_rate: Rate = 1e-3
    discriminator_channels: Count = 16
    score_weight: Weight = 0.1
    adversarial_weight: Weight = 1.0
    adversarial_start: Part = 0.15
    energy_weight: Weight = 0.1
    gradient_penalty: Weight = 0.05


class Gan3DGenerator(Generator):
    """Draws layers, then cells.

    Inside, the cells of a layer stand in another order: those of the window, row by row, then single ones outside it,
    the first ones of pairs of opposite cells, and the second ones of the same pairs.

    Args:
        detector: Whose showers.
        config: Hyper-parameters.
    """

    place_of_cell: Tensor

    def __init__(self, detector: Detector, config: Gan3DConfig) -> None:
        super().__init__()
        n_layers, n_rows, n_columns = detector.shape
        self.shape, self.threshold, self.config = detector.shape, detector.threshold, config
        self.particles = tuple(map(pdg_id, config.particles))
        context = 1 + len(self.particles)
        self.layers = LayerModel(n_layers, context, detector.threshold)
        self.latents = config.latents
        lattice = split_layer(n_rows, n_columns, config.window)
        self.side = lattice.window
        top, left = lattice.top, lattice.left
        self.window = (slice(top, top + self.side), slice(left, left + self.side))
        n_pairs = len(lattice.around) // 2 if len(lattice.around) > self.side**2 else 0
        self.n_single = n_rows * n_columns - 2 * n_pairs
        around = lattice.around
        order = np.concatenate(
            [
                np.sort(lattice.inside),
                around[n_pairs : len(around) - n_pairs],
                around[:n_pairs],
                around[len(around) - n_pairs :][::-1],
            ]
        )
        self.register_buffer("place_of_cell", torch.from_numpy(np.argsort(order)), persistent=False)
        for_cells = (self.n_single + n_pairs) * n_layers
        self.noise_sizes = [self.layers.noise_size, config.latents * n_layers, for_cells]
        self.noise_size = sum(self.noise_sizes)

        hidden, maps = config.hidden, config.maps
        self.place = nn.Parameter(0.1 * torch.randn(8, n_layers))
        self.along = nn.ModuleList(
            nn.Conv1d(size, hidden, 5, padding=2)
            for size in (8 + 3 + context + config.latents, hidden, hidden)
        )
        self.mixing = nn.Conv1d(hidden, 2 * maps + 1, 1)
        self.maps = nn.Parameter(_first_maps(detector, maps)[:, torch.from_numpy(order)])
        self.noise_gain = nn.Parameter(torch.ones(()))
        self.to_hidden = nn.Linear(hidden, config.channels)
        self.conv1 = nn.Conv3d(3, config.channels, 3, padding=1)
        self.conv2 = nn.Conv3d(config.channels, 2, 3, padding=1)
        nn.init.normal_(self.conv2.weight, std=0.05)
        nn.init.normal_(self.mixing.weight, std=0.05)
        for bias in (self.mixing.bias, self.conv2.bias):
            assert bias is not None
            nn.init.zeros_(bias)
        with torch.no_grad():  # scores fall with the logarithm of the radius, energies more slowly
            self.mixing.bias[0], self.mixing.bias[maps] = -2.0, -0.3  # type: ignore[index]
        self.most_hits = min(config.most_hits, self.n_single + n_pairs - 1)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`."""
        context = encode_incident(incident, self.particles)
        for_layers, for_shapes, for_cells = noise.split(self.noise_sizes, dim=1)
        hits, energy = self.layers.sample(context, incident[:, 1], for_layers)
        hits = hits.clamp(max=self.most_hits)
        return self.cells(context, hits, energy, for_shapes, for_cells)

    def teach(
        self, incident: Tensor, hits: Tensor, energy: Tensor, n_cells: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """What a training step needs, in one pass over all weights.

        Args:
            incident: (n_showers, 6), real.
            hits: (n_showers, n_layers), real.
            energy: (n_showers, n_layers) in MeV, real.
            n_cells: The cells of the first so many showers are drawn, twice.
            random: Source of the noise.

        Returns:
            Negative log-likelihood of the layers (n_showers,), and showers with the real layers (2 * n_cells, ...).
        """
        context = encode_incident(incident, self.particles)
        likelihood = self.layers.loss(context, incident[:, 1], hits, energy, random)
        size = sum(self.noise_sizes[1:])
        noise = torch.randn((2 * n_cells, size), generator=random, device=incident.device)
        twice = [values[:n_cells].repeat(2, 1) for values in (context, hits, energy)]
        return likelihood, self.cells(*twice, *noise.split(self.noise_sizes[1:], dim=1))

    def cells(
        self, context: Tensor, hits: Tensor, energy: Tensor, for_shapes: Tensor, for_cells: Tensor
    ) -> Tensor:
        """Share out the hits and energy of every layer among its cells.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in MeV.
            for_shapes: (n_showers, latents * n_layers) noise.
            for_cells: (n_showers, n_layers * (n_single + n_pairs)) noise.

        Returns:
            (n_showers, n_layers, n_rows, n_columns) in MeV, each layer with its hits and energy.
        """
        n_layers = self.shape[0]
        features = self._along(context, hits, energy, for_shapes.unflatten(1, (self.latents, n_layers)))
        mixing = self.mixing(features).transpose(1, 2)
        n_maps = self.config.maps
        noise = for_cells.unflatten(1, (n_layers, -1))
        noise = torch.cat([noise, -noise[..., self.n_single :]], 2)
        noise = noise * (self.noise_gain * (1 + 0.3 * torch.tanh(mixing[..., 2 * n_maps :])))
        score = mixing[..., :n_maps] @ self.maps
        power = mixing[..., n_maps : 2 * n_maps] @ self.maps
        local = self._local(features, noise, score, power)
        return self._share_out(score + noise + local[:, 0], power + 0.5 * noise + local[:, 1], hits, energy)

    def _along(self, context: Tensor, hits: Tensor, energy: Tensor, latents: Tensor) -> Tensor:
        excess = mean_excess(hits, energy, self.threshold)
        known = torch.stack(
            [
                (hits + 1).log() / 2 - 1,
                (excess * hits + 0.01).log() / 3,
                (hits > 0) * (excess + 1e-4).log() / 2,
            ],
            1,
        )
        steady = context[:, :, None].expand(-1, -1, self.shape[0])
        features = torch.cat([known, steady, self.place.expand(hits.shape[0], -1, -1), latents], 1)
        features = functional.silu(self.along[0](features))
        for convolution in list(self.along)[1:]:
            features = features + functional.silu(convolution(features))
        return features

    def _local(self, features: Tensor, noise: Tensor, score: Tensor, power: Tensor) -> Tensor:
        inside = [values[..., : self.side**2] for values in (noise, 0.3 * score, 0.3 * power)]
        stacked = torch.stack(inside, 1).unflatten(3, (self.side, self.side))
        bias = self.to_hidden(features.transpose(1, 2)).transpose(1, 2)[..., None, None]
        # mixed precision for the convolutions of a training on a CPU; inference is float32 throughout
        with torch.autocast("cpu", torch.bfloat16, enabled=self.training and stacked.device.type == "cpu"):
            if self.training:
                stacked = stacked.contiguous(memory_format=torch.channels_last_3d)
            local = self.conv2(functional.leaky_relu(self.conv1(stacked) + bias, 0.1))
        return functional.pad(local.float().flatten(3), (0, noise.shape[2] - self.side**2))

    def _share_out(self, score: Tensor, power: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        hits, energy = hits[..., None], energy[..., None]
        single, first, second = score.split(
            [self.n_single, *[(score.shape[2] - self.n_single) // 2] * 2], dim=2
        )
        ranked = torch.cat([single, torch.maximum(first, second)], 2).topk(self.most_hits + 1, dim=2).values
        # who is behind its partner can't be hit; in engines much faster than a choice by `where`
        behind = NEVER * (second - first)
        score = torch.cat([single, first + behind.clamp(max=0), second - behind.clamp(min=0)], 2)
        above = (score - ranked.gather(2, hits.long())).clamp(min=0)
        is_hit = (above * 1e6).clamp(max=1.0)
        weight = power.clamp(-12.0, 12.0).exp() * above / (above + 0.2)
        spare = (energy - hits * self.threshold).clamp(min=0)
        cells = self.threshold * is_hit + spare * weight / (weight.sum(-1, keepdim=True) + 1e-6)
        showers: Tensor = cells.index_select(2, self.place_of_cell).unflatten(2, self.shape[1:])
        return showers


class Gan3DDiscriminator(nn.Module):
    """Judges showers whose layer energies and hits it is told.

    Args:
        detector: Whose showers.
        context: Size of the encoded incident.
        channels: Of the first convolution.
    """

    radius: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, detector: Detector, context: int, channels: int) -> None:
        super().__init__()
        n_layers = detector.shape[0]
        rows, columns = centred(torch.tensor(detector.y)), centred(torch.tensor(detector.x))
        radius = (rows[:, None].square() + columns.square()).sqrt().float() / 10
        self.register_buffer("radius", radius.expand(1, *detector.shape).clone())
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(3, channels, 3, stride=(1, 2, 2), padding=1),
                nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1),
                nn.Conv3d(2 * channels, 4 * channels, 3, stride=2, padding=1),
            ]
        )
        self.wide = nn.LazyLinear(128)
        self.register_buffer("rows", rows.float())
        self.register_buffer("columns", columns.float())
        self.floor = detector.threshold
        n_shapes = sum(shape.shape[1] for shape in self._shapes(torch.zeros(1, *detector.shape)))
        self.joint = nn.Sequential(
            nn.Linear(128 + n_shapes + context + 2 * n_layers, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 128),
        )
        self.verdict = nn.Linear(128, 1)
        self.log_energy = nn.Linear(128, 1)
        with torch.no_grad():
            self.wide(self._features(torch.zeros(1, *detector.shape)))

    def _shapes(self, energies: Tensor) -> list[Tensor]:
        return layer_shapes(energies, self.rows, self.columns, self.floor)

    def _features(self, compressed: Tensor) -> Tensor:
        energies = CELL_SCALE * compressed.expm1()
        share = 4 * energies / (energies.sum((2, 3), keepdim=True) + 0.01)
        stacked = torch.stack([compressed, share, self.radius.expand(len(compressed), -1, -1, -1)], 1)
        with torch.autocast("cpu", torch.bfloat16, enabled=stacked.device.type == "cpu"):
            stacked = stacked.contiguous(memory_format=torch.channels_last_3d)
            for convolution in self.convolutions:
                stacked = functional.leaky_relu(convolution(stacked), 0.2)
        return stacked.float().flatten(1)

    def forward(
        self, compressed: Tensor, context: Tensor, hits: Tensor, energy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Judge showers.

        Args:
            compressed: (n_showers, n_layers, n_rows, n_columns), see `compress`.
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in MeV.

        Returns:
            Logit that they are real, and log10 of the energy in 10 GeV as the cells show it, both (n_showers,).
        """
        features = functional.leaky_relu(self.wide(self._features(compressed)), 0.2)
        shapes = self._shapes(CELL_SCALE * compressed.expm1())
        told = torch.cat([features, *shapes, context, (hits + 1).log() / 2, (energy + 0.01).log() / 3], 1)
        joint = functional.leaky_relu(self.joint(told), 0.2)
        return self.verdict(joint)[:, 0], self.log_energy(features)[:, 0]


class Gan3D(Approach[Gan3DConfig]):
    """The approach `gan3d`."""

    name = "gan3d"
    config_type = Gan3DConfig

    def __init__(self, detector: Detector, config: Gan3DConfig) -> None:
        super().__init__(detector, config)
        context = 1 + len(config.particles)
        self.networks = {
            "generator": Gan3DGenerator(detector, config),
            "discriminator": Gan3DDiscriminator(detector, context, config.discriminator_channels),
        }
        self.rows, self.columns = (centred(torch.tensor(v)).float() for v in (detector.y, detector.x))

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the layer model.

        Raises:
            InputError: If layers have more hits than `most_hits`.
        """
        generator = self.generator
        assert isinstance(generator, Gan3DGenerator)
        hits, energy = _layers_of(sample.showers)
        context = encode_incident(sample.incident, generator.particles)
        generator.layers.fit_scales(context, sample.incident[:, 1], hits, energy)
        most = int(hits.max())
        if most > generator.most_hits and generator.most_hits == self.config.most_hits:
            raise InputError(f"a layer has {most} hits: set model.most_hits to at least {int(1.2 * most)}")

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """AdamW for the layers, Adam for cells and discriminator."""
        config, generator = self.config, self.networks["generator"]
        layers = [p for n, p in generator.named_parameters() if n.startswith("layers.")]
        cells = [p for n, p in generator.named_parameters() if not n.startswith("layers.")]
        discriminator = self.networks["discriminator"].parameters()
        return {
            "layers": ("generator", torch.optim.AdamW(layers, config.layer_rate, weight_decay=0.01)),
            "cells": ("generator", torch.optim.Adam(cells, config.cell_rate, betas=(0.5, 0.99))),
            "discriminator": (
                "discriminator",
                torch.optim.Adam(discriminator, config.discriminator_rate, betas=(0.5, 0.99)),
            ),
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Teach the layers by likelihood, the cells by energy score and adversary, then the adversary."""
        config, original = self.config, self.generator
        assert isinstance(original, Gan3DGenerator)
        generator, discriminator = step.networks["generator"], step.networks["discriminator"]
        mark = getattr(generator, "mark_forward_method", None)  # fabric's wrapper: send `teach` through it
        if callable(mark):
            mark("teach")
        hits, energy = _layers_of(batch.showers)
        hits = hits.clamp(max=original.most_hits)
        n = min(config.cell_batch, len(batch))
        teach = cast(Gan3DGenerator, generator).teach
        likelihood, drawn = teach(batch.incident, hits, energy, n, step.random)
        real, told = batch.showers[:n], (hits[:n], energy[:n])
        rows, columns = self.rows.to(real.device), self.columns.to(real.device)
        floor = self.detector.threshold
        score = energy_score(real, drawn[:n], drawn[n:], rows, columns, floor, original.window)
        loss = likelihood.mean() + config.score_weight * score
        losses = {"likelihood": likelihood.mean(), "score": score}
        zero = score.new_zeros(())
        if step.progress >= config.adversarial_start and config.adversarial_weight:
            context = encode_incident(batch.incident[:n], original.particles)
            taught = self._teach_discriminator(discriminator, real, drawn[:n], context, told, step)
            judge = self.networks["discriminator"].requires_grad_(False)
            verdict, guessed = judge(compress(drawn[:n]), context, *told)
            adversarial = functional.softplus(-verdict).mean()
            auxiliary = (guessed - context[:, 0]).abs().mean()
            loss = loss + config.adversarial_weight * (adversarial + config.energy_weight * auxiliary)
            losses |= {"adversarial": adversarial, "auxiliary": auxiliary, "discriminator": taught}
        else:
            losses |= {"adversarial": zero, "auxiliary": zero, "discriminator": zero}
        for name in ("layers", "cells"):
            step.optimizers[name].zero_grad()
        step.backward(loss)
        for name in ("layers", "cells"):
            step.optimizers[name].step()
        self.networks["discriminator"].requires_grad_(True)
        return {name: value.detach() for name, value in losses.items()}

    def _teach_discriminator(
        self,
        discriminator: nn.Module,
        real: Tensor,
        fake: Tensor,
        context: Tensor,
        told: tuple[Tensor, Tensor],
        step: Step,
    ) -> Tensor:
        shown = compress(torch.cat([real, fake.detach()])).requires_grad_(True)
        verdict, guessed = discriminator(shown, *(values.repeat(2, 1) for values in (context, *told)))
        on_real, on_fake = verdict.chunk(2)
        loss = functional.softplus(-on_real).mean() + functional.softplus(on_fake).mean()
        loss = loss + self.config.energy_weight * (guessed[: len(real)] - context[:, 0]).abs().mean()
        total = loss
        if float(torch.rand((), generator=step.random, device=real.device)) < 1 / PENALTY_EVERY:
            (slopes,) = torch.autograd.grad(on_real.sum(), shown, create_graph=True)
            penalty = 0.5 * slopes[: len(real)].square().flatten(1).sum(1).mean()
            total = loss + PENALTY_EVERY * self.config.gradient_penalty * penalty
        step.optimizers["discriminator"].zero_grad()
        step.backward(total)
        step.optimizers["discriminator"].step()
        return cast(Tensor, loss)


def _layers_of(showers: Tensor) -> tuple[Tensor, Tensor]:
    return (showers > 0).sum((2, 3)).to(showers.dtype), showers.sum((2, 3))


def _first_maps(detector: Detector, n_maps: int) -> Tensor:
    rows, columns = centred(torch.tensor(detector.y)), centred(torch.tensor(detector.x))
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    r = (x.square() + y.square()).sqrt()
    near = torch.exp(-r / 2)
    known = [
        r.log1p(),
        r / 10,
        x / 10,
        y / 10,
        *(torch.exp(-r / reach) for reach in (0.5, 1.0, 2.0, 4.0, 8.0)),
    ]
    known += [x * near, y * near, (x * x - y * y) * near, x * y * near, (r < 0.5).double()]
    known += [(r < 1.2) * x, (r < 1.2) * y]
    maps = 0.05 * torch.randn(n_maps, r.numel())
    n_known = min(n_maps, len(known))
    maps[:n_known] = torch.stack(known[:n_known]).flatten(1).float()
    return maps
