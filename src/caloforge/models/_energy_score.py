"""The energy score: how far one real shower is from two generated ones, less how far those are from each other.

It is a proper scoring rule (Gneiting and Raftery, JASA 102 (2007) 359): its mean over real showers is least when the
generated ones follow the true distribution of whatever is compared. It needs no adversary and never diverges.
Compared here are cells, blocks of cells, and the shape of each layer.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLOCKS = (1, 3, 5)
"""Edges of the blocks of cells that are compared, as far as the window holds them."""
CELL_SCALE = 0.05
"""Cell energies are compared as log(1 + energy / CELL_SCALE); in MeV, about half of what a minimum ionising particle
leaves in 0.32 mm of silicon (Particle Data Group: 0.39 MeV/mm most probable)."""


def compress(energies: Tensor) -> Tensor:
    """Bring cell energies in MeV to a scale on which soft and hard cells count alike, of the same shape."""
    return (energies / CELL_SCALE).log1p()


def layer_shapes(energies: Tensor, rows: Tensor, columns: Tensor, floor: float) -> list[Tensor]:
    """Describe the shape of each layer by numbers of order one.

    Args:
        energies: (n_showers, n_layers, n_rows, n_columns) in MeV.
        rows: (n_rows,) positions in cells, 0 on the axis.
        columns: (n_columns,) likewise.
        floor: Energy in MeV added to a layer's, so that empty layers have a shape too.

    Returns:
        Centres and widths in y and x, the largest cell's part, the part in the central cells, and the overlap of
        neighbouring cells in z, y and x, each (n_showers, n_layers or n_layers - 1).
    """
    total = energies.sum((2, 3)) + floor
    shapes = []
    for profile, place in ((energies.sum(3), rows), (energies.sum(2), columns)):
        profile = profile / total[..., None]  # noqa: PLW2901
        centre = profile @ place
        width = (profile @ place.square() - centre.square()).clamp(min=1e-4).sqrt()
        shapes += [centre, width]
    shapes.append(4 * energies.flatten(2).amax(-1) / total)
    core = energies * ((rows.abs() < 1.6)[:, None] & (columns.abs() < 1.6))
    shapes.append(2 * core.sum((2, 3)) / total)
    root = energies.clamp(min=1e-8).sqrt()
    between = (total[:, 1:] * total[:, :-1]).sqrt()
    shapes.append(2 * (root[:, 1:] * root[:, :-1]).sum((2, 3)) / between)
    shapes.append(3 * (root[:, :, 1:] * root[:, :, :-1]).sum((2, 3)) / total)
    shapes.append(3 * (root[..., 1:] * root[..., :-1]).sum((2, 3)) / total)
    return shapes


def energy_score(
    real: Tensor,
    fake: Tensor,
    other: Tensor,
    rows: Tensor,
    columns: Tensor,
    floor: float,
    window: tuple[slice, slice],
) -> Tensor:
    """The energy score of cells, blocks and layer shapes.

    Args:
        real: (n_showers, n_layers, n_rows, n_columns) in MeV.
        fake: Generated showers for the same incidents.
        other: The same again, with other noise.
        rows: See `layer_shapes`.
        columns: See `layer_shapes`.
        floor: See `layer_shapes`.
        window: The central rows and columns whose cells are compared.

    Returns:
        A scalar.
    """
    cut = (slice(None), slice(None), *window)
    a, b, c = compress(real[cut]), compress(fake[cut]), compress(other[cut])
    total = real.new_zeros(())
    pairs = [(a - b).square(), (a - c).square(), (b - c).square()]
    for size in (size for size in BLOCKS if size <= min(a.shape[1:])):
        distances = [_block_distance(pair, size) for pair in pairs]
        total = total + 10 * _combine(distances)
    described = [layer_shapes(showers, rows, columns, floor) for showers in (real, fake, other)]
    for x, y, z in zip(*described, strict=True):
        single = [(x - y).abs().mean(), (x - z).abs().mean(), (y - z).abs().mean()]
        joint = [((p - q).square().sum(1) + 1e-5).sqrt().mean() for p, q in ((x, y), (x, z), (y, z))]
        total = total + 0.5 * _combine(single) + 0.2 * _combine(joint)
    return total


def _combine(distances: list[Tensor]) -> Tensor:
    to_first, to_second, between = distances
    return 0.5 * (to_first + to_second - between)


def _block_distance(squares: Tensor, size: int) -> Tensor:
    if size > 1:
        pooled = functional.avg_pool3d(squares[:, None], size, stride=(size + 1) // 2, padding=size // 2)
        squares = pooled * size**3
    return (squares + 1e-4).sqrt().mean()


def centred(positions: Tensor) -> Tensor:
    """Return positions in units of their spacing (1 if there is one only).

    >>> centred(torch.tensor([-5.0, 0.0, 5.0]))
    tensor([-1.,  0.,  1.])
    """
    spacing = positions[1] - positions[0] if len(positions) > 1 else torch.ones(())
    return positions / spacing
