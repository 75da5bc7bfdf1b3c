"""The visible energy and the number of hits of a whole shower, drawn before its layers.

Layers that are drawn one after the other each add a fluctuation of their own, and what they should take back from one
another is learnt least well: the response then fluctuates too much (docs/lab.md, 33 and 34). With the totals drawn
first, by mixtures of normals in their logarithms given the incident, response and resolution are right by themselves,
and layers only share them out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.models._mixtures import NARROWEST, WIDEST, choose, log_density, running_sum

HIT_OFFSET = 0.3
"""Keeps log(hits + offset) finite where there are none, without a far tail."""
TOTALS_NOISE = 4
"""Standard normal numbers that the totals of a shower take."""


def trend_basis(context: Tensor) -> Tensor:
    """Cubic polynomials of log energy, one set for each particle.

    Args:
        context: (n_showers, 1 + n_particles), see `encode_incident`.

    Returns:
        (n_showers, 4 * n_particles).
    """
    log_energy, kind = context[:, :1], (context[:, 1:] + 1) / 2
    powers = torch.cat([torch.ones_like(log_energy), log_energy, log_energy**2, log_energy**3], 1)
    return (kind[:, :, None] * powers[:, None, :]).flatten(1)


class Totals(nn.Module):
    """Mixture model of the response and the number of hits of showers.

    Args:
        context: Size of the encoded incident.
        threshold: Of the detector, in MeV.
        hidden: Width of the networks.
        mixtures: Number of normals.
    """

    trend: Tensor
    spread: Tensor
    running: Tensor

    def __init__(self, context: int, threshold: float, hidden: int = 32, mixtures: int = 4) -> None:
        super().__init__()
        self.threshold, self.mixtures = threshold, mixtures
        self.of_response = _network(context, hidden, 3 * mixtures)
        self.of_hits = _network(context + 1, hidden, 3 * mixtures)
        self.register_buffer("trend", torch.zeros(4 * (context - 1), 2))
        self.register_buffer("spread", torch.ones(2))
        self.register_buffer("running", running_sum(mixtures), persistent=False)

    def fit_scales(self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            hits: (n_showers,) cells above threshold.
            energy: (n_showers,) visible energy in MeV.
        """
        basis, logs = trend_basis(context), self._logs(incident_energy, hits, energy)
        ridge = 1e-3 * torch.eye(basis.shape[1])
        self.trend.copy_(torch.linalg.solve(basis.T @ basis + ridge, basis.T @ logs))
        self.spread.copy_((logs - basis @ self.trend).std(0).clamp(min=0.02))

    def encode(self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode totals as network input, (n_showers, 2): response and hits as deviations from their trends.

        Arguments as in `fit_scales`.
        """
        logs = self._logs(incident_energy, hits, energy)
        return (logs - trend_basis(context) @ self.trend) / self.spread

    def loss(self, context: Tensor, encoded: Tensor) -> Tensor:
        """Negative log-likelihood per shower, (n_showers,).

        Args:
            context: (n_showers, n_context) encoded incidents.
            encoded: (n_showers, 2), see `encode`.
        """
        response, hits = encoded.split(1, 1)
        mixtures = self.of_response(context), self.of_hits(torch.cat([context, response], 1))
        densities = [
            log_density(weight, mean, log_sigma, value[:, 0])
            for (weight, mean, log_sigma), value in (
                (mixture.split(self.mixtures, 1), value)
                for mixture, value in zip(mixtures, (response, hits), strict=True)
            )
        ]
        return -(densities[0] + densities[1])

    def sample(
        self, context: Tensor, incident_energy: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw totals.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            noise: (n_showers, 4), standard normal.

        Returns:
            The totals as `encode` gives them (n_showers, 2), hits (whole) and energy in MeV, both (n_showers, 1).
        """
        for_choice, normal = noise[:, :2], noise[:, 2:]
        uniform = 0.5 * (1 + torch.erf(for_choice / math.sqrt(2)))
        response = self._draw(self.of_response(context), uniform[:, :1], normal[:, :1])
        hits = self._draw(self.of_hits(torch.cat([context, response], 1)), uniform[:, 1:], normal[:, 1:])
        encoded = torch.cat([response, hits], 1)
        log_response, log_hits = (encoded * self.spread + trend_basis(context) @ self.trend).split(1, 1)
        total = log_response.clamp(max=0.0).exp() * incident_energy[:, None]
        return encoded, (log_hits.exp() - HIT_OFFSET).floor().clamp(min=0), total

    def _logs(self, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        response = (energy + self.threshold) / incident_energy
        return torch.stack([response.log(), (hits + HIT_OFFSET).log()], 1)

    def _draw(self, mixture: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        weight, mean, log_sigma = mixture.split(self.mixtures, 1)
        chosen = choose(weight, uniform, self.running)
        drawn = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        chosen_one: Tensor = (drawn * chosen).sum(1, keepdim=True)
        return chosen_one


def _network(size: int, hidden: int, numbers: int) -> nn.Sequential:
    head = nn.Linear(hidden, numbers)
    nn.init.normal_(head.weight, std=0.05)
    nn.init.zeros_(head.bias)
    with torch.no_grad():
        head.bias[numbers // 3 : 2 * numbers // 3] = torch.linspace(-1, 1, numbers // 3)
    return nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), head)
