"""Features of the place of a cell in its layer: smooth functions that weights of networks are spread out on."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.detectors import Detector


def place_features(detector: Detector) -> tuple[Tensor, Tensor, Tensor]:
    """Describe the places of the cells of a layer.

    Args:
        detector: Whose cells.

    Returns:
        x and y in cells from the axis, both (n_cells,), and the features, (n_cells, 17).
    """
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
        *(along * torch.exp(-r / reach) for along in (x, y) for reach in (1.0, 3.0)),
    ]
    return x, y, torch.stack(known, 1)
