"""What the fit sees of showers: energies of layers by class of cells, and estimated shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caloforge.models.parametrised.generator import ParametrisedGenerator
from caloforge.models.parametrised.longitudinal import (
    CONVERSION_LENGTH,
    REFERENCE_ENERGY,
    Array,
    Shapes,
    basis_of,
    estimate,
    profile,
    starting_depth,
)

CHUNK = 500
"""Showers that are worked on at once."""


@dataclass(frozen=True)
class Summary:
    """What the fit sees of showers.

    Attributes:
        kind: Number of the particle, (n_showers,).
        energy: Of the incident in MeV, (n_showers,).
        classes: Energy of each layer by class of cells in MeV, (n_showers, n_layers, n_classes) float32.
        first: First layer that sees the shower, (n_showers,).
    """

    kind: NDArray[np.int64]
    energy: Array
    classes: NDArray[np.float32]
    first: NDArray[np.int64]

    @property
    def layers(self) -> Array:
        """Energies of the layers in MeV, (n_showers, n_layers)."""
        return np.asarray(self.classes.sum(2, dtype=np.float64))

    @property
    def log_energy(self) -> Array:
        """Logarithm of E / 10 GeV, (n_showers,)."""
        return np.asarray(np.log(self.energy / REFERENCE_ENERGY))


def summarise(generator: ParametrisedGenerator, incident: Tensor, showers: Tensor) -> Summary:
    """Sum showers up."""
    n_classes = len(generator.lateral.counts)
    to_classes = torch.nn.functional.one_hot(generator.lateral.class_of, n_classes).float()
    flat = showers.flatten(2)
    classes = torch.cat([part @ to_classes for part in flat.split(CHUNK)])
    size = torch.tensor(generator.lateral.size)
    near = generator.lateral.centres.le(1.01 * size).all(1)  # the central cell and its neighbours
    middle = (classes * near).sum(2)
    after = torch.cat([middle[:, 1:], middle[:, -1:]], 1)
    mean = generator.spot_mean
    seen = (middle > 0.3 * mean) & (after > 0.5 * mean)
    first = torch.where(seen.any(1), seen.int().argmax(1), classes.sum(2).argmax(1))
    kind = (incident[:, :1] == generator.pdgs).int().argmax(1)
    return Summary(kind.numpy(), incident[:, 1].double().numpy(), classes.numpy(), first.numpy())


def starts(generator: ParametrisedGenerator, data: Summary) -> Array:
    """Where t is counted from in each shower, (n_showers,) in radiation lengths."""
    at = starting_depth(data.first, generator.depth.double().numpy(), CONVERSION_LENGTH)
    return np.asarray(at * generator.converts.double().numpy()[data.kind])


def back_of(generator: ParametrisedGenerator, data: Summary) -> Array:
    """Mean energy scattered back into each layer in MeV, (n_showers, n_layers)."""
    level, slope = generator.backscatter.double().numpy()
    return np.asarray(data.energy[:, None] * np.exp(level + slope * data.log_energy[:, None]))


def weights_of(generator: ParametrisedGenerator, data: Summary) -> Array:
    """What layers show of the profile, (n_showers, n_layers)."""
    weights = generator.layer_weights.double().numpy()[data.kind]
    return np.asarray(np.exp(np.einsum("nk,nkl->nl", basis_of(data.log_energy, 2), weights)))


def estimate_shapes(generator: ParametrisedGenerator, data: Summary) -> Shapes:
    """Estimate the shape of each shower."""
    depth = generator.depth.double().numpy()[None] - starts(generator, data)[:, None]
    energies = np.clip(data.layers - back_of(generator, data), 0, None)
    spots = data.layers.sum(1) / float(generator.spot_size)
    return estimate(energies, data.energy, depth, weights_of(generator, data), spots)


def expected(generator: ParametrisedGenerator, data: Summary, shapes: Shapes) -> Array:
    """Energies of the layers by the estimated shapes in MeV, (n_showers, n_layers)."""
    depth = generator.depth.double()[None] - torch.from_numpy(starts(generator, data))[:, None]
    log_maximum, log_alpha, log_response = torch.from_numpy(shapes.matrix).split(1, 1)
    shown = (log_response.exp() * profile(depth, log_maximum.exp(), log_alpha.exp() + 1)).numpy()
    return np.asarray(data.energy[:, None] * shown * weights_of(generator, data) + back_of(generator, data))
