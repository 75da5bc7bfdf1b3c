"""The hits around the window of a layer: few, in many cells, so that they are drawn hit by hit, not cell by cell.

Each hit is placed by a mixture of fixed transverse shapes whose weights depend on the layer, or, since a particle
that crosses a layer at an angle leaves energy in several cells, beside another hit. Two hits in one cell: one of them
goes elsewhere. Hits beside others have more energy. Shapes are fitted so that all hits together are right; how hits
cluster, to the product of the probabilities of each given the others (the pseudo-likelihood of Besag, J. R. Stat. Soc.
B 36 (1974) 192).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._given_totals import log_density_of_parts
from caloforge.models._hit_energies import (
    ANCHOR,
    choose_normal_by,
    draw_excess,
    first_normals,
    log_excess,
    signed_sum,
    to_steps,
)
from caloforge.models._mixtures import log_density, running_sum
from caloforge.models._sublattices import Sublattices

NOISE_PER_HIT = 4
POOL = 24
"""Hits around the window for which a shower has random numbers, per layer on average; beyond, they are used again."""
CHAIN = 4
"""Hits that can stand beside one another: each but the first of so many may be put beside the one before it."""
BLOCK = 24
"""Cells are looked for among the blocks of so many first."""
STEPS = tuple(
    sorted(
        ((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)),
        key=lambda step: (max(abs(step[0]), abs(step[1])), abs(step[0]) + abs(step[1]), step),
    )
)
"""From a hit to the cells beside it, the nearest first: rows, columns."""
NEAREST = 8
"""So many of them touch it."""


class Around(nn.Module):
    """The model of hits around the window.

    Args:
        lattice: How layers are split.
        places: (n_cells, n_places) features of the places of the cells of a layer, the second one log(r + 0.3).
        n_told: Numbers that it is told about a layer.
        most: Hits around the window that a layer can have at most.
        shapes: Number of transverse shapes.
        mixtures: Normals in the energy of a hit.
        threshold: Of the detector, in MeV.
    """

    cells: Tensor
    beside: Tensor
    places: Tensor
    to_steps: Tensor
    signed: Tensor
    sum_kernel: Tensor
    sum_shapes: Tensor
    sum_cells: Tensor
    sum_blocks: Tensor

    def __init__(
        self,
        lattice: Sublattices,
        places: Tensor,
        n_told: int,
        most: int,
        shapes: int,
        mixtures: int,
        threshold: float,
    ) -> None:
        super().__init__()
        self.n_cells, self.threshold, self.most = len(lattice.around), threshold, most
        n_layer = lattice.n_rows * lattice.n_columns
        self.n_blocks = -(-self.n_cells // BLOCK)
        around = torch.tensor(lattice.around)
        radius = places[around, 1].exp()
        slopes = torch.linspace(math.log(0.15), math.log(1.0), shapes).exp()
        self.shape_logits = nn.Parameter(-slopes[:, None] * radius)
        self.mixing = nn.Linear(n_told, shapes)
        distance = torch.tensor([max(abs(dy), abs(dx)) for dy, dx in STEPS])
        self.beside_logits = nn.Parameter(-2.0 * (distance - 1))
        self.part_beside = nn.Linear(n_told, 1)
        self.weights = nn.Linear(n_told, mixtures)
        self.weights_of_place = nn.Parameter(torch.zeros(places.shape[1], mixtures))
        self.weights_beside = nn.Parameter(torch.zeros(mixtures))
        self.normals = nn.Parameter(first_normals(mixtures))
        for layer in (self.mixing, self.part_beside, self.weights):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.part_beside.bias, -1.5)

        table = torch.full((n_layer,), -1)
        table[around] = torch.arange(self.n_cells)
        rows, columns = around // lattice.n_columns, around % lattice.n_columns
        beside = []
        for dy, dx in STEPS:
            y, x = rows + dy, columns + dx
            there = (y >= 0) & (y < lattice.n_rows) & (x >= 0) & (x < lattice.n_columns)
            beside.append(torch.where(there, table[(y * lattice.n_columns + x) * there], -1))
        self.register_buffer("cells", around, persistent=False)
        self.register_buffer("beside", torch.stack(beside, 1), persistent=False)
        self.register_buffer("places", places[around], persistent=False)
        self.register_buffer("to_steps", to_steps(mixtures), persistent=False)
        self.register_buffer("signed", signed_sum(running_sum(mixtures)), persistent=False)
        self.register_buffer("sum_kernel", running_sum(len(STEPS)), persistent=False)
        self.register_buffer("sum_shapes", running_sum(shapes), persistent=False)
        self.register_buffer("sum_cells", running_sum(BLOCK), persistent=False)
        self.register_buffer("sum_blocks", running_sum(self.n_blocks), persistent=False)

    def likelihood(
        self, told: Tensor, energies: Tensor, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logarithm of the probability of places, and of the density of energies, of the hits of layers.

        The places count twice: by how likely each is at all, and by how likely it is given the other hits.

        Args:
            told: (n, n_told).
            energies: (n, n_around) in MeV.
            random: Source of the shifts of quadratures.

        Returns:
            Two scalars, sums over the layers.
        """
        hit = energies > 0
        row, cell = hit.nonzero().unbind(1)
        number = hit.sum(1).to(told.dtype)[row]
        kernel = self.beside_logits.softmax(0)
        # a hit may stand beside another one, or have been sent to a cell that is not around the window
        opposite = [STEPS.index((-dy, -dx)) for dy, dx in STEPS]
        origin = self.beside[:, opposite][cell]
        is_there = (hit[row[:, None], origin.clamp(min=0)] & (origin >= 0)).to(told.dtype)
        near = is_there @ kernel
        lost = (self.beside < 0).to(told.dtype) @ kernel
        others_lost = (hit.to(told.dtype) @ lost)[row] - lost[cell]
        part = torch.sigmoid(self.part_beside(told))[row, 0] * (number > 1)
        anywhere = self._anywhere(told, row, cell, number, kernel.detach(), lost.detach())
        alone = anywhere.detach()
        others = (near + others_lost * alone) / (number - 1).clamp(min=1)
        given_others = (1 - part) * alone + part * others
        of_places = (anywhere + 1e-12).log().sum() + (given_others + 1e-12).log().sum()

        touching = is_there[:, :NEAREST].sum(1, keepdim=True)
        weight = self.weights(told)[row] + (self.places @ self.weights_of_place)[cell]
        weight = weight + touching.clamp(max=4.0) * self.weights_beside
        mean, log_sigma = (values.expand(len(row), -1) for values in self.normals.unbind(0))
        value = log_excess(energies[hit], self.threshold)
        together = log_density_of_parts((weight, mean, log_sigma), value, row, len(hit), random).sum()
        return of_places, together + ANCHOR * log_density(weight, mean, log_sigma, value).sum()

    def _anywhere(
        self, told: Tensor, row: Tensor, cell: Tensor, number: Tensor, kernel: Tensor, lost: Tensor
    ) -> Tensor:
        """Probability that a hit is drawn in its cell, whatever the others: on its own, or beside others, (n_hits,)."""
        there = self.beside >= 0
        origin, which = there.nonzero().unbind(1)
        moves = kernel.new_zeros(self.n_cells, self.n_cells)
        moves = moves.index_put((origin, self.beside[there]), kernel[which], accumulate=True)
        shapes = [self.shape_logits.softmax(1)]
        for _ in range(CHAIN - 1):
            last = shapes[-1]
            shapes.append(last @ moves + (last @ lost)[:, None] * shapes[0])
        # how many of the hits are the first of a chain, the second, ...; and how many others each stands behind
        after = chained(torch.sigmoid(self.part_beside(told).detach()))[row, 0]
        place = torch.arange(CHAIN, device=number.device)
        counts = ((number[:, None] + CHAIN - 1 - place) / CHAIN).floor() / number[:, None]
        behind = torch.zeros_like(counts)
        for position in range(CHAIN):
            for depth in range(position + 1):
                stops = (1 - after) if depth < position else 1.0
                behind[:, depth] += counts[:, position] * after**depth * stops
        mixing = self.mixing(told).softmax(1)[row]
        of_depth = torch.stack([(mixing * shape.T[cell]).sum(1) for shape in shapes], 1)
        probability: Tensor = (behind * of_depth).sum(1)
        return probability

    def sample(
        self, told: Tensor, hits: Tensor, spare: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the hits of layers.

        Args:
            told: (n_showers * n_layers, n_told).
            hits: (n_showers, n_layers), at most `most`.
            spare: (n_showers, n_layers) energy in MeV above hits * threshold.
            noise: (n_showers, n_layers * POOL * NOISE_PER_HIT), standard normal.

        Returns:
            Row and cell of the layer of each hit, whole numbers, and its energy in MeV, all (n_hits,): 0 for a hit that
            found no place; and how many such each layer has, (n_showers, n_layers).
        """
        n, (n_showers, n_layers) = told.shape[0], hits.shape
        pool = n_layers * POOL
        device = told.device
        slots = torch.arange(self.most, device=device)
        row, slot = (slots < hits.reshape(-1, 1)).nonzero().unbind(1)
        # hits of the layers before, and where the numbers of the shower begin
        before = hits @ torch.triu(torch.ones(n_layers, n_layers, device=device), 1)
        number = before.flatten().index_select(0, row).long() + slot
        begin = (pool * torch.arange(n_showers, device=device)[:, None]).expand(-1, n_layers).flatten()
        number = number % pool + begin.index_select(0, row)
        own = noise.reshape(-1, NOISE_PER_HIT).index_select(0, number)
        uniform = (0.5 + 0.5 * torch.erf(own[:, :3] / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        cell = self._places(self.mixing(told).softmax(1).index_select(0, row), uniform[:, :1])
        part = torch.sigmoid(self.part_beside(told))[:, 0].index_select(0, row)
        first, elsewhere = self._beside(cell, slot, part, uniform[:, 1])

        order = torch.arange(1, row.shape[0] + 1, device=device).to(told.dtype)
        base = row * self.n_cells
        taken = told.new_zeros(n * self.n_cells).scatter_reduce(0, base + first, order, "amax")
        stays = taken.index_select(0, base + first) == order
        free = taken.index_select(0, base + elsewhere.clamp(min=0)) == 0
        goes = ~stays & (elsewhere >= 0) & free
        cell = torch.where(goes, elsewhere, first)
        alive = (stays | goes).to(told.dtype)

        weight = self.weights(told).index_select(0, row)
        weight = weight + (self.places @ self.weights_of_place).index_select(0, cell)
        touching = self.beside[:, :NEAREST].index_select(0, cell)
        at = base[:, None] + touching.clamp(min=0)
        touched = taken.index_select(0, at.flatten()).reshape(at.shape).clamp(max=1.0)
        number = (touched * (touching >= 0).to(told.dtype)).sum(1, keepdim=True)
        weight = weight + number.clamp(max=4.0) * self.weights_beside
        n_normals = self.normals.shape[1]
        steps = (self.normals.flatten() @ self.to_steps[n_normals:, n_normals:].T).unflatten(
            0, (2, n_normals)
        )
        mean, log_sigma = choose_normal_by(steps, weight, -uniform[:, 2], self.signed)
        excess = alive * draw_excess(mean, log_sigma, own[:, 3])
        sums, living = (told.new_zeros(n).scatter_add(0, row, values) for values in (excess, alive))
        factor = (spare.flatten() / sums.clamp(min=1e-5)).index_select(0, row)
        energy = alive * self.threshold + excess * factor
        lost = hits - living.reshape(n_showers, n_layers)
        return row, self.cells.index_select(0, cell), energy, lost

    def _beside(self, cell: Tensor, slot: Tensor, part: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Put some hits beside the hit before them in their layer.

        Args:
            cell: (n_hits,) where each would stand on its own.
            slot: (n_hits,) its number in its layer.
            part: (n_hits,) what the likelihood calls the part of hits that have another one beside them.
            uniform: (n_hits,) from 0 to 1.

        Returns:
            Where each hit stands, and where it goes if the cell is taken (-1: nowhere), both (n_hits,).
        """
        part = chained(part)
        wants = uniform < part
        left = torch.where(wants, uniform / part, (uniform - part) / (1 - part))
        step = (left[:, None] > (self.beside_logits.softmax(0) @ self.sum_kernel)[:-1]).long().sum(1)
        beside = self.beside.flatten()
        link = slot % CHAIN
        previous = (torch.arange(cell.shape[0], device=cell.device) - 1).clamp(min=0)
        first = cell
        for number in range(1, CHAIN):
            next_to = beside.index_select(0, first.index_select(0, previous) * len(STEPS) + step)
            first = torch.where(wants & (link == number) & (next_to >= 0), next_to, first)
        own = beside.index_select(0, cell * len(STEPS) + step)
        return first, torch.where(first != cell, cell, own)

    def _places(self, mixing: Tensor, uniform: Tensor) -> Tensor:
        """Draw cells by the inverse of running sums: the shape, then the block, then the cell, (n_hits,)."""
        reached = mixing @ self.sum_shapes
        shape = (uniform > reached[:, :-1]).long().sum(1)
        chosen = mixing.gather(1, shape[:, None])
        uniform = (uniform - reached.gather(1, shape[:, None]) + chosen) / chosen.clamp(min=1e-9)
        table = functional.pad(self.shape_logits.softmax(1), (0, self.n_blocks * BLOCK - self.n_cells))
        table = table.unflatten(1, (self.n_blocks, BLOCK))
        in_blocks = table.sum(2)
        up_to = in_blocks @ self.sum_blocks
        block = (uniform > up_to.index_select(0, shape)[:, :-1]).long().sum(1)
        which = shape * self.n_blocks + block
        start = (up_to - in_blocks).flatten().index_select(0, which)[:, None]
        ends = (table @ self.sum_cells).flatten(0, 1).index_select(0, which)
        cell: Tensor = block * BLOCK + (uniform - start > ends[:, :-1]).long().sum(1)
        return cell.clamp(max=self.n_cells - 1)


def chained(part: Tensor) -> Tensor:
    """Probability that a hit of a chain of `CHAIN` is put beside the one before it, of the shape of the input.

    Args:
        part: Part of the hits that then have another one beside them.
    """
    return 0.5 * (3 - (9 - 8 * part).sqrt())
