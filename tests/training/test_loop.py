"""The loop: exact resume, NaN, signals, refusals, what a run leaves behind."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caloforge import models
from caloforge.errors import FileError, InputError, TrainingError
from caloforge.models import Batch, StepRandom
from caloforge.showers import Showers, write_showers
from caloforge.training import checkpoint, load_run, train
from caloforge.training.interruption import InterruptionError
from caloforge.training.run import RunFolder

MakeRecipe = Any


def tensors_of(folder: Path) -> checkpoint.Tensors:
    return checkpoint.read(RunFolder(folder).last)[0]


def assert_same(first: Path, second: Path) -> None:
    one, two = tensors_of(first), tensors_of(second)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def test_five_steps_and_five_more_are_ten_bit_for_bit(
    toy: dict[str, Any], recipe: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    schedule = {"schedule": "cosine", "warmup_steps": 3, "ema_decay": 0.9, "gradient_clip": 1.0}
    train(recipe(**schedule), data, tmp_path / "whole", device="cpu")

    def stop_at_five(step: int) -> None:
        if step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    toy["after step"] = stop_at_five
    with pytest.raises(InterruptionError, match=r"SIGTERM after step 5.*--resume") as stopped:
        train(recipe(**schedule), data, tmp_path / "parts", device="cpu")
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    toy["after step"] = lambda step: None
    torch.rand(7)  # the global generator plays no part
    trained = train(recipe(**schedule), data, tmp_path / "parts", resume=True, device="cpu")
    assert trained.steps == 10
    assert_same(tmp_path / "whole", tmp_path / "parts")
    lines = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    for rows in lines:
        for row in rows:
            row.pop("seconds", None)
    assert lines[0] == lines[1]


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    toy: dict[str, Any], recipe: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    train(recipe(checkpoint_every=4), data, tmp_path / "whole", device="cpu")

    class KilledError(BaseException):
        pass

    def die(step: int) -> None:
        if step == 7:
            raise KilledError

    toy["after step"] = die
    with pytest.raises(KilledError):
        train(recipe(checkpoint_every=4), data, tmp_path / "parts", device="cpu")
    toy["after step"] = lambda step: None
    train(recipe(checkpoint_every=4), data, tmp_path / "parts", resume=True, device="cpu")
    assert_same(tmp_path / "whole", tmp_path / "parts")
    steps = [
        row["step"]
        for row in map(json.loads, (tmp_path / "parts/metrics.jsonl").read_text().splitlines())
        if row["group"] == "training"
    ]
    assert steps == list(range(1, 11))


def test_losses_fall_and_the_best_generator_comes_back(
    recipe: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    trained = train(recipe(steps=60, validate_every=20), data, tmp_path / "run", device="cpu")
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [row["generator"] for row in rows if row["group"] == "training"]
    scores = {row["step"]: row["score"] for row in rows if row["group"] == "validation"}
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert trained.best_score == min(scores.values()) == scores[trained.best_step]
    assert list(scores) == [20, 40, 60]
    assert any((tmp_path / "run/tensorboard").iterdir())

    approach, recipe_back, metadata = load_run(tmp_path / "run")
    given = recipe(steps=60, validate_every=20)
    assert recipe_back.training == given.training
    assert recipe_back.model.particles == ("e-", "gamma")  # chosen from the showers
    assert recipe_back.model.conditions == ("particle", "energy")
    assert metadata["score"] == trained.best_score
    assert metadata["step"] == trained.best_step
    assert metadata["spectrum"]["particles"] == [11, 22]
    assert metadata["conditions"] == ["particle", "energy"]
    assert metadata["n_showers"] == 240  # of 400, those held out not counted
    assert len(metadata["data"]["sha256"]) == 64
    assert 1e3 <= metadata["spectrum"]["energy"][0] < metadata["spectrum"]["energy"][1] <= 1e5
    assert approach.detector.shape == (5, 7, 7)
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0]])
    assert not approach.generator.training
    assert torch.isfinite(approach.generator(incident, torch.zeros(1, 4))).all()


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(
    recipe: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    broken = recipe({"nan_at": 9}, checkpoint_every=4)
    with pytest.raises(TrainingError, match=r"loss 'generator' is nan in step 9.*last\.safetensors.*is kept"):
        train(broken, data, tmp_path / "run", device="cpu")
    assert checkpoint.read(RunFolder(tmp_path / "run").last)[1]["state"]["step"] == 8
    repaired = recipe({"learning_rate": 1e-3}, checkpoint_every=4)
    assert train(repaired, data, tmp_path / "run", resume=True, device="cpu").steps == 10


def test_gradient_clipping_bounds_the_gradients(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    train(recipe(gradient_clip=1e-6, steps=5), data, tmp_path / "clipped", device="cpu")
    train(recipe(steps=5), data, tmp_path / "free", device="cpu")
    name = "optimizer/critic/0/square_avg"  # RMSprop's mean of squared gradients
    assert tensors_of(tmp_path / "clipped")[name].max() <= 1e-12
    assert tensors_of(tmp_path / "free")[name].max() > 1e-12


def test_ema_is_an_average_of_the_weights(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    train(recipe(ema_decay=0.0), data, tmp_path / "last", device="cpu")
    train(recipe(ema_decay=0.99), data, tmp_path / "slow", device="cpu")
    last, slow = tensors_of(tmp_path / "last"), tensors_of(tmp_path / "slow")
    assert torch.equal(last["ema/body.0.weight"], last["network/generator/body.0.weight"])
    assert not torch.equal(slow["ema/body.0.weight"], slow["network/generator/body.0.weight"])
    for run in (last, slow):  # buffers are copied
        assert torch.equal(run["ema/body.1.running_mean"], run["network/generator/body.1.running_mean"])


def test_bf16_trains(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    assert train(recipe(precision="bf16", steps=3), data, tmp_path / "run", device="cpu").steps == 3


def test_precisions_that_an_approach_does_not_support_are_refused(
    toy: dict[str, Any], recipe: MakeRecipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models.get("toy"), "precisions", ())
    with pytest.raises(TrainingError, match="precision 'bf16': it supports 32"):
        train(recipe(precision="bf16"), data, tmp_path / "run", device="cpu")


def test_a_time_limit_ends_the_training(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    trained = train(recipe(steps=10**9, time_limit=1e-6), data, tmp_path / "run", device="cpu")
    assert trained.steps == 1


def test_refusals(recipe: MakeRecipe, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    train(recipe(steps=2), data, run, device="cpu")
    with pytest.raises(TrainingError, match="already holds a run"):
        train(recipe(), data, run, device="cpu")
    with pytest.raises(TrainingError, match=r"training\.seed = 1, the recipe says 2"):
        train(recipe(seed=2), data, run, resume=True, device="cpu")
    with pytest.raises(TrainingError, match=r"fewer than training\.batch_size"):
        train(recipe(batch_size=1000), data, tmp_path / "b", device="cpu")
    with pytest.raises(TrainingError, match="physics score"):
        train(recipe(validation_showers=10), data, tmp_path / "c", device="cpu")
    with pytest.raises(TrainingError, match=r"no shower.*e-, gamma from 1.* GeV"):
        train(recipe(data={"energy": "200:300"}), data, tmp_path / "d", device="cpu")
    with pytest.raises(FileError, match="does not exist"):
        train(recipe(), tmp_path / "none.h5", tmp_path / "e", device="cpu")
    assert not (tmp_path / "e").exists()
    cut = tmp_path / "cut.h5"
    cut.write_bytes(data.read_bytes()[:20_000])
    with pytest.raises(FileError, match="truncated"):
        train(recipe(), cut, tmp_path / "e", device="cpu")
    thicker = tmp_path / "thicker.toml"
    thicker.write_text((tmp_path / "small.toml").read_text().replace("9.0", "9.5"))
    with pytest.raises(FileError, match="holds showers of detector 'small', which differs"):
        train(recipe().model_copy(update={"detector": str(thicker)}), data, tmp_path / "e", device="cpu")
    with pytest.raises(InputError, match="device 'tpu'"):
        train(recipe(), data, tmp_path / "f", device="tpu")
    with pytest.raises(TrainingError, match="needs a GPU"):
        train(recipe(precision="16"), data, tmp_path / "g", device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no CUDA device"):
        train(recipe(), data, tmp_path / "h", device="cuda")
    other = tmp_path / "other.h5"
    other.write_bytes(data.read_bytes() + b" ")
    with pytest.raises(TrainingError, match="hash differs"):
        train(recipe(), other, run, resume=True, device="cpu")


def test_a_refused_start_can_be_repeated_without_resume(
    recipe: MakeRecipe, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="batch_size"):
        train(recipe(batch_size=1000), data, tmp_path / "run", device="cpu")
    assert train(recipe(steps=1), data, tmp_path / "run", device="cpu").steps == 1


def test_load_run_explains_what_is_missing(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="not the folder of a training run"):
        load_run(tmp_path)
    train(recipe(steps=1), data, tmp_path / "run", device="cpu")
    RunFolder(tmp_path / "run").best.unlink()
    with pytest.raises(FileError, match="no trained model yet"):
        load_run(tmp_path / "run")


def test_random_numbers_belong_to_places_in_the_global_batch() -> None:
    """Two ranks with half a batch each draw what one rank draws."""
    whole = Batch.whole(torch.zeros(8, 6), torch.zeros(8, 1))
    halves = [whole.select(torch.arange(4) + 4 * part) for part in range(2)]
    expected = StepRandom(1, 3).normal(whole, 5)
    found = torch.cat([StepRandom(1, 3).normal(half, 5) for half in halves])
    assert torch.equal(found, expected)
    assert not torch.equal(StepRandom(1, 4).normal(whole, 5), expected)
    assert not torch.equal(StepRandom(2, 3).normal(whole, 5), expected)


def test_showers_that_vary_in_what_the_model_is_not_told_are_refused(
    recipe: MakeRecipe, showers: Showers, tmp_path: Path
) -> None:
    given = showers.incidents
    for column, value, name in (
        ("theta", np.linspace(0, 0.4, 400), "direction"),
        ("x", np.linspace(-2, 2, 400), "position"),
    ):
        varied = replace(given, **{column: value.astype(np.float32)})
        path = tmp_path / f"{name}.h5"
        write_showers(path, replace(showers, incidents=varied))
        with pytest.raises(InputError, match=f"vary in {name}"):
            train(recipe(), path, tmp_path / name, device="cpu")
    path = tmp_path / "showers.h5"
    write_showers(path, showers)
    with pytest.raises(InputError, match=r"holds gamma, but model\.particles are e-"):
        train(recipe(model={"particles": ["e-"]}), path, tmp_path / "particles", device="cpu")
    only = recipe(model={"particles": ["e-"]}, data={"particles": ["e-"]}, steps=1, batch_size=8)
    train(only, path, tmp_path / "electrons", device="cpu")
    assert load_run(tmp_path / "electrons")[2]["spectrum"]["particles"] == [11]
    with pytest.raises(InputError, match="cannot be conditioned on 'direction'"):
        train(recipe(model={"conditions": ["direction"]}), path, tmp_path / "c", device="cpu")


def test_training_begins_with_given_weights(recipe: MakeRecipe, data: Path, tmp_path: Path) -> None:
    train(recipe(steps=30), data, tmp_path / "first", device="cpu")
    first = RunFolder(tmp_path / "first").best
    train(recipe(steps=1, ema_decay=0), data, tmp_path / "second", device="cpu", start_from=first)
    begun, _ = checkpoint.read(first)
    ended, _ = checkpoint.read(RunFolder(tmp_path / "second").best)
    name = "body.3.weight"
    assert float((begun[name] - ended[name]).abs().max()) < 0.05
    start = load_run(tmp_path / "second")[2]["start"]
    assert start["file"] == first.name
    assert start["training_data"]["file"] == data.name
    assert 0 < start["training_data"]["steps"] <= 30
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    with pytest.raises(FileError, match="not a file of weights"):
        train(recipe(steps=1), data, tmp_path / "c", device="cpu", start_from=tmp_path / "none.safetensors")
    with pytest.raises(FileError, match="do not exist"):
        train(recipe(steps=1), data, tmp_path / "d", device="cpu", start_from=tmp_path / "missing")
    assert not (tmp_path / "d").exists()
    with pytest.raises(TrainingError, match="leave out --start-from"):
        train(recipe(steps=30), data, tmp_path / "first", device="cpu", resume=True, start_from=first)
