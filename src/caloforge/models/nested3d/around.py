"""The hits around the window of a layer: few, in many cells, so that they are drawn hit by hit, not cell by cell.

Each hit is placed, relative to the window, by a mixture of transverse shapes whose weights depend on the layer, or
beside another hit (`clusters`). Two hits in one cell: the second goes elsewhere. Hits that touch others have more
energy. Shapes are round, or point in one of eight directions. A hit that would lie beyond the edge of the readout is
mirrored at the window to the other side, in the likelihood too if it stands on its own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.nested3d.clusters import Clusters
from caloforge.models.nested3d.surroundings import BLOCK, NEAREST, Shapes, Surroundings
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
MOST_TOUCHING = 5
"""Touching hits that count at most."""
LEAST_PROBABILITY = 1e-12


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
        n_layers: Number of layers.
        hidden: Width of the network that chooses shapes.
    """

    to_steps: Tensor
    signed: Tensor
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
        n_layers: int,
        hidden: int = 24,
    ) -> None:
        super().__init__()
        self.cells = surroundings
        self.threshold, self.most, self.pool = threshold, most, pool
        self.shapes = Shapes(surroundings, round_shapes, directional)
        self.n_blocks = -(-surroundings.n_cells // BLOCK)
        head = nn.Linear(hidden, self.shapes.number)
        self.mixing = nn.Sequential(nn.Linear(n_inputs, hidden), nn.SiLU(), head)
        self.clusters = Clusters(surroundings, n_inputs, n_layers)
        self.weights = nn.Linear(n_inputs, mixtures)
        self.weights_of_place = nn.Parameter(torch.zeros(surroundings.places.shape[1], mixtures))
        self.weights_beside = nn.Parameter(torch.zeros(MOST_TOUCHING + 1, mixtures))
        self.normals = nn.Parameter(first_normals(mixtures))
        for layer in (head, self.weights):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.register_buffer("to_steps", to_steps(mixtures), persistent=False)
        self.register_buffer("signed", signed_sum(mixtures), persistent=False)
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

        Args:
            inputs: (n_showers * n_layers, n_inputs).
            energies: (n_showers * n_layers, n_around).
            centre: Row and column of the middle of the window in the readout, (n, 2), where it moves.
            shift: (n,) of the nodes of quadratures, and of the order of hits.
            weights: (n,) of the layers; 1 if not given.

        Returns:
            Two scalars, weighted sums over the layers.
        """
        around = self.cells
        hit = energies > 0
        row, cell = hit.nonzero().unbind(1)
        images, of_image = around.images(cell, None if centre is None else centre[row])
        mixing, table = self.mixing(inputs).softmax(1)[row], self.shapes().T
        alone = sum(of_image[:, k] * (mixing * table[images[:, k]]).sum(1) for k in range(images.shape[1]))
        places = self.clusters.probability(inputs, hit, alone, shift)
        counts = torch.ones_like(inputs[:, 0]) if weights is None else weights
        of_places = (counts[row] * (places + LEAST_PROBABILITY).log()).sum()

        beside = around.beside[:, :NEAREST][cell]
        touched = hit[row[:, None], beside.clamp(min=0)] & (beside >= 0)
        weight = self._weights(inputs, row, cell, touched)
        mean, log_sigma = (values.expand(len(row), -1) for values in self.normals.unbind(0))
        value = log_excess(energies[hit], self.threshold)
        together = log_density_of_parts((weight, mean, log_sigma), value, row, len(hit), shift)
        of_each = ANCHOR * counts[row] * log_density(weight, mean, log_sigma, value)
        return of_places, (counts * together).sum() + of_each.sum()

    def _weights(self, inputs: Tensor, row: Tensor, cell: Tensor, touched: Tensor) -> Tensor:
        """Weights of the normals of hits that know which cells touching theirs (n_hits, `NEAREST`) are hit."""
        weight: Tensor = self.weights(inputs).index_select(0, row)
        weight = weight + (self.cells.places @ self.weights_of_place).index_select(0, cell)
        number = touched.long().sum(1).clamp(max=MOST_TOUCHING)
        return weight + self.weights_beside.index_select(0, number)

    def sample(
        self, inputs: Tensor, hits: Tensor, excess: Tensor, centre: Tensor | None, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Draw the hits of layers.

        Args:
            inputs: (n_showers * n_layers, n_inputs).
            hits: (n_showers, n_layers); those beyond `most` find no place.
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
        placed = hits.clamp(max=float(self.most))
        first, elsewhere = self.clusters.draw(inputs, placed, row, slot, cell, uniform[:, :2].flip(1))
        if centre is not None:
            middle = centre.index_select(0, row)
            first = around.mirrored(first, middle)
            mirrored = around.mirrored(elsewhere.clamp(min=0), middle)
            elsewhere = torch.where(elsewhere >= 0, mirrored, elsewhere)

        # of hits in one cell the first of its layer stays; small numbers, for the table is large
        small = torch.uint8 if self.most < 255 else torch.int32
        order, base = (self.most - slot).to(small), row * around.n_cells
        taken = torch.zeros(n * around.n_cells, dtype=small, device=device)
        taken = taken.scatter_reduce(0, base + first, order, "amax")
        stays = taken.index_select(0, base + first) == order
        free = taken.index_select(0, base + elsewhere.clamp(min=0)) == 0
        goes = ~stays & (elsewhere >= 0) & free
        cell = torch.where(goes, elsewhere, first)
        alive = (stays | goes).to(inputs.dtype)
        if centre is not None:
            alive = alive * around.inside(cell, middle).to(inputs.dtype)
        taken = taken.scatter_reduce(0, base + cell, goes.to(small), "amax")

        touching = around.beside[:, :NEAREST].index_select(0, cell)
        at = base[:, None] + touching.clamp(min=0)
        touched = (taken.index_select(0, at.flatten()).reshape(at.shape) > 0) & (touching >= 0)
        weight = self._weights(inputs, row, cell, touched)
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
