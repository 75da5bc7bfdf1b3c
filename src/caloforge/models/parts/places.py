"""Features of the place of a cell in its layer: smooth functions that weights of networks are spread out on."""

from __future__ import annotations

import torch
from torch import Tensor


def place_features(x: Tensor, y: Tensor) -> Tensor:
    """Describe places in a layer.

    Args:
        x: (n,) in cells from the middle.
        y: Likewise.

    Returns:
        (n, 17).
    """
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
        *(along * torch.exp(-r / reach) for along in (x, y) for reach in (1.0, 3.0)),
    ]
    return torch.stack(known, 1)
