"""Recipes: defaults, overrides, errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from caloforge.errors import FileError, InputError
from caloforge.models.gan3d_2018 import Gan3D2018Config
from caloforge.training import Recipe, TrainingRecipe, load_recipe
from caloforge.training.run import write_json

RECIPES = Path(__file__).parents[2] / "recipes"

TEXT = """
detector = "clic-ecal"
[model]
approach = "gan3d-2018"
[training]
steps = 10
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("shipped", sorted(RECIPES.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_recipes_are_valid(shipped: Path) -> None:
    recipe = load_recipe(shipped)
    assert shipped.stem.startswith(recipe.load_detector().name)
    assert Recipe.parse(recipe.plain(), "again") == recipe


def test_the_2018_recipe_is_the_original(path: Path) -> None:
    recipe = load_recipe(RECIPES / "clic-ecal-gan3d-2018.toml")
    assert recipe.model.model_copy(update={"particles": ()}) == Gan3D2018Config()
    assert recipe.training.batch_size == 128
    assert recipe.training.ema_decay == 0


def test_overrides(path: Path) -> None:
    changes = (
        "training.steps=100",
        'data.particles=["e-"]',
        "training.schedule=cosine",
        "data.energy=1:10",
        "model.learning_rate = 2e-4",
    )
    recipe = load_recipe(path, changes)
    assert recipe.training.steps == 100
    assert recipe.data.pdgs == (11,)
    assert recipe.training.schedule == "cosine"
    assert recipe.data.energy_range == (1e3, 1e4)
    assert isinstance(recipe.model, Gan3D2018Config)
    assert recipe.model.learning_rate == 2e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("training.step=5", r"unknown key 'training\.step'; did you mean 'steps'"),
        ("trainin.steps=5", r"unknown key 'trainin'; did you mean 'training'"),
        ("model.learning_rat=5", r"unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ("model.approach=gan3", r"unknown approach 'gan3'; did you mean 'gan3d'"),
        ("training.steps=0", r"'training\.steps'"),
        ("training.steps=many", r"'training\.steps'"),
        ("training.schedule=linear", r"'training\.schedule'"),
        ("data.energy=9:1", "the lower end exceeds the upper end"),
        ('data.particles=["electrn"]', "unknown particle 'electrn'"),
        ("data.validation_fraction=1.5", r"'data\.validation_fraction'"),
        ("detector.name.x=1", "'detector' is not a table"),
        ("training.steps", "write key=value"),
        ('model.particles=["e-", "e-"]', "name each particle once"),
    ],
)
def test_errors_name_the_key(path: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_recipe(path, (change,))


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        load_recipe(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[model\n")
    with pytest.raises(InputError, match="not valid TOML"):
        load_recipe(broken)
    broken.write_text("detector = 'clic-ecal'\n[model]\n[training]\nsteps = 1\n")
    with pytest.raises(InputError, match="needs approach = one of"):
        load_recipe(broken)


def test_a_detector_file_is_found_beside_the_recipe(path: Path, small_toml: Path) -> None:
    path.write_text(TEXT.replace("clic-ecal", "small.toml"))
    assert load_recipe(path).load_detector().shape == (5, 7, 7)


def test_json_round_trip(path: Path, tmp_path: Path) -> None:
    from caloforge.training.recipe import read_recipe_json

    recipe = load_recipe(path, ("data.particles=['gamma']",))
    write_json(tmp_path / "recipe.json", recipe.plain())
    assert read_recipe_json(tmp_path / "recipe.json") == recipe


def test_schedules() -> None:
    constant = TrainingRecipe(steps=100, warmup_steps=10)
    assert constant.rate_factor(0, 0.0) == pytest.approx(0.1)
    assert constant.rate_factor(99, 0.99) == 1.0
    cosine = TrainingRecipe(steps=100, schedule="cosine")
    factors = [cosine.rate_factor(step, step / 100) for step in range(101)]
    assert factors[0] == 1.0
    assert factors[50] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)
    assert factors == sorted(factors, reverse=True)
