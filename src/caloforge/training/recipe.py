"""Recipes: what to train, on which showers, and how, as a TOML file."""

from __future__ import annotations

import copy
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, field_validator, model_validator

from caloforge import detectors, models
from caloforge.config import parse_toml, read_text, validate
from caloforge.detectors import Detector
from caloforge.errors import FileError, InputError
from caloforge.models import ApproachConfig
from caloforge.showers import pdg_id
from caloforge.units import parse_angle_range, parse_energy_range

_STRICT = ConfigDict(extra="forbid", frozen=True)
Count = Annotated[int, Field(ge=1)]
Part = Annotated[float, Field(gt=0, lt=1)]


class DataRecipe(BaseModel):
    """The `[data]` table: which showers of the file are used.

    Attributes:
        particles: Names of the particles to train on; all of the file if empty.
        energy: Range of incident energies as on the command line (`"1:100"` GeV); all of the file if empty.
        theta: Range of angles from the layer normal as on the command line (`"0:30"` degrees); all if empty.
        validation_fraction: Part of the showers that is held out.
        symmetries: Turn and mirror each shower at random by the detector's symmetries.
    """

    model_config = _STRICT
    particles: tuple[str, ...] = ()
    energy: str = ""
    theta: str = ""
    validation_fraction: Part = 0.1
    symmetries: bool = True

    @field_validator("particles")
    @classmethod
    def _known_particles(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _explained(pdg_id, name)
        return names

    @field_validator("energy")
    @classmethod
    def _readable_energy(cls, text: str) -> str:
        if text:
            _explained(parse_energy_range, text)
        return text

    @field_validator("theta")
    @classmethod
    def _readable_theta(cls, text: str) -> str:
        if text:
            _explained(parse_angle_range, text)
        return text

    @property
    def pdgs(self) -> tuple[int, ...]:
        """PDG ids of the particles."""
        return tuple(map(pdg_id, self.particles))

    @property
    def energy_range(self) -> tuple[float, float]:
        """Range of incident energies in MeV."""
        return parse_energy_range(self.energy) if self.energy else (0.0, math.inf)

    @property
    def theta_range(self) -> tuple[float, float]:
        """Range of angles from the layer normal in rad."""
        return parse_angle_range(self.theta) if self.theta else (0.0, math.pi / 2)


class TrainingRecipe(BaseModel):
    """The `[training]` table.

    Attributes:
        steps: Number of training steps; 0 for approaches that are fitted without any, and for these alone.
        batch_size: Showers per step, over all ranks.
        schedule: What multiplies the learning rates after the warm-up: 1, or half a cosine from 1 to 0.
        warmup_steps: Steps over which the learning rates rise from 0.
        ema_decay: Of the exponential moving average of the generator's weights; 0 takes the last weights.
        precision: Floating point: `32`, or mixed with `bf16` or `16` (`16` needs a GPU).
        gradient_clip: Largest norm of the gradients of one optimiser; 0 does not clip.
        seed: Of the split, the weights and all that is drawn.
        validate_every: Steps between validations by physics score.
        validation_showers: Held-out showers used in it, at most.
        checkpoint_every: Steps between checkpoints.
        log_every: Steps between lines of `metrics.jsonl`.
        time_limit: Minutes after which the training ends, its schedule finished, if the steps are not done
            before; 0 means no limit. With a limit the result depends on the machine's speed.
    """

    model_config = _STRICT
    steps: Annotated[int, Field(ge=0)]
    batch_size: Count = 128
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    precision: Literal["32", "bf16", "16"] = "32"
    gradient_clip: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    validate_every: Count = 1000
    validation_showers: Annotated[int, Field(ge=2)] = 2000
    checkpoint_every: Count = 500
    log_every: Count = 10
    time_limit: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def rate_factor(self, step: int, progress: float) -> float:
        """What multiplies the learning rates in one step.

        >>> TrainingRecipe(steps=10, warmup_steps=4).rate_factor(0, 0.0)
        0.25

        Args:
            step: Number of the step, from 0.
            progress: Part of the training that is done, from 0 to 1.
        """
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "cosine":
            warm *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return warm


class Recipe(BaseModel):
    """A whole recipe.

    Attributes:
        detector: Name of a shipped detector or path of a detector file.
        model: The approach and its hyper-parameters.
        data: Which showers.
        training: How.
    """

    model_config = _STRICT
    detector: str
    model: SerializeAsAny[ApproachConfig]
    data: DataRecipe = DataRecipe()
    training: TrainingRecipe

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_approach(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            return validate(_config_type(value), value, "[model]")
        return value

    @model_validator(mode="after")
    def _steps_where_there_are_any(self) -> Self:
        approach, steps = self.model.approach, self.training.steps
        if models.get(approach).fitted:
            if steps:
                raise ValueError(
                    f"'training.steps' must be 0 for approach {approach!r}, which is fitted without steps "
                    f"(got {steps})"
                )
        elif not steps:
            raise ValueError(f"'training.steps' must be at least 1 for approach {approach!r} (got 0)")
        return self

    def load_detector(self) -> Detector:
        """Load the detector."""
        return detectors.load(self.detector)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data that JSON can hold; `Recipe.parse` reads it back."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain

    @staticmethod
    def parse(data: Mapping[str, Any], source: str) -> Recipe:
        """Turn plain data into a recipe.

        Raises:
            InputError: Naming every problem and its place, with the nearest known name for an unknown key.
        """
        model = data.get("model")
        if isinstance(model, Mapping):  # first, so that its errors name keys of the approach
            _validate_model(model, source)
        return validate(Recipe, data, source)


def load_recipe(
    path: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), detector: str | None = None
) -> Recipe:
    """Read a recipe.

    Args:
        path: The TOML file, or its content as plain data.
        overrides: Changes such as `training.steps=100`, the value as in TOML (quotes may be left out).
        detector: Name or file of the detector, instead of what the recipe says.

    Raises:
        FileError: If the file is missing or unreadable.
        InputError: If it has an error, or an override cannot be understood.
    """
    if isinstance(path, Mapping):
        data, source = copy.deepcopy(dict(path)), "default recipe"
    else:
        data, source = parse_toml(read_text(path, "recipe"), str(path)), str(path)
        named = data.get("detector")
        if isinstance(named, str) and named.endswith(".toml") and not Path(named).is_absolute():
            beside = Path(path).parent / named
            data["detector"] = str(beside if beside.exists() else named)
    if detector is not None:
        data["detector"] = detector
    for text in overrides:
        _override(data, text)
    return Recipe.parse(data, source)


def _override(data: dict[str, Any], text: str) -> None:
    place, equals, value = text.partition("=")
    keys = [key.strip() for key in place.split(".")]
    if not equals or not all(keys):
        raise InputError(f"--set {text!r}: write key=value, for instance training.steps=100")
    node = data
    for key in keys[:-1]:
        node = node.setdefault(key, {})
        if not isinstance(node, dict):
            raise InputError(f"--set {text!r}: {key!r} is not a table")
    try:
        node[keys[-1]] = tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        node[keys[-1]] = value.strip()


def _config_type(model: Mapping[str, Any]) -> type[ApproachConfig]:
    name = model.get("approach")
    if not isinstance(name, str):
        raise InputError(f"[model] needs approach = one of {', '.join(map(repr, models.names()))}")
    return models.get(name).config_type


def _validate_model(model: Mapping[str, Any], source: str) -> None:
    validate(_config_type(model), model, f"{source}: [model]")


def _explained(read: Any, text: str) -> None:
    try:
        read(text)
    except InputError as error:
        raise ValueError(str(error)) from error


def read_recipe_json(path: Path) -> Recipe:
    """Read the resolved recipe of a run's folder.

    Raises:
        FileError: If it is missing or broken.
    """
    import json

    try:
        data = json.loads(read_text(path, "recipe of the run"))
    except json.JSONDecodeError as error:
        raise FileError(f"'{path}' is not JSON: {error}") from error
    return Recipe.parse(data, str(path))
