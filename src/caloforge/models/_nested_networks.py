"""The networks of `nested3d` for the cells of showers: stages over layers, and what each pass gets to see.

The first stage draws every fourth layer, the second those in the middle between them, the third all others: each layer
sees what is nearest before and after it. Layers that are four apart, given their hits and energies, fluctuate
nearly independently (docs/lab.md, 36), and what they still have in common, where the axis of the shower is, later
stages are told. So three steps do for any number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models._around import Around
from caloforge.models._hit_energies import signed_sum
from caloforge.models._mixtures import running_sum
from caloforge.models._nested_window import WindowPass
from caloforge.models._over_layers import OverLayers
from caloforge.models._places import place_features
from caloforge.models._shares import Shares
from caloforge.models._sublattices import PASSES, REACH, split_layer

SCALE = 0.1
"""MeV: cells are seen as log(1 + energy / SCALE); near what a minimum ionising particle leaves in 0.3 mm silicon."""
JUMP = 0.5
"""What any hit has more than no hit on that scale."""
AXIS_REACH = 5.0
"""Layers after which the centre of a layer counts for 1 / e in what the passes are told of the axis of the shower."""
HALO = 5.0
"""Cells: unit of the centre of the hits around a window."""
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


class NestedNetworks(nn.Module):
    """The networks that give out the hits and the energy of layers among their cells.

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
    inside: Tensor
    place: Tensor
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
            n_told = 1 + n_about + 2 * n_groups + 2 + seen * (2 * n_groups + MOMENTS) + 2
            n_told += MOMENTS if seen else 0
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
            "inside": inside,
            "place": torch.stack([x, y], 1) / HALO,
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

    def _near(self, earlier: Tensor, stage: Stage) -> list[Tensor]:
        """Values (n, n_drawn, ...) of the layers before and after those of a stage; nothing for the first stage."""
        if not earlier.shape[1]:
            return []
        lowest = min(*stage.before, *stage.after)
        if lowest == 0:
            earlier = torch.cat([torch.zeros_like(earlier[:, :1]), earlier], 1)
        sides = [
            torch.tensor(which, device=earlier.device) - min(lowest, 1)
            for which in (stage.before, stage.after)
        ]
        return [earlier.index_select(1, which) for which in sides]

    def _told(self, about: Tensor, encoded: Tensor, halo: Tensor, near: list[Tensor]) -> Tensor:
        """What the passes of layers are told, (n_rows, n_told - 2)."""
        one = torch.ones_like(about[:, :, :1])
        return torch.cat([one, about, encoded, halo, *near], 2).flatten(0, 1)

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
        return self.to_crop[self._in_layer(number)]

    def _in_layer(self, number: int) -> Tensor:
        """The cells of a pass as indices into the layer."""
        start = sum(self.sizes[:number])
        return self.inside[start : start + self.sizes[number]]

    def _largest(self, hits: Tensor) -> Tensor:
        """One for the pass with the most hits, 0 for the others, of the shape of the input."""
        ranked = hits + 0.01 * torch.arange(hits.shape[2], device=hits.device)
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
