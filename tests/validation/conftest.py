"""Samples that several tests of the validation share."""

import math

import numpy as np
import pytest

from caloforge.showers import IncidentSpectrum, Showers
from caloforge.units import degree
from caloforge.validation import read_sample

TILTED = IncidentSpectrum(
    (11,), (1e3, 1e5), theta=(0.0, 15 * degree), phi=(0.0, 2 * math.pi), position=(-2.5, 2.5, -2.5, 2.5)
)
"""The toy detector's shower axes leave it through the back."""


@pytest.fixture(scope="session")
def pair(toy_showers):
    """Two independent samples of 1000 showers of one distribution."""
    return read_sample(toy_showers(1000, 1), "generated"), read_sample(toy_showers(1000, 2), "reference")


@pytest.fixture(scope="session")
def tilted_showers(toy_detector):
    """Make n parametrised showers along tilted axes, with impact points all over a cell.

    `follow` turns the incidents into those that the showers really follow: what a faulty model does.
    """
    n_layers = toy_detector.n_layers

    def make(n, seed, follow=lambda given: given):
        rng = np.random.default_rng(seed)
        given = TILTED.draw(n, rng, toy_detector)
        real = follow(given)
        spots = rng.poisson(2 * np.sqrt(real.energy))
        owner = np.repeat(np.arange(n), spots)
        depth = 1.5 + 0.3 * np.log(real.energy / 1e3) + 0.3 * rng.random(n)
        layer = rng.gamma(3.0, depth[owner] / 3).astype(int)
        owner, layer = owner[layer < n_layers], layer[layer < n_layers]
        radius, angle = rng.exponential(4.0, len(owner)), rng.uniform(0, 2 * np.pi, len(owner))
        x, y = (places[owner, layer] for places in real.axis(toy_detector.z))
        column = np.round((x + radius * np.cos(angle)) / 5.0).astype(int) + 4
        row = np.round((y + radius * np.sin(angle)) / 5.0).astype(int) + 4
        inside = (row >= 0) & (row < 9) & (column >= 0) & (column < 9)
        energy = rng.gamma(2.0, 0.5, len(owner)) * (0.02 * real.energy / np.maximum(spots, 1))[owner]
        cells = np.zeros((n, *toy_detector.shape), dtype=np.float32)
        place = tuple(index[inside] for index in (owner, layer, row, column))
        np.add.at(cells, place, energy[inside].astype(np.float32))
        return Showers(cells, given, toy_detector, {"source": "toy", "spectrum": TILTED.to_json()})

    return make
