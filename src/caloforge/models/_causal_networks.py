"""The networks of `causal3d` that tell the distributions of cells: what a cell sees, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models._layers import mean_excess
from caloforge.models._mixtures import running_sum
from caloforge.models._shares import Shares
from caloforge.models._sublattices import REACH, split_layer

SCALE = 0.1
"""MeV: cells are seen as log(1 + energy / SCALE); near what a minimum ionising particle leaves in 0.3 mm silicon."""
SEEN_LAYERS = 3
CONTEXT_MAPS = 4
"""Maps that tell the cells around the window about their layer."""
REST, MOMENTS = 3, 2 + 3 * SEEN_LAYERS


class CausalNetworks(nn.Module):
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
        most_in_pass: Hits that a pass can have at most, likewise.
    """

    positions: Tensor
    places: Tensor
    inside: Tensor
    around: Tensor
    order: Tensor
    running: Tensor
    last_one: Tensor
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
        width_around: int,
        hidden: int,
        features: int,
        mixtures: int,
        most_around: int,
        most_in_pass: int,
    ) -> None:
        super().__init__()
        self.n_layers, n_rows, n_columns = detector.shape
        self.threshold, self.mixtures, self.width = detector.threshold, mixtures, width
        self.lattice = split_layer(n_rows, n_columns, window)
        self.sizes = [len(cells) for cells in self.lattice.passes]
        self.n_around = len(self.lattice.around)
        self.most_around = min(most_around, self.n_around - 1)
        self.most_in_pass = most_in_pass
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
            "offsets": torch.tensor([0.3, 0.01]).repeat_interleave(2 * len(self.sizes) + 2),
            "scales": torch.tensor([1 / 2, 1 / 3]).repeat_interleave(2 * len(self.sizes) + 2),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        for number in range(len(self.sizes)):
            window = torch.tensor(self.lattice.in_window(number))
            self.register_buffer(f"in_window{number}", window, persistent=False)
            if number:
                offsets = torch.tensor(self.lattice.offsets(number))
                self.register_buffer(f"offsets{number}", offsets, persistent=False)

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
        n = len(self.sizes) + 1
        missing = [torch.zeros_like(layer.hits)] * (n - len(hits))
        groups = torch.cat([layer.last_hits, *hits, *missing, layer.last_energy, *energy, *missing], 1)
        return torch.cat([summary, (groups + self.offsets).log() * self.scales], 1)


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


def compress(energies: Tensor) -> Tensor:
    """Bring cell energies in MeV to the scale on which the networks see them, of the same shape."""
    return (energies / SCALE).log1p()


def describe(hits: Tensor, energy: Tensor) -> Tensor:
    """Encode hits and energies in MeV, both (n, 1), as network input (n, 3)."""
    logs = torch.cat([hits + 0.3, energy + 0.01], 1).log()
    return logs @ torch.tensor([[1 / 2, 0, -1 / 2], [0, 1 / 3, 1 / 2]], dtype=logs.dtype, device=logs.device)
