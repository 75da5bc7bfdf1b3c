"""How the hits and the energy of a layer are shared out among its passes, before the cells of each are drawn.

Drawing cells independently within a pass would get the number of hits of the pass wrong (too wide, and cut off by
what is left), and what is left over would end in the last pass. So numbers come first: hits of a pass from a mixture
of discretised logistics (as in PixelCNN++, Salimans et al., arXiv:1701.05517), then its part of the energy from a
mixture of normals in the log-odds of the part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._mixtures import NARROWEST, WIDEST, choose, log_density, log_weights, running_sum

NOISE_PER_PASS = 4
LARGEST_ODDS = 15.0
"""Largest logarithm of the odds of a part of the energy."""


class Shares(nn.Module):
    """The model of hits and energy per pass.

    Args:
        n_passes: Passes whose share is drawn; what is left is that of one more group of cells.
        told: Size of what it is told about a layer.
        threshold: Of the detector, in MeV.
        hidden: Width of the network.
        mixtures: Components of both mixtures.
    """

    running: Tensor

    def __init__(
        self, n_passes: int, told: int, threshold: float, hidden: int = 64, mixtures: int = 3
    ) -> None:
        super().__init__()
        self.threshold, self.mixtures = threshold, mixtures
        self.first = nn.ModuleList(nn.Linear(told, hidden) for _ in range(n_passes))
        self.second = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(n_passes))
        self.of_hits = nn.ModuleList(nn.Linear(hidden, 3 * mixtures) for _ in range(n_passes))
        self.with_hits = nn.ModuleList(nn.Linear(hidden + 4, hidden) for _ in range(n_passes))
        self.of_energy = nn.ModuleList(nn.Linear(hidden, 3 * mixtures) for _ in range(n_passes))
        for heads in (self.of_hits, self.of_energy):
            for head in heads:
                assert isinstance(head, nn.Linear)
                nn.init.normal_(head.weight, std=0.05)
                nn.init.zeros_(head.bias)
                with torch.no_grad():
                    head.bias[mixtures : 2 * mixtures] = torch.linspace(-1, 1, mixtures)
        self.register_buffer("running", running_sum(mixtures), persistent=False)

    def loss(
        self, number: int, told: Tensor, rest: tuple[Tensor, Tensor], share: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Negative log-likelihood of the hits and energies of a pass.

        Args:
            number: Of the pass.
            told: (n, told).
            rest: Hits and energy in MeV that are left for this pass and those after it, both (n, 1).
            share: Hits and energy in MeV of this pass, both (n, 1).

        Returns:
            (n,).
        """
        hidden = self._hidden(number, told)
        weight, place, width = self._hits_mixture(number, hidden, rest[0])
        hits = share[0]
        upper = functional.logsigmoid((hits + 0.5 - place) / width)
        last = hits >= rest[0]
        log_upper = torch.where(last, torch.zeros_like(upper), upper)
        lower = torch.where(hits <= 0, -torch.inf, functional.logsigmoid((hits - 0.5 - place) / width))
        difference = (lower - log_upper).clamp(max=-1e-6)
        log_probability = log_upper + torch.log1p(-difference.exp())
        of_hits = torch.logsumexp(log_weights(weight) + log_probability.clamp(min=-50.0), -1)

        mixture = self._energy_mixture(number, hidden, rest, share[0])
        shared = (share[0] > 0) & (share[0] < rest[0])
        of_energy = log_density(*mixture, self._odds(rest, share)[:, 0])
        return -(of_hits * (rest[0] > 0)[:, 0] + of_energy * shared[:, 0])

    def sample(
        self, number: int, told: Tensor, rest: tuple[Tensor, Tensor], most: int, random: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Draw the hits and the energy of a pass.

        Args:
            number: Of the pass.
            told: (n, told).
            rest: As in `loss`.
            most: Cells of the pass.
            random: See `share_noise`, each (n, 1).

        Returns:
            Hits and energy in MeV, both (n, 1).
        """
        first, second, logistic, normal = random
        hidden = self._hidden(number, told)
        weight, place, width = self._hits_mixture(number, hidden, rest[0])
        chosen = choose(weight, first[:, 0], self.running)
        value = ((place + width * logistic) * chosen).sum(-1, keepdim=True)
        hits = torch.minimum((value + 0.5).floor().clamp(0, most), rest[0].clamp(min=0))
        weight, mean, log_sigma = self._energy_mixture(number, hidden, rest, hits)
        chosen = choose(weight, second[:, 0], self.running)
        spread = log_sigma.clamp(NARROWEST, WIDEST).exp()
        odds = ((mean + spread * normal) * chosen).sum(-1, keepdim=True)
        part = torch.sigmoid(odds.clamp(-LARGEST_ODDS, LARGEST_ODDS))
        part = torch.where(hits >= rest[0], torch.ones_like(part), part) * (hits > 0)
        spare = (rest[1] - rest[0] * self.threshold).clamp(min=0)
        return hits, hits * self.threshold + part * spare

    def _hidden(self, number: int, told: Tensor) -> Tensor:
        hidden = functional.silu(self.first[number](told))
        return hidden + functional.silu(self.second[number](hidden))

    def _hits_mixture(self, number: int, hidden: Tensor, rest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, place, width = self.of_hits[number](hidden).split(self.mixtures, dim=-1)
        rest = rest.clamp(min=0)
        place = (rest + 1) * torch.sigmoid(place) - 0.5
        width = (0.1 + 0.2 * rest.sqrt()) * width.clamp(-4.0, 3.0).exp()
        return weight, place, width

    def _energy_mixture(
        self, number: int, hidden: Tensor, rest: tuple[Tensor, Tensor], hits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        left = (rest[0] - hits).clamp(min=0)
        log_hits, log_left = (hits + 0.3).log(), (left + 0.3).log()
        log_odds = log_hits - log_left
        about = [log_odds / 2, log_hits / 2, log_left / 2, (hits + 0.5).rsqrt()]
        hidden = functional.silu(self.with_hits[number](torch.cat([hidden, *about], 1)))
        weight, mean, log_sigma = self.of_energy[number](hidden).split(self.mixtures, dim=-1)
        return weight, mean + log_odds, log_sigma

    def _odds(self, rest: tuple[Tensor, Tensor], share: tuple[Tensor, Tensor]) -> Tensor:
        mine = (share[1] - share[0] * self.threshold).clamp(min=1e-5)
        others = (rest[1] - rest[0] * self.threshold - mine).clamp(min=1e-5)
        return (mine.log() - others.log()).clamp(-LARGEST_ODDS, LARGEST_ODDS)


def share_noise(noise: Tensor) -> tuple[Tensor, ...]:
    """Turn standard normal numbers (..., 4) into two uniform, a logistic and a normal number, each (..., 1)."""
    tail = (0.5 - 0.5 * torch.erf(noise[..., :3] / math.sqrt(2))).clamp(1e-6, 1 - 1e-6)
    first, of_logistic, second = tail.split(1, -1)
    return first, second, ((1 - of_logistic) / of_logistic).log(), noise[..., 3:]
