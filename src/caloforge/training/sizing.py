"""What an approach chooses for itself: hyper-parameters that the recipe leaves open."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import TrainingError
from caloforge.models import Batch, get
from caloforge.models.contract import ApproachConfig
from caloforge.training.data import SparseShowers
from caloforge.training.recipe import Recipe

CHANGEABLE = ("_rate", "_weight", "_penalty")
"""Ends of the names of hyper-parameters that a resumed run may change."""
SIZING_SHOWERS = 1000
"""Training showers from which an approach chooses what its recipe leaves open."""


def sized(
    recipe: Recipe, detector: Detector, showers: SparseShowers, training: NDArray[np.int64]
) -> ApproachConfig:
    """Fill in the hyper-parameters that a recipe leaves open.

    Args:
        recipe: The recipe.
        detector: The detector.
        showers: All showers.
        training: Indices of those to train on.

    Raises:
        InputError: If the approach does not support what the recipe asks for.
    """
    order = np.random.default_rng([recipe.training.seed, 6]).permutation(len(training))
    some = training[order[:SIZING_SHOWERS]]
    incident = torch.from_numpy(showers.incidents.matrix()[some])
    sample = Batch.whole(incident, torch.from_numpy(showers.dense(some)))
    chosen: ApproachConfig = get(recipe.model.approach).size(recipe.model, detector, sample)
    return chosen


def resumed(given: ApproachConfig, kept: ApproachConfig, folder: Path) -> ApproachConfig:
    """Return the hyper-parameters of a run that is resumed, with learning rates and weights of losses as given now.

    Args:
        given: Those of the recipe.
        kept: Those of the run, sizes that were chosen for it included.
        folder: The run's, for the message.

    Raises:
        TrainingError: If the recipe gives others that the networks, or their scales, were built for.
    """
    changed = {name: getattr(given, name) for name in given.model_dump(exclude_defaults=True)}
    for name, value in changed.items():
        before = getattr(kept, name)
        if value != before and not name.endswith(CHANGEABLE):
            raise TrainingError(
                f"run '{folder}' was started with model.{name} = {before!r}, the recipe says {value!r}: resume with "
                "the same, or start a new run"
            )
    return kept.model_copy(update=changed)


def report_choices(given: ApproachConfig, chosen: ApproachConfig) -> None:
    """Say on stderr what an approach chose for itself."""
    before, after = given.model_dump(mode="json"), chosen.model_dump(mode="json")
    words = [f"{name} = {json.dumps(after[name])}" for name in after if after[name] != before[name]]
    if words:
        print(f"{chosen.approach} chose {', '.join(words)}", file=sys.stderr)
