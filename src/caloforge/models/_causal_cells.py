"""The cells of a shower, given hits and energy of its layers: layer by layer and, inside a layer, in passes.

Each cell is hit or not, and a hit has an energy above threshold from a mixture of normals in its logarithm. Both
depend on the layers before (a causal 3D convolution), on the cells of the same layer drawn in earlier passes, on the
hits and energy that are still to be given out, and on the incident. Since each pass sees truth in training, all
layers and passes are taught at once by maximum likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models._causal_networks import SEEN_LAYERS, CausalNetworks, Layer, compress, describe
from caloforge.models._mixtures import NARROWEST, WIDEST, beyond, log_density
from caloforge.models._shares import NOISE_PER_PASS, share_noise

SOFT = 0.005
"""MeV: the energy of a hit is threshold - SOFT + exp(y), so that y has no far tail at the threshold."""
MEMORY = 0.6
"""Per layer, what is kept of the cells three and more layers before."""


class CausalCells(CausalNetworks):
    """The networks with what they are for: the likelihood of showers, and drawing them."""

    @property
    def noise_size(self) -> int:
        """Random numbers that the cells of a shower take."""
        return self.n_layers * sum(self._noise_sizes)

    @property
    def _noise_sizes(self) -> tuple[int, ...]:
        """Per layer: hits and energies in the window, hits around it and their energies, shares."""
        n_inside = self.inside.shape[0]
        half = self.n_around - self.n_around // 2
        return n_inside, n_inside, half, self.most_around + 1, NOISE_PER_PASS * len(self.sizes)

    def losses(self, context: Tensor, showers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of the shares of passes, of hits and of energies of showers, given their layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            showers: (n_showers, n_layers, n_rows, n_columns) in MeV.

        Returns:
            Three scalars, means over the showers.
        """
        hits, energy = (showers > 0).sum((2, 3)).to(showers.dtype), showers.sum((2, 3))
        features = self.over_layers(context, hits, energy).flatten(0, 1)
        seen = compress(showers)
        before, moments = (values.flatten(0, 1) for values in self._history(seen, showers))
        cells = showers.flatten(0, 1).flatten(1)
        inside, around = cells[:, self.inside], cells[:, self.around]
        parts = [*inside.split(self.sizes, 1), around]
        given = [
            torch.stack([(part > 0).sum(1).to(cells.dtype) for part in parts], 1),
            torch.stack([part.sum(1) for part in parts], 1),
        ]
        last = [
            functional.pad(values.unflatten(0, hits.shape)[:, :-1], (0, 0, 1, 0)).flatten(0, 1)
            for values in given
        ]
        layer = Layer(hits.reshape(-1, 1), energy.reshape(-1, 1), moments, features, *last)
        matrices, bases = self.matrices(), self.base(before)
        of_shares, start = cells.new_zeros(()), 0
        likelihoods = []
        for number, size in enumerate(self.sizes):
            known = inside[:, :start]
            taken = [[values[:, k : k + 1] for k in range(number)] for values in given]
            rest = layer.rest(*taken)
            summary = self._summary(layer, rest, known)
            share = (given[0][:, number : number + 1], given[1][:, number : number + 1])
            told = self._told(layer, summary, *taken)
            of_shares = of_shares + self.shares.loss(number, told, rest, share).sum()
            told = torch.cat([summary, describe(*share), compress(known)], 1)
            logit, weight, normals = self.window_pass(bases[number], matrices[number], told)
            hit = parts[number] > 0
            likelihoods.append(self._likelihood(logit, weight[hit], normals[hit], parts[number], hit))
            start += size
        here = seen.flatten(0, 1).flatten(1).index_fill(1, self.around, 0.0).reshape(-1, *seen.shape[2:])
        rest = layer.rest(*([values[:, k : k + 1] for k in range(len(self.sizes))] for values in given))
        told = torch.cat([self._summary(layer, rest, inside), describe(*rest)], 1)
        drawn = self.around_pass(before, here, told).index_select(2, self.around)
        hit = around > 0
        weight = drawn[:, 1:].transpose(1, 2)[hit]
        normals = self.normals_around.expand(len(weight), -1, -1)
        likelihoods.append(self._likelihood(drawn[:, 0], weight, normals, around, hit))
        of_hits, of_energy = (
            -torch.stack(terms).sum() / len(showers) for terms in zip(*likelihoods, strict=True)
        )
        return of_shares / len(showers), of_hits, of_energy

    def sample(self, context: Tensor, hits: Tensor, energy: Tensor, noise: Tensor) -> Tensor:
        """Draw the cells of showers with the given layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in MeV.
            noise: (n_showers, noise_size), standard normal.

        Returns:
            (n_showers, n_layers, n_rows, n_columns) in MeV, each layer with its hits and energy.
        """
        n_rows, n_columns = self.lattice.n_rows, self.lattice.n_columns
        random = self._random(noise)
        features = self.over_layers(context, hits, energy).flatten(1)
        features_of = features.split(features.shape[1] // self.n_layers, 1)
        hits_of, energy_of = hits.split(1, 1), energy.split(1, 1)
        matrices = self.matrices()
        last = second = older = noise.new_zeros(noise.shape[0], n_rows, n_columns)
        moment = [noise.new_zeros(noise.shape[0], 3) for _ in range(SEEN_LAYERS)]
        groups = [noise.new_zeros(noise.shape[0], len(self.sizes) + 1) for _ in range(2)]
        layers = []
        for number in range(self.n_layers):
            before = torch.stack([last, second, older], 1)
            bases = self.base(before)
            rest = (hits_of[number], energy_of[number])
            layer = Layer(*rest, torch.cat(moment, 1), features_of[number], *groups)
            known: list[Tensor] = []
            taken: list[list[Tensor]] = [[], []]
            for step, size in enumerate(self.sizes):
                index = number * len(self.sizes) + step
                drawn = torch.cat(known, 1) if known else noise[:, :0]
                summary = self._summary(layer, rest, drawn)
                own = tuple(values[index] for values in random.shares)
                most = min(size, self.most_in_pass)
                share = self.shares.sample(step, self._told(layer, summary, *taken), rest, most, own)
                told = torch.cat([summary, describe(*share), *map(compress, known)], 1)
                own = tuple(values[index] for values in random.inside)
                known.append(
                    self._draw_window(self.window_pass(bases[step], matrices[step], told), own, share)
                )
                for values, value in zip(taken, share, strict=True):
                    values.append(value)
                rest = ((rest[0] - share[0]).clamp(min=0), (rest[1] - share[1]).clamp(min=0))
            drawn = torch.cat(known, 1)
            told = torch.cat([self._summary(layer, rest, drawn), describe(*rest)], 1)
            here = functional.pad(drawn, (0, self.n_around)).index_select(1, self.order)
            about = self.around_pass(before, compress(here).reshape(-1, n_rows, n_columns), told)
            own = tuple(values[number] for values in random.around)
            found = here.scatter(1, *self._draw_around(about, own, rest))
            layers.append(found)
            groups = [torch.cat([*taken[k], rest[k]], 1) for k in range(2)]
            older = MEMORY * older + (1 - MEMORY) * second
            second, last = last, compress(found).reshape(-1, n_rows, n_columns)
            moment = [self._moments(found), moment[0], MEMORY * moment[2] + (1 - MEMORY) * moment[1]]
        showers: Tensor = torch.stack(layers, 1).unflatten(2, (n_rows, n_columns))
        return showers

    def _random(self, noise: Tensor) -> Noise:
        """Turn standard normal numbers into those that are needed.

        The cells around the window have numbers of their own in one half of the list only, the other half has their
        opposites: both of a pair, far from each other, are hit in one case out of thousands anyway.
        """
        parts = noise.split([n * self.n_layers for n in self._noise_sizes], 1)
        hits, energies, halves, ranks, shares = parts
        tail = (0.5 - 0.5 * torch.erf(hits / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        half = (0.5 - 0.5 * torch.erf(halves / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        logistic = ((1 - half) / half).log()
        half, logistic = (values.unflatten(1, (self.n_layers, -1)) for values in (half, logistic))
        paired = slice(None, self.n_around // 2)
        tails = torch.cat([half, 1 - half[..., paired].flip(-1)], -1).flatten(1)
        logistics = torch.cat([logistic, -logistic[..., paired].flip(-1)], -1).flatten(1)
        of_shares = share_noise(shares.unflatten(1, (-1, NOISE_PER_PASS)))
        sizes = self.sizes * self.n_layers
        return Noise(
            tuple(values.split(sizes, 1) for values in (tail, ((1 - tail) / tail).log(), energies)),
            (
                tails.split(self.n_around, 1),
                logistics.split(self.n_around, 1),
                ranks.split(self.most_around + 1, 1),
            ),
            tuple(values.split(1, 1) for values in of_shares),
        )

    def _history(self, seen: Tensor, showers: Tensor) -> tuple[Tensor, Tensor]:
        """The layers before and their moments as in `sample`, for all layers at once."""
        moments = self._moments(showers.flatten(2))
        blank, middle = torch.zeros_like(seen[:, 0]), torch.zeros_like(moments[:, 0])
        older, old = blank, middle
        maps, numbers = [], []
        for layer in range(self.n_layers):
            last, second = (seen[:, layer - k] if layer >= k else blank for k in (1, 2))
            one, two = (moments[:, layer - k] if layer >= k else middle for k in (1, 2))
            maps.append(torch.stack([last, second, older], 1))
            numbers.append(torch.cat([one, two, old], 1))
            older = MEMORY * older + (1 - MEMORY) * second
            old = MEMORY * old + (1 - MEMORY) * two
        return torch.stack(maps, 1), torch.stack(numbers, 1)

    def _unstepped(self, normals: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log sigmas, (..., mixtures): the last number is the first's, the others are steps to the next."""
        steps = torch.cat([normals[..., -1:], normals[..., :-1]], -1)
        mean, log_sigma = (steps @ self.running).unbind(-2)
        return mean, log_sigma

    def _likelihood(
        self, logit: Tensor, weight: Tensor, normals: Tensor, truth: Tensor, hit: Tensor
    ) -> tuple[Tensor, Tensor]:
        of_hits = -functional.binary_cross_entropy_with_logits(logit, hit.to(logit.dtype), reduction="sum")
        mean, log_sigma = self._unstepped(normals)
        value = (truth[hit] - self.threshold + SOFT).clamp(min=0.5 * SOFT).log()
        return of_hits, log_density(weight, mean, log_sigma, value).sum()

    def _draw_window(
        self,
        drawn: tuple[Tensor, Tensor, Tensor],
        random: tuple[Tensor, ...],
        share: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Energies of the cells of a pass in MeV, (n, n_cells), with its share of hits and energy."""
        (logit, weight, normals), (tail, logistic, normal), (hits, energy) = drawn, random, share
        score = logit + logistic
        size = score.shape[1]
        most = min(size, self.most_in_pass + 1)
        ranked = score.topk(most, dim=1).values
        cut = ranked.gather(1, hits.clamp(max=most - 1).long())
        cut = cut - 100.0 * (hits >= size).to(cut.dtype)
        mean, log_sigma = self._choose(normals, weight, tail, cut - logit)
        excess = (score > cut).to(logit.dtype) * self._excess(mean, log_sigma, normal)
        return self._scaled(excess, hits, energy)

    def _draw_around(
        self, drawn: Tensor, random: tuple[Tensor, ...], rest: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Draw the hits around the window, with the hits and energy of the rest.

        Returns:
            Cells of the layer and their energies in MeV, both (n, most_around + 1).
        """
        tail, logistic, normal = random
        logit = drawn[:, 0].index_select(1, self.around)
        ranked, which = (logit + logistic).topk(self.most_around + 1, dim=1)
        hits = rest[0].clamp(0, self.most_around)
        cut = ranked.gather(1, hits.long())
        tail, logit = tail.gather(1, which), logit.gather(1, which)
        cells = self.around.index_select(0, which.flatten()).reshape(which.shape)
        weight = drawn[:, 1:].gather(2, cells[:, None].expand(-1, self.mixtures, -1)).transpose(1, 2)
        mean, log_sigma = self._choose(self.normals_around[None, None], weight, tail, cut - logit)
        excess = (ranked > cut).to(logit.dtype) * self._excess(mean, log_sigma, normal)
        return cells, self._scaled(excess, hits, rest[1])

    def _choose(self, normals: Tensor, weight: Tensor, tail: Tensor, lack: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log sigma of a normal each, by the part of the noise that did not decide about the hit.

        Given that logit + logistic > cut, tail * (1 + exp(cut - logit)) is uniform.
        """
        chance = (tail * (1 + lack.exp())).clamp(max=0.999999)
        above = beyond(weight, chance[..., None], self.running) + self.last_one
        mean, log_sigma = (normals * above[:, :, None]).sum(-1).unbind(-1)
        return mean, log_sigma.clamp(NARROWEST, WIDEST)

    def _excess(self, mean: Tensor, log_sigma: Tensor, normal: Tensor) -> Tensor:
        value = mean + log_sigma.exp() * normal
        return (value.clamp(-9.0, 7.0).exp() - SOFT).clamp(min=1e-4)

    def _scaled(self, excess: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Stretch what the hits of a pass have above threshold to the energy of the pass; 0 is no hit."""
        spare = (energy - hits * self.threshold).clamp(min=0)
        factor = spare / excess.sum(1, keepdim=True).clamp(min=1e-5)
        return (excess > 0).to(excess.dtype) * self.threshold + excess * factor


@dataclass(frozen=True)
class Noise:
    """Random numbers of all layers and passes.

    Attributes:
        inside: Uniform, logistic and normal numbers of the cells of each pass, (n, n_cells). The uniform number is
            the probability of a larger logistic one.
        around: Likewise for each layer around the window, (n, n_around), and normal ones by rank,
            (n, most_around + 1).
        shares: See `_shares.share_noise`, for each pass (n, 1).
    """

    inside: tuple[tuple[Tensor, ...], ...]
    around: tuple[tuple[Tensor, ...], ...]
    shares: tuple[tuple[Tensor, ...], ...]
