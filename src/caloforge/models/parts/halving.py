"""How the hits and the energy of a piece of a shower are shared out between its front and its back part.

Hits of the front part are a discretised logistic, its energy above threshold is a normal in the log-odds against the
back part: mixtures of both, given by one small network for all pieces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.parts import logistic
from caloforge.models.parts.mixtures import (
    NARROWEST,
    WIDEST,
    choose_by_steps,
    log_normal,
    log_weights,
    signed_sum,
    to_steps,
)

NOISE_PER_SPLIT = 4
LARGEST_ODDS = 15.0
"""Largest logarithm of the odds of a part of the energy."""
HIT_OFFSET = 0.3
"""Keeps log(hits + offset) finite where there are none, without a far tail."""


class Halving(nn.Module):
    """The model of one split. Energies are in units of a typical hit.

    Args:
        n_inputs: Numbers that describe a piece.
        hidden: Width of the network.
        mixtures: Components of both mixtures.
    """

    single: Tensor
    to_steps: Tensor
    signed: Tensor

    def __init__(self, n_inputs: int, hidden: int = 96, mixtures: int = 6) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.first = nn.Linear(n_inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.of_hits = nn.Linear(hidden, 3 * mixtures)
        self.with_hits = nn.Linear(hidden + 6, hidden)
        self.of_energy = nn.Linear(hidden + 4, 3 * mixtures)
        for head in (self.of_hits, self.of_energy):
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                head.bias[mixtures : 2 * mixtures] = torch.linspace(-1, 1, mixtures)
        with torch.no_grad():  # to begin with, energies are shared out as hits are
            self.of_energy.weight[:, hidden:] = 0.0
            self.of_energy.weight[mixtures : 2 * mixtures, hidden : hidden + 2] = torch.tensor([1.0, -1.0])
        self.register_buffer("single", torch.ones(()))
        self.register_buffer("to_steps", to_steps(mixtures), persistent=False)
        self.register_buffer("signed", signed_sum(mixtures), persistent=False)

    def loss(self, first: Tensor, hits: Tensor, excess: Tensor) -> Tensor:
        """Negative log-likelihood of splits.

        Args:
            first: (n, hidden): `self.first` of the description of pieces.
            hits: (n, 2) of the front and the back part.
            excess: (n, 2) their energies above hits * threshold.

        Returns:
            (n,).
        """
        hidden = self._hidden(first)
        total, part = hits.sum(1, keepdim=True), hits[:, :1]
        weight, place, width = self.of_hits(hidden).split(self.mixtures, 1)
        log_probability = logistic.log_probability(part, total, place, width)
        of_hits = torch.logsumexp(log_weights(weight) + log_probability, 1) * (total[:, 0] > 0)

        inputs = self._with_hits(hidden, hits, excess.sum(1, keepdim=True))
        weight, mean, log_sigma = self.of_energy(inputs).split(self.mixtures, 1)
        logs = excess.clamp(min=1e-4).log()
        odds = (logs[:, :1] - logs[:, 1:]).clamp(-LARGEST_ODDS, LARGEST_ODDS)
        shared = (part[:, 0] > 0) & (part < total)[:, 0]
        of_energy = torch.logsumexp(log_weights(weight) + log_normal(mean, log_sigma, odds), 1)
        return -(of_hits + of_energy * shared)

    def sample(self, first: Tensor, hits: Tensor, excess: Tensor, random: Tensor) -> Tensor:
        """Draw splits.

        Args:
            first: (n, hidden): `self.first` of the description of pieces.
            hits: (n, 1) of the pieces.
            excess: (n, 1) energies of the pieces above hits * threshold.
            random: (n, 4), see `split_noise`.

        Returns:
            (n, 2): hits and energy above threshold of the front parts.
        """
        for_hits, for_energy, of_logistic, normal = random.split(1, 1)
        hidden = self._hidden(first)
        place, width = self._chosen(self.of_hits, hidden, for_hits)
        part = torch.minimum(logistic.draw(hits, place, width, of_logistic), hits)
        both = torch.cat([part, hits - part], 1)
        mean, log_sigma = self._chosen(self.of_energy, self._with_hits(hidden, both, excess), for_energy)
        odds = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        front, back = both.clamp(max=1.0).split(1, 1)
        share = 1 - back * (1 - front * torch.sigmoid(odds.clamp(-LARGEST_ODDS, LARGEST_ODDS)))
        return torch.cat([part, excess * share], 1)

    def _hidden(self, first: Tensor) -> Tensor:
        hidden = functional.silu(first)
        return hidden + functional.silu(self.second(hidden))

    def _with_hits(self, hidden: Tensor, hits: Tensor, excess: Tensor) -> Tensor:
        # what would be left for the others if the hits of one part had the energy of a typical single hit: where hits
        # are few, their energies peak there
        of_hits = (hits + HIT_OFFSET).log()
        left = torch.maximum(excess - self.single * hits, 0.05 * excess + 1e-3).log()
        logs = torch.cat([of_hits, left], 1)
        few = (-0.5 * of_hits).exp()
        hidden = functional.silu(self.with_hits(torch.cat([hidden, logs, few], 1)))
        return torch.cat([hidden, logs], 1)

    def _chosen(self, head: nn.Linear, inputs: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Place and width (n, 1) of components chosen by numbers from -1 to 0, (n, 1)."""
        numbers = functional.linear(inputs, self.to_steps @ head.weight, self.to_steps @ head.bias)
        weight, steps = numbers.split([self.mixtures, 2 * self.mixtures], 1)
        steps = steps.unflatten(1, (2, self.mixtures))
        place, width = choose_by_steps(steps, weight, chance, self.signed).split(1, 1)
        return place, width


def split_noise(noise: Tensor) -> Tensor:
    """Turn standard normal numbers (..., 4) into two from -1 to 0, a logistic one times `SPREAD` and a normal one."""
    tail = (0.5 - 0.5 * torch.erf(noise[..., :3] / math.sqrt(2))).clamp(1e-6, 1 - 1e-6)
    scaled = logistic.SPREAD * logistic.standard_logistic(tail[..., 2:])
    return torch.cat([-tail[..., :2], scaled, noise[..., 3:]], -1)
