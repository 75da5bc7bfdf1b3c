"""Boosted trees on high-level features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require
from caloforge.validation.classifier import Task


@dataclass(frozen=True)
class BoostedTrees:
    """Scikit-learn's histogram gradient boosting.

    It does not stop early: where samples differ little, a validation loss says stop long before the AUC does.

    Attributes:
        trees: Number of trees.
    """

    trees: int = 200
    name: str = "boosted trees"
    features: str = "high-level"
    on_cells: bool = False
    on_array: bool = False

    def scores(self, task: Task, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Train, and return scores of `task.choose` and `task.test`."""
        ensemble = require("sklearn.ensemble", "report")
        model = ensemble.HistGradientBoostingClassifier(
            max_iter=self.trees,
            learning_rate=0.06,
            max_leaf_nodes=15,
            l2_regularization=1.0,
            max_features=0.5,
            early_stopping=False,
            random_state=seed,
        )
        limits = require("threadpoolctl", "report").threadpool_limits
        with limits(1):  # threads that wait for each other on a shared machine take ten times as long
            model.fit(task.features[task.train], task.truth[task.train])
            choose, test = (model.decision_function(task.features[rows]) for rows in (task.choose, task.test))
        return choose, test
