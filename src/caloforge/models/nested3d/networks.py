"""The networks for the cells of showers: stages over layers, and what each pass is conditioned on."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import CartesianReadout, CylindricalReadout, Detector
from caloforge.models.nested3d.around import Around
from caloforge.models.nested3d.config import Nested3DConfig
from caloforge.models.nested3d.frame import Frame, Place
from caloforge.models.nested3d.lattice import REACH, Lattice
from caloforge.models.nested3d.stages import Stage, plan_stages
from caloforge.models.nested3d.surroundings import Surroundings
from caloforge.models.nested3d.window import WindowPass
from caloforge.models.parts.layer_features import N_SUMMARY, LayerFeatures
from caloforge.models.parts.mixtures import signed_sum
from caloforge.models.parts.places import place_features
from caloforge.models.parts.shares import Shares

JUMP = 0.5
"""What any hit has more than no hit on the scale of `compress`."""
AXIS_REACH = 5.0
"""Layers after which the centroid of a layer counts for 1 / e in what later stages know of all earlier ones."""
FAR = 5.0
"""Cells: unit of the centroid of the hits around a window."""
CORE = 1.5
"""Cells: distance from the axis at which the weight of a cell in the centroid of the core has fallen to 1 / e."""
FAINT = 0.1
"""Typical hits: keeps centroids of empty layers finite."""
MOMENTS = 5
GATES = 2
"""Learnt features of a layer by which what is told of the centroid is multiplied: a layer follows it by as much as its
place in the shower and its energy say, which a sum of both could not tell."""
NEVER = -60.0
"""Logit of a cell outside the readout."""


class CellNetworks(nn.Module):
    """The networks that give out the hits and the energy of layers among their cells.

    Args:
        detector: Whose showers.
        n_context: Size of the encoded incident.
        frame: Where shower axes are, None for a readout around the axis.
        config: Hyper-parameters, none of them open.
        threshold: Of the detector, in units of a typical hit.
    """

    moments_of: Tensor
    inside: Tensor
    in_map: Tensor
    far: Tensor
    around_in_map: Tensor
    window_rows: Tensor
    window_columns: Tensor
    signed: Tensor
    offsets: Tensor
    scales: Tensor

    def __init__(
        self,
        detector: Detector,
        n_context: int,
        frame: Frame | None,
        config: Nested3DConfig,
        threshold: float,
    ) -> None:
        super().__init__()
        self.n_layers, self.threshold, self.config = detector.n_layers, threshold, config
        self.moving = frame is not None and frame.moving
        self.n_frame = frame.n_features if frame is not None else 0
        self.shape = detector.shape[1:]
        self.n_layer = math.prod(self.shape)
        self.stages = plan_stages(self.n_layers)
        readout = detector.readout
        if isinstance(readout, CartesianReadout):
            window, reach = cast(int, config.window), cast(int, config.reach)
            self.lattice = Lattice(window, window)
            self.masked = config.edges is not False
            aspect = tuple(size / math.sqrt(math.prod(readout.size)) for size in readout.size)
            steps = torch.arange(window).float() - window // 2
            y, x = torch.meshgrid(steps * aspect[0], steps * aspect[1], indexing="ij")
            x, y = x.flatten(), y.flatten()
            surroundings = Surroundings(window, reach, readout.cells, (aspect[0], aspect[1]))
        else:
            assert isinstance(readout, CylindricalReadout)
            self.lattice = Lattice(readout.sectors, readout.n_rings, circular=True)
            self.masked = False
            aspect = (1.0, 1.0)
            centres = torch.tensor(readout.centres(1), dtype=torch.float32) / readout.pitch[0]
            x, y = centres.unbind(1)
            surroundings = None
        self.sizes = list(self.lattice.sizes)
        places = place_features(x, y)
        self.has_around = surroundings is not None and bool(config.most_around) and surroundings.n_cells > 0
        self.n_groups = len(self.sizes) + self.has_around
        self.n_parts = 1 + self.has_around
        self._register_constants(x, y, surroundings if self.has_around else None, aspect)
        self.n_gates = min(GATES, config.features)
        n_layer_features = N_SUMMARY + config.features + self.n_frame + self.n_parts + 4 + 2 * self.n_gates
        self.layer_features = LayerFeatures(detector, n_context, threshold, config.hidden, config.features)
        self.around: Around | None = None
        if surroundings is not None and self.has_around:
            self.around = Around(
                surroundings,
                n_layer_features + 2 * self.n_groups,
                most=cast(int, config.most_around),
                pool=cast(int, config.pool),
                round_shapes=config.shapes,
                directional=config.directional,
                mixtures=config.mixtures,
                threshold=threshold,
                n_layers=self.n_layers,
            )
        shares, passes = [], []
        for number in range(len(self.stages)):
            seen = 2 if number else 0
            n_inputs = n_layer_features + 2 * seen * self.n_groups
            shares.append(Shares(self.n_groups, n_inputs, threshold, config.share_width))
            n_conditions = (
                1 + n_layer_features + 2 * self.n_groups + 2 + seen * (2 * self.n_groups + MOMENTS) + 2
            )
            n_conditions += MOMENTS if seen else 0
            passes.append(
                nn.ModuleList(
                    WindowPass(
                        1 + seen,
                        n_conditions,
                        places[torch.tensor(self.lattice.cells(k))],
                        self.lattice.offsets[k],
                        self.lattice.shapes[k],
                        bells=self.moving,
                        width=config.width,
                        depth=config.depth,
                        hidden=config.energy_width,
                        mixtures=config.mixtures,
                    )
                    for k in range(len(self.sizes))
                )
            )
        self.shares, self.passes = nn.ModuleList(shares), nn.ModuleList(passes)

    def _register_constants(
        self, x: Tensor, y: Tensor, surroundings: Surroundings | None, aspect: tuple[float, ...]
    ) -> None:
        inside = torch.tensor(self.lattice.inside)
        core, one = torch.exp(-(x.square() + y.square()).sqrt() / CORE), torch.ones_like(x)
        window_rows, window_columns = inside // self.lattice.n_columns, inside % self.lattice.n_columns
        half = 0 if self.lattice.circular else self.lattice.n_rows // 2
        constants = {
            "moments_of": torch.stack([x, y, 3 * x * core, 3 * y * core, one, one, core, core], 1)[inside],
            "inside": inside,
            "in_map": torch.tensor(self.lattice.in_map)[inside],
            "window_rows": window_rows - half,
            "window_columns": window_columns - half,
            "signed": signed_sum(self.config.mixtures),
            "offsets": torch.tensor([0.3, 0.1]).repeat_interleave(self.n_groups),
            "scales": torch.tensor([1 / 2, 1 / 3]).repeat_interleave(self.n_groups),
        }
        if surroundings is not None:
            rows, columns = surroundings.rows, surroundings.columns
            edge = half + REACH
            near = torch.maximum(rows.abs(), columns.abs()) <= edge
            place = (rows + edge) * self.lattice.map_shape[1] + columns + edge
            constants["around_in_map"] = torch.where(near, place, -1)
            constants["far"] = torch.stack([columns * aspect[1], rows * aspect[0]], 1) / FAR
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)
        self.map_size = math.prod(self.lattice.map_shape)
        self.axis_scale = (aspect[1], aspect[0])

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

    def _conditions(self, features: Tensor, groups: Tensor, far: Tensor, near: list[Tensor]) -> Tensor:
        """What the passes of layers are conditioned on, without what is drawn already, (n_rows, ...)."""
        one = torch.ones_like(features[:, :, :1])
        return torch.cat([one, features, groups, far, *near], 2).flatten(0, 1)

    def _with_drawn(self, conditions: Tensor, known: list[Tensor], axis: Tensor) -> Tensor:
        """Add the centroid, relative to the axis, of the cells of the layer that are drawn already."""
        if not known:
            return functional.pad(conditions, (0, 2))
        energies = torch.cat(known, 1)
        total = energies.sum(1, keepdim=True)
        centre = energies @ self.moments_of[: energies.shape[1], :2] - axis * total
        return torch.cat([conditions, centre / (total + FAINT)], 1)

    def _maps(self, here: Tensor, seen: list[Tensor]) -> Tensor:
        maps = torch.stack([here, *seen], 1).unflatten(2, self.lattice.map_shape)
        return self.lattice.padded(maps)

    def _cells_of(self, number: int) -> slice:
        """The cells of a pass among all cells of the window in the order of drawing."""
        start = sum(self.sizes[:number])
        return slice(start, start + self.sizes[number])

    def _axis(self, place: Place | None, like: Tensor) -> Tensor:
        """Where the axis crosses layers relative to the middle of the window, in mean cells, (n, n_layers, 2)."""
        if place is None:
            return like.new_zeros(like.shape[0], self.n_layers, 2)
        return place.fraction * torch.tensor(self.axis_scale, device=like.device)

    def _possible(self, place: Place | None) -> Tensor | None:
        """1 for the cells of the window that lie in the readout, 0 for others, (n, n_layers, n_cells)."""
        if not self.masked or place is None:
            return None
        rows = place.row[:, :, None] + self.window_rows
        columns = place.column[:, :, None] + self.window_columns
        inside = (rows >= 0) & (rows < self.shape[0]) & (columns >= 0) & (columns < self.shape[1])
        return inside.to(torch.float32)

    def _most(self, possible: Tensor | None, like: Tensor) -> Tensor:
        """Hits that each group of each layer can have, (n or 1, n_layers, n_groups)."""
        if possible is None:
            most = like.new_tensor(self.sizes).expand(1, self.n_layers, -1)
        else:
            parts = [part.sum(2) for part in possible.split(self.sizes, 2)]
            most = torch.stack(parts, 2)
        if self.around is None:
            return most
        around = most.new_full((*most.shape[:2], 1), float(self.around.most))
        return torch.cat([around, most], 2)

    def _largest(self, hits: Tensor) -> Tensor:
        """One for the pass with the most hits, 0 for the others, of the shape of the input."""
        ranked = hits + 0.01 * torch.arange(hits.shape[2], device=hits.device)
        return (ranked >= ranked.amax(2, keepdim=True)).to(hits.dtype)

    def of_groups(self, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode hits and energies, both (..., n_groups), as network input (..., 2 * n_groups)."""
        return (torch.cat([hits, energy], -1) + self.offsets).log() * self.scales

    def moments(self, sums: Tensor, axis: Tensor) -> Tensor:
        """Centroid (x, y) of windows relative to the axis, its distance, and three times that of the core, in cells.

        Args:
            sums: (..., 8) sums of energy times `moments_of`.
            axis: (..., 2) of the axis.

        Returns:
            (..., 5).
        """
        weight = sums[..., 4:] / (sums[..., 4:] + FAINT)
        centre = sums[..., :4] / (sums[..., 4:] + FAINT) - torch.cat([axis, 3 * axis], -1) * weight
        distance = (centre[..., :2].square().sum(-1, keepdim=True) + 0.01).sqrt()
        return torch.cat([centre, distance], -1)

    def _of_earlier(self, sums: Tensor, axis: Tensor, order: list[int], stage: Stage) -> Tensor:
        """Moments of all layers drawn in earlier stages together, the nearest counting most, (n, n_layers, 5).

        Args:
            sums: (n, n_drawn, 8) of the layers in `order`.
            axis: (n, n_layers, 2) of all layers.
            order: Numbers of the layers drawn.
            stage: The stage to come.
        """
        drawn = torch.tensor(order, device=sums.device)
        own = axis.index_select(1, drawn)
        shifted = torch.cat([own * sums[..., 4:5], 3 * own * sums[..., 6:7]], -1)
        relative = torch.cat([sums[..., :4] - shifted, sums[..., 4:]], -1)
        distance = (torch.tensor(stage.layers)[:, None] - torch.tensor(order)).abs()
        weights = torch.exp(-distance / AXIS_REACH).to(sums.device)
        summed = weights @ relative
        return self.moments(summed, torch.zeros_like(summed[..., :2]))


def compress(energies: Tensor) -> Tensor:
    """Bring energies of hits to the scale on which the networks see them, of the same shape; no hit is 0."""
    return energies.log1p() + JUMP
