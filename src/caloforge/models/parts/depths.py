"""Depths in a calorimeter as network input: so that no weight belongs to a layer of one detector."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from caloforge.detectors import Detector

PERIODS = (1.5, 4.0, 12.0)
"""Radiation lengths: periods of the waves that tell neighbouring layers apart."""
N_FEATURES = 3 + 2 * len(PERIODS)


def layer_edges(detector: Detector) -> Tensor:
    """Depths between layers in radiation lengths, (n_layers + 1,), from 0 to the end of the detector."""
    depths = np.array([layer.depth for layer in detector.layers])
    edges = [0.0, *((depths[1:] + depths[:-1]) / 2), detector.radiation_lengths]
    return torch.tensor(edges, dtype=torch.float32)


def layer_depths(detector: Detector) -> Tensor:
    """Depths of the mid-planes of layers in radiation lengths, (n_layers,)."""
    return torch.tensor([layer.depth for layer in detector.layers], dtype=torch.float32)


def depth_features(depth: Tensor) -> Tensor:
    """Smooth functions of depths in radiation lengths, (...) to (..., `N_FEATURES`)."""
    waves = [wave(2 * math.pi * depth / period) for period in PERIODS for wave in (torch.sin, torch.cos)]
    return torch.stack([depth / 10, (depth / 20).square(), (depth + 1).log() / 2, *waves], -1)


class OfDepths(nn.Module):
    """Learnt numbers of some depths.

    Args:
        depths: (n, n_depths) in radiation lengths.
        size: Numbers for each row.
        hidden: Width of the network.
    """

    features: Tensor

    def __init__(self, depths: Tensor, size: int, hidden: int = 48) -> None:
        super().__init__()
        features = depth_features(depths).flatten(1)
        self.register_buffer("features", features, persistent=False)
        self.network = nn.Sequential(nn.Linear(features.shape[1], hidden), nn.SiLU(), nn.Linear(hidden, size))

    def forward(self) -> Tensor:
        """Return the numbers, (n, size)."""
        numbers: Tensor = self.network(self.features)
        return numbers
