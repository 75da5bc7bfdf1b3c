"""Every approach exports to an ONNX file that draws what torch draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caloforge import detectors, models
from caloforge.models._base import Batch
from caloforge.runtime import ModelCard

pytest.importorskip("onnxscript", reason="onnxscript (extra 'export') is not installed")

SMALL = """
name = "small"
production_cut = 0.7
threshold = 0.015
readout = { kind = "cartesian", cells = [7, 7], size = [5.0, 5.0] }
[[stack]]
repeat = 3
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
FIXED = {"gan3d-2018": "clic-ecal"}
"""Approaches that allow one detector only."""


@pytest.mark.parametrize("name", sorted(models.APPROACHES))
def test_parity_with_torch(name: str, tmp_path) -> None:
    from caloforge.export import export_generator

    toml = detectors.toml(FIXED[name]) if name in FIXED else SMALL
    detector = detectors.parse(toml)
    kind = models.get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        approach = kind(detector, kind.config_type(approach=name))
    approach.prepare(sample(detector.shape))
    card = ModelCard(
        name=name,
        approach=name,
        detector_toml=toml,
        particles=(11, 22),
        energy_range=(1e3, 1e5),
        noise_size=approach.generator.noise_size,
    )
    card, parity = export_generator(approach.generator, tmp_path / "model.onnx", card, threads=2)
    assert parity.cells_off <= 1e-4
    assert (card.flops > 0) == (name != "library")  # which looks up, and multiplies nothing by a matrix


def sample(shape: tuple[int, int, int], n: int = 64) -> Batch:
    """Showers of independent cells, hit more often at the axis."""
    rng = np.random.default_rng(1)
    rows, columns = (np.arange(size) - (size - 1) / 2 for size in shape[1:])
    chance = 0.7 * np.exp(-np.hypot(rows[:, None], columns) / 2)
    cells = rng.gamma(2, 0.2, (n, *shape)) * (rng.random((n, *shape)) < chance)
    cells[cells < 0.015] = 0
    incident = np.zeros((n, 6), np.float32)
    incident[:, 0], incident[:, 1] = np.resize([11, 22], n), np.geomspace(1e3, 1e5, n)
    return Batch(torch.from_numpy(incident), torch.from_numpy(cells.astype(np.float32)))
