"""The core of a shower, drawn before its cells: how narrow it is, and where it lies.

Layers are drawn in stages, those of a stage without knowing each other: they would miss what the layers of a shower
have in common beside hits and energy, and centroids would spread by .88 of Geant4's. So a few numbers of the whole
shower are drawn first, and the networks of cells are conditioned on them: how concentrated the energy is in the
windows, the part of it that is there, and its centroid relative to the shower axis.

They are sums over layers. Given a sum exactly, layers would have to know each other to give it again, and those that do
not would fluctuate about it once more: widths would spread by 1.17 of Geant4's. So what is drawn, and what networks see
in training, are the sums with noise added. If c is the part of the variance of a sum that layers have in common
(`common`), then sqrt(c) times the sum plus sqrt(1 - c) times noise of its own size is what makes layers independent of
one another on average, given that: the covariance of layers x and x' given S + N is cov(x, x') - cov(x, S) cov(x', S) /
var(S + N), and its sum over layers, c var(S) - var(S)^2 / var(S + N), vanishes for var(N) = var(S) (1 - c) / c.
The centroid is told with as much noise as it has itself, whatever c is: told with more, it spread as little (.91 to .93
of Geant4's), because networks follow it less than they should (docs/lab.md, 62 to 64).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.models.nested3d.common import common_part, fit_common
from caloforge.models.parts.mixtures import (
    NARROWEST,
    WIDEST,
    choose,
    log_normal,
    log_weights,
    running_sum,
)

LEAST_SQUARE = 1e-5
"""Square cells: keeps the logarithm of a distance finite."""
LEAST_PART = 1e-3
"""Keeps the log-odds of a part of the energy finite."""
LEAST_DEVIATION = 1e-3
"""Keeps the logarithm of a deviation finite."""
LOGARITHM = 0.635
"""Half of minus the mean of the logarithm of a squared standard normal number: from mean logarithms to deviations."""
OF_DISTANCE = 0.9436
"""Deviation of x and y in units of the distance whose logarithm is the mean: exp(Euler's constant / 2) / sqrt(2)."""
OF_CENTROID = 0.5
"""Part of what is told of the centroid that is no noise."""
FARTHEST = 4.0
"""Standard deviations: networks see no more."""


def log_odds(part: Tensor) -> Tensor:
    """Log-odds of parts of the energy, of the same shape."""
    return ((part + LEAST_PART) / (1 + LEAST_PART - part)).log()


class MixtureHead(nn.Module):
    """A small network whose output are mixtures of normals in some numbers.

    Args:
        n_inputs: Numbers that it is given.
        n_values: Numbers that it describes.
        hidden: Width.
        mixtures: Number of normals.
    """

    running: Tensor

    def __init__(self, n_inputs: int, n_values: int, hidden: int, mixtures: int) -> None:
        super().__init__()
        self.n_values, self.mixtures = n_values, mixtures
        self.network = nn.Sequential(
            nn.Linear(n_inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.head = nn.Linear(hidden, mixtures * (1 + 2 * n_values))
        nn.init.normal_(self.head.weight, std=0.05)
        with torch.no_grad():
            self.head.bias.zero_()
            spread = torch.linspace(-1.0, 1.0, mixtures).repeat(n_values)
            self.head.bias[mixtures * (1 + n_values) :] = spread
        self.register_buffer("running", running_sum(mixtures), persistent=False)

    def log_density(self, inputs: Tensor, values: Tensor) -> Tensor:
        """Logarithm of the density of values (n, n_values), (n,)."""
        weight, mean, log_sigma = self._mixture(inputs)
        each = log_normal(mean, log_sigma, values[:, :, None]).sum(1)
        return torch.logsumexp(log_weights(weight) + each, 1)

    def draw(self, inputs: Tensor, noise: Tensor) -> Tensor:
        """Draw values (n, n_values) from standard normal numbers (n, 1 + n_values)."""
        weight, mean, log_sigma = self._mixture(inputs)
        uniform = 0.5 * (1 + torch.erf(noise[:, :1] / math.sqrt(2)))
        chosen = choose(weight, uniform, self.running)[:, None]
        drawn: Tensor = (mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * noise[:, 1:, None]) * chosen
        return drawn.sum(2)

    def _mixture(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = self.mixtures * self.n_values
        weight, mean, log_sigma = self.head(self.network(inputs)).split([self.mixtures, n, n], 1)
        shape = (self.n_values, self.mixtures)
        return weight, mean.unflatten(1, shape), log_sigma.unflatten(1, shape)


class Core(nn.Module):
    """The model of parts (log-odds) and centroid (in cells) of the windows of a shower.

    Args:
        n_inputs: Numbers that describe a shower.
        n_basis: Numbers of the trends.
        n_parts: Number of parts of the energy.
        hidden: Width of the networks.
    """

    trend: Tensor
    spread: Tensor
    distance: Tensor
    common: Tensor

    def __init__(self, n_inputs: int, n_basis: int, n_parts: int, hidden: int = 32) -> None:
        super().__init__()
        self.n_parts = n_parts
        self.of_parts = MixtureHead(n_inputs, n_parts, hidden, 6)
        self.of_centroid = MixtureHead(n_inputs + n_parts, 2, hidden, 4)
        self.register_buffer("trend", torch.zeros(n_basis, n_parts))
        self.register_buffer("spread", torch.zeros(n_basis, n_parts))
        self.register_buffer("distance", torch.zeros(n_basis))
        self.register_buffer("common", torch.zeros(n_parts, 3, 2))

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that a shower takes."""
        return 1 + self.n_parts + 3

    @property
    def n_features(self) -> int:
        """Numbers that tell the core to networks."""
        return self.n_parts + 4

    def fit_scales(
        self,
        basis: Tensor,
        parts: Tensor,
        centroid: Tensor,
        log_energy: Tensor,
        fluctuations: tuple[Tensor, Tensor],
    ) -> None:
        """Fit trends of parts, their squared deviations and the centroid's distance, and what layers have in common.

        Args:
            basis: (n_showers, n_basis), see `Totals.basis`.
            parts: (n_showers, n_parts) log-odds.
            centroid: (n_showers, 2) in cells.
            log_energy: (n_showers, 1).
            fluctuations: Squares of sums and sums of squares, both (n_showers, n_parts), see `common.squares`.
        """
        normal = basis.T @ basis + 1e-3 * torch.eye(basis.shape[1])
        self.trend.copy_(torch.linalg.solve(normal, basis.T @ parts))
        squares = (parts - basis @ self.trend).square() + LEAST_DEVIATION**2
        self.spread.copy_(torch.linalg.solve(normal, basis.T @ squares.log()))
        logs = (centroid.square().sum(1) + LEAST_SQUARE).log()
        self.distance.copy_(torch.linalg.solve(normal, basis.T @ logs))
        self.common.copy_(fit_common(log_energy, *fluctuations))

    def standardised(self, basis: Tensor, parts: Tensor) -> Tensor:
        """Parts as deviations from their trend, (n_showers, n_parts)."""
        spread = (basis @ self.spread / 2 + LOGARITHM).clamp(-8.0, 3.0).exp()
        return (parts - basis @ self.trend) / spread

    def scale(self, basis: Tensor) -> Tensor:
        """Typical distance of the centroid from the axis in cells, (n_showers, 1)."""
        return (basis @ self.distance / 2).clamp(-8.0, 3.0).exp()[:, None]

    def observe(
        self, log_energy: Tensor, basis: Tensor, parts: Tensor, centroid: Tensor, normal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return parts and centroid in units of their fluctuations, with noise.

        Args:
            log_energy: (n_showers, 1).
            basis: (n_showers, n_basis).
            parts: (n_showers, n_parts) log-odds.
            centroid: (n_showers, 2) in cells.
            normal: (n_showers, n_parts + 2), standard normal.
        """
        for_parts, for_centroid = normal.split([self.n_parts, 2], 1)
        common = common_part(log_energy, self.common)
        deviations = common.sqrt() * self.standardised(basis, parts) + (1 - common).sqrt() * for_parts
        relative = OF_CENTROID**0.5 * centroid / self.scale(basis)
        return deviations, relative + OF_DISTANCE * (1 - OF_CENTROID) ** 0.5 * for_centroid

    def loss(self, inputs: Tensor, deviations: Tensor, relative: Tensor) -> Tensor:
        """Negative log-likelihood, (n_showers,).

        Args:
            inputs: (n_showers, n_inputs).
            deviations: (n_showers, n_parts), see `observe`.
            relative: (n_showers, 2), likewise.
        """
        given = torch.cat([inputs, deviations.clamp(-FARTHEST, FARTHEST)], 1)
        of_centroid = self.of_centroid.log_density(given, relative)
        return -(self.of_parts.log_density(inputs, deviations) + of_centroid)

    def sample(self, inputs: Tensor, basis: Tensor, noise: Tensor) -> Tensor:
        """Draw cores and describe them to networks, (n_showers, n_features).

        Args:
            inputs: (n_showers, n_inputs).
            basis: (n_showers, n_basis).
            noise: (n_showers, noise_size), standard normal.
        """
        for_parts, for_centroid = noise.split([1 + self.n_parts, 3], 1)
        deviations = self.of_parts.draw(inputs, for_parts)
        given = torch.cat([inputs, deviations.clamp(-FARTHEST, FARTHEST)], 1)
        return self.features(basis, deviations, self.of_centroid.draw(given, for_centroid))

    def features(self, basis: Tensor, deviations: Tensor, relative: Tensor) -> Tensor:
        """Describe cores to networks, (n_showers, n_features); arguments as in `observe` and `loss`."""
        relative = relative.clamp(-FARTHEST, FARTHEST)
        centroid = 3 * OF_CENTROID**0.5 * relative * self.scale(basis)
        return torch.cat([deviations.clamp(-FARTHEST, FARTHEST) / 2, relative / 2, centroid], 1)
