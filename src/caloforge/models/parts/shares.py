"""How the hits and the energy of a layer are shared out among its groups of cells.

Drawing the cells of a group on their own would get the number of its hits wrong (too wide, and cut off by what is
left), and what is left over would end in the last group. So numbers come first: hits of the groups by breaking a
stick, each part from a discretised logistic, then energies likewise by normals in the log-odds of the part against the
rest. What the parts have in common is in a mixture over all of them together, so that one draw of a component and one
pass of a small network do for all groups.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.parts import logistic
from caloforge.models.parts.halving import HIT_OFFSET, LARGEST_ODDS
from caloforge.models.parts.mixtures import (
    NARROWEST,
    WIDEST,
    choose,
    log_normal,
    log_weights,
    running_sum,
)

ALL_OR_NOTHING = 30.0
"""Log-odds of a group that gets everything."""


class Shares(nn.Module):
    """The model of hits and energy per group of cells. Energies are in units of a typical hit.

    Args:
        n_groups: Groups of cells; the last one gets what is left.
        n_inputs: Numbers that describe a layer.
        threshold: Of the detector, in units of a typical hit.
        hidden: Width of the network.
        mixtures: Components of both mixtures.
    """

    running: Tensor
    before: Tensor
    left: Tensor

    def __init__(
        self, n_groups: int, n_inputs: int, threshold: float, hidden: int = 64, mixtures: int = 6
    ) -> None:
        super().__init__()
        self.threshold, self.mixtures, self.n_parts = threshold, mixtures, n_groups - 1
        n_numbers = mixtures * (1 + 2 * self.n_parts)
        self.first = nn.Linear(n_inputs, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.of_hits = nn.Linear(hidden, n_numbers)
        self.with_hits = nn.Linear(hidden + 3 * self.n_parts, hidden)
        self.of_energy = nn.Linear(hidden, n_numbers)
        for head in (self.of_hits, self.of_energy):
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                places = head.bias[mixtures : mixtures * (1 + self.n_parts)].view(mixtures, self.n_parts)
                places += torch.linspace(-1, 1, mixtures)[:, None]
        self.register_buffer("running", running_sum(mixtures), persistent=False)
        # what earlier parts take from part k, and what is left for group k when all parts before it are cut off
        self.register_buffer("before", torch.triu(torch.ones(n_groups, n_groups), 1), persistent=False)
        self.register_buffer("left", torch.triu(torch.ones(self.n_parts, n_groups), 1), persistent=False)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one layer takes."""
        return 2 + 2 * self.n_parts

    def loss(self, inputs: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Negative log-likelihood of hits and energies of the groups.

        Args:
            inputs: (n, n_inputs).
            hits: (n, n_groups).
            energy: (n, n_groups).

        Returns:
            (n,).
        """
        hidden = self._hidden(inputs)
        rest = (hits.sum(1, keepdim=True) - hits @ self.before)[:, None, :-1]
        part = hits[:, None, :-1]
        weight, place, width = self._mixture(self.of_hits(hidden))
        log_probability = logistic.log_probability(part, rest, place, width) * (rest > 0)
        of_hits = torch.logsumexp(log_weights(weight) + log_probability.sum(2), 1)

        weight, mean, log_sigma = self._mixture(self._energy_numbers(hidden, hits))
        mean = mean + self._log_odds_of_hits(hits)[:, None]
        shared = (part > 0) & (part < rest)
        each = log_normal(mean, log_sigma, self._odds(hits, energy)[:, None]) * shared
        of_energy = torch.logsumexp(log_weights(weight) + each.sum(2), 1)
        return -(of_hits + of_energy)

    def sample(
        self, inputs: Tensor, hits: Tensor, excess: Tensor, most: Tensor, random: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        """Draw the hits and energies of the groups.

        Args:
            inputs: (n, n_inputs).
            hits: (n, 1) of the layer.
            excess: (n, 1) energy of the layer above hits * threshold.
            most: (n or 1, n_groups) hits that each group can have.
            random: See `share_noise`.

        Returns:
            Hits, and energies above hits * threshold, both (n, n_groups).
        """
        first, second, of_logistic, normal = random
        hidden = self._hidden(inputs)
        place, width = self._chosen(self.of_hits(hidden), first)
        after = (most @ self.before.T).split(1, 1)  # what all groups after each can take
        at_most = most.split(1, 1)
        places, widths, numbers = (
            values.split(1, 1) for values in (place, width, logistic.SPREAD * of_logistic)
        )
        rest, parts = hits, []
        for k in range(self.n_parts):
            part = torch.minimum(logistic.draw(rest, places[k], widths[k], numbers[k]), at_most[k])
            part = torch.maximum(part, rest - after[k])  # no more than the others can take
            parts.append(torch.minimum(part, rest))
            rest = rest - parts[k]
        shared = torch.cat([*parts, rest], 1)

        mean, log_sigma = self._chosen(self._energy_numbers(hidden, shared), second)
        odds = mean + self._log_odds_of_hits(shared) + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        odds = odds.clamp(-LARGEST_ODDS, LARGEST_ODDS)
        odds = torch.where((shared @ self.before.T)[:, :-1] <= 0, ALL_OR_NOTHING, odds)
        odds = torch.where(shared[:, :-1] <= 0, -ALL_OR_NOTHING, odds)
        left = (-(1 + odds.exp()).log() @ self.left).exp()
        return shared, excess * left * functional.pad(torch.sigmoid(odds), (0, 1), value=1.0)

    def _hidden(self, inputs: Tensor) -> Tensor:
        hidden = functional.silu(self.first(inputs))
        return hidden + functional.silu(self.second(hidden))

    def _mixture(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, place, width = numbers.split(
            [self.mixtures, self.mixtures * self.n_parts, self.mixtures * self.n_parts], dim=1
        )
        shape = (self.mixtures, self.n_parts)
        return weight, place.unflatten(1, shape), width.unflatten(1, shape)

    def _chosen(self, numbers: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Place and width of each part, both (n, n_parts), of a component chosen by a uniform number (n, 1)."""
        chosen = choose(numbers[:, : self.mixtures], uniform, self.running)
        table = numbers[:, self.mixtures :].unflatten(1, (2, self.mixtures, self.n_parts))
        place, width = (table * chosen[:, None, :, None]).sum(2).flatten(1).split(self.n_parts, 1)
        return place, width

    def _energy_numbers(self, hidden: Tensor, hits: Tensor) -> Tensor:
        parts = hits[:, :-1]
        about = [self._log_odds_of_hits(hits) / 2, (parts + HIT_OFFSET).log() / 2, (parts + 0.5).rsqrt()]
        numbers: Tensor = self.of_energy(functional.silu(self.with_hits(torch.cat([hidden, *about], 1))))
        return numbers

    def _log_odds_of_hits(self, hits: Tensor) -> Tensor:
        """Logarithm of hits of each part to those of all groups after it, (n, n_parts)."""
        after = (hits @ self.before.T)[:, :-1]
        return (hits[:, :-1] + HIT_OFFSET).log() - (after + HIT_OFFSET).log()

    def _odds(self, hits: Tensor, energy: Tensor) -> Tensor:
        excess = (energy - hits * self.threshold).clamp(min=0)
        mine = excess[:, :-1].clamp(min=1e-4)
        others = (excess @ self.before.T)[:, :-1].clamp(min=1e-4)
        return (mine.log() - others.log()).clamp(-LARGEST_ODDS, LARGEST_ODDS)


def share_noise(noise: Tensor) -> tuple[Tensor, ...]:
    """Turn standard normal numbers (..., 2 + 2 n) into two uniform (..., 1), n logistic and n normal numbers."""
    n = (noise.shape[-1] - 2) // 2
    tail = (0.5 - 0.5 * torch.erf(noise[..., : 2 + n] / math.sqrt(2))).clamp(1e-6, 1 - 1e-6)
    first, second, of_logistic = tail.split([1, 1, n], -1)
    return first, second, logistic.standard_logistic(of_logistic), noise[..., 2 + n :]
