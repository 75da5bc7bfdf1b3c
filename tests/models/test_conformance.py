"""CaloForge's own approaches pass the suite that all approaches must pass."""

from __future__ import annotations

from caloforge import detectors
from caloforge.testing import READOUTS, ApproachTestCase

CARTESIAN = {name: READOUTS[name] for name in ("square", "rectangular", "single layer")}
SEVERAL_LAYERS = {name: READOUTS[name] for name in ("square", "rectangular")}
ORIGINAL = {"clic-ecal": detectors.toml("clic-ecal")}
SUM_ONLY = {"adversarial_weight": 0.0, "energy_weight": 0.0, "sum_weight": 1.0, "generator_steps": 1}
"""What the original learns in a few steps: the visible energy."""
QUICK_FIT = {"drawn": 500, "iterations": 3}


class TestGan3D(ApproachTestCase):
    approach = "gan3d"
    detectors = CARTESIAN


class TestGan3D2018(ApproachTestCase):
    approach = "gan3d-2018"
    detectors = ORIGINAL
    sample_size = 16
    config = SUM_ONLY
    overfit_showers = 2
    overfit_steps = 8
    overfit_limit = 0.75
    exact_ranks = False


class TestLibrary(ApproachTestCase):
    approach = "library"


class TestNested3D(ApproachTestCase):
    approach = "nested3d"


class TestParametrised(ApproachTestCase):
    approach = "parametrised"
    detectors = SEVERAL_LAYERS
    config = QUICK_FIT
    overfit_showers = 64
