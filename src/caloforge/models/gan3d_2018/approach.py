"""The approach `gan3d-2018`: the original's losses, optimisers and order of updates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.errors import DetectorError
from caloforge.models.contract import Approach, ApproachConfig, Batch, Step
from caloforge.models.fields import Count, Rate, Weight
from caloforge.models.gan3d_2018.networks import (
    CELL_UNIT,
    ENERGY_UNIT,
    LATENT,
    SHAPE,
    Gan3D2018Discriminator,
    Gan3D2018Generator,
)
from caloforge.models.gan3d_2018.response import expected_sum, fit_response


class Gan3D2018Config(ApproachConfig):
    """Hyper-parameters of the original; the defaults are its own.

    Attributes:
        learning_rate: Of both RMSprop optimisers.
        adversarial_weight: Weight of the binary cross-entropy of real against fake.
        energy_weight: Weight of the MAPE of the regressed incident energy.
        sum_weight: Weight of the MAPE of the sum of cells.
        label_flips: Part of the real and fake labels that is flipped for the discriminator.
        generator_steps: Updates of the generator for each of the discriminator.
    """

    approach: Literal["gan3d-2018"] = "gan3d-2018"
    learning_rate: Rate = 1e-3
    adversarial_weight: Weight = 6.0
    energy_weight: Weight = 0.2
    sum_weight: Weight = 0.1
    label_flips: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    generator_steps: Count = 2


def mape(true: Tensor, predicted: Tensor) -> Tensor:
    """Mean absolute percentage error as Keras has it: 100 |true - predicted| / |true|.

    >>> float(mape(torch.tensor([2.0]), torch.tensor([1.0])))
    50.0
    """
    return 100 * ((true - predicted).abs() / true.abs().clamp(min=1e-7)).mean()


@contextmanager
def seeded_dropout(batch: Batch, step: Step) -> Iterator[None]:
    """Let what draws from torch's global state, here dropout, draw from the step's random numbers instead."""
    seed = int(step.random.uniform(batch)[0] * 2**24)
    with torch.random.fork_rng([batch.incident.device] if batch.incident.is_cuda else []):
        torch.manual_seed(seed)
        yield


class Gan3D2018(Approach[Gan3D2018Config]):
    """The original 3D GAN: the discriminator once on real, once on fake showers, then the generator twice.

    Losses are binary cross-entropy and two MAPE, the optimiser is RMSprop.
    """

    name = "gan3d-2018"
    config_type = Gan3D2018Config
    precisions = ("bf16", "16")

    def __init__(self, detector: Detector, config: Gan3D2018Config) -> None:
        super().__init__(detector, config)
        self.discriminator = Gan3D2018Discriminator(config.pdgs)
        self.networks = {"generator": Gan3D2018Generator(config.pdgs), "discriminator": self.discriminator}

    @classmethod
    def check_readout(cls, detector: Detector) -> None:
        """Raise if the detector does not have 25 x 25 x 25 cartesian cells."""
        super().check_readout(detector)
        if detector.shape != SHAPE:
            raise DetectorError(
                f"approach 'gan3d-2018' makes {SHAPE} cells only, but detector {detector.name!r} has "
                f"{detector.shape}: use 'gan3d'"
            )

    def prepare(self, sample: Batch) -> None:
        """Fit the response that fakes should have."""
        fitted = [fit_response(sample, float(pdg)) for pdg in self.discriminator.pdgs]
        self.discriminator.response.copy_(torch.stack(fitted))

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """RMSprop with Keras' defaults for both networks."""
        return {
            name: (
                name,
                torch.optim.RMSprop(network.parameters(), self.config.learning_rate, alpha=0.9, eps=1e-7),
            )
            for name, network in self.networks.items()
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Discriminator on real, on fake, then the generator `generator_steps` times."""
        with seeded_dropout(batch, step):
            return self._update(batch, step)

    def _update(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        generator, discriminator = step.networks["generator"], step.networks["discriminator"]
        incident = batch.incident
        energy = incident[:, 1] / ENERGY_UNIT
        fake_sum = expected_sum(self.discriminator.response, self.discriminator.pdgs, incident)
        real_sum = batch.showers.sum((1, 2, 3)) / CELL_UNIT

        def draw() -> Tensor:
            showers: Tensor = generator(incident, step.random.normal(batch, LATENT))
            return showers

        def judge(showers: Tensor, label: float, flips: float, true_sum: Tensor) -> tuple[Tensor, Tensor]:
            logit, regressed, total = discriminator(incident, showers)
            flip = step.random.uniform(batch) < flips
            labels = torch.where(flip, 1 - label, label)
            adversarial = functional.binary_cross_entropy_with_logits(logit, labels)
            terms = torch.stack([adversarial, mape(energy, regressed), mape(true_sum, total)])
            weights = (self.config.adversarial_weight, self.config.energy_weight, self.config.sum_weight)
            return (terms * terms.new_tensor(weights)).sum(), terms.detach()

        def update(name: str, loss: Tensor) -> None:
            step.optimizers[name].zero_grad()
            step.backward(loss)
            step.optimizers[name].step()

        discriminator.train()
        generator.eval()
        with torch.no_grad():
            fake = draw()
        real_loss, real_terms = judge(batch.showers, 1.0, self.config.label_flips, real_sum)
        update("discriminator", real_loss)
        fake_loss, fake_terms = judge(fake, 0.0, self.config.label_flips, fake_sum)
        update("discriminator", fake_loss)

        generator.train()
        summed, summed_terms = fake_loss.new_zeros(()), torch.zeros_like(fake_terms)
        for _ in range(self.config.generator_steps):
            loss, terms = judge(draw(), 1.0, 0.0, fake_sum)
            update("generator", loss)
            summed, summed_terms = summed + loss.detach(), summed_terms + terms
        generator.eval()
        mean_terms = summed_terms / self.config.generator_steps
        return {
            "discriminator": (real_loss + fake_loss).detach() / 2,
            "discriminator_energy": real_terms[1],
            "generator": summed / self.config.generator_steps,
            "generator_adversarial": mean_terms[0],
            "generator_energy": mean_terms[1],
            "generator_sum": mean_terms[2],
        }
