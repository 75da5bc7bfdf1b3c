"""The hits around the window of a layer: few, in many cells, so that they are drawn hit by hit, not cell by cell.

Each hit is placed, relative to the window, by a mixture of transverse shapes whose weights depend on the layer, or,
since a particle that crosses a layer at an angle leaves energy in several cells, beside another hit. Two hits in one
cell: one of them goes elsewhere. Hits beside others have more energy. Shapes are round, or point in one of eight
directions. A hit that would lie beyond the edge of the readout is mirrored at the window to the other side, in the
likelihood too. Shapes are fitted so that all hits together are right; how hits cluster, to the product of the
probabilities of each given the others (the pseudo-likelihood of Besag, J. R. Stat. Soc. B 36 (1974) 192).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.nested3d.surroundings import (
    BLOCK,
    NEAREST,
    STEPS,
    Shapes,
    Surroundings,
)
from caloforge.models.parts.given_totals import log_density_of_parts
from caloforge.models.parts.hit_energies import (
    ANCHOR,
    choose_normal,
    draw_excess,
    first_normals,
    log_excess,
)
from caloforge.models.parts.mixtures import log_density, running_sum, signed_sum, to_steps

NOISE_PER_HIT = 5
CHAIN = 4
"""Hits that can stand beside one another: each but the first of so many may be put beside the one before it."""


class Around(nn.Module):
    """The model of hits around the window. Energies are in units of a typical hit.

    Args:
        surroundings: The cells around the window.
        n_inputs: Numbers that are known about a layer.
        most: Hits around the window that a layer can have at most.
        pool: Hits of a shower for which there are random numbers.
        round_shapes: Number of round transverse shapes.
        directional: Number of shapes that point somewhere.
        mixtures: Normals in the energy of a hit.
        threshold: Of the detector, in units of a typical hit.
        hidden: Width of the network that chooses shapes.
    """

    to_steps: Tensor
    signed: Tensor
    sum_kernel: Tensor
    sum_shapes: Tensor
    sum_cells: Tensor
    sum_blocks: Tensor

    def __init__(
        self,
        surroundings: Surroundings,
        n_inputs: int,
        *,
        most: int,
        pool: int,
        round_shapes: int,
        directional: int,
        mixtures: int,
        threshold: float,
        hidden: int = 24,
    ) -> None:
        super().__init__()
        self.cells = surroundings
        self.threshold, self.most, self.pool = threshold, most, pool
        self.shapes = Shapes(surroundings, round_shapes, directional)
        self.n_blocks = -(-surroundings.n_cells // BLOCK)
        head = nn.Linear(hidden, self.shapes.number)
        self.mixing = nn.Sequential(nn.Linear(n_inputs, hidden), nn.SiLU(), head)
        distance = torch.tensor([max(abs(dy), abs(dx)) for dy, dx in STEPS])
        self.beside_logits = nn.Parameter(-2.0 * (distance - 1))
        self.part_beside = nn.Linear(n_inputs, 1)
        self.weights = nn.Linear(n_inputs, mixtures)
        self.weights_of_place = nn.Parameter(torch.zeros(surroundings.places.shape[1], mixtures))
        self.weights_beside = nn.Parameter(torch.zeros(mixtures))
        self.normals = nn.Parameter(first_normals(mixtures))
        for layer in (head, self.part_beside, self.weights):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.part_beside.bias, -1.5)
        self.register_buffer("to_steps", to_steps(mixtures), persistent=False)
        self.register_buffer("signed", signed_sum(mixtures), persistent=False)
        self.register_buffer("sum_kernel", running_sum(len(STEPS)), persistent=False)
        self.register_buffer("sum_shapes", running_sum(self.shapes.number), persistent=False)
        self.register_buffer("sum_cells", running_sum(BLOCK), persistent=False)
        self.register_buffer("sum_blocks", running_sum(self.n_blocks), persistent=False)

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that a shower takes."""
        return self.pool * NOISE_PER_HIT

    def likelihood(
        self,
        inputs: Tensor,
        energies: Tensor,
        centre: Tensor | None,
        shift: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Logarithm of the probability of places, and of the density of energies, of the hits of layers.

        The places count twice: by how likely each is at all, and by how likely it is given the other hits.

        Args:
            inputs: (n, n_inputs).
            energies: (n, n_around).
            centre: Row and column of the middle of the window in the readout, (n, 2), where it moves.
            shift: (n,) of the nodes of quadratures.
            weights: (n,) of the layers; 1 if not given.

        Returns:
            Two scalars, weighted sums over the layers.
        """
        around = self.cells
        hit = energies > 0
        row, cell = hit.nonzero().unbind(1)
        number = hit.sum(1).to(inputs.dtype)[row]
        kernel = self.beside_logits.softmax(0)
        # a hit may stand beside another one, or have been sent to a cell that is not around the window
        origin = around.beside[:, around.opposite][cell]
        is_there = (hit[row[:, None], origin.clamp(min=0)] & (origin >= 0)).to(inputs.dtype)
        near = is_there @ kernel
        lost = (around.beside < 0).to(inputs.dtype) @ kernel
        others_lost = (hit.to(inputs.dtype) @ lost)[row] - lost[cell]
        part = torch.sigmoid(self.part_beside(inputs))[row, 0] * (number > 1)
        anywhere = self._anywhere(inputs, row, cell, number, kernel.detach(), lost.detach(), centre)
        alone = anywhere.detach()
        others = (near + others_lost * alone) / (number - 1).clamp(min=1)
        given_others = (1 - part) * alone + part * others
        counts = torch.ones_like(inputs[:, 0]) if weights is None else weights
        of_places = (counts[row] * ((anywhere + 1e-12).log() + (given_others + 1e-12).log())).sum()

        touching = is_there[:, :NEAREST].sum(1, keepdim=True)
        weight = self.weights(inputs)[row] + (around.places @ self.weights_of_place)[cell]
        weight = weight + touching.clamp(max=4.0) * self.weights_beside
        mean, log_sigma = (values.expand(len(row), -1) for values in self.normals.unbind(0))
        value = log_excess(energies[hit], self.threshold)
        together = log_density_of_parts((weight, mean, log_sigma), value, row, len(hit), shift)
        of_each = ANCHOR * counts[row] * log_density(weight, mean, log_sigma, value)
        return of_places, (counts * together).sum() + of_each.sum()

    def _anywhere(
        self,
        inputs: Tensor,
        row: Tensor,
        cell: Tensor,
        number: Tensor,
        kernel: Tensor,
        lost: Tensor,
        centre: Tensor | None,
    ) -> Tensor:
        """Probability that a hit is drawn in its cell, whatever the others: on its own, or beside others, (n_hits,)."""
        around = self.cells
        shapes = [self.shapes()]
        for _ in range(CHAIN - 1):
            last = shapes[-1]
            shapes.append(around.beside_of(last, kernel) + (last @ lost)[:, None] * shapes[0])
        # how many of the hits are the first of a chain, the second, ...; and how many others each stands behind
        after = chained(torch.sigmoid(self.part_beside(inputs).detach()))[row, 0]
        place = torch.arange(CHAIN, device=number.device)
        counts = ((number[:, None] + CHAIN - 1 - place) / CHAIN).floor() / number[:, None]
        behind = []
        for depth in range(CHAIN):
            stops = [
                (1 - after) if depth < position else torch.ones_like(after)
                for position in range(depth, CHAIN)
            ]
            behind.append(sum(counts[:, depth + k] * after**depth * stop for k, stop in enumerate(stops)))
        mixing = self.mixing(inputs).softmax(1)[row]
        images, weights = around.images(cell, None if centre is None else centre[row])
        probability = torch.zeros_like(number)
        for depth, shape in enumerate(shapes):
            table = shape.T
            of_cell = sum(
                weights[:, k] * (mixing * table[images[:, k]]).sum(1) for k in range(images.shape[1])
            )
            probability = probability + behind[depth] * of_cell
        return probability

    def sample(
        self, inputs: Tensor, hits: Tensor, excess: Tensor, centre: Tensor | None, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the hits of layers.

        Args:
            inputs: (n_showers * n_layers, n_inputs).
            hits: (n_showers, n_layers), at most `most`.
            excess: (n_showers, n_layers) energy above hits * threshold.
            centre: As in `likelihood`.
            noise: (n_showers, noise_size), standard normal.

        Returns:
            Row of `inputs` and cell around the window of each hit, whole numbers, and its energy, all (n_hits,): 0 for
            a hit that found no place; and how many such each layer has, (n_showers, n_layers).
        """
        around, n = self.cells, inputs.shape[0]
        device = inputs.device
        slots = torch.arange(self.most, device=device)
        row, slot = (slots < hits.reshape(-1, 1)).nonzero().unbind(1)
        own = self._numbers(hits, row, slot, noise)
        uniform = (0.5 + 0.5 * torch.erf(own[:, :4] / math.sqrt(2))).clamp(1e-7, 1 - 1e-7)
        cell = self._places(
            self.mixing(inputs).softmax(1).index_select(0, row), uniform[:, :1], uniform[:, 3:]
        )
        part = torch.sigmoid(self.part_beside(inputs))[:, 0].index_select(0, row)
        first, elsewhere = self._beside(cell, slot, part, uniform[:, 1])
        if centre is not None:
            middle = centre.index_select(0, row)
            first = around.mirrored(first, middle)
            mirrored = around.mirrored(elsewhere.clamp(min=0), middle)
            elsewhere = torch.where(elsewhere >= 0, mirrored, elsewhere)

        # of hits in one cell the last of its layer stays; small numbers, for the table is large
        small = torch.uint8 if self.most < 255 else torch.int32
        order, base = (slot + 1).to(small), row * around.n_cells
        taken = torch.zeros(n * around.n_cells, dtype=small, device=device)
        taken = taken.scatter_reduce(0, base + first, order, "amax")
        stays = taken.index_select(0, base + first) == order
        free = taken.index_select(0, base + elsewhere.clamp(min=0)) == 0
        goes = ~stays & (elsewhere >= 0) & free
        cell = torch.where(goes, elsewhere, first)
        alive = (stays | goes).to(inputs.dtype)
        if centre is not None:
            alive = alive * around.inside(cell, middle).to(inputs.dtype)

        weight = self.weights(inputs).index_select(0, row)
        weight = weight + (around.places @ self.weights_of_place).index_select(0, cell)
        touching = around.beside[:, :NEAREST].index_select(0, cell)
        at = base[:, None] + touching.clamp(min=0)
        touched = (taken.index_select(0, at.flatten()).reshape(at.shape) > 0).to(inputs.dtype)
        number = (touched * (touching >= 0).to(inputs.dtype)).sum(1, keepdim=True)
        weight = weight + number.clamp(max=4.0) * self.weights_beside
        n_normals = self.normals.shape[1]
        steps = self.normals.flatten() @ self.to_steps[n_normals:, n_normals:].T
        mean, log_sigma = choose_normal(
            steps.unflatten(0, (2, n_normals)), weight, -uniform[:, 2], self.signed
        )
        own_excess = alive * draw_excess(mean, log_sigma, own[:, 4])
        sums, living = (inputs.new_zeros(n).scatter_add(0, row, values) for values in (own_excess, alive))
        factor = (excess.flatten() / sums.clamp(min=1e-4)).index_select(0, row)
        energy = alive * self.threshold + own_excess * factor
        lost = hits - living.reshape(hits.shape)
        return row, cell, energy, lost

    def _numbers(self, hits: Tensor, row: Tensor, slot: Tensor, noise: Tensor) -> Tensor:
        """Random numbers of each hit, (n_hits, `NOISE_PER_HIT`); beyond the pool of a shower they are used again."""
        n_showers, n_layers = hits.shape
        device = hits.device
        before = hits @ torch.triu(torch.ones(n_layers, n_layers, device=device), 1)
        number = before.flatten().index_select(0, row).long() + slot
        begin = (self.pool * torch.arange(n_showers, device=device)[:, None]).expand(-1, n_layers).flatten()
        number = number % self.pool + begin.index_select(0, row)
        return noise.reshape(-1, NOISE_PER_HIT).index_select(0, number)

    def _beside(self, cell: Tensor, slot: Tensor, part: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Put some hits beside the hit before them in their layer.

        Args:
            cell: (n_hits,) where each would stand on its own.
            slot: (n_hits,) its number in its layer.
            part: (n_hits,) part of the hits that have another one beside them.
            uniform: (n_hits,) from 0 to 1.

        Returns:
            Where each hit stands, and where it goes if the cell is taken (-1: nowhere), both (n_hits,).
        """
        part = chained(part)
        wants = uniform < part
        left = torch.where(wants, uniform / part, (uniform - part) / (1 - part))
        step = (left[:, None] > (self.beside_logits.softmax(0) @ self.sum_kernel)[:-1]).long().sum(1)
        beside = self.cells.beside.flatten()
        link = slot % CHAIN
        previous = (torch.arange(cell.shape[0], device=cell.device) - 1).clamp(min=0)
        first = cell
        for number in range(1, CHAIN):
            next_to = beside.index_select(0, first.index_select(0, previous) * len(STEPS) + step)
            first = torch.where(wants & (link == number) & (next_to >= 0), next_to, first)
        own = beside.index_select(0, cell * len(STEPS) + step)
        return first, torch.where(first != cell, cell, own)

    def _places(self, mixing: Tensor, for_shape: Tensor, uniform: Tensor) -> Tensor:
        """Draw cells by the inverse of running sums: the shape, then the block, then the cell, (n_hits,).

        The cell has a number of its own: what one number leaves after the choice of a shape has lost so many digits
        that rounding would move hits.
        """
        reached = mixing @ self.sum_shapes
        shape = (for_shape > reached[:, :-1]).long().sum(1)
        n_cells = self.cells.n_cells
        table = functional.pad(self.shapes(), (0, self.n_blocks * BLOCK - n_cells))
        table = table.unflatten(1, (self.n_blocks, BLOCK))
        in_blocks = table.sum(2)
        up_to = in_blocks @ self.sum_blocks
        block = (uniform > up_to.index_select(0, shape)[:, :-1]).long().sum(1)
        which = shape * self.n_blocks + block
        start = (up_to - in_blocks).flatten().index_select(0, which)[:, None]
        ends = (table @ self.sum_cells).flatten(0, 1).index_select(0, which)
        cell: Tensor = block * BLOCK + (uniform - start > ends[:, :-1]).long().sum(1)
        return cell.clamp(max=n_cells - 1)


def chained(part: Tensor) -> Tensor:
    """Probability that a hit of a chain of `CHAIN` is put beside the one before it, of the shape of the input.

    Args:
        part: Part of the hits that then have another one beside them.
    """
    return 0.5 * (3 - (9 - 8 * part).sqrt())
