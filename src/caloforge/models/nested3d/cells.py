"""Drawing the cells of a shower, given hits and energy of its layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models.nested3d.frame import Place
from caloforge.models.nested3d.likelihood import CellLikelihood
from caloforge.models.nested3d.networks import NEVER, compress
from caloforge.models.nested3d.stages import Stage
from caloforge.models.nested3d.window import WindowPass
from caloforge.models.parts.hit_energies import chance_left, choose_normal, draw_excess
from caloforge.models.parts.logistic import standard_logistic
from caloforge.models.parts.shares import share_noise


class Cells(CellLikelihood):
    """The networks with what they are for: the likelihood of showers, and drawing them."""

    @property
    def noise_size(self) -> int:
        """Random numbers that the cells of a shower take."""
        n_window, n_around = self.lattice.n_cells, self.around.noise_size if self.around else 0
        return self.n_layers * (2 * n_window + 2 * self.n_groups) + n_around

    def sample(
        self,
        features: Tensor,
        hits: Tensor,
        energy: Tensor,
        place: Place | None,
        noise: Tensor,
        unit: float = 1.0,
    ) -> Tensor:
        """Draw the cells of showers with the given layers.

        Args:
            features: (n_showers, n_layers, ...), see `features`.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in units of a typical hit.
            place: Where the axis crosses the layers.
            noise: (n_showers, noise_size), standard normal.
            unit: Energy of a typical hit in the unit of the showers that are returned.

        Returns:
            (n_showers, n_layers, ...), each layer with its hits and energy.
        """
        n, n_layers, size = noise.shape[0], self.n_layers, self.map_size
        of_passes = [len(stage.layers) * cells for stage in self.stages for cells in self.sizes]
        n_window = n_layers * self.lattice.n_cells
        n_shares = n_layers * 2 * self.n_groups
        for_hits, *for_energies, for_shares, for_around = noise.split(
            [n_window, *of_passes, n_shares, noise.shape[1] - 2 * n_window - n_shares], 1
        )
        axis, possible = self._axis(place, noise), self._possible(place)
        shared, excess = self._share(features, hits, energy, self._most(possible, noise), for_shares)
        drawn = self._draw_around(features, shared, excess, place, axis, for_around)
        shared, maps, far, targets, energies = drawn
        encoded = self.of_groups(shared, excess + self.threshold * shared)

        tail = (0.5 - 0.5 * torch.erf(for_hits / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        logistic = standard_logistic(tail).split(of_passes, 1)
        tails = (-tail).split(of_passes, 1)
        random = (tails, logistic, for_energies)
        drawn_maps: list[Tensor] = []
        drawn_sums: list[Tensor] = []
        order: list[int] = []
        for number, (stage, _, passes) in enumerate(self._stages()):
            layers = torch.tensor(stage.layers, device=noise.device)
            near_maps, near = self._neighbours(stage, order, drawn_maps, drawn_sums, encoded, axis)
            of_layers = [values.index_select(1, layers) for values in (features, encoded, far)]
            conditions = self._conditions(of_layers[0], of_layers[1], of_layers[2], near)
            groups = [values.index_select(1, layers).flatten(0, 1) for values in (shared, excess)]
            allowed = None if possible is None else possible.index_select(1, layers).flatten(0, 1)
            here = maps.index_select(1, layers).flatten(0, 1)
            here_axis = axis.index_select(1, layers).flatten(0, 1)
            seen, bells = [values.flatten(0, 1) for values in near_maps], self._bells(place, layers)
            rows = (torch.arange(n, device=noise.device)[:, None] * n_layers + layers).flatten()
            first = len(self.sizes) * number
            known: list[Tensor] = []
            for k, network in enumerate(passes):
                logit, state = network(
                    self._maps(here, seen), self._with_drawn(conditions, known, here_axis), bells
                )
                chosen = self._cells_of(k)
                if allowed is not None:
                    logit = torch.where(allowed[:, chosen] > 0, logit, NEVER)
                own = tuple(values[first + k].reshape(logit.shape) for values in random)
                group = self.n_groups - len(self.sizes) + k
                totals = tuple(values[:, group : group + 1] for values in groups)
                row, column, hit_energy, part = self._draw(network, logit, state, own, *totals)
                known.append(part)
                if not (stage is self.stages[-1] and network is passes[-1]):
                    in_map = row * size + self.in_map[chosen].index_select(0, column)
                    here = here.flatten().scatter(0, in_map, compress(hit_energy)).reshape(-1, size)
                target, inside = self._targets(rows.index_select(0, row), chosen, column, place)
                targets.append(target)
                energies.append(hit_energy * inside)
            drawn_sums.append((torch.cat(known, 1) @ self.moments_of).unflatten(0, (-1, len(stage.layers))))
            drawn_maps.append(here.unflatten(0, (-1, len(stage.layers))))
            order += stage.layers
        flat = noise.new_zeros(n * n_layers * self.n_layer)
        showers = flat.scatter_add(0, torch.cat(targets), unit * torch.cat(energies))
        return showers.reshape(n, n_layers, *self.shape)

    def _neighbours(
        self,
        stage: Stage,
        order: list[int],
        maps: list[Tensor],
        sums: list[Tensor],
        encoded: Tensor,
        axis: Tensor,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Maps of the layers before and after those of a stage, and what else is known of layers drawn earlier."""
        if not order:
            return [], []
        of_drawn = torch.cat(sums, 1)
        before = torch.tensor(order, device=encoded.device)
        groups, earlier = (values.index_select(1, before) for values in (encoded, axis))
        near = [*self._near(groups, stage), *self._near(self.moments(of_drawn, earlier), stage)]
        return self._near(torch.cat(maps, 1), stage), [*near, self._of_earlier(of_drawn, axis, order, stage)]

    def _targets(
        self, rows: Tensor, chosen: slice, column: Tensor, place: Place | None
    ) -> tuple[Tensor, Tensor | float]:
        """Cells of all showers in which hits of a pass end, as one number, and 0 for those that are lost."""
        if place is None:
            return rows * self.n_layer + self.inside[chosen].index_select(0, column), 1.0
        y = self.window_rows[chosen].index_select(0, column)
        x = self.window_columns[chosen].index_select(0, column)
        return self._in_readout(rows, y, x, place)

    def _in_readout(self, rows: Tensor, y: Tensor, x: Tensor, place: Place) -> tuple[Tensor, Tensor | float]:
        """Cells (as one number) at y and x from the middle of the window of `rows`, and 0 for those outside."""
        shift = place.shift[:, None]
        middle_y = (place.row + shift[..., 0]).flatten().index_select(0, rows).long()
        middle_x = (place.column + shift[..., 1]).flatten().index_select(0, rows).long()
        y, x = y + middle_y, x + middle_x
        if not self.masked:
            return rows * self.n_layer + y * self.shape[1] + x, 1.0
        inside = (y >= 0) & (y < self.shape[0]) & (x >= 0) & (x < self.shape[1])
        cell = y.clamp(0, self.shape[0] - 1) * self.shape[1] + x.clamp(0, self.shape[1] - 1)
        return rows * self.n_layer + cell, inside.to(place.row.dtype)

    def _draw_around(
        self,
        features: Tensor,
        shared: Tensor,
        excess: Tensor,
        place: Place | None,
        axis: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Draw the hits around the windows of all layers.

        Returns:
            Hits of groups (n, n_layers, n_groups): those that found no place are in the pass with the most hits now;
            the maps of layers, (n, n_layers, map_size); the centroid of the hits, (n, n_layers, 2); and of each hit its
            cell in (n, n_layers, ...) as one number and its energy.
        """
        n, n_layers = features.shape[:2]
        if self.around is None or place is None:
            maps = features.new_zeros(n, n_layers, self.map_size)
            return shared, maps, torch.zeros_like(axis), [], []
        encoded = self.of_groups(shared, excess + self.threshold * shared)
        inputs = torch.cat([features, encoded], 2).flatten(0, 1)
        row, cell, found, lost = self.around.sample(
            inputs, shared[:, :, 0], excess[:, :, 0], self._centres(place), noise
        )
        lost = lost[..., None]
        of_passes = shared[:, :, 1:] + self._largest(shared[:, :, 1:]) * lost
        where = self.around_in_map.index_select(0, cell)
        visible = ((where >= 0) & (found > 0)).to(found.dtype)
        maps = noise.new_zeros(n * n_layers * self.map_size)
        maps = maps.scatter_add(0, row * self.map_size + where.clamp(min=0), compress(found) * visible)
        blank = noise.new_zeros(n * n_layers)
        of_hits = found[:, None] * self.far.index_select(0, cell)
        sums = torch.stack([blank.scatter_add(0, row, values) for values in of_hits.unbind(1)], 1)
        total = blank.scatter_add(0, row, found)
        cells = self.around.cells
        target, inside = self._in_readout(
            row, cells.rows.index_select(0, cell), cells.columns.index_select(0, cell), place
        )
        return (
            torch.cat([shared[:, :, :1] - lost, of_passes], 2),
            maps.reshape(n, n_layers, self.map_size),
            self._relative(sums.reshape(n, n_layers, 2), total.reshape(n, n_layers, 1), axis),
            [target],
            [found * inside],
        )

    def _share(
        self, features: Tensor, hits: Tensor, energy: Tensor, most: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Share out hits and energies of all layers, in stages: both (n, n_layers, n_groups), above threshold."""
        excess = (energy - hits * self.threshold).clamp(min=0)
        if self.n_groups == 1:
            return torch.minimum(hits, most[:, :, 0])[..., None], excess[..., None]
        random = share_noise(noise.unflatten(1, (self.n_layers, -1)))
        found: list[tuple[Tensor, Tensor]] = []
        encoded = features.new_zeros(features.shape[0], 0, len(self.offsets))
        done = 0
        for stage, shares, _ in self._stages():
            layers, count = torch.tensor(stage.layers, device=features.device), len(stage.layers)
            near = self._near(encoded, stage)
            inputs = torch.cat([features.index_select(1, layers), *near], 2).flatten(0, 1)
            own = tuple(values[:, done : done + count].flatten(0, 1) for values in random)
            hits_here, excess_here = (
                values.index_select(1, layers).reshape(-1, 1) for values in (hits, excess)
            )
            at_most = most.index_select(1, layers).expand(features.shape[0], -1, -1).flatten(0, 1)
            drawn = shares.sample(inputs, hits_here, excess_here, at_most, own)
            shared, part = (values.unflatten(0, (-1, count)) for values in drawn)
            found.append((shared, part))
            encoded = torch.cat([encoded, self.of_groups(shared, part + self.threshold * shared)], 1)
            done += count
        order = [layer for stage in self.stages for layer in stage.layers]
        back = torch.tensor(order, device=features.device).argsort()
        shared, excess = (torch.cat(values, 1).index_select(1, back) for values in zip(*found, strict=True))
        return shared, excess

    def _draw(
        self,
        network: WindowPass,
        logit: Tensor,
        state: Tensor,
        random: tuple[Tensor, ...],
        hits: Tensor,
        excess: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the cells of a pass with its share of hits and of energy above their thresholds, both (n, 1).

        Returns:
            Of each hit, its row, its cell in the pass and its energy; and the energies of all cells, (n, n_cells).
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
        chance = chance_left(tail.flatten().index_select(0, place), lack)
        mean, log_sigma = choose_normal(normals, weight, chance, self.signed)
        own = draw_excess(mean, log_sigma, normal.flatten().index_select(0, place))
        blank = torch.zeros_like(score)
        dense = blank.flatten().scatter(0, place, own).reshape(score.shape)
        factor = excess / dense.sum(1, keepdim=True).clamp(min=1e-4)
        energy = self.threshold + own * factor.flatten().index_select(0, row)
        return row, column, energy, blank.flatten().scatter(0, place, energy).reshape(score.shape)
