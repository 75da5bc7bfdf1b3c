"""The energy-weighted centroid of the core of a shower, drawn before its cells.

Layers are drawn in stages, those of a stage without knowing each other: they would miss that the core of a whole shower
lies a little beside the axis, and centroids would spread by .88 of Geant4's. So the centroid of the cells of all
windows, relative to the shower axis, is drawn first, and the networks of cells are conditioned on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.models.parts.mixtures import (
    NARROWEST,
    WIDEST,
    choose,
    log_normal,
    log_weights,
    running_sum,
)

CENTROID_NOISE = 3
"""Standard normal numbers that a centroid takes."""
N_CENTROID = 4
"""Numbers that tell the centroid to networks."""
LEAST_SQUARE = 1e-5
"""Square cells: keeps the logarithm of a distance finite."""


class CoreCentroid(nn.Module):
    """Mixture model of the centroid in x and y, in cells.

    Args:
        n_inputs: Numbers that describe a shower.
        n_basis: Numbers of the trend of its spread.
        hidden: Width of the network.
        mixtures: Number of normals.
    """

    trend: Tensor
    running: Tensor

    def __init__(self, n_inputs: int, n_basis: int, hidden: int = 32, mixtures: int = 4) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.network = nn.Sequential(
            nn.Linear(n_inputs, hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 5 * mixtures),
        )
        head = self.network[4]
        assert isinstance(head, nn.Linear)
        nn.init.normal_(head.weight, std=0.05)
        with torch.no_grad():
            head.bias.zero_()
            head.bias[3 * mixtures :] = torch.linspace(-1.0, 1.0, mixtures).repeat(2)
        self.register_buffer("trend", torch.zeros(n_basis))
        self.register_buffer("running", running_sum(mixtures), persistent=False)

    def fit_scales(self, basis: Tensor, centroid: Tensor) -> None:
        """Fit the trend of the logarithm of the squared distance from the axis.

        Args:
            basis: (n_showers, n_basis), see `Totals.basis`.
            centroid: (n_showers, 2) in cells.
        """
        logs = (centroid.square().sum(1) + LEAST_SQUARE).log()
        ridge = 1e-3 * torch.eye(basis.shape[1])
        self.trend.copy_(torch.linalg.solve(basis.T @ basis + ridge, basis.T @ logs))

    def scale(self, basis: Tensor) -> Tensor:
        """Typical distance from the axis in cells, (n_showers, 1)."""
        return (basis @ self.trend / 2).clamp(-8.0, 3.0).exp()[:, None]

    def loss(self, inputs: Tensor, basis: Tensor, centroid: Tensor) -> Tensor:
        """Negative log-likelihood, (n_showers,).

        Args:
            inputs: (n_showers, n_inputs).
            basis: (n_showers, n_basis).
            centroid: (n_showers, 2) in cells.
        """
        weight, mean, log_sigma = self._mixture(inputs)
        value = (centroid / self.scale(basis))[:, :, None]
        each = log_normal(mean, log_sigma, value).sum(1)
        return -torch.logsumexp(log_weights(weight) + each, 1)

    def sample(self, inputs: Tensor, basis: Tensor, noise: Tensor) -> Tensor:
        """Draw centroids in cells, (n_showers, 2).

        Args:
            inputs: (n_showers, n_inputs).
            basis: (n_showers, n_basis).
            noise: (n_showers, 3), standard normal.
        """
        weight, mean, log_sigma = self._mixture(inputs)
        uniform = 0.5 * (1 + torch.erf(noise[:, :1] / math.sqrt(2)))
        chosen = choose(weight, uniform, self.running)[:, None]
        drawn = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * noise[:, 1:, None]
        centroid: Tensor = (drawn * chosen).sum(2) * self.scale(basis)
        return centroid

    def features(self, basis: Tensor, centroid: Tensor) -> Tensor:
        """Describe centroids to networks, (n_showers, `N_CENTROID`): in cells, and in typical distances."""
        return torch.cat([3 * centroid, (centroid / self.scale(basis)).clamp(-4.0, 4.0) / 2], 1)

    def _mixture(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, mean, log_sigma = self.network(inputs).split(
            [self.mixtures, 2 * self.mixtures, 2 * self.mixtures], 1
        )
        return weight, mean.unflatten(1, (2, -1)), log_sigma.unflatten(1, (2, -1))
