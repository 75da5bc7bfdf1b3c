"""The largest visible energy follows the calibration of the readout."""

from __future__ import annotations

import pytest
import torch

from caloforge import detectors, models
from caloforge.testing import READOUTS, synthetic_showers
from caloforge.testing.synthetic import draw_incidents


@pytest.mark.parametrize("name", ["gan3d", "nested3d"])
def test_calibrated_showers_may_have_more_than_the_kinetic_energy(name: str) -> None:
    """Calibration 140 of a response of .015: half of the showers have more visible than kinetic energy."""
    detector = detectors.parse(READOUTS["square"].replace("[readout]", "[readout]\ncalibration = 140.0"))
    sample = synthetic_showers(detector, draw_incidents(detector, 200, ("particle", "energy")))
    sample = models.Batch.whole(sample.incident, 140 * sample.showers)
    approach = models.get(name)
    config = approach.size(approach.config_type(approach=name), detector, sample)
    made = approach(detector, config)
    made.prepare(sample)
    noise = torch.randn(200, made.generator.noise_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        drawn = made.generator.eval()(sample.incident, noise)
    response = drawn.flatten(1).sum(1) / sample.incident[:, 1]
    assert float(response.mean()) == pytest.approx(2.1, rel=0.1)
    assert float(response.max()) <= 140
