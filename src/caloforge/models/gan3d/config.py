"""Hyper-parameters of the approach `gan3d`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from caloforge.models.contract import ApproachConfig
from caloforge.models.fields import Count, Part, Rate, Weight, Window


class Gan3DConfig(ApproachConfig):
    """Hyper-parameters.

    Attributes:
        hit_energy: Energy of a typical hit in MeV, the unit of energies inside; the median of the sample if 0.
        most_hits: Hits that a layer can have at most (the fewer, the faster); from the sample if 0.
        maps: Learnt transverse maps.
        channels: Of the 3D convolutions.
        window: Rows and columns around the axis on which the convolutions act (odd).
        latents: Random numbers per layer that bend its shape as a whole.
        hidden: Width of the networks over layers.
        discriminator_channels: Of its first convolution.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
        discriminator_rate: Learning rate of the discriminator (Adam).
        score_weight: Weight of the energy score.
        adversarial_weight: Weight of the adversary, once it has started.
        adversarial_start: Part of the training after which the adversary starts.
        gradient_penalty: Weight of the penalties on the discriminator's gradients.
        penalty_every: The penalties are taken in one step of so many, that much stronger (as in arXiv:1912.04958).
    """

    approach: Literal["gan3d"] = "gan3d"
    hit_energy: Weight = 0.0
    most_hits: Annotated[int, Field(ge=0)] = 0
    maps: Count = 32
    channels: Count = 12
    window: Window = 13
    latents: Count = 8
    hidden: Count = 64
    discriminator_channels: Count = 16
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 2e-3
    discriminator_rate: Rate = 1e-3
    score_weight: Weight = 0.1
    adversarial_weight: Weight = 1.0
    adversarial_start: Part = 0.05
    gradient_penalty: Weight = 0.05
    penalty_every: Count = 4
