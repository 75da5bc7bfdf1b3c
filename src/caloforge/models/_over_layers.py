"""What the networks of cells get to know about each layer, from the hits and energies of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._layers import mean_excess


class OverLayers(nn.Module):
    """Convolutions along the layers of a shower.

    Args:
        n_layers: Number of layers.
        context: Size of the encoded incident.
        threshold: Of the detector, in MeV.
        hidden: Width.
        features: Numbers for each layer.
        kernel: Layers that a convolution sees (odd).
    """

    def __init__(
        self, n_layers: int, context: int, threshold: float, hidden: int, features: int, kernel: int = 5
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.place = nn.Parameter(0.1 * torch.randn(8, n_layers))
        self.along = nn.ModuleList(
            nn.Conv1d(size, hidden, kernel, padding=kernel // 2) for size in (8 + 3 + context, hidden, hidden)
        )
        self.to_features = nn.Linear(hidden, features)

    def forward(self, context: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Describe layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in MeV.

        Returns:
            (n_showers, n_layers, features).
        """
        excess = mean_excess(hits, energy, self.threshold)
        known = torch.stack(
            [
                (hits + 1).log() / 2 - 1,
                (excess * hits + 0.01).log() / 3,
                (hits > 0) * (excess + 1e-4).log() / 2,
            ],
            1,
        )
        steady = context[:, :, None].expand(-1, -1, hits.shape[1])
        stacked = torch.cat([known, steady, self.place.expand(hits.shape[0], -1, -1)], 1)
        stacked = functional.silu(self.along[0](stacked))
        for convolution in list(self.along)[1:]:
            stacked = stacked + functional.silu(convolution(stacked))
        features: Tensor = self.to_features(stacked.transpose(1, 2))
        return features


def describe(hits: Tensor, energy: Tensor) -> Tensor:
    """Encode hits and energies in MeV, both (...), as network input (..., 3)."""
    logs = torch.stack([hits + 0.3, energy + 0.01], -1).log()
    return logs @ torch.tensor([[1 / 2, 0, -1 / 2], [0, 1 / 3, 1 / 2]], dtype=logs.dtype, device=logs.device)
