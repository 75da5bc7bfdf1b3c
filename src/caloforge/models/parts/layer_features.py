"""What is known about each layer of a shower, from the hits and energies of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models.parts.depths import OfDepths, layer_depths

N_DEPTH = 8
"""Learnt numbers of the depth of a layer."""
N_SUMMARY = 3
"""Numbers of `summarise`."""


class LayerFeatures(nn.Module):
    """Convolutions along the layers of a shower. Energies are in units of a typical hit.

    Args:
        detector: Whose layers.
        n_context: Size of the encoded incident.
        threshold: Of the detector, in units of a typical hit.
        hidden: Width.
        features: Numbers for each layer.
        kernel: Layers that a convolution sees (odd).
    """

    def __init__(
        self,
        detector: Detector,
        n_context: int,
        threshold: float,
        hidden: int,
        features: int,
        kernel: int = 5,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.depth = OfDepths(layer_depths(detector)[:, None], N_DEPTH)
        self.along = nn.ModuleList(
            nn.Conv1d(size, hidden, kernel, padding=kernel // 2)
            for size in (N_DEPTH + 3 + n_context, hidden, hidden)
        )
        self.to_features = nn.Linear(hidden, features)

    def forward(self, context: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Describe layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers).

        Returns:
            (n_showers, n_layers, features).
        """
        excess = (energy - hits * self.threshold).clamp(min=0)
        mean = excess / hits.clamp(min=1)
        known = torch.stack(
            [
                (hits + 1).log() / 2 - 1,
                (excess + 0.1).log() / 3 - 0.77,
                (hits > 0) * ((mean + 1e-3).log() / 2 - 1.15),
            ],
            1,
        )
        steady = context[:, :, None].expand(-1, -1, hits.shape[1])
        depth = self.depth().T.expand(hits.shape[0], -1, -1)
        stacked = functional.silu(self.along[0](torch.cat([known, steady, depth], 1)))
        for convolution in list(self.along)[1:]:
            stacked = stacked + functional.silu(convolution(stacked))
        features: Tensor = self.to_features(stacked.transpose(1, 2))
        return features


def summarise(hits: Tensor, energy: Tensor) -> Tensor:
    """Encode hits and energies, both (...), as network input (..., `N_SUMMARY`): their logarithms and the mean's."""
    logs = torch.stack([hits + 0.3, energy + 0.1], -1).log()
    matrix = [[1 / 2, 0, -1 / 2], [0, 1 / 3, 1 / 2]]
    return logs @ torch.tensor(matrix, dtype=logs.dtype, device=logs.device)
