"""Approaches by name, and those that other packages offer by entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from caloforge import models
from caloforge.errors import InputError
from caloforge.models import registry
from caloforge.testing import ApproachTestCase

MODULE = """
from typing import Literal

import torch

from caloforge.models import Batch, FittedApproach, FittedConfig, Generator


class UniformConfig(FittedConfig):
    approach: Literal["uniform"] = "uniform"
    showers: int = 100


class UniformGenerator(Generator):
    noise_size = 1

    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.register_buffer("response", torch.zeros(()))

    def forward(self, incident, noise):
        energy = self.response * incident[:, 1] * noise[:, 0].exp()
        return energy[:, None, None, None].expand(-1, *self.shape)


class Uniform(FittedApproach[UniformConfig]):
    name = "uniform"
    config_type = UniformConfig

    def __init__(self, detector, config):
        super().__init__(detector, config)
        self.networks = {"generator": UniformGenerator(detector.shape)}

    @classmethod
    def supported_conditions(cls, detector):
        return ("energy",)

    def prepare(self, sample):
        self.generator.response.copy_((sample.showers.flatten(1).mean(1) / sample.incident[:, 1]).mean())
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install packages with approaches, as pip would."""
    (tmp_path / "uniform_showers.py").write_text(MODULE)
    about = tmp_path / "uniform_showers-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: uniform-showers\nVersion: 1.0\n")
    offers = "uniform = uniform_showers:Uniform\nbroken = uniform_showers:Missing\n"
    (about / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{offers}")
    monkeypatch.syspath_prepend(tmp_path)
    registry._offered.cache_clear()
    yield
    registry._offered.cache_clear()
    sys.modules.pop("uniform_showers", None)


class Uniform(ApproachTestCase):
    approach = "uniform"


@pytest.mark.usefixtures("installed")
def test_an_approach_of_another_package() -> None:
    assert "uniform" in models.names()
    assert models.get("uniform").name == "uniform"
    detector = Uniform.first()
    suite = Uniform()
    suite.test_shape_and_values(detector)
    suite.test_it_responds_to_its_conditions_and_no_others(detector, "energy")
    suite.test_it_responds_to_its_conditions_and_no_others(detector, "particle")
    suite.test_other_conditions_are_refused(detector)


@pytest.mark.usefixtures("installed")
def test_an_approach_that_cannot_be_loaded() -> None:
    with pytest.raises(InputError, match=r"'broken' of 'uniform_showers:Missing' cannot be loaded"):
        models.get("broken")


def test_unknown_names() -> None:
    assert "uniform" not in models.names()
    with pytest.raises(InputError, match="unknown approach 'gan3'.*gan3d"):
        models.get("gan3")


@pytest.mark.parametrize("name", sorted(registry.OWN))
def test_own_approaches(name: str) -> None:
    assert models.get(name).name == name
