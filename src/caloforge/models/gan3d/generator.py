"""The generator: layers first, then their cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector, cartesian
from caloforge.models.contract import Generator
from caloforge.models.gan3d.config import Gan3DConfig
from caloforge.models.parts.encoder import ConditionEncoder, largest_visible_energy
from caloforge.models.parts.layer_features import LayerFeatures
from caloforge.models.parts.layer_model import LayerModel

REACHES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Reaches of exponentials among the functions of the place, in cells."""
NEVER = -50.0
"""Score of the cell that ends the ranking where all cells of a layer may be hit."""


def place_functions(detector: Detector) -> Tensor:
    """Known functions of the place of a cell in its layer, (n_functions, n_cells of a layer); first ln(1 + r)."""
    readout = cartesian(detector, "approach 'gan3d'")
    unit = (readout.size[0] * readout.size[1]) ** 0.5
    y, x = torch.meshgrid(torch.tensor(readout.y), torch.tensor(readout.x), indexing="ij")
    x, y = x / unit, y / unit
    r = (x * x + y * y).sqrt()
    near = torch.exp(-r / 2)
    functions = [r.log1p(), r / 10, x / 10, y / 10, *(torch.exp(-r / reach) for reach in REACHES)]
    functions += [x * near, y * near, (x * x - y * y) * near, x * y * near]
    return torch.stack(functions).flatten(1).float()


class TransverseMaps(nn.Module):
    """Learnt functions of the place of a cell in its layer; the first one begins as ln(1 + r).

    Args:
        detector: Whose cells.
        n_maps: Number of maps.
        hidden: Width of the network.
    """

    functions: Tensor

    def __init__(self, detector: Detector, n_maps: int, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("functions", place_functions(detector).T.contiguous(), persistent=False)
        n_functions = self.functions.shape[1]
        self.straight = nn.Linear(n_functions, n_maps, bias=False)
        self.bent = nn.Sequential(nn.Linear(n_functions, hidden), nn.SiLU(), nn.Linear(hidden, n_maps))
        with torch.no_grad():
            self.straight.weight.normal_(std=0.05)
            self.straight.weight[: min(n_maps, n_functions)] += torch.eye(n_functions)[:n_maps]

    def forward(self) -> Tensor:
        """Return the maps, (n_maps, n_rows * n_columns)."""
        maps: Tensor = self.straight(self.functions) + 0.3 * self.bent(self.functions)
        return maps.T


class Gan3DGenerator(Generator):
    """Draws hits and energy of layers, then shares them out among cells.

    Args:
        detector: Whose showers.
        config: Hyper-parameters that leave nothing open.
    """

    def __init__(self, detector: Detector, config: Gan3DConfig) -> None:
        super().__init__()
        self.n_layers, self.n_rows, self.n_columns = detector.shape
        self.n_cells = self.n_rows * self.n_columns
        self.unit, self.readout = config.hit_energy or 1.0, detector.readout
        self.threshold = detector.threshold / self.unit
        self.most_hits = min(config.most_hits or self.n_cells, self.n_cells)
        self.latents, self.n_maps, hidden = config.latents, config.maps, config.hidden
        self.encoder = ConditionEncoder(config.pdgs, config.conditions)
        n_context = self.encoder.size
        self.layers = LayerModel(detector, n_context, self.encoder.n_particles, self.threshold)
        self.noise_sizes = [
            self.layers.noise_size,
            config.latents * self.n_layers,
            self.n_layers * self.n_cells,
        ]
        self.noise_size = sum(self.noise_sizes)

        self.along = LayerFeatures(detector, n_context, self.threshold, hidden, hidden)
        self.bending = nn.Conv1d(config.latents, hidden, 5, padding=2)
        self.joining = nn.Linear(2 * hidden, hidden)
        self.mixing = nn.Linear(hidden, 2 * self.n_maps + 1)
        self.maps = TransverseMaps(detector, self.n_maps)
        self.to_channels = nn.Linear(hidden, config.channels)
        self.conv1 = nn.Conv3d(3, config.channels, 3, padding=1)
        self.conv2 = nn.Conv3d(config.channels, config.channels, 3, padding=1)
        self.conv3 = nn.Conv3d(config.channels, 2, 3, padding=1)
        for last in (self.mixing, self.conv3):
            nn.init.normal_(last.weight, std=0.05)
            assert last.bias is not None
            nn.init.zeros_(last.bias)
        with torch.no_grad():  # scores fall with the logarithm of the radius, energies more slowly
            self.mixing.bias[0], self.mixing.bias[self.n_maps] = -2.0, -0.3
        self.window = tuple(window_of(n, config.window) for n in (self.n_rows, self.n_columns))

    def limit(self, incident: Tensor) -> Tensor:
        """Largest visible energy in units of a typical hit, (n,)."""
        return largest_visible_energy(incident, self.readout) / self.unit

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`."""
        for_layers, for_shapes, for_cells = noise.split(self.noise_sizes, dim=1)
        context = self.encoder(incident)
        hits, energy = self.layers.sample(context, self.limit(incident), for_layers)
        hits = hits.clamp(max=self.most_hits)
        return self.draw_cells(context, hits, energy, for_shapes, for_cells)

    def teach(
        self, incident: Tensor, hits: Tensor, energy: Tensor, uniform: Tensor, noise: Tensor
    ) -> tuple[Tensor, ...]:
        """Do what a training step needs, in one pass over all weights.

        Args:
            incident: (n_showers, 6), real.
            hits: (n_showers, n_layers), real.
            energy: (n_showers, n_layers) in units of a typical hit, real.
            uniform: From 0 to 1, (n_showers,).
            noise: For the cells of two showers each, (n_showers, 2, noise of shapes and cells).

        Returns:
            Negative log-likelihood of the layers (n_showers,), and two times showers with the real layers in MeV.
        """
        context = self.encoder(incident)
        likelihood = self.layers.loss(context, self.limit(incident), hits, energy, uniform)
        twice = [values.repeat(2, 1) for values in (context, hits.clamp(max=self.most_hits), energy)]
        drawn = self.draw_cells(
            *twice, *noise.transpose(0, 1).flatten(0, 1).split(self.noise_sizes[1:], dim=1)
        )
        return likelihood, *drawn.chunk(2)

    def draw_cells(
        self, context: Tensor, hits: Tensor, energy: Tensor, for_shapes: Tensor, for_cells: Tensor
    ) -> Tensor:
        """Share out the hits and energy of every layer among its cells.

        Args:
            context: (n_showers, n_context) encoded incidents.
            hits: (n_showers, n_layers).
            energy: (n_showers, n_layers) in units of a typical hit.
            for_shapes: (n_showers, latents * n_layers) noise.
            for_cells: (n_showers, n_layers * n_rows * n_columns) noise.

        Returns:
            (n_showers, n_layers, n_rows, n_columns) in MeV, each layer with its hits and energy.
        """
        bent = self.bending(for_shapes.unflatten(1, (self.latents, self.n_layers))).transpose(1, 2)
        features = self.along(context, hits, energy)
        features = functional.silu(self.joining(functional.silu(torch.cat([features, bent], 2))))
        of_score, of_power, gain = self.mixing(features).split([self.n_maps, self.n_maps, 1], 2)
        maps = self.maps()
        score, power = of_score @ maps, of_power @ maps
        noise = for_cells.unflatten(1, (self.n_layers, -1)) * (1 + 0.3 * torch.tanh(gain))
        local = self._convolve(features, noise, score, power)
        score, power = score + noise + local[:, 0], power + 0.5 * noise + local[:, 1]
        showers: Tensor = self._share_out(score, power, hits, energy).unflatten(
            2, (self.n_rows, self.n_columns)
        )
        return showers * self.unit

    def _convolve(self, features: Tensor, noise: Tensor, score: Tensor, power: Tensor) -> Tensor:
        """Correlate the cells of the window, (n_showers, 2, n_layers, n_rows * n_columns)."""
        (top, height), (left, width) = self.window
        stacked = torch.stack([noise, 0.3 * score, 0.3 * power], 1).unflatten(
            3, (self.n_rows, self.n_columns)
        )
        stacked = stacked[..., top : top + height, left : left + width]
        bias = self.to_channels(features).transpose(1, 2)[..., None, None]
        local = functional.leaky_relu(self.conv1(stacked) + bias, 0.1)
        local = local + functional.leaky_relu(self.conv2(local), 0.1)
        right, bottom = self.n_columns - left - width, self.n_rows - top - height
        padded: Tensor = functional.pad(self.conv3(local), (left, right, top, bottom)).flatten(3)
        return padded

    def _share_out(self, score: Tensor, power: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Energies of cells in units of a typical hit, (n_showers, n_layers, n_rows * n_columns)."""
        hits, energy = hits[..., None], energy[..., None]
        ranked = functional.pad(score, (0, 1), value=NEVER).topk(self.most_hits + 1, dim=2).values
        above = (score - ranked.gather(2, hits.long())).clamp(min=0)
        is_hit = (above * 1e6).clamp(max=1.0)
        weight = power.clamp(-12.0, 12.0).exp() * above / (above + 0.2)
        excess = (energy - hits * self.threshold).clamp(min=0)
        return self.threshold * is_hit + excess * weight / (weight.sum(-1, keepdim=True) + 1e-6)


def window_of(n: int, size: int) -> tuple[int, int]:
    """Return first row and number of rows of a window in the middle of n rows.

    >>> window_of(25, 13), window_of(24, 13), window_of(5, 13)
    ((6, 13), (6, 12), (0, 5))
    """
    size = min(size, n)
    size -= (n - size) % 2
    return (n - size) // 2, size
