"""The adversary: 3D convolutions of the cells, and the shape of each layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models.gan3d.config import Gan3DConfig
from caloforge.models.gan3d.generator import place_functions
from caloforge.models.gan3d.scores import ShowerShapes

WIDTH = 128


class Gan3DDiscriminator(nn.Module):
    """Says how real showers are, given their incidents, and hits and energy of their layers.

    Args:
        detector: Whose showers.
        config: Hyper-parameters that leave nothing open.
        n_context: Size of the encoded incident.
    """

    radius: Tensor
    steps: Tensor

    def __init__(self, detector: Detector, config: Gan3DConfig, n_context: int) -> None:
        super().__init__()
        self.shapes = ShowerShapes(detector, config.hit_energy or 1.0)
        radius = place_functions(detector)[1].reshape(detector.shape[1:])
        self.register_buffer("radius", radius.expand(1, *detector.shape).clone(), persistent=False)
        self.register_buffer(
            "steps", torch.zeros((), dtype=torch.int64)
        )  # for penalties in one step of several
        channels = config.discriminator_channels
        self.convolutions = nn.ModuleList(
            [
                nn.Conv3d(3, channels, 3, stride=(1, 2, 2), padding=1),
                nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1),
                nn.Conv3d(2 * channels, 4 * channels, 3, stride=2, padding=1),
            ]
        )
        with torch.no_grad():
            empty = torch.zeros(1, *detector.shape)
            n_shapes = sum(shape.shape[1] for shape in self.shapes(empty))
            n_features = self._convolve(empty).shape[1]
        self.wide = nn.Linear(n_features, WIDTH)
        n_inputs = WIDTH + n_shapes + n_context + 2 * detector.n_layers
        self.joint = nn.Sequential(nn.Linear(n_inputs, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH))
        self.verdict = nn.Linear(WIDTH, 1)

    def _convolve(self, compressed: Tensor) -> Tensor:
        energies = self.shapes.expand(compressed)
        share = 4 * energies / (energies.sum((2, 3), keepdim=True) + self.shapes.floor)
        stacked = torch.stack([compressed, share, self.radius.expand(compressed.shape[0], -1, -1, -1)], 1)
        for convolution in self.convolutions:
            stacked = functional.leaky_relu(convolution(stacked), 0.2)
        return stacked.flatten(1)

    def forward(self, compressed: Tensor, context: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Judge showers.

        Args:
            compressed: (n_showers, n_layers, n_rows, n_columns), see `ShowerShapes.compress`.
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in units of a typical hit.

        Returns:
            The larger, the more real, (n_showers,).
        """
        features = functional.leaky_relu(self.wide(self._convolve(compressed)), 0.2)
        shapes = self.shapes(self.shapes.expand(compressed))
        given = [context, (hits + 1).log() / 2, (energy + 0.1).log() / 3]
        joint = functional.leaky_relu(self.joint(torch.cat([features, *shapes, *given], 1)), 0.2)
        verdict: Tensor = self.verdict(joint)[:, 0]
        return verdict
