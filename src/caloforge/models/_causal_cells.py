"""The cells of a shower, given hits and energy of its layers: layer by layer and, inside a layer, in passes.

Each cell is hit or not, and a hit has an energy above threshold from a mixture of normals in its logarithm. Both
depend on the layers before (a causal 3D convolution), on the cells of the same layer drawn in earlier passes, on how
the layer's hits and energy are shared out (`_shares`), and on the incident. The likelihood is that of exactly what is
drawn, given the shares (`_given_totals`). Since each pass sees truth in training, all layers and passes are taught at
once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models._causal_networks import AXIS_MEMORY, MEMORY, SCALE, CausalNetworks, compress
from caloforge.models._given_totals import log_density_of_parts, log_probability_of_hits
from caloforge.models._hit_energies import ANCHOR, choose_normal, draw_excess, log_excess, unstepped
from caloforge.models._mixtures import log_density
from caloforge.models._over_layers import describe
from caloforge.models._shares import share_noise


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
        return n_inside, n_inside, self.n_pairs, self.most_around + 1, self.shares.noise_size

    def losses(
        self, context: Tensor, showers: Tensor, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of the shares of groups, of hits and of energies of showers, given their layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            showers: (n_showers, n_layers, n_rows, n_columns) in MeV.
            random: Source of the shifts of quadratures.

        Returns:
            Three scalars, means over the showers; the last two have `ANCHOR` times that of independent cells added.
        """
        hits, energy = (showers > 0).sum((2, 3)).to(showers.dtype), showers.sum((2, 3))
        features = self.over_layers(context, hits, energy).flatten(0, 1)
        seen = compress(showers)
        before, moments = (values.flatten(0, 1) for values in self._history(seen, showers))
        cells = showers.flatten(0, 1).flatten(1)
        inside, around = cells[:, self.inside], cells[:, self.around]
        inside_seen = seen.flatten(0, 1).flatten(1)[:, self.inside]
        parts = [*inside.split(self.sizes, 1), around]
        groups_of_cells = [around, *parts[:-1]]  # what is rare first: its share then is told directly
        shares = (
            torch.stack([(part > 0).sum(1).to(cells.dtype) for part in groups_of_cells], 1),
            torch.stack([part.sum(1) for part in groups_of_cells], 1),
        )
        groups = self.of_groups(*shares)
        last = functional.pad(groups.unflatten(0, hits.shape), (0, 0, 1, 0))[:, :-1].flatten(0, 1)
        of_layer = energy.reshape(-1, 1)
        about = torch.cat([describe(hits, energy).flatten(0, 1), moments, features], 1)
        of_shares = self.shares.loss(torch.cat([about, last], 1), *shares).sum()
        told = common = self.common(about, groups, torch.ones_like(of_layer))
        matrices, bases = self.matrices(), self.base(before)
        start = 0
        likelihoods = []
        for number, size in enumerate(self.sizes):
            if number:
                told = self.told(common, of_layer, inside[:, :start], inside_seen[:, :start])
            logit, weight, normals = self.window_pass(bases[number], matrices[number], told)
            hit = parts[number] > 0
            likelihoods.append(self._likelihood(logit, weight[hit], normals[hit], parts[number], hit, random))
            start += size
        here = seen.flatten(0, 1).flatten(1).index_fill(1, self.around, 0.0).reshape(-1, *seen.shape[2:])
        told = self.told(common, of_layer, inside, inside[:, :0])
        logit, near = self.around_pass(before, here, told)
        hit = around > 0
        weight = self.weights_around(told, logit, near)[hit]
        normals = self.normals_around.expand(len(weight), -1, -1)
        likelihoods.append(self._likelihood(logit, weight, normals, around, hit, random))
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
        n, n_rows, n_columns = noise.shape[0], self.lattice.n_rows, self.lattice.n_columns
        random = self._random(noise)
        features = self.over_layers(context, hits, energy)
        described = describe(hits, energy)
        features_of, described_of = (
            values.flatten(1).split(values.shape[2], 1) for values in (features, described)
        )
        hits_of, energy_of = hits.split(1, 1), energy.split(1, 1)
        spare_of = (energy - hits * self.threshold).clamp(min=0).split(1, 1)
        matrices = self.matrices()
        most = (self.most_around, *(min(size, self.most_in_pass) for size in self.sizes))
        lever = self.lever[self.inside]
        last = second = older = noise.new_zeros(n, n_rows, n_columns)
        one = noise.new_ones(n, 1)
        axis = noise.new_zeros(n, self.lever.shape[1])
        moments = [self.centres(axis)] * 3
        groups = noise.new_zeros(n, 2 * len(self.sizes) + 2)
        layers = []
        for number in range(self.n_layers):
            before = torch.stack([last, second, older], 1)
            bases = self.base(before)
            about = torch.cat([described_of[number], *moments, features_of[number]], 1)
            own = tuple(values[number] for values in random.shares)
            shared, spare = self.shares.sample(
                torch.cat([about, groups], 1), hits_of[number], spare_of[number], most, own
            )
            groups = self.of_groups(shared, spare + self.threshold * shared)
            hits_in, spare_in = shared.split(1, 1), spare.split(1, 1)
            told = common = self.common(about, groups, one)
            known: list[Tensor] = []
            seen: list[Tensor] = []
            for step in range(len(self.sizes)):
                if step:
                    told = self.told(common, energy_of[number], torch.cat(known, 1), torch.cat(seen, 1))
                own = tuple(values[number * len(self.sizes) + step] for values in random.inside)
                drawn = self.window_pass(bases[step], matrices[step], told)
                known.append(self._draw_window(drawn, own, (hits_in[1 + step], spare_in[1 + step])))
                seen.append(compress(known[step]))
            inside = torch.cat(known, 1)
            here = functional.pad(torch.cat(seen, 1), (0, self.n_around)).index_select(1, self.order)
            told = self.told(common, energy_of[number], inside, inside[:, :0])
            own = tuple(values[number] for values in random.around)
            cells, around = self._draw_around(
                self.around_pass(before, here.reshape(-1, n_rows, n_columns), told),
                own,
                (hits_in[0], spare_in[0]),
                told,
            )
            found = here.scatter(1, cells, compress(around))
            layers.append(found)
            older = MEMORY * older + (1 - MEMORY) * second
            second, last = last, found.reshape(-1, n_rows, n_columns)
            levers = inside @ lever + (around[:, None] @ functional.embedding(cells, self.lever))[:, 0]
            axis = AXIS_MEMORY * axis + levers
            latest, all_before = self.centres(torch.stack([levers, axis])).unbind(0)
            moments = [latest, moments[0], all_before]
        cells = SCALE * torch.stack(layers, 1).expm1()
        showers: Tensor = cells.unflatten(2, (n_rows, n_columns))
        return showers

    def _random(self, noise: Tensor) -> Noise:
        """Turn standard normal numbers into those that are needed.

        Of a pair of cells around the window (opposite to each other, see `Sublattices.smoothing`), one has the opposite
        number of the other, and at most one can be hit.
        """
        parts = noise.split([n * self.n_layers for n in self._noise_sizes], 1)
        hits, energies, halves, ranks, shares = parts
        halves = halves.unflatten(1, (self.n_layers, -1)) @ self.smoothing
        tail = (0.5 - 0.5 * torch.erf(hits / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        half = (0.5 - 0.5 * torch.erf(halves / math.sqrt(2))).clamp(1e-7, 1 - 1e-7).flatten(1)
        of_shares = share_noise(shares.unflatten(1, (self.n_layers, -1)))
        sizes = self.sizes * self.n_layers
        return Noise(
            tuple(values.split(sizes, 1) for values in (-tail, ((1 - tail) / tail).log(), energies)),
            (
                (-half).split(self.n_pairs, 1),
                ((1 - half) / half).log().split(self.n_pairs, 1),
                ranks.split(self.most_around + 1, 1),
            ),
            tuple(values.flatten(1).split(values.shape[2], 1) for values in of_shares),
        )

    def _history(self, seen: Tensor, showers: Tensor) -> tuple[Tensor, Tensor]:
        """The layers before and their moments as in `sample`, for all layers at once."""
        levers = showers.flatten(2) @ self.lever
        centres = self.centres(levers)
        blank, axis = torch.zeros_like(seen[:, 0]), torch.zeros_like(levers[:, 0])
        older, middle = blank, self.centres(axis)
        maps, numbers = [], []
        for layer in range(self.n_layers):
            last, second = (seen[:, layer - k] if layer >= k else blank for k in (1, 2))
            one, two = (centres[:, layer - k] if layer >= k else middle for k in (1, 2))
            maps.append(torch.stack([last, second, older], 1))
            numbers.append(torch.cat([one, two, self.centres(axis)], 1))
            older = MEMORY * older + (1 - MEMORY) * second
            axis = AXIS_MEMORY * axis + levers[:, layer]
        return torch.stack(maps, 1), torch.stack(numbers, 1)

    def _likelihood(
        self,
        logit: Tensor,
        weight: Tensor,
        normals: Tensor,
        truth: Tensor,
        hit: Tensor,
        random: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        on_their_own = functional.binary_cross_entropy_with_logits(
            logit, hit.to(logit.dtype), reduction="sum"
        )
        of_hits = log_probability_of_hits(logit, hit, random).sum() - ANCHOR * on_their_own
        mean, log_sigma = unstepped(normals, self.running)
        value = log_excess(truth[hit], self.threshold)
        group = hit.nonzero()[:, 0]
        of_energy = log_density_of_parts((weight, mean, log_sigma), value, group, len(hit), random).sum()
        return of_hits, of_energy + ANCHOR * log_density(weight, mean, log_sigma, value).sum()

    def _draw_window(
        self,
        drawn: tuple[Tensor, Tensor, Tensor],
        random: tuple[Tensor, ...],
        share: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Energies of the cells of a pass in MeV, (n, n_cells), with its share of hits and spare energy."""
        (logit, weight, normals), (tail, logistic, normal), (hits, spare) = drawn, random, share
        score = logit + logistic
        size = score.shape[1]
        most = min(size, self.most_in_pass + 1)
        ranked = score.topk(most, dim=1).values
        if most == size:  # all cells can be hit: a cut below the last
            ranked = functional.pad(ranked, (0, 1), value=-1000.0)
        cut = ranked.gather(1, hits.clamp(max=ranked.shape[1] - 1).long())
        mean, log_sigma = choose_normal(normals, weight, tail, cut - logit, self.signed)
        return self._scaled((score > cut).to(logit.dtype), draw_excess(mean, log_sigma, normal), spare)

    def _draw_around(
        self,
        drawn: tuple[Tensor, Tensor],
        random: tuple[Tensor, ...],
        share: tuple[Tensor, Tensor],
        told: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Draw the hits around the window, with their share of hits and spare energy.

        Returns:
            Cells of the layer and their energies in MeV, both (n, most_around + 1).
        """
        (logit, near), (tail, logistic, normal) = drawn, random
        first = logit[:, : self.n_pairs] + logistic
        alone = 2 * self.n_pairs - self.n_around
        other = functional.pad(logit[:, self.n_pairs :].flip(1), (0, alone), value=-100.0)
        other = other - logistic
        ranked, pair = torch.maximum(first, other).topk(self.most_around + 1, dim=1)
        cut = ranked.gather(1, share[0].clamp(max=self.most_around).long())
        flipped = (other > first).to(logit.dtype).gather(1, pair)
        tail = tail.gather(1, pair)
        tail = tail - flipped * (1 + 2 * tail)
        logit = ranked - (1 - 2 * flipped) * logistic.gather(1, pair)
        which = pair + flipped.long() * (self.n_around - 1 - 2 * pair)
        cells = self.around.index_select(0, which.flatten()).reshape(which.shape)
        weight = self.weights_around(told, logit, near.gather(1, which))
        mean, log_sigma = choose_normal(self.normals_around, weight, tail, cut - logit, self.signed)
        excess = draw_excess(mean, log_sigma, normal)
        return cells, self._scaled((ranked > cut).to(logit.dtype), excess, share[1])

    def _scaled(self, hit: Tensor, excess: Tensor, spare: Tensor) -> Tensor:
        """Stretch what the hits of a pass have above threshold to the spare energy of the pass; 0 is no hit."""
        factor = spare / (hit * excess).sum(1, keepdim=True).clamp(min=1e-5)
        return hit * (self.threshold + excess * factor)


@dataclass(frozen=True)
class Noise:
    """Random numbers of all layers and passes.

    Attributes:
        inside: Tails, logistic and normal numbers of the cells of each pass, (n, n_cells). The tail is minus the
            probability of a larger logistic number.
        around: Likewise tails and logistic ones for the pairs of cells around the window in each layer,
            (n, n_pairs), and normal ones by rank, (n, most_around + 1).
        shares: See `_shares.share_noise`, for each layer.
    """

    inside: tuple[tuple[Tensor, ...], ...]
    around: tuple[tuple[Tensor, ...], ...]
    shares: tuple[tuple[Tensor, ...], ...]
