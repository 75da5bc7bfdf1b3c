"""Generator and discriminator of the original, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models.contract import Generator
from caloforge.units import GeV

SHAPE = (25, 25, 25)
"""The one shape of showers that its layers make: (n_layers, n_rows, n_columns)."""
LATENT = 200
ENERGY_UNIT = 100 * GeV
"""Unit of the incident energy inside the networks (`yscale = 100` GeV of the original)."""
CELL_UNIT = GeV / 100
"""Unit of cell energies inside the networks: the original multiplied its cells, in GeV, by `xscale = 100`."""
SLOPE = 0.3


def keras_same_padding(kernel: Sequence[int]) -> tuple[int, ...]:
    """Padding of TensorFlow's 'same' for stride 1, in the order of `torch.nn.functional.pad`.

    >>> keras_same_padding((6, 5))
    (2, 2, 2, 3)
    """
    return tuple(n for size in reversed(kernel) for n in ((size - 1) // 2, size // 2))


def _batch_norm(channels: int) -> nn.BatchNorm3d:
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)


def encode_particles(incident: Tensor, pdgs: Tensor) -> Tensor:
    """Return 1 for the particle of each incident and 0 for the others, (n_showers, n_particles)."""
    return (incident[:, :1] == pdgs).to(incident.dtype)


class Gan3D2018Generator(Generator):
    """The original generator; inside, the axes are (channel, x, y, z).

    Args:
        pdgs: PDG ids of the particles it knows.
    """

    pdgs: Tensor

    def __init__(self, pdgs: Sequence[int]) -> None:
        super().__init__()
        self.noise_size = LATENT
        self.register_buffer("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        self.particle = nn.Parameter(torch.empty(len(pdgs), LATENT))
        self.dense = nn.Linear(LATENT, 64 * 7 * 7)
        self.conv1 = nn.Conv3d(8, 64, (6, 6, 8))
        self.norm1 = _batch_norm(64)
        self.conv2 = nn.Conv3d(64, 6, (6, 5, 8))
        self.norm2 = _batch_norm(6)
        self.conv3 = nn.Conv3d(6, 6, (3, 3, 8))
        self.conv4 = nn.Conv3d(6, 1, (2, 2, 2), bias=False)
        nn.init.normal_(self.particle, 1.0, 0.05)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_uniform_(conv.weight, nonlinearity="relu")
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        nn.init.xavier_normal_(self.conv4.weight)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers, (n_showers, 25, 25, 25) MeV."""
        particle = encode_particles(incident, self.pdgs) @ self.particle
        h = self.dense(noise * particle * (incident[:, 1:2] / ENERGY_UNIT)).reshape(-1, 8, 7, 7, 8)
        h = self.conv1(functional.pad(h, keras_same_padding((6, 6, 8))))
        h = self.norm1(functional.leaky_relu(h, SLOPE))
        h = functional.interpolate(h, scale_factor=(2.0, 2.0, 2.0), mode="nearest")
        h = self.conv2(functional.pad(h, (0, 0, 2, 2, 2, 2)))
        h = self.norm2(functional.leaky_relu(h, SLOPE))
        h = functional.interpolate(h, scale_factor=(2.0, 2.0, 3.0), mode="nearest")
        h = self.conv3(functional.pad(h, (3, 3, 0, 0, 1, 1)))
        h = self.conv4(functional.leaky_relu(h, SLOPE))
        cells = functional.relu(h).squeeze(1).float() * CELL_UNIT
        return cells.permute(0, 3, 2, 1)


class Gan3D2018Discriminator(nn.Module):
    """The original discriminator with its three heads.

    Attributes:
        response: Fit of visible to incident energy per particle, shape (n_particles, 3): coefficients of 1,
            ln E and ln^2 E, E in units of 100 GeV. It gives fakes the sum of cells they should have.
    """

    pdgs: Tensor
    response: Tensor

    def __init__(self, pdgs: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        self.register_buffer("response", torch.tensor([[0.015, 0.0, 0.0]] * len(pdgs)))
        self.first = nn.Conv3d(1, 32, 5, padding=2)
        self.convs = nn.ModuleList(
            nn.Conv3d(n, 8, 5, padding=pad) for n, pad in zip((32, 8, 8), (2, 2, 1), strict=True)
        )
        self.norms = nn.ModuleList(_batch_norm(8) for _ in range(3))
        features = 8 * 11**3
        self.logit = nn.Linear(features, 1)
        self.energy = nn.Linear(features, 1)
        self.particle = nn.Parameter(torch.zeros(len(pdgs), features))
        for layer in (self.first, *self.convs, self.logit, self.energy):
            assert isinstance(layer, nn.Conv3d | nn.Linear)
            assert layer.bias is not None
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, incident: Tensor, showers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judge showers.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, 25, 25, 25) MeV.

        Returns:
            Logit of being real, incident energy (units of 100 GeV) and sum of cells (units of 10 MeV), each
            (n_showers,).
        """
        cells = showers / CELL_UNIT
        h = functional.leaky_relu(self.first(cells.permute(0, 3, 2, 1).unsqueeze(1)), SLOPE)
        h = functional.dropout(h, 0.2, self.training)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            h = functional.dropout(norm(functional.leaky_relu(conv(h), SLOPE)), 0.2, self.training)
        h = functional.avg_pool3d(h, 2).flatten(1)
        particle = encode_particles(incident, self.pdgs) @ self.particle
        logit = self.logit(h).squeeze(1) + (h * particle).sum(1)
        return logit.float(), self.energy(h).squeeze(1).float(), cells.sum((1, 2, 3))
