"""The networks for the cells of a window, of one pass over a sub-lattice.

What a cell sees of its own layer and of the layers before and after it is a convolution with stride 2: exactly the
cells of the sub-lattice come out. What is known about its layer acts by weights that depend on its place.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.nested3d.frame import MAP_WIDTHS
from caloforge.models.nested3d.lattice import REACH
from caloforge.models.parts.hit_energies import first_normals
from caloforge.models.parts.mixtures import to_steps

N_BELLS = 2 + len(MAP_WIDTHS)
"""Maps of bells around the axis: round ones, and the middle one times the distance along columns and along rows."""


class WindowPass(nn.Module):
    """Distributions of the cells of one pass.

    Args:
        n_maps: Layers that are seen: the own one, and those before and after.
        n_conditions: Numbers that are known about a layer.
        places: (n_cells, n_places) features of the places of its cells.
        offset: Row and column of the first cell of the sub-lattice in the window.
        shape: Rows and columns of the sub-lattice.
        bells: Whether it sees where in its cell the axis is.
        width: Channels.
        depth: Number of hidden layers after the first.
        hidden: Width of the network of energies.
        mixtures: Normals in the energy of a hit.
    """

    places: Tensor
    to_steps: Tensor

    def __init__(
        self,
        n_maps: int,
        n_conditions: int,
        places: Tensor,
        offset: tuple[int, int],
        shape: tuple[int, int],
        *,
        bells: bool,
        width: int,
        depth: int,
        hidden: int,
        mixtures: int,
    ) -> None:
        super().__init__()
        self.offset, self.shape, self.width, self.mixtures = offset, shape, width, mixtures
        side = 2 * REACH + 1
        self.seen = nn.Conv2d(n_maps, width, side, stride=2, bias=False)
        spread = 0.5 / math.sqrt(n_conditions * places.shape[1])
        self.of_conditions = nn.Parameter(spread * torch.randn(n_conditions, places.shape[1], width))
        self.of_bells = nn.Parameter(0.2 * torch.randn(width, N_BELLS)) if bells else None
        self.deeper = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(depth))
        self.logit = nn.Conv2d(width, 1, 1)
        self.of_energy = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 3 * mixtures))
        self.register_buffer("places", places, persistent=False)
        self.register_buffer("to_steps", to_steps(mixtures), persistent=False)
        head = self.of_energy[2]
        assert isinstance(head, nn.Linear)
        assert self.logit.bias is not None
        with torch.no_grad():
            self.logit.weight.normal_(std=0.05)
            self.logit.bias.fill_(-3.0)
            head.weight.normal_(std=0.05)
            head.bias.zero_()
            head.bias[mixtures:] = first_normals(mixtures).flatten()

    def forward(
        self, maps: Tensor, conditions: Tensor, bells: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Tell which cells are hit.

        Args:
            maps: (n, n_maps, rows, columns) layers with `REACH` cells around the window; cells that are not drawn yet
                are 0.
            conditions: (n, n_conditions).
            bells: Along rows and columns of the window, both (n, n_bells, window), see `Frame.bells`.

        Returns:
            Logits of a hit (n, n_cells), and what the energies depend on, (n, width, n_cells).
        """
        matrix = torch.einsum("tpw,cp->twc", self.of_conditions, self.places).flatten(1)
        bias = (conditions @ matrix).reshape(-1, self.width, *self.shape)
        if self.of_bells is not None and bells is not None:
            bias = bias + self._bells(*bells)
        (top, left), (rows, columns) = self.offset, self.shape
        maps = maps[:, :, top : top + 2 * rows + 2 * REACH - 1, left : left + 2 * columns + 2 * REACH - 1]
        state = functional.relu(self.seen(maps) + bias)
        for layer in self.deeper:
            state = functional.relu(layer(state) + state)
        return self.logit(state).flatten(1), state.flatten(2)

    def _bells(self, along_y: Tensor, along_x: Tensor) -> Tensor:
        """Weighted sum of the bells, (n, width, rows, columns)."""
        assert self.of_bells is not None
        steps = torch.arange(along_x.shape[2], device=along_x.device) - along_x.shape[2] // 2
        middle = slice(1, 2)
        y = torch.cat([along_y, along_y[:, middle], along_y[:, middle] * steps], 1)[:, :, self.offset[0] :: 2]
        x = torch.cat([along_x, along_x[:, middle] * steps, along_x[:, middle]], 1)[:, :, self.offset[1] :: 2]
        maps = y[..., None] * x[:, :, None, :]
        return functional.conv2d(maps, self.of_bells[:, :, None, None])

    def energies(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tell the energies of hits.

        Args:
            state: (n_hits, width), of `forward`.

        Returns:
            Logarithms of the weights of normals, means and log sigmas, all (n_hits, mixtures).
        """
        weight, mean, log_sigma = self.of_energy(state).split(self.mixtures, 1)
        return weight, mean, log_sigma

    def energy_steps(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """The same as steps, for drawing: weights (n_hits, mixtures) and steps (n_hits, 2, mixtures)."""
        head = self.of_energy[2]
        assert isinstance(head, nn.Linear)
        hidden = self.of_energy[:2](state)
        numbers = functional.linear(hidden, self.to_steps @ head.weight, self.to_steps @ head.bias)
        weight, steps = numbers.split([self.mixtures, 2 * self.mixtures], 1)
        return weight, steps.unflatten(1, (2, self.mixtures))
