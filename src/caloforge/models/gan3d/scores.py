"""Shapes of layers, and the energy score.

The energy score is how far a real shower is from two drawn ones, less half of how far those are from each other. It is
a proper scoring rule (Gneiting and Raftery, JASA 102 (2007) 359): its mean over real showers is least when those drawn
follow the true distribution of whatever is compared: cells, blocks of cells, and the shape of each layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector, cartesian

BLOCKS = (1, 3, 5)
"""Edges of the blocks of cells that are compared, as far as the shower holds them."""
CORE = 1.6
"""Half of the width of the core, in cells."""


class ShowerShapes(nn.Module):
    """Brings energies of cells and shapes of layers to a scale of order one.

    Args:
        detector: Whose showers.
        unit: Energy of a typical hit in MeV.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, detector: Detector, unit: float) -> None:
        super().__init__()
        readout = cartesian(detector, "approach 'gan3d'")
        self.scale, self.floor = 0.3 * unit, 0.1 * unit
        for name, places, size in (
            ("rows", readout.y, readout.size[0]),
            ("columns", readout.x, readout.size[1]),
        ):
            self.register_buffer(name, torch.tensor(places / size).float(), persistent=False)

    def compress(self, energies: Tensor) -> Tensor:
        """Bring energies of cells in MeV to a scale on which soft and hard cells count alike."""
        return (energies / self.scale).log1p()

    def expand(self, compressed: Tensor) -> Tensor:
        """Undo `compress`."""
        return self.scale * compressed.expm1()

    def forward(self, energies: Tensor) -> list[Tensor]:
        """Describe the shape of each layer.

        Args:
            energies: (n_showers, n_layers, n_rows, n_columns) in MeV.

        Returns:
            Centroids and widths in y and x, the part of the largest cell, the part of the core, and the overlap of
            neighbouring cells in y, x and z, each (n_showers, n_layers or n_layers - 1).
        """
        total = energies.sum((2, 3)) + self.floor
        shapes = []
        for profile, places in ((energies.sum(3), self.rows), (energies.sum(2), self.columns)):
            part = profile / total[..., None]
            centroid = part @ places
            shapes += [centroid, (part @ places.square() - centroid.square()).clamp(min=1e-4).sqrt()]
        shapes.append(4 * energies.flatten(2).amax(-1) / total)
        core = (self.rows.abs() < CORE)[:, None] & (self.columns.abs() < CORE)
        shapes.append(2 * (energies * core).sum((2, 3)) / total)
        root = energies.clamp(min=1e-6 * self.floor).sqrt()
        shapes.append(3 * (root[:, :, 1:] * root[:, :, :-1]).sum((2, 3)) / total)
        shapes.append(3 * (root[..., 1:] * root[..., :-1]).sum((2, 3)) / total)
        if energies.shape[1] > 1:
            between = (total[:, 1:] * total[:, :-1]).sqrt()
            shapes.append(2 * (root[:, 1:] * root[:, :-1]).sum((2, 3)) / between)
        return shapes

    def energy_score(self, real: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Compare real showers with two drawn for the same incidents, (n_showers, ...) in MeV each; a scalar."""
        showers = (real, first, second)
        a, b, c = map(self.compress, showers)
        squares = [(a - b).square(), (a - c).square(), (b - c).square()]
        score = real.new_zeros(())
        for size in (size for size in BLOCKS if size <= min(a.shape[2:])):
            score = score + 10 * _combine([_block_distance(square, size) for square in squares])
        for shapes in zip(*map(self, showers), strict=True):
            pairs = [(shapes[i] - shapes[j]).square() for i, j in ((0, 1), (0, 2), (1, 2))]
            single = [(pair + 1e-6).sqrt().mean() for pair in pairs]
            joint = [(pair.sum(1) + 1e-5).sqrt().mean() for pair in pairs]
            score = score + 0.5 * _combine(single) + 0.2 * _combine(joint)
        return score


def _combine(distances: list[Tensor]) -> Tensor:
    to_first, to_second, between = distances
    return 0.5 * (to_first + to_second - between)


def _block_distance(squares: Tensor, size: int) -> Tensor:
    """Mean distance of blocks of cells with an edge of `size` cells (fewer along the layers if there are fewer)."""
    if size > 1:
        kernel = (min(size, squares.shape[1]), size, size)
        stride, padding = (tuple(map(f, kernel)) for f in (lambda k: (k + 1) // 2, lambda k: k // 2))
        squares = functional.avg_pool3d(squares[:, None], kernel, stride, padding) * (kernel[0] * size * size)
    return (squares + 1e-4).sqrt().mean()
