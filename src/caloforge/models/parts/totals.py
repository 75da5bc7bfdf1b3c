"""The visible energy and the number of hits of a whole shower, drawn before its layers.

Layers that are drawn one after the other each add a fluctuation of their own, and what they should take back from one
another is learnt least well: the response then fluctuates too much (docs/lab.md, 33 and 34). With the totals drawn
first, by mixtures of normals given the incident, response and resolution are right by themselves, and layers only share
them out. The visible energy is described by the log-odds of its part of the energy that the incident can leave: it
never exceeds that, and in a homogeneous calorimeter it is the small part that is missing which is described.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.models.parts.halving import HIT_OFFSET
from caloforge.models.parts.mixtures import NARROWEST, WIDEST, choose, log_density, running_sum

TOTALS_NOISE = 4
"""Standard normal numbers that the totals of a shower take."""
RIDGE = 1e-3


class Totals(nn.Module):
    """Mixture model of the response and the number of hits of showers.

    Args:
        n_context: Size of the encoded incident: log energy, particles, and what else there is.
        n_particles: Number of particles among it.
        threshold: Of the detector, in units of a typical hit.
        hidden: Width of the networks.
        mixtures: Number of normals.
    """

    trend: Tensor
    spread: Tensor
    running: Tensor

    def __init__(
        self, n_context: int, n_particles: int, threshold: float, hidden: int = 32, mixtures: int = 4
    ) -> None:
        super().__init__()
        self.n_particles, self.mixtures = n_particles, mixtures
        self.floor = max(threshold, 0.05)
        self.of_response = small_network(n_context, hidden, 3 * mixtures)
        self.of_hits = small_network(n_context + 1, hidden, 3 * mixtures)
        n_basis = 4 * n_particles + 2 * (n_context - 1 - n_particles)
        self.register_buffer("trend", torch.zeros(n_basis, 2))
        self.register_buffer("spread", torch.ones(2))
        self.register_buffer("running", running_sum(mixtures), persistent=False)

    def basis(self, context: Tensor) -> Tensor:
        """Cubic polynomials of log energy for each particle, and linear ones for what else there is, (n, n_basis)."""
        log_energy, kind, others = context.split(
            [1, self.n_particles, context.shape[1] - 1 - self.n_particles], 1
        )
        kind = (kind + 1) / 2
        powers = torch.cat([torch.ones_like(log_energy), log_energy, log_energy**2, log_energy**3], 1)
        per_particle = (kind[:, :, None] * powers[:, None, :]).flatten(1)
        return torch.cat([per_particle, others, others * log_energy], 1)

    def fit_scales(self, context: Tensor, limit: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            limit: (n_showers,) largest visible energy.
            hits: (n_showers,) cells above threshold.
            energy: (n_showers,) visible energy, in the unit of `limit`.
        """
        basis, logs = self.basis(context), self._logs(limit, hits, energy)
        ridge = RIDGE * torch.eye(basis.shape[1])
        self.trend.copy_(torch.linalg.solve(basis.T @ basis + ridge, basis.T @ logs))
        self.spread.copy_((logs - basis @ self.trend).std(0).clamp(min=1e-3))

    def encode(self, context: Tensor, limit: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode totals as network input, (n_showers, 2): response and hits as deviations from their trends.

        Arguments as in `fit_scales`.
        """
        return (self._logs(limit, hits, energy) - self.basis(context) @ self.trend) / self.spread

    def loss(self, context: Tensor, encoded: Tensor) -> Tensor:
        """Negative log-likelihood per shower, (n_showers,).

        Args:
            context: (n_showers, n_context) encoded incidents.
            encoded: (n_showers, 2), see `encode`.
        """
        response, hits = encoded.split(1, 1)
        mixtures = self.of_response(context), self.of_hits(torch.cat([context, response], 1))
        densities = []
        for mixture, value in zip(mixtures, (response, hits), strict=True):
            weight, mean, log_sigma = mixture.split(self.mixtures, 1)
            densities.append(log_density(weight, mean, log_sigma, value[:, 0]))
        return -(densities[0] + densities[1])

    def sample(self, context: Tensor, limit: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draw totals.

        Args:
            context: (n_showers, n_context) encoded incidents.
            limit: (n_showers,) largest visible energy.
            noise: (n_showers, 4), standard normal.

        Returns:
            The totals as `encode` gives them (n_showers, 2), hits (whole) and energy, both (n_showers, 1).
        """
        for_choice, normal = noise[:, :2], noise[:, 2:]
        uniform = 0.5 * (1 + torch.erf(for_choice / math.sqrt(2)))
        response = self._draw(self.of_response(context), uniform[:, :1], normal[:, :1])
        hits = self._draw(self.of_hits(torch.cat([context, response], 1)), uniform[:, 1:], normal[:, 1:])
        encoded = torch.cat([response, hits], 1)
        odds, log_hits = (encoded * self.spread + self.basis(context) @ self.trend).split(1, 1)
        most = limit[:, None]
        total = (torch.sigmoid(odds) * (most + 2 * self.floor) - self.floor).clamp(min=0.0)
        return encoded, (log_hits.exp() - HIT_OFFSET).floor().clamp(min=0), torch.minimum(total, most)

    def _logs(self, limit: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        energy = torch.minimum(energy, limit)
        odds = (energy + self.floor).log() - (limit - energy + self.floor).log()
        return torch.stack([odds, (hits + HIT_OFFSET).log()], 1)

    def _draw(self, mixture: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        weight, mean, log_sigma = mixture.split(self.mixtures, 1)
        drawn = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        chosen: Tensor = (drawn * choose(weight, uniform, self.running)).sum(1, keepdim=True)
        return chosen


def small_network(size: int, hidden: int, numbers: int) -> nn.Sequential:
    """Two hidden layers whose output begins as mixtures with means spread from -1 to 1."""
    head = nn.Linear(hidden, numbers)
    nn.init.normal_(head.weight, std=0.05)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias[numbers // 3 : 2 * numbers // 3] = torch.linspace(-1, 1, numbers // 3)
    return nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), head)
