"""Every approach exports to an ONNX file that draws what torch draws, for every readout that it supports."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caloforge import detectors, models
from caloforge.detectors import Detector
from caloforge.errors import DetectorError
from caloforge.models import Batch
from caloforge.runtime import ModelCard
from caloforge.showers import IncidentSpectrum

pytest.importorskip("onnxscript", reason="onnxscript (extra 'export') is not installed")

SMALL = """
name = "small"
threshold = 0.015
[physics]
production_cut = 0.7
[readout]
{readout}
[[stack]]
repeat = 3
slices = [{{ material = "G4_W", thickness = 9.0 }}, {{ material = "G4_Si", thickness = 0.3, sensitive = true }}]
"""
READOUTS = {
    "cartesian": 'kind = "cartesian"\ncells = [7, 7]\nsize = [5.0, 5.0]',
    "cylindrical": 'kind = "cylindrical"\nsectors = 8\nrings = [0.0, 5.0, 10.0, 15.0, 20.0]',
}
FIXED = {"gan3d-2018": "clic-ecal"}
"""Approaches that allow one detector only."""
VARIED = {
    "direction": {"theta": (0.0, 0.3), "phi": (0.0, 6.28)},
    "position": {"position": (-2.5, 2.5, -2.5, 2.5)},
}
"""The spectrum in conditions beyond particle and energy."""


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("name", models.names())
def test_parity_with_torch(name: str, readout: str, tmp_path) -> None:
    from caloforge.export import export_generator

    if name in FIXED and readout != "cartesian":
        pytest.skip(f"{name} allows one detector only")
    toml = detectors.toml(FIXED[name]) if name in FIXED else SMALL.format(readout=READOUTS[readout])
    detector = detectors.parse(toml)
    kind = models.get(name)
    try:
        kind.check_readout(detector)
    except DetectorError:
        pytest.skip(f"{name} does not support a {readout} readout")
    varied = {
        key: value for c in kind.supported_conditions(detector) for key, value in VARIED.get(c, {}).items()
    }
    spectrum = IncidentSpectrum((11, 22), (1e3, 1e5), **varied)
    showers = sample(detector, spectrum)
    config = kind.size(kind.config_type(approach=name), detector, showers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        approach = kind(detector, config)
    approach.prepare(showers)
    card = ModelCard(
        name=name,
        approach=name,
        detector_toml=toml,
        spectrum=spectrum,
        conditions=approach.conditions,
        noise_size=approach.generator.noise_size,
    )
    card, parity = export_generator(
        approach.generator, tmp_path / "model.onnx", card, threads=2, weights=True
    )
    assert parity.cells_off <= 1e-4
    assert (card.flops > 0) == (name != "library")  # which looks up, and multiplies nothing by a matrix
    assert (tmp_path / "model.safetensors").exists()


def sample(detector: Detector, spectrum: IncidentSpectrum, n: int = 64) -> Batch:
    """Showers of independent cells, hit more often at the axis of the incident."""
    rng = np.random.default_rng(1)
    given = spectrum.draw(n, rng, detector)
    axis_x, axis_y = given.axis(detector.z)
    layers, (x, y, _) = detector.cell_layers, detector.positions.T
    distance = np.hypot(x - axis_x[:, layers], y - axis_y[:, layers])
    cells = rng.gamma(2, 0.2, distance.shape) * (rng.random(distance.shape) < 0.7 * np.exp(-distance / 10))
    cells[cells < detector.threshold] = 0
    showers = cells.reshape(n, *detector.shape).astype(np.float32)
    return Batch(torch.from_numpy(given.matrix()), torch.from_numpy(showers), torch.arange(n), n)
