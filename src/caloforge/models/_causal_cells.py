"""The cells of a shower, given hits and energy of its layers: layer by layer and, inside a layer, in passes.

Each cell is hit or not, and a hit has an energy above threshold from a mixture of normals in its logarithm. Both
depend on the layers before (a causal 3D convolution), on the cells of the same layer drawn in earlier passes, on the
hits and energy that are still to be given out, and on the incident. Since each pass sees truth in training, all
layers and passes are taught at once by maximum likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models._layers import mean_excess
from caloforge.models._mixtures import NARROWEST, WIDEST, beyond, log_density, running_sum
from caloforge.models._shares import NOISE_PER_PASS, Shares, share_noise
from caloforge.models._sublattices import REACH, split_layer

SCALE = 0.1
"""MeV: cells are seen as log(1 + energy / SCALE); near what a minimum ionising particle leaves in 0.3 mm silicon."""
SOFT = 0.005
"""MeV: the energy of a hit is threshold - SOFT + exp(y), so that y has no far tail at the threshold."""
MEMORY = 0.6
"""Per layer, what is kept of the cells three and more layers before."""
SEEN_LAYERS = 3
CONTEXT_MAPS = 4
"""Maps that tell the cells around the window about their layer."""
REST, MOMENTS = 3, 2 + 3 * SEEN_LAYERS


class CausalCells(nn.Module):
    """Networks that give out the hits and the energy of layers among their cells.

    What a cell of the window sees is a convolution of the layers before, the cells of its own layer that are drawn
    already, and a summary of the layer whose weights depend on the cell's place. Convolution kernel and
    place-dependent weights are spread out into one matrix per pass, so that a pass is one matrix product.

    Args:
        detector: Whose showers.
        context: Size of the encoded incident.
        window: Rows and columns drawn in four passes; what lies around them is drawn at once.
        width: Of the network of a cell in the window.
        depth: Number of its hidden layers after the first.
        width_around: Of the network of a cell around it.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits around the window that a layer can have at most (the fewer, the faster).
    """

    positions: Tensor
    places: Tensor
    inside: Tensor
    around: Tensor
    order: Tensor
    running: Tensor
    last_one: Tensor

    def __init__(
        self,
        detector: Detector,
        context: int,
        *,
        window: int,
        width: int,
        depth: int,
        width_around: int,
        hidden: int,
        features: int,
        mixtures: int,
        most_around: int,
    ) -> None:
        super().__init__()
        self.n_layers, n_rows, n_columns = detector.shape
        self.threshold, self.mixtures, self.width = detector.threshold, mixtures, width
        self.lattice = split_layer(n_rows, n_columns, window)
        self.sizes = [len(cells) for cells in self.lattice.passes]
        self.n_around = len(self.lattice.around)
        self.most_around = min(most_around, self.n_around - 1)
        self._register_constants(detector)

        self.depth_place = nn.Parameter(0.1 * torch.randn(8, self.n_layers))
        self.along = nn.ModuleList(
            nn.Conv1d(size, hidden, 5, padding=2) for size in (8 + 3 + context, hidden, hidden)
        )
        self.to_features = nn.Linear(hidden, features)
        n_groups = len(self.sizes) + 1
        n_summary, n_places = 1 + REST + MOMENTS + features, self.places.shape[1]
        self.shares = Shares(len(self.sizes), n_summary + 4 * n_groups, detector.threshold)
        n_summary += REST
        spread = 0.5 / math.sqrt(n_summary * n_places)
        self.before = nn.Conv2d(SEEN_LAYERS, width, 2 * REACH + 1, bias=False)
        side = (2 * REACH + 1) ** 2
        self.beside = nn.Parameter(torch.randn(len(self.sizes), side, width) / side)
        self.summarised = nn.Parameter(spread * torch.randn(len(self.sizes), n_summary, n_places, width))
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.hit = nn.Linear(width, 1)
        self.weight = nn.Linear(width, mixtures)
        self.normals = nn.Linear(width, 2 * mixtures)

        self.summarised_around = nn.Parameter(spread * torch.randn(n_summary, CONTEXT_MAPS, n_places))
        self.before_around = nn.Conv2d(CONTEXT_MAPS + SEEN_LAYERS + 1, width_around, 3, padding=1)
        self.head_around = nn.Conv2d(width_around, 1 + mixtures, 1)
        self.normals_around = nn.Parameter(torch.zeros(2, mixtures))
        with torch.no_grad():
            for head in (self.hit, self.weight, self.normals, self.head_around):
                head.weight.normal_(std=0.05)
                cast(Tensor, head.bias).zero_()
            cast(Tensor, self.head_around.bias)[0] = -5.0
            self.hit.bias.fill_(-3.0)
            for steps in (self.normals.bias[:mixtures], self.normals_around[0]):
                steps.fill_(4.0 / (mixtures - 1))  # means from -3 to 1, in steps
                steps[-1] = -3.0

    def _register_constants(self, detector: Detector) -> None:
        y, x = torch.meshgrid(
            torch.tensor(detector.y / detector.readout.size[0]),
            torch.tensor(detector.x / detector.readout.size[1]),
            indexing="ij",
        )
        y, x = y.flatten().float(), x.flatten().float()
        r = (x.square() + y.square()).sqrt()
        known = [
            torch.ones_like(r),
            (r + 0.3).log(),
            r / 10,
            r.square() / 100,
            torch.exp(-r),
            torch.exp(-r / 3),
            torch.exp(-4 * r.square()),
            (x.abs() + y.abs()) / 10,
            torch.maximum(x.abs(), y.abs()) / 10,
            x / 5,
            y / 5,
            x * y / 25,
            (x.square() - y.square()) / 25,
        ]
        last = torch.zeros(self.mixtures)
        last[-1] = 1.0
        constants = {
            "places": torch.stack(known, 1),
            "positions": torch.stack([x, y], 1),
            "inside": torch.tensor(self.lattice.inside),
            "around": torch.tensor(self.lattice.around),
            "order": torch.tensor(self.lattice.order),
            "running": running_sum(self.mixtures),
            "last_one": last,
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        for number in range(len(self.sizes)):
            window = torch.tensor(self.lattice.in_window(number))
            self.register_buffer(f"in_window{number}", window, persistent=False)
            if number:
                offsets = torch.tensor(self.lattice.offsets(number))
                self.register_buffer(f"offsets{number}", offsets, persistent=False)

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

    def over_layers(self, context: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """What the cells get to know about every layer from the hits and energies of all.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in MeV.

        Returns:
            (n_showers, n_layers, features).
        """
        excess = mean_excess(hits, energy, self.threshold)
        known = torch.stack(
            [
                (hits + 1).log() / 2 - 1,
                (excess * hits + 0.01).log() / 3,
                (hits > 0) * (excess + 1e-4).log() / 2,
            ],
            1,
        )
        steady = context[:, :, None].expand(-1, -1, self.n_layers)
        stacked = torch.cat([known, steady, self.depth_place.expand(hits.shape[0], -1, -1)], 1)
        stacked = functional.silu(self.along[0](stacked))
        for convolution in list(self.along)[1:]:
            stacked = stacked + functional.silu(convolution(stacked))
        features: Tensor = self.to_features(stacked.transpose(1, 2))
        return features

    def matrices(self) -> list[Tensor]:
        """Spread the weights of each pass out over its cells.

        Returns:
            Per pass (n_summary + n_known, n_cells * width).
        """
        made, start = [], 0
        for number, size in enumerate(self.sizes):
            places = self.places[self.inside[start : start + size]]
            rows = torch.einsum("spw,cp->scw", self.summarised[number], places).flatten(1)
            if number:
                kernel = functional.pad(self.beside[number], (0, 0, 0, 1))
                rows = torch.cat([rows, kernel[getattr(self, f"offsets{number}")].flatten(1)])
            made.append(rows)
            start += size
        return made

    def base(self, before: Tensor) -> list[Tensor]:
        """What the layers before say about each cell of the window.

        Args:
            before: (n, 3, n_rows, n_columns), see `compress`: the last layer, the one before, older ones.

        Returns:
            Per pass (n, n_cells, width).
        """
        top, left, size = self.lattice.top - REACH, self.lattice.left - REACH, self.lattice.window + 2 * REACH
        rows, columns = before.shape[2:]
        pad = (max(-left, 0), max(left + size - columns, 0), max(-top, 0), max(top + size - rows, 0))
        if any(pad):
            before, top, left = functional.pad(before, pad), top + pad[2], left + pad[0]
        seen = self.before(before[:, :, top : top + size, left : left + size])
        seen = seen.flatten(2).transpose(1, 2)
        return [
            seen.index_select(1, getattr(self, f"in_window{number}")) for number in range(len(self.sizes))
        ]

    def window_pass(self, base: Tensor, matrix: Tensor, told: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distributions of the cells of one pass.

        Args:
            base: (n, n_cells, width), see `base`.
            matrix: See `matrices`.
            told: (n, n_summary + n_known) summary, and the cells of the passes before, see `compress`.

        Returns:
            Logits of a hit (n, n_cells), logarithms of the weights of normals (n, n_cells, mixtures), and the
            normals (n, n_cells, 2, mixtures), see `_unstepped`.
        """
        shape = base.shape[:2]
        hidden = functional.relu(base + (told @ matrix).reshape(base.shape)).flatten(0, 1)
        for layer in self.deeper:
            hidden = hidden + functional.relu(layer(hidden))
        return (
            self.hit(hidden).reshape(shape),
            self.weight(hidden).reshape(*shape, self.mixtures),
            self.normals(hidden).reshape(*shape, 2, self.mixtures),
        )

    def around_pass(self, before: Tensor, here: Tensor, told: Tensor) -> Tensor:
        """The distributions of the cells around the window.

        Args:
            before: See `base`.
            here: (n, n_rows, n_columns) this layer with its window drawn, zero around, see `compress`.
            told: (n, n_summary).

        Returns:
            (n, 1 + mixtures, n_rows * n_columns), logits of a hit and logarithms of the weights of normals, which are
            `normals_around`; of no meaning in the window.
        """
        maps = (told @ self.summarised_around.flatten(1)).unflatten(1, (CONTEXT_MAPS, -1)) @ self.places.T
        maps = maps.unflatten(2, (self.lattice.n_rows, self.lattice.n_columns))
        hidden = functional.relu(self.before_around(torch.cat([maps, before, here[:, None]], 1)))
        drawn: Tensor = self.head_around(hidden).flatten(2)
        return drawn

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
        n_inside, outside = self.inside.shape[0], self.n_around
        random = self._random(noise)
        features = self.over_layers(context, hits, energy)
        matrices = self.matrices()
        last = second = older = noise.new_zeros(noise.shape[0], n_rows, n_columns)
        moment = [noise.new_zeros(noise.shape[0], 3) for _ in range(SEEN_LAYERS)]
        groups = [noise.new_zeros(noise.shape[0], len(self.sizes) + 1) for _ in range(2)]
        layers = []
        for number in range(self.n_layers):
            before = torch.stack([last, second, older], 1)
            bases = self.base(before)
            rest = (hits[:, number : number + 1], energy[:, number : number + 1])
            layer = Layer(*rest, torch.cat(moment, 1), features[:, number], *groups)
            known: list[Tensor] = []
            taken: list[list[Tensor]] = [[], []]
            start = 0
            for step, size in enumerate(self.sizes):
                drawn = torch.cat(known, 1) if known else noise[:, :0]
                summary = self._summary(layer, rest, drawn)
                own = tuple(values[:, number, step] for values in random.shares)
                share = self.shares.sample(step, self._told(layer, summary, *taken), rest, size, own)
                told = torch.cat([summary, describe(*share), *map(compress, known)], 1)
                own = tuple(values[:, number, start : start + size] for values in random.inside)
                known.append(
                    self._draw_window(self.window_pass(bases[step], matrices[step], told), own, share)
                )
                for values, value in zip(taken, share, strict=True):
                    values.append(value)
                rest = ((rest[0] - share[0]).clamp(min=0), (rest[1] - share[1]).clamp(min=0))
                start += size
            drawn = torch.cat(known, 1)
            told = torch.cat([self._summary(layer, rest, drawn), describe(*rest)], 1)
            here = functional.pad(drawn, (0, outside)).index_select(1, self.order)
            about = self.around_pass(before, compress(here).reshape(-1, n_rows, n_columns), told)
            own = tuple(values[:, number] for values in random.around)
            found = here.scatter(1, *self._draw_around(about, own, rest))
            layers.append(found)
            groups = [torch.cat([*taken[k], rest[k]], 1) for k in range(2)]
            older = MEMORY * older + (1 - MEMORY) * second
            second, last = last, compress(found).reshape(-1, n_rows, n_columns)
            moment = [self._moments(found), moment[0], MEMORY * moment[2] + (1 - MEMORY) * moment[1]]
        assert start == n_inside
        showers: Tensor = torch.stack(layers, 1).unflatten(2, (n_rows, n_columns))
        return showers

    def _random(self, noise: Tensor) -> Noise:
        """Turn standard normal numbers into those that are needed.

        The cells around the window have numbers of their own in one half of the list only, the other half has their
        opposites: both of a pair, far from each other, are hit in one case out of thousands anyway.
        """
        parts = noise.split([n * self.n_layers for n in self._noise_sizes], 1)
        hits, energies, halves, ranks, shares = (
            part.reshape(-1, self.n_layers, size) for part, size in zip(parts, self._noise_sizes, strict=True)
        )
        tail = (0.5 - 0.5 * torch.erf(hits / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        half = (0.5 - 0.5 * torch.erf(halves / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        logistic = ((1 - half) / half).log()
        paired = slice(None, self.n_around // 2)
        return Noise(
            (tail, ((1 - tail) / tail).log(), energies),
            (
                torch.cat([half, 1 - half[..., paired].flip(-1)], -1),
                torch.cat([logistic, -logistic[..., paired].flip(-1)], -1),
                ranks,
            ),
            share_noise(shares.unflatten(2, (len(self.sizes), NOISE_PER_PASS))),
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

    def _moments(self, cells: Tensor) -> Tensor:
        """Centres (x, y) of layers (..., n_cells) and their distance from the axis, in cells."""
        centre = (cells @ self.positions) / (cells.sum(-1, keepdim=True) + 0.01)
        return torch.cat([centre, (centre.square().sum(-1, keepdim=True) + 0.01).sqrt()], -1)

    def _summary(self, layer: Layer, rest: tuple[Tensor, Tensor], known: Tensor) -> Tensor:
        """What is still to be given out, where the known cells are, moments and features: (n, n_summary)."""
        one = torch.ones_like(layer.energy)
        if known.shape[1]:
            drawn = known @ self.positions[self.inside[: known.shape[1]]] / (layer.energy + 0.01)
        else:  # engines stumble over products of no rows
            drawn = torch.zeros_like(layer.energy).expand(-1, 2)
        return torch.cat([one, describe(*rest), drawn, layer.moments, layer.features], 1)

    def _told(self, layer: Layer, summary: Tensor, hits: list[Tensor], energy: list[Tensor]) -> Tensor:
        """What the shares of a pass depend on: the summary, and all groups of the last layer and this one so far."""
        missing = [torch.zeros_like(layer.hits)] * (len(self.sizes) + 1 - len(hits))
        hits_so_far = torch.cat([layer.last_hits, *hits, *missing], 1)
        energy_so_far = torch.cat([layer.last_energy, *energy, *missing], 1)
        return torch.cat([summary, (hits_so_far + 0.3).log() / 2, (energy_so_far + 0.01).log() / 3], 1)

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
        ranked = score.topk(size, dim=1).values
        cut = ranked.gather(1, hits.clamp(max=size - 1).long())
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
        cells = self.around[which]
        weight = drawn[:, 1:].gather(2, cells[:, None].expand(-1, self.mixtures, -1)).transpose(1, 2)
        mean, log_sigma = self._choose(self.normals_around[None, None], weight, tail, cut - logit)
        excess = (ranked > cut).to(logit.dtype) * self._excess(mean, log_sigma, normal)
        return cells, self._scaled(excess, hits, rest[1])

    def _choose(self, normals: Tensor, weight: Tensor, tail: Tensor, lack: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log sigma of a normal each, by the part of the noise that did not decide about the hit.

        Given that logit + logistic > cut, tail * (1 + exp(cut - logit)) is uniform.
        """
        chance = (tail * (1 + lack.exp())).clamp(max=0.999999)
        above = beyond(weight, chance, self.running) + self.last_one
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
class Layer:
    """What is known of layers before their cells are drawn.

    Attributes:
        hits: (n, 1).
        energy: (n, 1) in MeV.
        moments: (n, 9) of the layers before.
        features: (n, features) of the layers.
        last_hits: (n, n_passes + 1) of the layer before, by pass and around the window.
        last_energy: Likewise, in MeV.
    """

    hits: Tensor
    energy: Tensor
    moments: Tensor
    features: Tensor
    last_hits: Tensor
    last_energy: Tensor

    def rest(self, hits: list[Tensor], energy: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Hits and energy in MeV that are left, both (n, 1), when some passes have got theirs."""
        left = [self.hits, self.energy]
        for share in zip(hits, energy, strict=True):
            left = [(value - part).clamp(min=0) for value, part in zip(left, share, strict=True)]
        return left[0], left[1]


@dataclass(frozen=True)
class Noise:
    """Random numbers of all layers.

    Attributes:
        inside: Uniform, logistic and normal numbers of the cells of the window, each (n, n_layers, n_inside). The
            logistic number is that at which the uniform one is the probability of a larger one.
        around: Likewise around it, (n, n_layers, n_around), and normal ones by rank, (n, n_layers, most_around + 1).
        shares: See `_shares.share_noise`, each (n, n_layers, n_passes, 1).
    """

    inside: tuple[Tensor, ...]
    around: tuple[Tensor, ...]
    shares: tuple[Tensor, ...]


def compress(energies: Tensor) -> Tensor:
    """Bring cell energies in MeV to the scale on which the networks see them, of the same shape."""
    return (energies / SCALE).log1p()


def describe(hits: Tensor, energy: Tensor) -> Tensor:
    """Encode hits and energies in MeV, both (n, 1), as network input (n, 3)."""
    log_hits, log_energy = (hits + 0.3).log(), (energy + 0.01).log()
    return torch.cat([log_hits / 2, log_energy / 3, (log_energy - log_hits) / 2], 1)
