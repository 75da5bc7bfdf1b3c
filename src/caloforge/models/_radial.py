"""The lateral profile of electromagnetic showers: two rational functions, core and tail, integrated over cells.

Grindhammer, Rudowicz and Peters (NIM A290 (1990) 469; hep-ex/0001020, section 2.2): the energy at radius r is
distributed as p f(r; R_core) + (1 - p) f(r; R_tail) with f(r; R) = 2 r R^2 / (r^2 + R^2)^2. Its integral over a
rectangle has a closed form (`quadrant`), so that no points have to be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caloforge.detectors import Detector


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


@dataclass(frozen=True)
class Cells:
    """The cells of a layer by distance from the axis: cells that are images of each other count once.

    Attributes:
        corners: |x| and |y| in mm of the different corners of cells, float32, shape (n_corners, 2).
        signs: From integrals up to corners to integrals over cells, float32, shape (n_corners, n_classes).
        class_of: Class of each cell, int64, shape (n_rows * n_columns,).
        counts: Cells of each class, float32, shape (n_classes,).
    """

    corners: NDArray[np.float32]
    signs: NDArray[np.float32]
    class_of: NDArray[np.int64]
    counts: NDArray[np.float32]


def cells_of(detector: Detector) -> Cells:
    """Sort the cells of a layer of a detector into classes."""
    half_y, half_x = (size / 2 for size in detector.readout.size)
    square = any(op.transpose for op in detector.symmetries)

    def key(x: float, y: float) -> tuple[float, float]:
        first, second = round(abs(x), 6), round(abs(y), 6)
        return (min(first, second), max(first, second)) if square else (first, second)

    places = [key(x, y) for y in detector.y for x in detector.x]
    classes = sorted(set(places))
    number = {place: index for index, place in enumerate(classes)}
    corner_number: dict[tuple[float, float], int] = {}
    terms: list[tuple[int, int, float]] = []
    for index, (x, y) in enumerate(classes):
        for sx in (-1, 1):
            for sy in (-1, 1):
                cx, cy = x + sx * half_x, y + sy * half_y
                corner = corner_number.setdefault(key(cx, cy), len(corner_number))
                terms.append((corner, index, sx * sy * float(np.sign(cx) * np.sign(cy))))
    signs = np.zeros((len(corner_number), len(classes)), np.float32)
    for corner, index, sign in terms:
        signs[corner, index] += sign
    class_of = np.array([number[place] for place in places])
    return Cells(
        np.array(list(corner_number), np.float32),
        signs,
        class_of,
        np.bincount(class_of, minlength=len(classes)).astype(np.float32),
    )


def fractions(
    corners: Tensor, signs: Tensor, core: Tensor, tail: Tensor, weight: Tensor
) -> Tensor:
    """Part of the energy in one cell of each class.

    Args:
        corners: (n_corners, 2), see `Cells`.
        signs: (n_corners, n_classes).
        core: Radius of the core in mm, of any shape (...).
        tail: Radius of the tail in mm, (...).
        weight: Part of the energy in the core, (...).

    Returns:
        (..., n_classes); with `Cells.counts` they add up to what the layer holds, less than 1.
    """
    x, y = corners[:, 0], corners[:, 1]
    up_to = weight[..., None] * quadrant(x, y, core[..., None])
    up_to = up_to + (1 - weight[..., None]) * quadrant(x, y, tail[..., None])
    return (up_to @ signs).clamp(min=1e-9)
