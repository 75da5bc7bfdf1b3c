"""The original 3D GAN of 2018: an auxiliary conditional GAN of 3D convolutions, rebuilt faithfully.

Sources: F. Carminati, G. Khattak, S. Vallecorsa et al., "Three dimensional Generative Adversarial Networks
for fast simulation", J. Phys. Conf. Ser. 1085 (2018) 032016; S. Vallecorsa et al., arXiv:1912.00804; layers,
initialisation and training as in CERN's Keras code, https://github.com/svalleco/3Dgan
(`keras/EcalEnergyGan.py`, `keras/EcalEnergyTrain.py`).

What ports of it got wrong, and how it is here:

- Keras' batch normalisation keeps 0.99 of its moving averages (torch: momentum 0.01); its epsilon is 1e-3.
- Keras' LeakyReLU has a slope of 0.3.
- 'same' padding of an even kernel adds the odd cell at the end (TensorFlow).
- MAPE divides by the true value, and is in percent.
- The sigmoid belongs to the loss, once.
- Keras' `predict` draws the discriminator's fakes with the moving averages; the generator's own step uses
  those of its batch.

The original knew one particle. Here the particle enters in the way of auxiliary GANs (arXiv:1610.09585),
which leaves all layers in their shape: in the generator a learnt vector per particle, near 1 at first,
multiplies the latent vector; in the discriminator a learnt vector per particle, 0 at first, is projected on
the features and added to the real/fake logit (arXiv:1802.05637). The original drew the energies of fakes,
uniformly; here they are the batch's. The sum of cells that fakes should have comes from a fit, as there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.errors import DetectorError, TrainingError
from caloforge.models._base import Approach, ApproachConfig, Batch, Generator, Step
from caloforge.showers import particle_name, pdg_id
from caloforge.units import GeV

SHAPE = (25, 25, 25)
"""The one shape of showers that its layers make: (n_layers, n_rows, n_columns)."""
LATENT = 200
ENERGY_UNIT = 100 * GeV
"""Unit of the incident energy inside the networks (`yscale = 100` GeV of the original)."""
CELL_UNIT = GeV / 100
"""Unit of cell energies inside the networks: the original multiplied its cells, in GeV, by `xscale = 100`."""
SLOPE = 0.3

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Gan3D2018Config(ApproachConfig):
    """Hyper-parameters of the original; the defaults are its own.

    Attributes:
        particles: Names of the particles it is trained for.
        learning_rate: Of both RMSprop optimisers.
        adversarial_weight: Weight of the binary cross-entropy of real against fake.
        energy_weight: Weight of the MAPE of the regressed incident energy.
        sum_weight: Weight of the MAPE of the sum of cells.
        label_flips: Part of the real and fake labels that is flipped for the discriminator.
        generator_steps: Updates of the generator for each of the discriminator.
    """

    approach: Literal["gan3d-2018"] = "gan3d-2018"
    particles: tuple[str, ...] = ("e-", "gamma")
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    adversarial_weight: Weight = 6.0
    energy_weight: Weight = 0.2
    sum_weight: Weight = 0.1
    label_flips: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    generator_steps: Annotated[int, Field(ge=1)] = 2

    @field_validator("particles")
    @classmethod
    def _some_particles(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or len(set(names)) != len(names):
            raise ValueError("name each particle once, and at least one")
        return names


def mape(true: Tensor, predicted: Tensor) -> Tensor:
    """Mean absolute percentage error as Keras has it: 100 |true - predicted| / |true|.

    >>> float(mape(torch.tensor([2.0]), torch.tensor([1.0])))
    50.0
    """
    return 100 * ((true - predicted).abs() / true.abs().clamp(min=1e-7)).mean()


def keras_same_padding(kernel: Sequence[int]) -> tuple[int, ...]:
    """Padding of TensorFlow's 'same' for stride 1, in the order of `torch.nn.functional.pad`.

    >>> keras_same_padding((6, 5))
    (2, 2, 2, 3)
    """
    return tuple(n for size in reversed(kernel) for n in ((size - 1) // 2, size // 2))


def _batch_norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)


def _particle_codes(incident: Tensor, pdgs: Tensor) -> Tensor:
    return (incident[:, :1] == pdgs).to(incident.dtype)


class Gan3D2018Generator(Generator):
    """The original generator; inside, the axes are (channel, x, y, z).

    Args:
        pdgs: PDG ids of the particles it knows.
    """

    pdgs: Tensor

    def __init__(self, pdgs: Sequence[int]) -> None:
        super().__init__()
        self.noise_size = LATENT
        self.register_buffer("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        self.particle = nn.Parameter(torch.empty(len(pdgs), LATENT))
        self.dense = nn.Linear(LATENT, 64 * 7 * 7)
        self.conv1 = nn.Conv3d(8, 64, (6, 6, 8))
        self.norm1 = _batch_norm(64)
        self.conv2 = nn.Conv3d(64, 6, (6, 5, 8))
        self.norm2 = _batch_norm(6)
        self.conv3 = nn.Conv3d(6, 6, (3, 3, 8))
        self.conv4 = nn.Conv3d(6, 1, (2, 2, 2), bias=False)
        nn.init.normal_(self.particle, 1.0, 0.05)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        nn.init.xavier_normal_(self.conv4.weight)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers, (n_showers, 25, 25, 25) MeV."""
        particle = _particle_codes(incident, self.pdgs) @ self.particle
        h = self.dense(noise * particle * (incident[:, 1:2] / ENERGY_UNIT)).reshape(-1, 8, 7, 7, 8)
        h = self.conv1(functional.pad(h, keras_same_padding((6, 6, 8))))
        h = self.norm1(functional.leaky_relu(h, SLOPE))
        h = functional.interpolate(h, scale_factor=(2.0, 2.0, 2.0), mode="nearest")
        h = self.conv2(functional.pad(h, (0, 0, 2, 2, 2, 2)))
        h = self.norm2(functional.leaky_relu(h, SLOPE))
        h = functional.interpolate(h, scale_factor=(2.0, 2.0, 3.0), mode="nearest")
        h = self.conv3(functional.pad(h, (3, 3, 0, 0, 1, 1)))
        h = self.conv4(functional.leaky_relu(h, SLOPE))
        cells = functional.relu(h).squeeze(1).float() * CELL_UNIT
        return cells.permute(0, 3, 2, 1)


class Gan3D2018Discriminator(nn.Module):
    """The original discriminator with its three heads.

    Attributes:
        response: Fit of visible to incident energy per particle, shape (n_particles, 3): coefficients of 1,
            ln E and ln^2 E, E in units of 100 GeV. It gives fakes the sum of cells they should have.
    """

    pdgs: Tensor
    response: Tensor

    def __init__(self, pdgs: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        self.register_buffer("response", torch.tensor([[0.015, 0.0, 0.0]] * len(pdgs)))
        self.first = nn.Conv3d(1, 32, 5, padding=2)
        self.convs = nn.ModuleList(
            nn.Conv3d(n, 8, 5, padding=pad) for n, pad in zip((32, 8, 8), (2, 2, 1), strict=True)
        )
        self.norms = nn.ModuleList(_batch_norm(8) for _ in range(3))
        features = 8 * 11**3
        self.logit = nn.Linear(features, 1)
        self.energy = nn.Linear(features, 1)
        self.particle = nn.Parameter(torch.zeros(len(pdgs), features))
        for layer in (self.first, *self.convs, self.logit, self.energy):
            assert isinstance(layer, nn.Conv3d | nn.Linear)
            assert layer.bias is not None
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, incident: Tensor, showers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge showers.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, 25, 25, 25) MeV.

        Returns:
            Logit of being real, incident energy (units of 100 GeV) and sum of cells (units of 10 MeV), each
            (n_showers,).
        """
        cells = showers / CELL_UNIT
        h = functional.leaky_relu(self.first(cells.permute(0, 3, 2, 1).unsqueeze(1)), SLOPE)
        h = functional.dropout(h, 0.2, self.training)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = functional.dropout(norm(functional.leaky_relu(conv(h), SLOPE)), 0.2, self.training)
        h = functional.avg_pool3d(h, 2).flatten(1)
        particle = _particle_codes(incident, self.pdgs) @ self.particle
        logit = self.logit(h).squeeze(1) + (h * particle).sum(1)
        return logit.float(), self.energy(h).squeeze(1).float(), cells.sum((1, 2, 3))


def expected_sum(response: Tensor, pdgs: Tensor, incident: Tensor) -> Tensor:
    """Sum of cells (units of 10 MeV) that incidents should leave by the fitted response, (n_showers,)."""
    log_energy = (incident[:, 1] / ENERGY_UNIT).log()
    basis = torch.stack([torch.ones_like(log_energy), log_energy, log_energy**2], 1)
    part = ((_particle_codes(incident, pdgs) @ response) * basis).sum(1)
    return part * incident[:, 1] / CELL_UNIT


def fit_response(batch: Batch, pdg: float) -> Tensor:
    """Fit visible / incident energy of one particle by a parabola in ln E, shape (3,)."""
    chosen = batch.incident[:, 0] == pdg
    energy = batch.incident[chosen, 1].double()
    ratio = batch.showers[chosen].sum((1, 2, 3)).double() / energy
    log_energy = (energy / ENERGY_UNIT).log()
    spread = float(log_energy.max() - log_energy.min()) if len(energy) else 0.0
    powers = min(3, len(energy)) if spread > 0.1 else min(1, len(energy))
    fitted = torch.zeros(3)
    if powers:
        basis = torch.stack([log_energy**k for k in range(powers)], 1)
        fitted[:powers] = torch.linalg.lstsq(basis, ratio.unsqueeze(1)).solution.squeeze(1).float()
    return fitted


def check_particles(batch: Batch, names: Sequence[str]) -> None:
    """Raise if showers are of particles other than those named.

    Raises:
        TrainingError: Naming them.
    """
    others = {int(pdg) for pdg in batch.incident[:, 0].tolist()} - {pdg_id(name) for name in names}
    if others:
        found = ", ".join(particle_name(pdg) for pdg in sorted(others))
        raise TrainingError(
            f"the training showers hold {found}, which model.particles = {list(names)} does not name: "
            "name it, or select particles by data.particles"
        )


class Gan3D2018(Approach[Gan3D2018Config]):
    """The original 3D GAN: the discriminator once on real, once on fake showers, then the generator twice.

    Losses are binary cross-entropy and two MAPE, the optimiser is RMSprop.

    Raises:
        DetectorError: If the detector has no 25 x 25 x 25 cells.
    """

    name = "gan3d-2018"
    config_type = Gan3D2018Config

    def __init__(self, detector: Detector, config: Gan3D2018Config) -> None:
        super().__init__(detector, config)
        if detector.shape != SHAPE:
            raise DetectorError(
                f"approach 'gan3d-2018' makes {SHAPE} cells only, but detector {detector.name!r} has "
                f"{detector.shape}: use 'gan3d'"
            )
        pdgs = [pdg_id(name) for name in config.particles]
        self.discriminator = Gan3D2018Discriminator(pdgs)
        self.networks = {"generator": Gan3D2018Generator(pdgs), "discriminator": self.discriminator}

    def prepare(self, sample: Batch) -> None:
        """Fit the response that fakes are told to have.

        Raises:
            TrainingError: If the showers hold a particle that `particles` does not name.
        """
        check_particles(sample, self.config.particles)
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
        generator, discriminator = step.networks["generator"], step.networks["discriminator"]
        incident, n = batch.incident, len(batch)
        energy = incident[:, 1] / ENERGY_UNIT
        fake_sum = expected_sum(self.discriminator.response, self.discriminator.pdgs, incident)
        real_sum = batch.showers.sum((1, 2, 3)) / CELL_UNIT

        def draw() -> Tensor:
            noise = torch.randn(n, LATENT, generator=step.random, device=incident.device)
            showers: Tensor = generator(incident, noise)
            return showers

        def judge(showers: Tensor, label: float, flips: float, true_sum: Tensor) -> tuple[Tensor, Tensor]:
            logit, regressed, total = discriminator(incident, showers)
            flip = torch.rand(n, generator=step.random, device=incident.device) < flips
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


def parameter_count(module: nn.Module) -> int:
    """Number of trained parameters.

    >>> parameter_count(nn.Linear(2, 3))
    9
    """
    return sum(math.prod(p.shape) for p in module.parameters() if p.requires_grad)
