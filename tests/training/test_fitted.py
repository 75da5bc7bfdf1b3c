"""Approaches that are fitted without gradient: a run ends after preparation, and is a run like others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from caloforge.cli import main
from caloforge.errors import FileError, InputError, TrainingError
from caloforge.training import Recipe, load_run, train
from caloforge.training.run import RunFolder

MakeRecipe = Any


@pytest.fixture
def library(recipe: MakeRecipe) -> MakeRecipe:
    def make(showers: int = 150, **training: Any) -> Recipe:
        made: Recipe = recipe({"approach": "library", "showers": showers}, steps=0, **training)
        return made

    return make


def test_a_run_ends_after_preparation(library: MakeRecipe, data: Path, tmp_path: Path) -> None:
    trained = train(library(), data, tmp_path / "run", device="cpu")
    assert (trained.steps, trained.best_step) == (0, 0)
    assert trained.best_score == trained.last_score
    assert trained.seconds > 0
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["group"]) for row in rows] == [(0, "validation")]
    approach, recipe, metadata = load_run(tmp_path / "run")
    assert recipe.training.steps == 0
    assert (metadata["step"], metadata["score"]) == (0, trained.best_score)
    assert len(approach.generator.energies) == 150
    showers = approach.generator(torch.tensor([[11.0, 1e4, 0, 0, 0, 0]]), torch.zeros(1, 2))
    assert showers.sum() > 0


def test_it_gets_as_many_showers_as_it_wants_and_never_held_out_ones(
    library: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    train(library(showers=10_000), data, tmp_path / "run", device="cpu")
    assert len(load_run(tmp_path / "run")[0].generator.energies) == 240  # 400 less 40 %


def test_resuming_changes_nothing(library: MakeRecipe, data: Path, tmp_path: Path) -> None:
    train(library(), data, tmp_path / "run", device="cpu")
    run = RunFolder(tmp_path / "run")
    before = run.best.read_bytes(), run.last.read_bytes()
    again = train(library(), data, tmp_path / "run", resume=True, device="cpu")
    assert (run.best.read_bytes(), run.last.read_bytes()) == before
    assert again.best_step == 0


def test_the_same_seed_makes_the_same_library(library: MakeRecipe, data: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(library(seed=seed), data, tmp_path / name, device="cpu")
    a, b, c = (load_run(tmp_path / name)[0].generator.state_dict() for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not torch.equal(a["energies"], c["energies"])


def test_steps_and_approach_must_fit(recipe: MakeRecipe) -> None:
    with pytest.raises(InputError, match=r"'training\.steps' must be 0 for approach 'library'.*got 10"):
        recipe({"approach": "library"}, steps=10)
    with pytest.raises(InputError, match=r"'training\.steps' must be at least 1 for approach 'toy'"):
        recipe(steps=0)


def test_errors_of_the_fit_leave_no_model(library: MakeRecipe, data: Path, tmp_path: Path) -> None:
    few = library().model_copy(update={"model": library().model.model_copy(update={"neighbours": 200})})
    with pytest.raises(InputError, match=r"fewer than model\.neighbours = 200"):
        train(few, data, tmp_path / "run", device="cpu")
    with pytest.raises(FileError, match="not the folder of a training run"):
        load_run(tmp_path / "run")
    with pytest.raises(TrainingError, match="physics score"):
        train(library(validation_showers=10), data, tmp_path / "run", device="cpu")


def test_command(library: MakeRecipe, data: Path, small_toml: Path, tmp_path: Path, capsys) -> None:
    path = tmp_path / "library.toml"
    path.write_text(
        f'detector = "{small_toml}"\n[model]\napproach = "library"\n[data]\nvalidation_fraction = 0.4\n'
        "[training]\nsteps = 0\nbatch_size = 16\n"
    )
    words = [
        "train",
        str(path),
        "--data",
        str(data),
        "-o",
        str(tmp_path / "run"),
        "--device",
        "cpu",
        "--json",
    ]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 0
