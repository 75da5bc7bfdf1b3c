"""The challenge's own files are trained on with the same command as ours."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from caloforge.cli import main
from caloforge.detectors import load
from caloforge.training import load_run

pytestmark = pytest.mark.long


def test_a_file_of_data_set_2_is_trained_on(tmp_path: Path) -> None:
    detector = load("calochallenge-2")
    rng = np.random.default_rng(1)
    energy = np.exp(rng.uniform(np.log(1e3), np.log(1e4), 60))
    radius = np.hypot(*detector.positions[:, :2].T) / 10
    depth = detector.positions[:, 2] / 30
    mean = depth**2 * np.exp(-2 * depth - radius)
    cells = mean * rng.gamma(0.3, 3.0, (60, detector.n_cells))
    cells *= 0.9 * energy[:, None] / cells.sum(1, keepdims=True)
    path = tmp_path / "dataset_2.hdf5"
    with h5py.File(path, "w") as file:
        file["showers"], file["incident_energies"] = cells, energy[:, None]
    changes = ["steps=2", "batch_size=16", "validation_showers=24", "validate_every=2", "checkpoint_every=2"]
    words = [word for change in changes for word in ("--set", f"training.{change}")]
    words += ["--set", "data.validation_fraction=0.4", "--detector", "calochallenge-2", "--device", "cpu"]
    assert main(["train", "--data", str(path), "-o", str(tmp_path / "run"), *words]) == 0
    approach, _, metadata = load_run(tmp_path / "run")
    assert approach.detector == detector
    assert metadata["conditions"] == ["energy"]
    assert metadata["spectrum"]["particles"] == [11]
