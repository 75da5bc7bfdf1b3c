"""Where the shower axis crosses each layer: the window of a layer is centred on the cell that it crosses.

The impact point is cut into whole cells and what is left. What is left, and the direction, decide what a shower looks
like; the whole cells only move it, and what falls outside the readout is lost, as in Geant4. Rows and columns here are
those of the readout that is moved along with the shower.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from caloforge.detectors import CartesianReadout, Detector
from caloforge.models.parts.encoder import ConditionEncoder, slopes

N_PLACE, N_DIRECTION = 9, 4
"""Numbers that tell where in its cell an axis crosses a layer, and its direction."""
MAP_WIDTHS = (0.4, 0.85, 1.8)
"""Cells: widths of the bells around the axis that the networks of cells see."""
ROUNDING = 1e-3
"""Cells by which an impact point may lie outside the central cell."""


@dataclass(frozen=True)
class Place:
    """Where axes cross layers.

    Attributes:
        row: Row of the cell that the axis crosses, (n, n_layers), whole numbers.
        column: Its column.
        fraction: Where in the cell, in x and y, from -0.5 to 0.5 cells, (n, n_layers, 2).
        shift: Whole rows and columns by which the shower is moved in the readout at the end, (n, 2).
    """

    row: Tensor
    column: Tensor
    fraction: Tensor
    shift: Tensor

    def layers(self, chosen: Tensor) -> Place:
        """Return the place in some layers."""
        return Place(
            self.row.index_select(1, chosen),
            self.column.index_select(1, chosen),
            self.fraction.index_select(1, chosen),
            self.shift,
        )


class Frame(nn.Module):
    """Turns incidents into places of shower axes, and describes these to networks.

    Args:
        detector: With a cartesian readout.
        encoder: Of incidents; its scale of slopes is used.
        conditions: What the model is conditioned on.
    """

    z: Tensor
    thickness: Tensor
    shift: Tensor
    reference: Tensor
    fixed: Tensor

    def __init__(self, detector: Detector, encoder: ConditionEncoder, conditions: tuple[str, ...]) -> None:
        super().__init__()
        readout = detector.readout
        assert isinstance(readout, CartesianReadout)
        self.encoder = encoder
        self.cells, self.size = readout.cells, readout.size
        self.direction, self.position = "direction" in conditions, "position" in conditions
        self.moving = self.direction or self.position
        self.register_buffer("z", torch.tensor(detector.z, dtype=torch.float32), persistent=False)
        thickness = torch.tensor([layer.thickness for layer in detector.layers], dtype=torch.float32)
        self.register_buffer("thickness", thickness, persistent=False)
        # the depth at which the axis is taken: the mid-plane plus so many thicknesses, and more with log energy
        self.register_buffer("shift", torch.zeros(2))
        self.register_buffer("reference", torch.tensor(float(detector.z.mean())))
        # slopes and impact point of the training showers, for what the model is not conditioned on
        self.register_buffer("fixed", torch.zeros(4))

    @property
    def n_features(self) -> int:
        """Numbers that describe the place in a layer."""
        return (N_PLACE if self.moving else 0) + (N_DIRECTION if self.direction else 0)

    @property
    def n_invariants(self) -> int:
        """Numbers that describe the place of a shower up to mirrors."""
        return (2 if self.moving else 0) + (1 if self.direction else 0)

    def depth(self, incident: Tensor) -> Tensor:
        """Depth in mm at which the axis is taken in each layer, (n, n_layers)."""
        log_energy = self.encoder.log_energy(incident)
        return self.z + self.thickness * (self.shift[0] + self.shift[1] * log_energy)

    def slopes(self, incident: Tensor) -> Tensor:
        """Slopes dx/dz and dy/dz, (n, 2): those of the incidents, or of all training showers."""
        return slopes(incident) if self.direction else self.fixed[:2].expand(incident.shape[0], 2)

    def impact(self, incident: Tensor) -> Tensor:
        """Impact points in mm, (n, 2): those of the incidents, or of all training showers."""
        return incident[:, 4:6] if self.position else self.fixed[2:].expand(incident.shape[0], 2)

    def place(self, incident: Tensor, depth: Tensor) -> Place:
        """Find where axes cross planes.

        Args:
            incident: (n, 6).
            depth: (n, n_planes) in mm.
        """
        slope, impacts = self.slopes(incident), self.impact(incident)
        found, shifts = [], []
        for axis, (size, n) in enumerate(((self.size[1], self.cells[1]), (self.size[0], self.cells[0]))):
            impact = impacts[:, axis : axis + 1] / size + (n - 1) / 2
            cell = (impact + 0.5).floor()
            shift = cell - cell.clamp((n - 1) // 2, n // 2)
            along = impact - shift + slope[:, axis : axis + 1] * depth / size
            middle = (along + 0.5).floor()
            found.append((middle, along - middle))
            shifts.append(shift)
        (column, x), (row, y) = found
        return Place(row, column, torch.stack([x, y], 2), torch.cat([shifts[1], shifts[0]], 1))

    def off_centre(self, incident: Tensor) -> Tensor:
        """Say which incidents (n, 6) do not hit a central cell of the readout, (n,): the model moves showers itself."""
        found = torch.zeros_like(incident[:, 0], dtype=torch.bool)
        for axis, (size, n) in enumerate(((self.size[1], self.cells[1]), (self.size[0], self.cells[0]))):
            half = (0.5 if n % 2 else 1.0) + ROUNDING
            found |= incident[:, 4 + axis].abs() > half * size
        return found

    def forward(self, incident: Tensor) -> Place:
        """Find where axes cross the layers."""
        return self.place(incident, self.depth(incident))

    def features(self, incident: Tensor, place: Place) -> Tensor:
        """Describe places to networks, (n, n_layers, n_features)."""
        f = place.fraction
        if not self.moving:
            return f[..., :0]
        wave = 2 * torch.pi * f
        parts = [f, f.square(), f[..., :1] * f[..., 1:], torch.cos(wave), torch.sin(wave)]
        if self.direction:
            slope = slopes(incident) / self.encoder.slope
            steady = torch.cat([slope, slope.square()], 1)[:, None].expand(-1, f.shape[1], -1)
            parts.append(steady)
        return torch.cat(parts, 2)

    def invariants(self, incident: Tensor) -> Tensor:
        """Describe where showers are, up to mirrors, (n, n_invariants): place in the cell at a typical depth, slope."""
        if not self.moving:
            return incident[:, :0]
        depth = self.reference.expand(incident.shape[0], 1)
        f = self.place(incident, depth).fraction[:, 0]
        parts = [8 * f.square() - 1]
        if self.direction:
            parts.append((slopes(incident) / self.encoder.slope).square().sum(1, keepdim=True))
        return torch.cat(parts, 1)

    def reference_features(self, incident: Tensor) -> Tensor:
        """Describe the place at a typical depth, (n, n_features)."""
        depth = self.reference.expand(incident.shape[0], 1)
        return self.features(incident, self.place(incident, depth))[:, 0]

    @staticmethod
    def bells(place: Place, window: int) -> tuple[Tensor, Tensor]:
        """Bells around the axis along rows and along columns of the window, both (n, n_layers, n_bells, window)."""
        steps = torch.arange(window, device=place.row.device) - window // 2
        widths = torch.tensor(MAP_WIDTHS, device=place.row.device)[:, None]
        along_x, along_y = (
            torch.exp(-0.5 * ((steps - place.fraction[..., axis, None])[:, :, None] / widths).square())
            for axis in (0, 1)
        )
        return along_y, along_x

    def fit(self, incident: Tensor, centres: Tensor, energy: Tensor) -> None:
        """Fit the depths to training showers.

        Args:
            incident: (n, 6).
            centres: Energy-weighted mean x and y of each layer in mm, (n, n_layers, 2).
            energy: Energy of each layer, (n, n_layers).
        """
        self.fixed.copy_(torch.cat([slopes(incident), incident[:, 4:6]], 1).mean(0))
        per_layer = energy / energy.sum(1, keepdim=True).clamp(min=1e-9)
        self.reference.copy_((per_layer * self.z).sum(1).mean())
        slope = slopes(incident)[:, None]
        if not float(slope.abs().max()) > 1e-3:
            return
        beyond = centres - incident[:, None, 4:6] - slope * self.z[:, None]
        log_energy = self.encoder.log_energy(incident)[:, :, None]
        basis = torch.stack(
            [slope * self.thickness[:, None], slope * self.thickness[:, None] * log_energy], -1
        )
        weight = per_layer[:, :, None, None]
        normal = (weight[..., None] * basis[..., :, None] * basis[..., None, :]).sum((0, 1, 2))
        ridge = 1e-3 * torch.diag(torch.diagonal(normal)) + 1e-9 * torch.eye(2)
        right = (weight * basis * beyond[..., None]).sum((0, 1, 2))
        found = torch.linalg.solve(normal + ridge, right)
        largest = self._largest_shift()
        self.shift.copy_(found.clamp(-largest, largest))

    def _largest_shift(self) -> float:
        """Thicknesses of a layer from one to the next: the most that each coefficient of the depth may be."""
        if len(self.z) < 2:
            return 1.0
        return max(float((self.z.diff() / self.thickness[1:]).mean()), 1.0)
