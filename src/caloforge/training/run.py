"""The folder of a run: what it holds, and how a trained approach comes back from it.

- `recipe.json`: the resolved recipe
- `detector.toml`: the detector
- `run.json`: versions, command, data file and its hash, what the training showers cover
- `metrics.jsonl`: losses and physics scores by step; `tensorboard/`: the same for TensorBoard
- `checkpoints/last.safetensors`: everything that `--resume` needs
- `best/generator.safetensors`: the averaged generator of the best physics score, step and score in its header
- `best/model.json`: step and score, for people
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import safe_open

import caloforge
from caloforge import detectors, models
from caloforge.config import read_text
from caloforge.detectors import Detector, to_toml
from caloforge.errors import FileError, TrainingError
from caloforge.files import atomic, file_hash
from caloforge.models import Approach
from caloforge.runtime.card import training_data
from caloforge.training import checkpoint
from caloforge.training.recipe import Recipe, read_recipe_json


@dataclass(frozen=True)
class RunFolder:
    """Names inside the folder of a run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / "recipe.json"

    @property
    def detector(self) -> Path:
        """The detector's TOML."""
        return self.path / "detector.toml"

    @property
    def info(self) -> Path:
        """What was run."""
        return self.path / "run.json"

    @property
    def metrics(self) -> Path:
        """Losses and scores, a JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "tensorboard"

    @property
    def last(self) -> Path:
        """The last checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def best(self) -> Path:
        """The best generator."""
        return self.path / "best" / "generator.safetensors"

    @property
    def best_info(self) -> Path:
        """Step and score of the best generator."""
        return self.path / "best" / "model.json"


def write_json(path: Path, data: Any) -> None:
    """Write plain data as JSON, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileError: If it is missing or broken.
    """
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise FileError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise FileError(f"'{path}' does not hold a JSON object")
    return data


def build(recipe: Recipe, detector: Detector) -> Approach[Any]:
    """Make the untrained approach of a recipe; weights are drawn from torch's global generator."""
    return models.get(recipe.model.approach)(detector, recipe.model)


def describe(
    recipe: Recipe, approach: Approach[Any], data_name: str, data_hash: str, command: str
) -> dict[str, Any]:
    """What `run.json` says of versions, command, model and data."""
    return {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "caloforge": caloforge.__version__,
            "torch": version("torch"),
            "lightning-fabric": version("lightning-fabric"),
            "numpy": version("numpy"),
            "python": platform.python_version(),
        },
        "approach": recipe.model.approach,
        "parameters": {
            name: sum(p.numel() for p in network.parameters()) for name, network in approach.networks.items()
        },
        "data": {"file": data_name, "sha256": data_hash},
        "conditions": list(approach.conditions),
        "commit": commit(),
    }


def commit() -> str:
    """Return the git commit of the code, with '-dirty' for changes after it; empty outside of a repository."""
    place = Path(caloforge.__file__).parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(place), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def origin(weights: Path) -> dict[str, Any]:
    """What is known of the weights that a run begins with.

    Args:
        weights: A shipped model's `.safetensors` file, or the generator or a checkpoint of a run.

    Returns:
        Plain data: `file`, `sha256`, and `training_data` (as in a card) where the file, or the run around it, says so.
    """
    found: dict[str, Any] = {"file": weights.name, "sha256": file_hash(weights)}
    run = RunFolder(weights.resolve().parent.parent)
    with safe_open(weights, "pt") as file:
        header = file.metadata() or {}
    if "caloforge.training_data" in header:
        found["training_data"] = json.loads(header["caloforge.training_data"])
    elif run.info.exists():
        found["training_data"] = training_data(
            {**read_json(run.info), **json.loads(header.get("state", "{}"))}
        )
    return found


def start_run(run: RunFolder, recipe: Recipe, detector: Detector, info: Mapping[str, Any]) -> None:
    """Write recipe, detector and description into the folder of a new run.

    Raises:
        FileError: If they cannot be written.
    """
    write_json(run.info, info)
    with atomic(run.detector) as temporary:
        temporary.write_text(to_toml(detector), encoding="utf-8")
    write_json(run.recipe, recipe.plain())


def check_same(old: Recipe, new: Recipe, folder: Path) -> None:
    """Raise where a resumed training would no longer be the same training.

    Raises:
        TrainingError: Naming what differs.
    """
    for name, before, now in (
        ("detector", old.detector, new.detector),
        ("model.approach", old.model.approach, new.model.approach),
        ("data", old.data.model_dump(), new.data.model_dump()),
        ("training.batch_size", old.training.batch_size, new.training.batch_size),
        ("training.seed", old.training.seed, new.training.seed),
    ):
        if before != now:
            raise TrainingError(
                f"run '{folder}' was started with {name} = {before!r}, the recipe says {now!r}: "
                "resume with the same, or start a new run"
            )


def load_run(folder: str | Path) -> tuple[Approach[Any], Recipe, dict[str, Any]]:
    """Rebuild a trained approach with its best averaged generator, on the CPU, in eval mode.

    Only the generator is trained; the other networks are as initialised.

    Args:
        folder: The folder of a run.

    Returns:
        The approach; the recipe; and the metadata: what `run.json` holds (`versions`, `command`, `data` with
        `file` and `sha256`, `spectrum` (plain data of an `IncidentSpectrum`), `conditions`, `physics`, `commit`,
        `n_showers` trained on, `start` with what is known of the weights it began with, ...), `recipe` (plain data),
        `detector` (TOML text), `step` and `score` of the generator.

    Raises:
        FileError: If the folder is no run, or has no trained generator yet.
    """
    run = RunFolder(Path(folder))
    if not run.recipe.exists():
        raise FileError(f"'{folder}' is not the folder of a training run (no recipe.json in it)")
    if not run.best.exists():
        raise FileError(f"run '{folder}' has no trained model yet: train on with --resume")
    recipe = read_recipe_json(run.recipe)
    text = read_text(run.detector, "detector of the run")
    approach = build(recipe, detectors.parse(text, str(run.detector)))
    tensors, state = checkpoint.read(run.best)
    checkpoint.load_network(approach.generator, tensors, str(run.best))
    approach.generator.eval()
    return approach, recipe, {**read_json(run.info), "recipe": recipe.plain(), "detector": text, **state}
