"""Training: recipes, the loop, checkpoints, runs."""

from caloforge.training.loop import Trained, train
from caloforge.training.recipe import DataRecipe, Recipe, TrainingRecipe, load_recipe
from caloforge.training.run import load_run

__all__ = ["DataRecipe", "Recipe", "Trained", "TrainingRecipe", "load_recipe", "load_run", "train"]
