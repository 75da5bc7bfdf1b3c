"""How the hits and the energy of a piece of a shower are shared out between its front and its back part.

Hits of the front part are a discretised logistic (as in PixelCNN++, Salimans et al., arXiv:1701.05517), its energy
above threshold is a normal in the log-odds against the back part: mixtures of both, given by one small network for all
pieces.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._hit_energies import choose_steps, signed_sum, to_steps
from caloforge.models._mixtures import NARROWEST, WIDEST, log_weights, running_sum

NOISE_PER_SPLIT = 4
LARGEST_ODDS = 15.0
"""Largest logarithm of the odds of a part of the energy."""
NARROWEST_HITS, WIDEST_HITS = -4.0, 3.0
"""Least and largest logarithm of the width of a logistic, in units of 0.3 sqrt(hits + 1)."""


class Halving(nn.Module):
    """The model of one split.

    Args:
        told: Size of what it is told about a piece.
        hidden: Width of the network.
        mixtures: Components of both mixtures.
    """

    single: Tensor
    to_steps: Tensor
    signed: Tensor

    def __init__(self, told: int, hidden: int = 96, mixtures: int = 6) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.first = nn.Linear(told, hidden)
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
        self.register_buffer("signed", signed_sum(running_sum(mixtures)), persistent=False)

    def loss(self, first: Tensor, hits: Tensor, spare: Tensor) -> Tensor:
        """Negative log-likelihood of splits.

        Args:
            first: (n, hidden): `self.first` of what is told.
            hits: (n, 2) of the front and the back part.
            spare: (n, 2) their energies in MeV above hits * threshold.

        Returns:
            (n,).
        """
        hidden = self._hidden(first)
        total, part = hits.sum(1, keepdim=True), hits[:, :1]
        weight, place, width = self.of_hits(hidden).split(self.mixtures, 1)
        room = total + 1
        place = room * torch.sigmoid(place) - 0.5
        width = 0.3 * room.sqrt() * width.clamp(NARROWEST_HITS, WIDEST_HITS).exp()
        upper = functional.logsigmoid((part + 0.5 - place) / width)
        log_upper = torch.where(part >= total, torch.zeros_like(upper), upper)
        lower = torch.where(part <= 0, -torch.inf, functional.logsigmoid((part - 0.5 - place) / width))
        difference = (lower - log_upper).clamp(max=-1e-6)
        log_probability = (log_upper + torch.log1p(-difference.exp())).clamp(min=-50.0)
        of_hits = torch.logsumexp(log_weights(weight) + log_probability, 1) * (total[:, 0] > 0)

        told = self._with_hits(hidden, hits, spare.sum(1, keepdim=True))
        weight, mean, log_sigma = self.of_energy(told).split(self.mixtures, 1)
        log_sigma = log_sigma.clamp(NARROWEST, WIDEST)
        logs = spare.clamp(min=1e-5).log()
        odds = (logs[:, :1] - logs[:, 1:]).clamp(-LARGEST_ODDS, LARGEST_ODDS)
        pull = (odds - mean) * (-log_sigma).exp()
        log_normal = -0.5 * pull.square() - log_sigma - 0.5 * math.log(2 * math.pi)
        shared = (part[:, 0] > 0) & (part < total)[:, 0]
        return -(of_hits + torch.logsumexp(log_weights(weight) + log_normal, 1) * shared)

    def sample(self, first: Tensor, hits: Tensor, spare: Tensor, random: Tensor) -> Tensor:
        """Draw splits.

        Args:
            first: (n, hidden): `self.first` of what is told.
            hits: (n, 1) of the pieces.
            spare: (n, 1) energies of the pieces in MeV above hits * threshold.
            random: (n, 4), see `split_noise`.

        Returns:
            (n, 2): hits and spare energy of the front parts.
        """
        for_hits, for_energy, logistic, normal = random.split(1, 1)
        hidden = self._hidden(first)
        place, width = self._chosen(self.of_hits, hidden, for_hits)
        room = hits + 1
        shift = (width.clamp(NARROWEST_HITS, WIDEST_HITS).exp() * logistic) * room.sqrt()
        part = (room * torch.sigmoid(place) + shift).floor().clamp(min=0.0)
        part = torch.minimum(part, hits)
        both = torch.cat([part, hits - part], 1)
        mean, log_sigma = self._chosen(self.of_energy, self._with_hits(hidden, both, spare), for_energy)
        odds = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        front, back = both.clamp(max=1.0).split(1, 1)
        share = 1 - back * (1 - front * torch.sigmoid(odds.clamp(-LARGEST_ODDS, LARGEST_ODDS)))
        return torch.cat([part, spare * share], 1)

    def _hidden(self, first: Tensor) -> Tensor:
        hidden = functional.silu(first)
        return hidden + functional.silu(self.second(hidden))

    def _with_hits(self, hidden: Tensor, hits: Tensor, spare: Tensor) -> Tensor:
        # what would be left for the others if the hits of one part had the energy of a typical single hit: where hits
        # are few, their energies peak there
        of_hits = (hits + 0.3).log()
        left = torch.maximum(spare - self.single * hits, 0.05 * spare + 1e-4).log()
        logs = torch.cat([of_hits, left], 1)
        few = (-0.5 * of_hits).exp()
        hidden = functional.silu(self.with_hits(torch.cat([hidden, logs, few], 1)))
        return torch.cat([hidden, logs], 1)

    def _chosen(self, head: nn.Linear, told: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Place and width (n, 1) of components chosen by numbers from -1 to 0, (n, 1)."""
        numbers = functional.linear(told, self.to_steps @ head.weight, self.to_steps @ head.bias)
        weight, steps = numbers.split([self.mixtures, 2 * self.mixtures], 1)
        steps = steps.unflatten(1, (2, self.mixtures))
        place, width = choose_steps(steps, weight, chance, self.signed).split(1, 1)
        return place, width


def split_noise(noise: Tensor) -> Tensor:
    """Turn standard normal numbers (..., 4) into two from -1 to 0, a logistic one times 0.3 and a normal one."""
    tail = (0.5 - 0.5 * torch.erf(noise[..., :3] / math.sqrt(2))).clamp(1e-6, 1 - 1e-6)
    logistic = 0.3 * ((1 - tail[..., 2:]) / tail[..., 2:]).log()
    return torch.cat([-tail[..., :2], logistic, noise[..., 3:]], -1)
