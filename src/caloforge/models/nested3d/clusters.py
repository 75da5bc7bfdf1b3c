"""How the hits around windows cluster: beside other hits of their layer, and of neighbouring layers.

A particle that crosses a layer at an angle leaves energy in several cells, and goes on into the next layer. So the hits
of a layer, in an order that means nothing, stand one by one either where a shape puts them, or beside one of the hits
before them; and in every second layer, also beside one of the hits of the layers before and after. One whose cell is
taken goes where a shape puts it, one on its own beside the hit that is there; if that is taken too, nowhere. The
likelihood is that of one random order, which is a bound on that of all (Uria, Murray and Larochelle, arXiv:1310.1757),
and for hits that are mirrored at the window, that of those on their own.

Cells of neighbouring layers are compared relative to their windows, which follow the axis.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from caloforge.models.nested3d.surroundings import STEPS, Surroundings
from caloforge.models.parts.mixtures import running_sum

DEPTH = 4
"""Hits that can stand beside one another in a row: generations after the first hit of a cluster."""
NOT_HIT = 2**30
"""Place in the order of a cell that is not hit: after all hits."""


class Clusters(nn.Module):
    """Probabilities of the places of hits, given others.

    Args:
        surroundings: The cells around the window.
        n_inputs: Numbers that are known about a layer.
        n_layers: Number of layers.
    """

    odd: Tensor
    moved: Tensor
    running_beside: Tensor
    running_across: Tensor

    def __init__(self, surroundings: Surroundings, n_inputs: int, n_layers: int) -> None:
        super().__init__()
        self.cells, self.n_layers = surroundings, n_layers
        distance = torch.tensor([max(abs(dy), abs(dx)) for dy, dx in STEPS])
        self.beside_logits = nn.Parameter(-2.0 * (distance - 1))
        self.across_logits = nn.Parameter(torch.cat([torch.zeros(1), -2.0 * distance]))
        self.part_beside, self.part_across = nn.Linear(n_inputs, 1), nn.Linear(n_inputs, 1)
        self.onset = nn.Parameter(torch.zeros(()))
        for layer, bias in ((self.part_beside, -1.0), (self.part_across, -3.0)):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.constant_(layer.bias, bias)
        everywhere = torch.arange(surroundings.n_cells)[:, None]
        constants = {
            "odd": torch.arange(n_layers) % 2,
            "moved": torch.cat([everywhere, surroundings.beside], 1),
            "running_beside": running_sum(len(STEPS)),
            "running_across": running_sum(len(STEPS) + 1),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def _parts(
        self, inputs: Tensor, row: Tensor, before: Tensor, number: Tensor, near: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Probabilities that a hit stands beside one of a neighbouring layer, and else beside one of its own.

        Args:
            inputs: (n, n_inputs) of layers.
            row: (n_hits,) the layer of each hit among them.
            before: (n_hits,) hits of the layer that come before it.
            number: (n,) hits of layers.
            near: (n,) hits of the layers before and after, where it may stand beside those.

        Returns:
            Both (n_hits,).
        """
        across = torch.sigmoid(self.part_across(inputs))[:, 0] * (near > 0).to(inputs.dtype)
        beside = torch.sigmoid(self.part_beside(inputs))[:, 0].index_select(0, row)
        done = before / number.index_select(0, row)
        soft = self.onset.exp()
        return across.index_select(0, row), beside * done * (1 + soft) / (done + soft)

    def probability(self, inputs: Tensor, hit: Tensor, alone: Tensor, shift: Tensor | None = None) -> Tensor:
        """Probability that each hit stands in its cell, given those that come before it, (n_hits,).

        Args:
            inputs: (n_showers * n_layers, n_inputs).
            hit: (n_showers * n_layers, n_around), true for hits.
            alone: (n_hits,) probability that a shape puts it there.
            shift: (n_showers * n_layers,): chooses the order.
        """
        row, cell = hit.nonzero().unbind(1)
        number = hit.sum(1)
        order, before = order_of_hits(number, row, cell, shift)
        origin = self.cells.beside[:, self.cells.opposite][cell]
        table = torch.full(hit.shape, NOT_HIT, device=hit.device)
        table[row, cell] = before
        earlier = (table[row[:, None], origin.clamp(min=0)] < before[:, None]) & (origin >= 0)
        kernel = self.beside_logits.softmax(0)
        # of two hits beside one another, each blocks the other's cell
        both = kernel + kernel[self.cells.opposite]
        earlier = earlier.to(inputs.dtype)
        lost = ((self.cells.beside < 0).to(inputs.dtype) @ kernel)[cell] + earlier @ both
        of_beside = earlier @ kernel + _sum_before(lost, order, row, number) * alone
        of_beside = of_beside / before.clamp(min=1)
        from_cells, from_edge, near = self._of_across(hit, row, torch.cat([cell[:, None], origin], 1))
        blocked = _sum_before(from_cells, order, row, number)
        of_across = (from_cells + (from_edge + blocked) * alone) / near[row].clamp(min=1)
        across, beside = self._parts(inputs, row, before, number, near)
        shapes = alone.new_zeros(hit.shape).index_put((row, cell), alone)
        beside_first = earlier * shapes[row[:, None], origin.clamp(min=0)]
        of_shapes = alone + beside_first @ kernel
        return across * of_across + (1 - across) * (beside * of_beside + (1 - beside) * of_shapes)

    def _of_across(self, hit: Tensor, row: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ways from the hits of the layers before and after into the cell of each hit.

        Args:
            hit: (n, n_around).
            row: (n_hits,) the layer of each hit.
            origin: (n_hits, 1 + n_steps) cells from which steps of `across_logits` lead to it; -1 if there is none.

        Returns:
            Sums over the hits of the layers before and after of the probabilities that a step leads to the cell, and
            beyond all cells, both (n_hits,); and the number of those hits, (n,), 0 for layers that do not look at them.
        """
        n, device = len(hit), hit.device
        kernel = self.across_logits.softmax(0)
        lost = (self.moved < 0).to(kernel.dtype) @ kernel
        losing = kernel.new_zeros(n).index_add(0, row, lost[origin[:, 0]])
        number = hit.sum(1)
        layer = torch.arange(n, device=device) % self.n_layers
        to_cell, beyond = kernel.new_zeros(len(row)), kernel.new_zeros(len(row))
        near = torch.zeros_like(number)
        for step, exists in ((-1, layer > 0), (1, layer < self.n_layers - 1)):
            neighbour = ((torch.arange(n, device=device) + step) * exists)[row]
            there = hit[neighbour[:, None], origin.clamp(min=0)] & (origin >= 0) & exists[row, None]
            to_cell = to_cell + there.to(kernel.dtype) @ kernel
            beyond = beyond + exists[row] * losing[neighbour]
            near = near + exists * number.roll(-step)
        return to_cell, beyond, near * (layer % 2)

    def draw(
        self, inputs: Tensor, hits: Tensor, row: Tensor, slot: Tensor, cell: Tensor, uniform: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Put some hits beside others.

        Args:
            inputs: (n_showers * n_layers, n_inputs).
            hits: (n_showers, n_layers) hits of layers.
            row: (n_hits,) the layer of each hit.
            slot: (n_hits,) its number in its layer.
            cell: (n_hits,) where each would stand on its own.
            uniform: (n_hits, 2) from 0 to 1; the second chooses among hits before it, in an order that means nothing,
                and may have chosen the shape of the hit on its own.

        Returns:
            Where each hit stands, and where it goes if the cell is taken (-1: nowhere), both (n_hits,).
        """
        number = hits.flatten()
        start = number.long().cumsum(0) - number.long()
        # of every second layer, what is before and after it; no layer of another shower
        odd = self.odd.to(hits.dtype)
        previous = (nn.functional.pad(hits, (1, 0))[:, :-1] * odd).flatten()
        following = (nn.functional.pad(hits, (0, 1))[:, 1:] * odd).flatten()
        near = previous + following
        across, beside = self._parts(inputs, row, slot, number, near)
        for_step, for_parent = uniform.unbind(1)
        goes_across = for_step < across
        rest = (for_step - across) / (1 - across)
        goes_beside = ~goes_across & (rest < beside)
        left = torch.where(goes_beside, rest / beside.clamp(min=1e-9), (rest - beside) / (1 - beside))
        sums = self.beside_logits.softmax(0) @ self.running_beside
        step = 1 + (left[:, None] > sums[:-1]).long().sum(1)
        left = for_step / across.clamp(min=1e-9)
        sums = self.across_logits.softmax(0) @ self.running_across
        step = torch.where(goes_across, (left[:, None] > sums[:-1]).long().sum(1), step)

        among = torch.where(goes_across, near.index_select(0, row), slot.to(hits.dtype))
        which = torch.minimum((for_parent * among).floor(), (among - 1).clamp(min=0))
        # the layers before and after stand next to one another but for the layer itself, which is between them
        skipped = previous.index_select(0, row)
        own = number.index_select(0, row)
        from_previous = which - skipped + own * (which >= skipped).to(hits.dtype)
        parent = start.index_select(0, row) + torch.where(goes_across, from_previous, which).long()
        wants = goes_across | goes_beside
        moved = self.moved.flatten()
        width = self.moved.shape[1]
        first = cell
        for _ in range(DEPTH):
            next_to = moved.index_select(0, first.index_select(0, parent) * width + step)
            first = torch.where(wants & (next_to >= 0), next_to, cell)
        beside_own = moved.index_select(0, cell * width + step)
        return first, torch.where(first != cell, cell, beside_own)


def order_of_hits(number: Tensor, row: Tensor, cell: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """Put the hits of each layer in a random order.

    Args:
        number: (n,) hits of layers.
        row: (n_hits,) the layer of each hit.
        cell: (n_hits,).
        shift: (n,): chooses the order; hashed with the cell, so that it does not depend on what else is in a batch.

    Returns:
        The hits in order, layer by layer, and how many of its layer come before each hit, both (n_hits,).
    """
    by_cell = 12.9898 * (cell + 1).double()
    by_layer = 0.0 if shift is None else 78.233 * shift.double()[row]
    key = ((by_cell + by_layer).sin().abs() * 43758.5453).frac()
    order = (row + key).argsort()
    place = torch.empty_like(order).index_copy(0, order, torch.arange(len(order), device=order.device))
    return order, place - (number.cumsum(0) - number)[row]


def _sum_before(values: Tensor, order: Tensor, row: Tensor, number: Tensor) -> Tensor:
    """Sum of values (n_hits,) over the hits that come before each hit in its layer, (n_hits,)."""
    ordered = values[order].double()
    sums = ordered.cumsum(0) - ordered
    back = torch.empty_like(sums).index_copy(0, order, sums)
    start = number.cumsum(0) - number
    at_start = sums[start.clamp(max=max(len(sums) - 1, 0))] if len(sums) else sums.new_zeros(len(number))
    return (back - at_start[row]).to(values.dtype)
