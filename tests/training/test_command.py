"""`caloforge train` from end to end, with the toy approach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from caloforge.cli import main

RECIPE = """
detector = "small.toml"
[model]
approach = "toy"
[data]
validation_fraction = 0.4
[training]
steps = 1000
batch_size = 16
validate_every = 4
"""


def test_train_and_resume(
    toy: dict[str, Any], small_toml: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = small_toml.with_name("recipe.toml")
    recipe.write_text(RECIPE)
    words = ["train", str(recipe), "--data", str(data), "-o", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*words, "--set", "training.steps=6", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["steps"] == 6
    assert result["best_step"] in {4, 6}
    assert result["folder"] == str(tmp_path / "run")

    assert main([*words, "--set", "training.steps=9"]) == 7
    assert "already holds a run" in capfd.readouterr().err
    assert main([*words, "--set", "training.steps=9", "--resume"]) == 0
    captured = capfd.readouterr()
    assert "9 steps, best physics score" in captured.out
    assert "Traceback" not in captured.err
