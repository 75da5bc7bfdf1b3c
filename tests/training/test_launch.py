"""Starting a training: what the machine offers, and what it must not say."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from caloforge.training.launch import launch
from caloforge.training.recipe import TrainingRecipe


def test_nothing_is_said_where_srun_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a login node lightning-fabric would hint at srun in every start."""
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fabric = launch(TrainingRecipe(steps=1), "cpu", 1)
    assert fabric.world_size == 1
