"""The cells of a shower, given hits and energy of its layers: in stages over layers and passes over sub-lattices.

In each layer, the hits around a central window come first (`_around`), then the window in four passes
(`_nested_window`), layers in three stages (`_nested_networks`). The likelihood is that of exactly what is drawn, given
the totals of passes (`_given_totals`, `_shares`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models._around import NOISE_PER_HIT, POOL
from caloforge.models._given_totals import log_density_of_parts, log_probability_of_hits
from caloforge.models._hit_energies import ANCHOR, choose_normal, draw_excess, log_excess
from caloforge.models._mixtures import log_density
from caloforge.models._nested_networks import NestedNetworks, compress
from caloforge.models._nested_window import WindowPass
from caloforge.models._over_layers import describe
from caloforge.models._shares import share_noise


class NestedCells(NestedNetworks):
    """The networks with what they are for: the likelihood of showers, and drawing them."""

    @property
    def noise_size(self) -> int:
        """Random numbers that the cells of a shower take."""
        return self.n_layers * sum(self._noise_sizes)

    @property
    def _noise_sizes(self) -> tuple[int, ...]:
        """Per layer: hits and energies in the window, hits around it, shares."""
        return self.n_window, self.n_window, POOL * NOISE_PER_HIT, 2 + 2 * len(self.sizes)

    def losses(
        self, context: Tensor, showers: Tensor, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Negative log-likelihood of shares, of hits and of energies of showers, given their layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            showers: (n_showers, n_layers, n_rows, n_columns) in MeV.
            random: Source of the shifts of quadratures.

        Returns:
            Three scalars, means over the showers; the last two have `ANCHOR` times that of independent cells added.
        """
        cells = showers.flatten(2)
        hits, energy = (cells > 0).sum(2).to(cells.dtype), cells.sum(2)
        around = cells.index_select(2, self.around.cells)
        parts = cells.index_select(2, self.inside).split(self.sizes, 2)
        groups = [around, *parts]
        group_hits = torch.stack([(part > 0).sum(2).to(cells.dtype) for part in groups], 2)
        group_energy = torch.stack([part.sum(2) for part in groups], 2)
        about = torch.cat([describe(hits, energy), self.over_layers(context, hits, energy)], 2)
        encoded = self.of_groups(group_hits, group_energy)
        levers = torch.cat(parts, 2) @ self.lever
        moments = self.moments(levers)
        seen_as = compress(cells) * (cells > 0)
        crop = functional.pad(seen_as, (0, 1))[:, :, self.crop]

        halo = (around @ self.place.index_select(0, self.around.cells)) / (around.sum(2, keepdim=True) + 0.01)

        of_hits, of_energy = self.around.likelihood(
            torch.cat([about, encoded], 2).flatten(0, 1), around.flatten(0, 1), random
        )
        of_shares = of_hits.new_zeros(())
        drawn: list[int] = []
        for stage, shares, passes in self._stages():
            layers = torch.tensor(stage.layers, device=cells.device)
            told = [about[:, layers]]
            near = [self._near(values[:, drawn], stage) for values in (encoded, moments, crop)]
            of_shares = of_shares + (
                shares.loss(
                    torch.cat([*told, *near[0]], 2).flatten(0, 1),
                    group_hits[:, layers].flatten(0, 1),
                    group_energy[:, layers].flatten(0, 1),
                ).sum()
            )
            axis = [self._axis(levers[:, drawn], drawn, stage)] if drawn else []
            of_rows = self._told(
                about[:, layers], encoded[:, layers], halo[:, layers], [*near[0], *near[1], *axis]
            )
            own = crop[:, layers].flatten(0, 1)
            seen = [values.flatten(0, 1) for values in near[2]]
            known: list[Tensor] = []
            for number, network in enumerate(passes):
                part = parts[number][:, layers].flatten(0, 1)
                hidden = torch.cat([self._cells_of(k) for k in range(number, len(self.sizes))])
                here = own.index_fill(1, hidden, 0.0)
                logit, state = network(self._maps(here, seen), self._with_drawn(of_rows, known))
                hit = part > 0
                of_hits = of_hits + log_probability_of_hits(logit, hit, random).sum()
                of_hits = of_hits - ANCHOR * functional.binary_cross_entropy_with_logits(
                    logit, hit.to(logit.dtype), reduction="sum"
                )
                row = hit.nonzero()[:, 0]
                mixture = network.energies(state.transpose(1, 2)[hit])
                value = log_excess(part[hit], self.threshold)
                of_energy = of_energy + log_density_of_parts(mixture, value, row, len(hit), random).sum()
                of_energy = of_energy + ANCHOR * log_density(mixture[0], mixture[1], mixture[2], value).sum()
                known.append(part)
            drawn += stage.layers
        n = len(showers)
        return of_shares / n, -of_hits / n, -of_energy / n

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
        n, n_layers = noise.shape[0], self.n_layers
        of_passes = [len(stage.layers) * size for stage in self.stages for size in self.sizes]
        own_sizes = [size * n_layers for size in self._noise_sizes]
        for_hits, *for_energies, for_around, for_shares = noise.split(
            [own_sizes[0], *of_passes, *own_sizes[2:]], 1
        )
        about = torch.cat([describe(hits, energy), self.over_layers(context, hits, energy)], 2)
        shared, spare = self._share(about, hits, energy, for_shares)
        shared, crop, halo, place, found = self._draw_around(about, shared, spare, for_around)
        encoded = self.of_groups(shared, spare + self.threshold * shared)
        places, energies, size = [place], [found], self.side**2

        tail = (0.5 - 0.5 * torch.erf(for_hits / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        logistic = ((1 - tail) / tail).log().split(of_passes, 1)
        tails = (-tail).split(of_passes, 1)
        maps: list[Tensor] = []
        levers: list[Tensor] = []
        order: list[int] = []
        done = 0
        for stage, _, passes in self._stages():
            layers, count = torch.tensor(stage.layers, device=noise.device), len(stage.layers)
            near_maps: list[Tensor] = []
            near: list[Tensor] = []
            if order:
                all_levers = torch.cat(levers, 1)
                groups = encoded.index_select(1, torch.tensor(order, device=noise.device))
                near_maps = self._near(torch.cat(maps, 1), stage)
                near = [*self._near(groups, stage), *self._near(self.moments(all_levers), stage)]
                near.append(self._axis(all_levers, order, stage))
            of_layers = [values.index_select(1, layers) for values in (about, encoded, halo)]
            told = self._told(of_layers[0], of_layers[1], of_layers[2], near)
            seen = [values.flatten(0, 1) for values in near_maps]
            here = crop.index_select(1, layers).flatten(0, 1)
            rows = (torch.arange(n, device=noise.device)[:, None] * n_layers + layers).flatten()
            group_hits, group_spare = (
                values.index_select(1, layers).flatten(0, 1).split(1, 1) for values in (shared, spare)
            )
            known: list[Tensor] = []
            for number, network in enumerate(passes):
                logit, state = network(self._maps(here, seen), self._with_drawn(told, known))
                row, column, found, part = self._draw(
                    network,
                    logit,
                    state,
                    tuple(values[done].reshape(logit.shape) for values in (tails, logistic, for_energies)),
                    group_hits[number + 1],
                    group_spare[number + 1],
                )
                done += 1
                known.append(part)
                if not (stage is self.stages[-1] and network is passes[-1]):
                    in_crop = row * size + self._cells_of(number).index_select(0, column)
                    here = here.flatten().scatter(0, in_crop, compress(found)).reshape(-1, size)
                in_layer = self._in_layer(number).index_select(0, column)
                places.append(rows.index_select(0, row) * self.n_layer + in_layer)
                energies.append(found)
            levers.append((torch.cat(known, 1) @ self.lever).unflatten(0, (-1, count)))
            maps.append(here.unflatten(0, (-1, count)))
            order += stage.layers
        flat = noise.new_zeros(n * n_layers * self.n_layer)
        showers = flat.scatter_add(0, torch.cat(places), torch.cat(energies))
        return showers.reshape(n, n_layers, self.lattice.n_rows, self.lattice.n_columns)

    def _draw_around(
        self, about: Tensor, shared: Tensor, spare: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Draw the hits around the windows of all layers.

        Returns:
            Hits of groups (n, n_layers, n_groups): those that found no place are in the pass with the most hits now;
            the neighbourhood of windows as the passes see it, (n, n_layers, side * side); the centre of the hits,
            (n, n_layers, 2); and of each hit its place in (n, n_layers, n_rows, n_columns) as one number and
            its energy in MeV.
        """
        n, n_layers = about.shape[0], self.n_layers
        encoded = self.of_groups(shared, spare + self.threshold * shared)
        told = torch.cat([about, encoded], 2).flatten(0, 1)
        row, cell, found, lost = self.around.sample(told, shared[:, :, 0], spare[:, :, 0], noise)
        lost = lost[..., None]
        of_passes = shared[:, :, 1:] + self._largest(shared[:, :, 1:]) * lost
        where, size = self.to_crop.index_select(0, cell), self.side**2
        visible = ((where >= 0) & (found > 0)).to(found.dtype)
        crop = noise.new_zeros(n * n_layers * size)
        crop = crop.scatter_add(0, row * size + where.clamp(min=0), compress(found) * visible)
        blank = noise.new_zeros(n * n_layers)
        of_hits = found[:, None] * self.place.index_select(0, cell)
        levers = [blank.scatter_add(0, row, values) for values in of_hits.unbind(1)]
        energy = blank.scatter_add(0, row, found)
        return (
            torch.cat([shared[:, :, :1] - lost, of_passes], 2),
            crop.reshape(n, n_layers, size),
            (torch.stack(levers, 1) / (energy + 0.01)[:, None]).reshape(n, n_layers, 2),
            row * self.n_layer + cell,
            found,
        )

    def _share(self, about: Tensor, hits: Tensor, energy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Share out hits and energies of all layers, in stages: hits and spare energies, (n, n_layers, n_groups)."""
        spare = (energy - hits * self.threshold).clamp(min=0)
        random = share_noise(noise.unflatten(1, (self.n_layers, -1)))
        most = (self.most_around, *self.sizes)
        found: list[tuple[Tensor, Tensor]] = []
        encoded = about.new_zeros(about.shape[0], 0, len(self.offsets))
        done = 0
        for stage, shares, _ in self._stages():
            layers, count = torch.tensor(stage.layers, device=about.device), len(stage.layers)
            told = torch.cat([about.index_select(1, layers), *self._near(encoded, stage)], 2).flatten(0, 1)
            own = tuple(values[:, done : done + count].flatten(0, 1) for values in random)
            hits_here, spare_here = (
                values.index_select(1, layers).reshape(-1, 1) for values in (hits, spare)
            )
            drawn = shares.sample(told, hits_here, spare_here, most, own)
            shared, part = (values.unflatten(0, (-1, count)) for values in drawn)
            found.append((shared, part))
            encoded = torch.cat([encoded, self.of_groups(shared, part + self.threshold * shared)], 1)
            done += count
        drawn_order = [layer for stage in self.stages for layer in stage.layers]
        back = torch.tensor(drawn_order, device=about.device).argsort()
        shared, spare = (torch.cat(values, 1).index_select(1, back) for values in zip(*found, strict=True))
        return shared, spare

    def _draw(
        self,
        network: WindowPass,
        logit: Tensor,
        state: Tensor,
        random: tuple[Tensor, ...],
        hits: Tensor,
        spare: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the cells of a pass with its share of hits and of energy above their thresholds, both (n, 1).

        Returns:
            Of each hit, its row, its cell in the pass and its energy in MeV; and the energies of all cells,
            (n, n_cells).
        """
        tail, logistic, normal = random
        score = logit + logistic
        n_cells = score.shape[1]
        ranked = functional.pad(score.topk(n_cells, dim=1).values, (0, 1), value=-1000.0)
        cut = ranked.gather(1, hits.clamp(max=n_cells).long())
        row, column = (score > cut).nonzero().unbind(1)
        place = row * n_cells + column
        of_hits = state.transpose(1, 2).reshape(-1, network.width).index_select(0, place)
        weight, normals = network.energy_steps(of_hits)
        lack = (cut - logit).flatten().index_select(0, place)
        mean, log_sigma = choose_normal(
            normals, weight, tail.flatten().index_select(0, place), lack, self.signed
        )
        excess = draw_excess(mean, log_sigma, normal.flatten().index_select(0, place))
        blank = torch.zeros_like(score)
        dense = blank.flatten().scatter(0, place, excess).reshape(score.shape)
        factor = spare / dense.sum(1, keepdim=True).clamp(min=1e-5)
        energy = self.threshold + excess * factor.flatten().index_select(0, row)
        return row, column, energy, blank.flatten().scatter(0, place, energy).reshape(score.shape)
