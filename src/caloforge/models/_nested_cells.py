"""The cells of a shower, given hits and energy of its layers: in stages over layers and passes over sub-lattices.

The first stage draws every fourth layer, the second those in the middle between them, the third all others: each layer
sees what is nearest before and after it. Layers that are four apart, given their hits and energies, fluctuate
independently (docs/lab.md, 36), so nothing is lost, and three steps do for any number of layers. In each layer, the
hits around a central window come first (`_around`), then the window in four passes (`_nested_window`).
The likelihood is that of exactly what is drawn, given the totals of passes (`_given_totals`, `_shares`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models._around import NOISE_PER_HIT, POOL, Around
from caloforge.models._given_totals import log_density_of_parts, log_probability_of_hits
from caloforge.models._hit_energies import (
    ANCHOR,
    choose_normal,
    draw_excess,
    log_excess,
    signed_sum,
)
from caloforge.models._mixtures import log_density, running_sum
from caloforge.models._nested_window import WindowPass
from caloforge.models._over_layers import OverLayers, describe
from caloforge.models._places import place_features
from caloforge.models._shares import Shares, share_noise
from caloforge.models._sublattices import PASSES, REACH, split_layer

SCALE = 0.1
"""MeV: cells are seen as log(1 + energy / SCALE); near what a minimum ionising particle leaves in 0.3 mm silicon."""
JUMP = 0.5
"""What any hit has more than no hit on that scale."""
AXIS_REACH = 5.0
"""Layers after which the centre of a layer counts for 1 / e in what the passes are told of the axis of the shower."""
CORE = 1.5
"""Cells: distance from the axis at which the weight of a cell in the centre of the core has fallen to 1 / e."""
MOMENTS = 5
SHARES_WIDTH = 64


@dataclass(frozen=True)
class Stage:
    """Layers that are drawn at once.

    Attributes:
        layers: Their numbers.
        before: For each, where the nearest layer before it stands among those drawn in earlier stages, counted from 1
            in the order of drawing; 0 if there is none.
        after: Likewise after it.
    """

    layers: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def plan_stages(n_layers: int) -> tuple[Stage, ...]:
    """Plan in which order layers are drawn.

    >>> [stage.layers for stage in plan_stages(7)]
    [(0, 4), (2, 6), (1, 3, 5)]
    >>> plan_stages(7)[2].before, plan_stages(7)[2].after
    ((1, 3, 2), (3, 2, 4))
    """
    groups = [range(0, n_layers, 4), range(2, n_layers, 4), range(1, n_layers, 2)]
    drawn: list[int] = []
    stages = []
    for group in groups:
        if group:
            near = [
                [max([k for k in drawn if k < layer], default=-1) for layer in group],
                [min([k for k in drawn if k > layer], default=-1) for layer in group],
            ]
            before, after = (tuple(drawn.index(k) + 1 if k >= 0 else 0 for k in side) for side in near)
            stages.append(Stage(tuple(group), before, after))
            drawn += group
    return tuple(stages)


class NestedCells(nn.Module):
    """Likelihood and drawing of cells.

    Args:
        detector: Whose showers.
        context: Size of the encoded incident.
        window: Rows and columns drawn in four passes.
        width: Channels of the networks of cells there.
        depth: Number of their hidden layers after the first.
        energy_width: Width of the networks of the energies of hits there.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits around the window that a layer can have at most.
        shapes: Transverse shapes of the hits around the window.
    """

    lever: Tensor
    crop: Tensor
    to_crop: Tensor
    signed: Tensor
    offsets: Tensor
    scales: Tensor

    def __init__(
        self,
        detector: Detector,
        context: int,
        *,
        window: int,
        width: int,
        depth: int,
        energy_width: int,
        hidden: int,
        features: int,
        mixtures: int,
        most_around: int,
        shapes: int,
    ) -> None:
        super().__init__()
        self.n_layers, n_rows, n_columns = detector.shape
        self.threshold = detector.threshold
        self.lattice = split_layer(n_rows, n_columns, window)
        self.sizes = [len(cells) for cells in self.lattice.passes]
        self.n_window, self.n_layer = sum(self.sizes), n_rows * n_columns
        self.most_around = min(most_around, len(self.lattice.around))
        self.stages = plan_stages(self.n_layers)
        x, y, places = place_features(detector)
        self._register_constants(x, y, mixtures)

        n_groups = len(self.sizes) + 1
        n_about = 3 + features
        self.over_layers = OverLayers(self.n_layers, context, detector.threshold, hidden, features)
        self.around = Around(
            self.lattice,
            places,
            n_about + 2 * n_groups,
            self.most_around,
            shapes,
            mixtures,
            detector.threshold,
        )
        shares, passes = [], []
        for number in range(len(self.stages)):
            seen = 2 if number else 0
            shares.append(
                Shares(n_groups, n_about + 2 * seen * n_groups, detector.threshold, SHARES_WIDTH, mixtures=6)
            )
            n_told = (
                1 + n_about + 2 * n_groups + seen * (2 * n_groups + MOMENTS) + (MOMENTS if seen else 0) + 2
            )
            passes.append(
                nn.ModuleList(
                    WindowPass(
                        1 + seen,
                        n_told,
                        places[torch.tensor(cells)],
                        offset,
                        tuple((self.lattice.window + 1 - first) // 2 for first in offset),  # type: ignore[arg-type]
                        width=width,
                        depth=depth,
                        hidden=energy_width,
                        mixtures=mixtures,
                    )
                    for cells, offset in zip(self.lattice.passes, PASSES, strict=True)
                )
            )
        self.shares, self.passes = nn.ModuleList(shares), nn.ModuleList(passes)

    def _register_constants(self, x: Tensor, y: Tensor, mixtures: int) -> None:
        inside = torch.tensor(self.lattice.inside)
        core, one = torch.exp(-(x.square() + y.square()).sqrt() / CORE), torch.ones_like(x)
        side = self.lattice.window + 2 * REACH
        rows = torch.arange(side) + self.lattice.top - REACH
        columns = torch.arange(side) + self.lattice.left - REACH
        there = ((rows >= 0) & (rows < self.lattice.n_rows))[:, None] & (
            (columns >= 0) & (columns < self.lattice.n_columns)
        )
        crop = torch.where(there, rows[:, None] * self.lattice.n_columns + columns, self.n_layer).flatten()
        to_crop = torch.full((self.n_layer + 1,), -1)
        to_crop[crop] = torch.arange(side * side)
        n_groups = len(self.sizes) + 1
        self.side = side
        constants = {
            "lever": torch.stack([x, y, 3 * x * core, 3 * y * core, one, one, core, core], 1)[inside],
            "crop": crop,
            "to_crop": to_crop[:-1],
            "signed": signed_sum(running_sum(mixtures)),
            "offsets": torch.tensor([0.3, 0.01]).repeat_interleave(n_groups),
            "scales": torch.tensor([1 / 2, 1 / 3]).repeat_interleave(n_groups),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def _stages(self) -> list[tuple[Stage, Shares, list[WindowPass]]]:
        """Each stage with its networks."""
        passes = [cast(list[WindowPass], list(cast(nn.ModuleList, networks))) for networks in self.passes]
        return list(zip(self.stages, cast(list[Shares], list(self.shares)), passes, strict=True))

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
        around = cells[:, :, torch.tensor(self.lattice.around)]
        parts = cells[:, :, torch.tensor(self.lattice.inside)].split(self.sizes, 2)
        groups = [around, *parts]
        group_hits = torch.stack([(part > 0).sum(2).to(cells.dtype) for part in groups], 2)
        group_energy = torch.stack([part.sum(2) for part in groups], 2)
        about = torch.cat([describe(hits, energy), self.over_layers(context, hits, energy)], 2)
        encoded = self.of_groups(group_hits, group_energy)
        levers = torch.cat(parts, 2) @ self.lever
        moments = self.moments(levers)
        seen_as = compress(cells) * (cells > 0)
        crop = functional.pad(seen_as, (0, 1))[:, :, self.crop]

        of_hits, of_energy = self.around.likelihood(
            torch.cat([about, encoded], 2).flatten(0, 1), around.flatten(0, 1), random
        )
        of_shares = of_hits.new_zeros(())
        drawn: list[int] = []
        for stage, shares, passes in self._stages():
            layers = torch.tensor(stage.layers)
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
            of_rows = self._told(about[:, layers], encoded[:, layers], near[0], [*near[1], *axis])
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
        shared, crop, place, found = self._draw_around(about, shared, spare, for_around)
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
            layers, count = torch.tensor(stage.layers), len(stage.layers)
            near_maps: list[Tensor] = []
            near_moments: list[Tensor] = []
            near_groups: list[Tensor] = []
            if order:
                all_levers = torch.cat(levers, 1)
                near_maps = self._near(torch.cat(maps, 1), stage)
                near_moments = self._near(self.moments(all_levers), stage)
                near_moments = [*near_moments, self._axis(all_levers, order, stage)]
                near_groups = self._near(encoded.index_select(1, torch.tensor(order)), stage)
            told = self._told(
                about.index_select(1, layers), encoded.index_select(1, layers), near_groups, near_moments
            )
            seen = [values.flatten(0, 1) for values in near_maps]
            here = crop.index_select(1, layers).flatten(0, 1)
            rows = (torch.arange(n)[:, None] * n_layers + layers).flatten()
            group_hits, group_spare = (
                values.index_select(1, layers).flatten(0, 1).split(1, 1) for values in (shared, spare)
            )
            known: list[Tensor] = []
            for number, network in enumerate(passes):
                logit, state = network(self._maps(here, seen), self._with_drawn(told, known))
                hit_place, hit_row, found, part = self._draw(
                    network,
                    logit,
                    state,
                    tuple(values[done].reshape(logit.shape) for values in (tails, logistic, for_energies)),
                    group_hits[number + 1],
                    group_spare[number + 1],
                )
                done += 1
                known.append(part)
                column = hit_place - hit_row * self.sizes[number]
                if not (stage is self.stages[-1] and network is passes[-1]):
                    in_crop = hit_row * size + self._cells_of(number).index_select(0, column)
                    here = here.flatten().scatter(0, in_crop, compress(found)).reshape(-1, size)
                in_layer = torch.tensor(self.lattice.passes[number]).index_select(0, column)
                places.append(rows.index_select(0, hit_row) * self.n_layer + in_layer)
                energies.append(found)
            levers.append((torch.cat(known, 1) @ self.lever).unflatten(0, (-1, count)))
            maps.append(here.unflatten(0, (-1, count)))
            order += stage.layers
        flat = torch.zeros(n * n_layers * self.n_layer)
        showers = flat.scatter_add(0, torch.cat(places), torch.cat(energies))
        return showers.reshape(n, n_layers, self.lattice.n_rows, self.lattice.n_columns)

    def _draw_around(
        self, about: Tensor, shared: Tensor, spare: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the hits around the windows of all layers.

        Returns:
            Hits of groups (n, n_layers, n_groups): those that found no place are in the pass with the most hits now;
            the neighbourhood of windows as the passes see it, (n, n_layers, side * side); and of each
            hit its place in (n, n_layers, n_rows, n_columns) as one number and its energy in MeV.
        """
        n, n_layers = about.shape[0], self.n_layers
        encoded = self.of_groups(shared, spare + self.threshold * shared)
        told = torch.cat([about, encoded], 2).flatten(0, 1)
        row, cell, found, lost = self.around.sample(told, shared[:, :, 0], spare[:, :, 0], noise)
        lost = lost[..., None]
        of_passes = shared[:, :, 1:] + self._largest(shared[:, :, 1:]) * lost
        where, size = self.to_crop.index_select(0, cell), self.side**2
        visible = ((where >= 0) & (found > 0)).to(found.dtype)
        crop = torch.zeros(n * n_layers * size)
        crop = crop.scatter_add(0, row * size + where.clamp(min=0), compress(found) * visible)
        return (
            torch.cat([shared[:, :, :1] - lost, of_passes], 2),
            crop.reshape(n, n_layers, size),
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
            layers, count = torch.tensor(stage.layers), len(stage.layers)
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
        back = torch.tensor([layer for stage in self.stages for layer in stage.layers]).argsort()
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
            Of each hit, its place in (n, n_cells) as one number, its row and its energy in MeV; and the
            energies of all cells, (n, n_cells).
        """
        tail, logistic, normal = random
        score = logit + logistic
        n_cells = score.shape[1]
        ranked = functional.pad(score.topk(n_cells, dim=1).values, (0, 1), value=-1000.0)
        cut = ranked.gather(1, hits.clamp(max=n_cells).long())
        place = (score > cut).flatten().nonzero()[:, 0]
        row = torch.div(place, n_cells, rounding_mode="trunc")
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
        return place, row, energy, blank.flatten().scatter(0, place, energy).reshape(score.shape)

    def _near(self, earlier: Tensor, stage: Stage) -> list[Tensor]:
        """Values (n, n_drawn, ...) of the layers before and after those of a stage; nothing for the first stage."""
        if not earlier.shape[1]:
            return []
        lowest = min(*stage.before, *stage.after)
        if lowest == 0:
            earlier = torch.cat([torch.zeros_like(earlier[:, :1]), earlier], 1)
        sides = [torch.tensor(which) - min(lowest, 1) for which in (stage.before, stage.after)]
        return [earlier.index_select(1, which) for which in sides]

    def _told(
        self, about: Tensor, encoded: Tensor, near_groups: list[Tensor], near_moments: list[Tensor]
    ) -> Tensor:
        """What the passes of layers are told, (n_rows, n_told - 2)."""
        one = torch.ones_like(about[:, :, :1])
        return torch.cat([one, about, encoded, *near_groups, *near_moments], 2).flatten(0, 1)

    def _with_drawn(self, told: Tensor, known: list[Tensor]) -> Tensor:
        """Add the centre of the cells that are drawn already, in cells."""
        if not known:
            return functional.pad(told, (0, 2))
        energies = torch.cat(known, 1)
        centre = energies @ self.lever[: energies.shape[1], :2]
        return torch.cat([told, centre / (energies.sum(1, keepdim=True) + 0.01)], 1)

    def _maps(self, here: Tensor, seen: list[Tensor]) -> Tensor:
        maps: Tensor = torch.stack([here, *seen], 1).unflatten(2, (self.side, self.side))
        return maps

    def _cells_of(self, number: int) -> Tensor:
        """The cells of a pass as indices into the crop."""
        return self.to_crop[torch.tensor(self.lattice.passes[number])]

    def _largest(self, hits: Tensor) -> Tensor:
        """One for the pass with the most hits, 0 for the others, of the shape of the input."""
        ranked = hits + 0.01 * torch.arange(hits.shape[2])
        return (ranked >= ranked.amax(2, keepdim=True)).to(hits.dtype)

    def of_groups(self, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode hits and energies in MeV, both (..., n_groups), as network input (..., 2 * n_groups)."""
        return (torch.cat([hits, energy], -1) + self.offsets).log() * self.scales

    def moments(self, levers: Tensor) -> Tensor:
        """Centre of windows (x, y), its distance from the axis and three times the centre of the core, in cells.

        Args:
            levers: (..., 8) sums of energy times `lever`.

        Returns:
            (..., 5).
        """
        centre = levers[..., :4] / (levers[..., 4:] + 0.01)
        distance = (centre[..., :2].square().sum(-1, keepdim=True) + 0.01).sqrt()
        return torch.cat([centre, distance], -1)

    def _axis(self, levers: Tensor, order: list[int], stage: Stage) -> Tensor:
        """Moments of all layers drawn in earlier stages together, the nearest counting most, (n, n_layers, 5)."""
        distance = (torch.tensor(stage.layers)[:, None] - torch.tensor(order)).abs()
        weights = torch.exp(-distance / AXIS_REACH).to(levers.device)
        return self.moments(weights @ levers)


def compress(energies: Tensor) -> Tensor:
    """Bring energies of hits in MeV to the scale on which the networks see them, of the same shape; no hit is 0."""
    return (energies / SCALE).log1p() + JUMP
