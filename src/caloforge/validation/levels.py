"""How much work a comparison is: fast, default, full."""

from __future__ import annotations

from dataclasses import dataclass

from caloforge.validation.classifier import Learner
from caloforge.validation.networks import CellMLP, CellResNet, HighLevelMLP
from caloforge.validation.trees import BoostedTrees


@dataclass(frozen=True)
class Level:
    """The classifiers of a comparison: key, kind, and number of seeds."""

    classifiers: tuple[tuple[str, Learner, int], ...]


TREES, MLP_HIGH, MLP_CELLS, RESNET = "auc_trees", "auc_mlp_high", "auc_mlp_cells", "auc_resnet_cells"
"""Keys of the classifiers."""

LEVELS = {
    "fast": Level(((TREES, BoostedTrees(100), 1),)),
    "default": Level(((TREES, BoostedTrees(), 3), (MLP_HIGH, HighLevelMLP(), 3), (MLP_CELLS, CellMLP(), 2))),
    "full": Level(
        (
            (TREES, BoostedTrees(), 5),
            (MLP_HIGH, HighLevelMLP(), 5),
            (MLP_CELLS, CellMLP(), 5),
            (RESNET, CellResNet(), 3),
        )
    ),
}
"""What each level trains: `fast` takes seconds, `default` minutes, `full` as long as it needs."""
