"""Suites of tests that other packages can inherit.

`ApproachTestCase` is what every approach must pass, those of CaloForge too. A package with an approach of its own has a
test file of some lines (docs/approaches.md):

    from caloforge.testing import READOUTS, ApproachTestCase

    class TestMine(ApproachTestCase):
        approach = "mine"
        detectors = {"square": READOUTS["square"]}

It needs pytest and torch.
"""

from caloforge.testing.approach import ApproachTestCase
from caloforge.testing.synthetic import READOUTS, draw_incidents, synthetic_showers
from caloforge.testing.training import step_of, train, train_on_two_ranks

__all__ = [
    "READOUTS",
    "ApproachTestCase",
    "draw_incidents",
    "step_of",
    "synthetic_showers",
    "train",
    "train_on_two_ranks",
]
