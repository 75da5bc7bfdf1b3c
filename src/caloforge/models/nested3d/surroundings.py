"""The cells around a window, numbered relative to it, and transverse shapes over them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caloforge.models.parts.places import place_features

BLOCK = 24
"""Cells are looked for among the blocks of so many first."""
FURTHEST = 2
"""Rows and columns between a hit and one beside it."""
STEPS = tuple(
    sorted(
        (
            (dy, dx)
            for dy in range(-FURTHEST, FURTHEST + 1)
            for dx in range(-FURTHEST, FURTHEST + 1)
            if (dy, dx) != (0, 0)
        ),
        key=lambda step: (max(abs(step[0]), abs(step[1])), abs(step[0]) + abs(step[1]), step),
    )
)
"""From a hit to the cells beside it, the nearest first: rows, columns."""
NEAREST = 8
"""So many of them touch it."""
DIRECTIONS = 8
ROUND = 9
"""The first so many features of places know no direction."""


class Surroundings(nn.Module):
    """The cells around a window, in a square that reaches some rows and columns from its middle.

    Args:
        window: Rows and columns of the window (odd).
        reach: Rows and columns of the square on either side of the middle.
        readout: Rows and columns of the readout.
        aspect: Height and width of a cell, divided by the root of their product.
    """

    rows: Tensor
    columns: Tensor
    places: Tensor
    beside: Tensor
    number: Tensor
    opposite: Tensor

    def __init__(
        self, window: int, reach: int, readout: tuple[int, int], aspect: tuple[float, float]
    ) -> None:
        super().__init__()
        self.reach, self.readout = reach, readout
        side, half = 2 * reach + 1, window // 2
        rows, columns = (values.flatten() - reach for values in _grid(side))
        outside = torch.maximum(rows.abs(), columns.abs()) > half
        rows, columns = rows[outside], columns[outside]
        self.n_cells = len(rows)
        number = torch.full((side, side), -1)
        number[rows + reach, columns + reach] = torch.arange(self.n_cells)
        beside = []
        for dy, dx in STEPS:
            y, x = rows + dy + reach, columns + dx + reach
            there = (y >= 0) & (y < side) & (x >= 0) & (x < side)
            beside.append(torch.where(there, number[y * there, x * there], -1))
        places = place_features(columns * aspect[1], rows * aspect[0])
        constants = {
            "rows": rows,
            "columns": columns,
            "places": places,
            "beside": torch.stack(beside, 1),
            "number": number.flatten(),
            "opposite": torch.tensor([STEPS.index((-dy, -dx)) for dy, dx in STEPS]),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def _numbers(self, rows: Tensor, columns: Tensor) -> Tensor:
        return self.number.index_select(0, (rows + self.reach) * (2 * self.reach + 1) + columns + self.reach)

    def _beyond(self, cell: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows and columns of cells, and whether they lie beyond the edge of the readout, all (n,)."""
        rows, columns = self.rows.index_select(0, cell), self.columns.index_select(0, cell)
        y, x = centre[:, 0] + rows, centre[:, 1] + columns
        n_rows, n_columns = self.readout
        return rows, columns, (y < 0) | (y >= n_rows), (x < 0) | (x >= n_columns)

    def inside(self, cell: Tensor, centre: Tensor) -> Tensor:
        """Whether cells lie in the readout, for the middle of the window at `centre` (n, 2), (n,)."""
        _, _, high, wide = self._beyond(cell, centre)
        return ~(high | wide)

    def mirrored(self, cell: Tensor, centre: Tensor) -> Tensor:
        """Mirror cells beyond the edge of the readout at the middle of the window, (n,)."""
        rows, columns, high, wide = self._beyond(cell, centre)
        return self._numbers(torch.where(high, -rows, rows), torch.where(wide, -columns, columns))

    def images(self, cell: Tensor, centre: Tensor | None) -> tuple[Tensor, Tensor]:
        """Which cells `mirrored` turns into given ones.

        Returns:
            Cells (n, n_images), and 1 for those that it does, 0 for others.
        """
        if centre is None:
            return cell[:, None], torch.ones_like(cell, dtype=torch.float32)[:, None]
        found, weights = [], []
        rows, columns = self.rows[cell], self.columns[cell]
        for turn_row in (False, True):
            for turn_column in (False, True):
                image = self._numbers(-rows if turn_row else rows, -columns if turn_column else columns)
                _, _, high, wide = self._beyond(image, centre)
                same = (high == turn_row) & (wide == turn_column)
                found.append(image)
                weights.append(same.to(torch.float32))
        return torch.stack(found, 1), torch.stack(weights, 1)


class Shapes(nn.Module):
    """Distributions of hits over the surroundings: round ones, and others that point in eight directions.

    Args:
        surroundings: The cells.
        round_shapes: Number of round shapes.
        directional: Number of shapes that point somewhere.
    """

    radial: Tensor
    cosines: Tensor

    def __init__(self, surroundings: Surroundings, round_shapes: int, directional: int) -> None:
        super().__init__()
        self.number = round_shapes + DIRECTIONS * directional
        self.directional = directional
        places = surroundings.places
        radius = (places[:, 1]).exp()
        slopes = torch.linspace(math.log(0.15), math.log(1.0), round_shapes + directional).exp()
        self.slopes = nn.Parameter(slopes)
        self.of_places = nn.Parameter(torch.zeros(round_shapes + directional, ROUND - 1))
        self.of_direction: nn.Parameter | None = None
        if directional:
            self.of_direction = nn.Parameter(torch.zeros(directional, 2, 3))
            with torch.no_grad():
                self.of_direction[:, 0, 0] = 1.0
        angle = torch.atan2(places[:, 10], places[:, 9])
        turned = angle - 2 * math.pi * torch.arange(DIRECTIONS)[:, None] / DIRECTIONS
        near = torch.stack([torch.ones_like(radius), radius / 10, torch.exp(-radius / 3)])
        self.register_buffer("radial", torch.cat([places[:, 1:ROUND], radius[:, None]], 1), persistent=False)
        cosines = torch.stack([torch.cos(turned), torch.cos(2 * turned)], 1)
        # (direction, order, radial function, cell)
        self.register_buffer("cosines", cosines[:, :, None] * near, persistent=False)

    def forward(self) -> Tensor:
        """Return the distributions, (number, n_cells), each summing to 1."""
        weights = torch.cat([self.of_places, -self.slopes[:, None]], 1)
        logits = weights @ self.radial.T
        n_round = logits.shape[0] - self.directional
        parts = [logits[:n_round]]
        if self.of_direction is not None:
            pointing = torch.einsum("sok,dokc->sdc", self.of_direction, self.cosines)
            parts.append((logits[n_round:, None] + pointing).flatten(0, 1))
        return torch.cat(parts).softmax(1)


def _grid(side: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return rows, columns
