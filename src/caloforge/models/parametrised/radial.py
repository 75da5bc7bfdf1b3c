"""The lateral profile of electromagnetic showers: two rational functions, core and tail, integrated over cells.

Grindhammer, Rudowicz and Peters (NIM A290 (1990) 469; hep-ex/0001020): the energy at radius r is
distributed as p f(r; R_core) + (1 - p) f(r; R_tail) with f(r; R) = 2 r R^2 / (r^2 + R^2)^2. Its integral over a
rectangle has a closed form (`quadrant`), so that no points have to be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from caloforge.detectors import Detector, cartesian

DEEPEST = 4.0
"""Depth in units of T from which the radial profile stays as it is."""
RADIAL_TERMS = 8
"""Terms of each radial parameter, see `radial_basis`."""
NEAR = 3.5
"""Cells up to so many sizes from the axis are integrated exactly; farther ones would lose digits, and vary little."""


def quadrant(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Integral of R^2 / (pi (x^2 + y^2 + R^2)^2) from (0, 0) to (x, y): odd in both, 1/4 at infinity.

    >>> far = torch.tensor(1e6)
    >>> round(float(4 * quadrant(far, far, torch.tensor(3.0))), 4)
    1.0

    Args:
        x: In mm, of any shape.
        y: In mm.
        radius: R in mm.
    """
    along_x, along_y = (x * x + radius * radius).rsqrt(), (y * y + radius * radius).rsqrt()
    return (x * along_x * (y * along_x).atan() + y * along_y * (x * along_y).atan()) / (2 * math.pi)


def average(centres: Tensor, size: tuple[float, float], radius: Tensor) -> Tensor:
    """Integral of R^2 / (pi (x^2 + y^2 + R^2)^2) over cells far from the axis, from value and curvature at the centre.

    Args:
        centres: x and y in mm, (n, 2).
        size: dx and dy in mm.
        radius: R in mm, (..., 1).

    Returns:
        (..., n).
    """
    x2, y2 = centres[:, 0] ** 2, centres[:, 1] ** 2
    inverse = 1 / (x2 + y2 + radius * radius)
    bend_x, bend_y = 24 * x2 * inverse - 4, 24 * y2 * inverse - 4
    curved = 1 + inverse * (bend_x * (size[0] ** 2 / 24) + bend_y * (size[1] ** 2 / 24))
    scaled = radius * inverse
    return scaled * scaled * curved * (size[0] * size[1] / math.pi)


def radial_basis(tau: Tensor, log_energy: Tensor) -> Tensor:
    """Basis of the radial parameters: cubic in tau / (1 + tau), linear in ln E: (n_showers, n_layers, RADIAL_TERMS)."""
    s = tau / (1 + tau)
    powers = torch.stack([torch.ones_like(s), s, s * s, s * s * s], -1)
    return torch.cat([powers, powers * log_energy[..., None]], -1)


def radii_and_odds(values: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Core and tail radius in mm, log-odds of core and of halo from (..., 4), each (...)."""
    core, ratio, odds, halo = values.unbind(-1)
    core = core.clamp(-3.0, 5.0).exp()
    return core, core * (1 + ratio.clamp(-3.0, 4.0).exp()), odds, halo


@dataclass(frozen=True)
class Cells:
    """The cells of a layer by distance from the axis: cells that are images of each other are one class.

    Attributes:
        corners: |x| and |y| in mm of the different corners of near cells, float32, shape (n_corners, 2).
        signs: From integrals up to corners to integrals over cells, float32, shape (n_corners, n_near).
        centres: |x| and |y| in mm of all classes, nearest first, float32, shape (n_classes, 2).
        class_of: Class of each cell, int64, shape (n_rows * n_columns,).
        counts: Cells of each class, float32, shape (n_classes,).
        size: dx and dy of a cell in mm.
    """

    corners: NDArray[np.float32]
    signs: NDArray[np.float32]
    centres: NDArray[np.float32]
    class_of: NDArray[np.int64]
    counts: NDArray[np.float32]
    size: tuple[float, float]


def cells_of(detector: Detector) -> Cells:
    """Sort the cells of a layer of a detector into classes."""
    readout = cartesian(detector, "the radial profile")
    dy, dx = readout.size
    square = len(detector.symmetries) == 8  # x and y may be exchanged

    def key(x: float, y: float) -> tuple[float, float]:
        first, second = round(abs(x), 6), round(abs(y), 6)
        return (min(first, second), max(first, second)) if square else (first, second)

    places = [key(x, y) for y in readout.y.tolist() for x in readout.x.tolist()]
    classes = sorted(set(places), key=lambda place: (round(math.hypot(*place), 6), place))
    number = {place: index for index, place in enumerate(classes)}
    near = [place for place in classes if math.hypot(*place) <= NEAR * max(dx, dy)]
    corner_number: dict[tuple[float, float], int] = {}
    terms: list[tuple[int, int, float]] = []
    for index, (x, y) in enumerate(near):
        for sx in (-1, 1):
            for sy in (-1, 1):
                cx, cy = x + sx * dx / 2, y + sy * dy / 2
                corner = corner_number.setdefault(key(cx, cy), len(corner_number))
                terms.append((corner, index, sx * sy * float(np.sign(cx) * np.sign(cy))))
    signs = np.zeros((len(corner_number), len(near)), np.float32)
    for corner, index, sign in terms:
        signs[corner, index] += sign
    class_of = np.array([number[place] for place in places])
    return Cells(
        np.array(list(corner_number), np.float32),
        signs,
        np.array(classes, np.float32),
        class_of,
        np.bincount(class_of, minlength=len(classes)).astype(np.float32),
        (dx, dy),
    )


class RadialProfile(nn.Module):
    """Integrals of the radial profile over the cells of a layer.

    Args:
        detector: Whose cells.

    Attributes:
        centres, class_of, counts: See `Cells`.
    """

    corners: Tensor
    signs: Tensor
    centres: Tensor
    class_of: Tensor
    counts: Tensor

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        cells = cells_of(detector)
        self.size, self.n_near = cells.size, cells.signs.shape[1]
        for name in ("corners", "signs", "centres", "class_of", "counts"):
            self.register_buffer(name, torch.from_numpy(getattr(cells, name)), persistent=False)

    def forward(self, core: Tensor, tail: Tensor, weight: Tensor) -> Tensor:
        """Part of the energy in one cell of each class, of what is inside the layer.

        Args:
            core: Radius of the core in mm, of any shape (...).
            tail: Radius of the tail in mm, (...).
            weight: Part of the energy in the core, (...).

        Returns:
            (..., n_classes); with `counts` they add up to 1.
        """
        parts = self.absolute(core, tail, weight)
        return parts / (parts @ self.counts)[..., None]

    def absolute(self, core: Tensor, tail: Tensor, weight: Tensor) -> Tensor:
        """Part of the energy in one cell of each class, of all energy; for the arguments see `forward`."""
        core, tail, weight = core[..., None], tail[..., None], weight[..., None]
        x, y = self.corners[:, 0], self.corners[:, 1]
        near = (weight * quadrant(x, y, core) + (1 - weight) * quadrant(x, y, tail)) @ self.signs
        centres = self.centres[self.n_near :]
        far = weight * average(centres, self.size, core) + (1 - weight) * average(centres, self.size, tail)
        return torch.cat([near, far], -1).clamp(min=1e-9)
