"""The networks of `causal3d` that tell the distributions of cells: what a cell sees, and what follows from it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models._hit_energies import signed_sum
from caloforge.models._mixtures import running_sum
from caloforge.models._over_layers import OverLayers
from caloforge.models._places import place_features
from caloforge.models._shares import Shares
from caloforge.models._sublattices import REACH, split_layer

SCALE = 0.1
"""MeV: cells are seen as log(1 + energy / SCALE); near what a minimum ionising particle leaves in 0.3 mm silicon."""
SEEN_LAYERS = 3
MEMORY = 0.7
"""Per layer, what is kept of the cells three and more layers before."""
AXIS_MEMORY = 0.8
"""Per layer, what is kept of where the energy of all layers before was."""
CORE = 1.5
"""Cells: distance from the axis at which the weight of a cell in the centre of the core has fallen to 1 / e."""
MOMENTS = 5


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
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits around the window that a layer can have at most (the fewer, the faster).
        most_in_pass: Hits that a pass can have at most, likewise.
        clumping: How alike the random numbers of neighbouring cells around the window are, see `Sublattices.smoothing`;
            they are drawn at once and so cannot see each other.
    """

    lever: Tensor
    places: Tensor
    smoothing: Tensor
    rows: Tensor
    columns: Tensor
    inside: Tensor
    around: Tensor
    order: Tensor
    running: Tensor
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
        hidden: int,
        features: int,
        mixtures: int,
        most_around: int,
        most_in_pass: int,
        clumping: float,
    ) -> None:
        super().__init__()
        self.n_layers, n_rows, n_columns = detector.shape
        self.threshold, self.mixtures, self.width = detector.threshold, mixtures, width
        self.lattice = split_layer(n_rows, n_columns, window)
        self.sizes = [len(cells) for cells in self.lattice.passes]
        self.n_around = len(self.lattice.around)
        self.most_around = min(most_around, self.n_around - 1)
        # where hits around the window are rare, one random number serves two cells that are opposite to each other
        rare = 4 * self.most_around <= self.n_around
        self.n_pairs = self.n_around - self.n_around // 2 if rare else self.n_around
        self.most_in_pass = most_in_pass
        self._register_constants(detector, clumping)

        self.over_layers = OverLayers(self.n_layers, context, detector.threshold, hidden, features)
        n_groups, n_places = len(self.sizes) + 1, self.places.shape[1]
        n_about = 3 + SEEN_LAYERS * MOMENTS + features
        self.shares = Shares(n_groups, n_about + 2 * n_groups, detector.threshold)
        self.n_common = 1 + n_about + 2 * n_groups
        n_told = self.n_common + 2
        spread = 0.5 / math.sqrt(n_told * n_places)
        self.before = nn.Conv2d(SEEN_LAYERS, width, 2 * REACH + 1, bias=False)
        side = (2 * REACH + 1) ** 2
        self.beside = nn.Parameter(torch.randn(len(self.sizes), side, width) / side)
        self.summarised = nn.Parameter(spread * torch.randn(len(self.sizes), n_told, n_places, width))
        self.deeper = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, 1 + 3 * mixtures)  # logit of a hit, weights of normals, normals

        self.logit_around = nn.Parameter(spread * torch.randn(n_told, n_places))
        self.weight_around = nn.Parameter(torch.zeros(n_told + 2, mixtures))
        self.near_around = nn.Parameter(torch.full((2, SEEN_LAYERS + 1), 0.1))
        self.normals_around = nn.Parameter(torch.zeros(2, mixtures))
        with torch.no_grad():
            self.head.weight.normal_(std=0.05)
            self.head.bias.zero_()
            self.head.bias[0] = -3.0
            self.logit_around[0, 0] = -4.0
            for steps in (self.head.bias[1 + mixtures : 1 + 2 * mixtures], self.normals_around[0]):
                steps.fill_(4.0 / (mixtures - 1))  # means from -3 to 1, in steps
                steps[-1] = -3.0

    def _register_constants(self, detector: Detector, clumping: float) -> None:
        x, y, known = place_features(detector)
        r = (x.square() + y.square()).sqrt()
        window = torch.zeros_like(r).index_fill(0, torch.tensor(self.lattice.inside), 1.0)
        core, one = window * torch.exp(-r / CORE), torch.ones_like(r)
        constants = {
            "places": known,
            "lever": torch.stack([x, y, 3 * x * core, 3 * y * core, one, one, core, core], 1),
            "smoothing": torch.tensor(self.lattice.smoothing(clumping, self.n_pairs), dtype=torch.float32),
            "inside": torch.tensor(self.lattice.inside),
            "around": torch.tensor(self.lattice.around),
            "order": torch.tensor(self.lattice.order),
            # sums over three rows and columns: in engines such products are ten times as fast as pooling
            "rows": _three_diagonals(self.lattice.n_rows) / 3,
            "columns": _three_diagonals(self.lattice.n_columns) / 3,
            "running": running_sum(self.mixtures),
            "signed": signed_sum(running_sum(self.mixtures)),
            "offsets": torch.tensor([0.3, 0.01]).repeat_interleave(len(self.sizes) + 1),
            "scales": torch.tensor([1 / 2, 1 / 3]).repeat_interleave(len(self.sizes) + 1),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        for number in range(len(self.sizes)):
            window = torch.tensor(self.lattice.in_window(number))
            self.register_buffer(f"in_window{number}", window, persistent=False)
            if number:
                offsets = torch.tensor(self.lattice.offsets(number))
                self.register_buffer(f"offsets{number}", offsets, persistent=False)

    def matrices(self) -> list[Tensor]:
        """Spread the weights of each pass out over its cells.

        Returns:
            Per pass (n_told + n_known, n_cells * width).
        """
        made, start = [], 0
        for number, size in enumerate(self.sizes):
            places = self.places[self.inside[start : start + size]]
            weights = self.summarised[number] if number else self.summarised[0, : self.n_common]
            rows = torch.einsum("spw,cp->scw", weights, places).flatten(1)
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
            told: (n, n_told + n_known), see `told`.

        Returns:
            Logits of a hit (n, n_cells), logarithms of the weights of normals (n, n_cells, mixtures), and the
            normals (n, n_cells, 2, mixtures), see `unstepped`.
        """
        shape = base.shape[:2]
        hidden = functional.relu(base + (told @ matrix).reshape(base.shape)).flatten(0, 1)
        for layer in self.deeper:
            hidden = hidden + functional.relu(layer(hidden))
        logit, weight, normals = self.head(hidden).split([1, self.mixtures, 2 * self.mixtures], 1)
        return (
            logit.reshape(shape),
            weight.reshape(*shape, self.mixtures),
            normals.reshape(*shape, 2, self.mixtures),
        )

    def around_pass(self, before: Tensor, here: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """The distributions of the cells around the window: cheap, for few of them are hit.

        Args:
            before: See `base`.
            here: (n, n_rows, n_columns) this layer with its window drawn, zero around, see `compress`.
            told: (n, n_told), see `told`.

        Returns:
            Logits of a hit, and the part of it that is due to the energy near the cells, both (n, n_around).
        """
        seen = torch.cat([before, here[:, None]], 1)
        own, near = (self.near_around[None] @ seen.flatten(2)).split(1, 1)
        near = self.rows @ near.reshape(-1, *seen.shape[2:]) @ self.columns
        near = (own[:, 0] + near.flatten(1)).index_select(1, self.around)
        return told @ self.logit_around @ self.places[self.around].T + near, near

    def weights_around(self, told: Tensor, logit: Tensor, near: Tensor) -> Tensor:
        """Logarithms of the weights of `normals_around` for hits around the window.

        Args:
            told: (n, n_told), see `told`.
            logit: (n, n_hits), see `around_pass`.
            near: Likewise.

        Returns:
            (n, n_hits, mixtures).
        """
        steady, of_logit, of_near = self.weight_around.split([told.shape[1], 1, 1])
        weights: Tensor = (told @ steady)[:, None] + logit[:, :, None] * of_logit + near[:, :, None] * of_near
        return weights

    def of_groups(self, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode hits and energies in MeV, both (n, n_groups), as network input (n, 2 * n_groups)."""
        return (torch.cat([hits, energy], 1) + self.offsets).log() * self.scales

    def common(self, about: Tensor, groups: Tensor, one: Tensor) -> Tensor:
        """What all passes of layers are told, (n, n_common).

        Args:
            about: (n, n_about): `describe` of the layers, their moments and their features.
            groups: (n, 2 * n_groups), see `of_groups`.
            one: (n, 1), ones.
        """
        return torch.cat([one, about, groups], 1)

    def told(self, common: Tensor, energy: Tensor, known: Tensor, seen: Tensor) -> Tensor:
        """What a pass after the first is told, or with no cells `seen` the cells around the window.

        Args:
            common: See `common`.
            energy: (n, 1) of the layers in MeV.
            known: (n, n_known) energies of the cells drawn already, in MeV.
            seen: The same, see `compress`, or (n, 0).

        Returns:
            (n, n_told + n_known).
        """
        drawn = known @ self.lever[self.inside[: known.shape[1]], :2] / (energy + 0.01)
        return torch.cat([common, drawn, seen], 1)

    def centres(self, levers: Tensor) -> Tensor:
        """Centres of layers (x, y), their distance from the axis and three times the centres of the cores, in cells.

        Args:
            levers: (..., 8) sums of energy times `lever`.

        Returns:
            (..., 5).
        """
        centre = levers[..., :4] / (levers[..., 4:] + 0.01)
        distance = (centre[..., :2].square().sum(-1, keepdim=True) + 0.01).sqrt()
        return torch.cat([centre, distance], -1)


def compress(energies: Tensor) -> Tensor:
    """Bring cell energies in MeV to the scale on which the networks see them, of the same shape."""
    return (energies / SCALE).log1p()


def _three_diagonals(n: int) -> Tensor:
    ones = torch.ones(n, n)
    return ones.triu(-1).tril(1)
