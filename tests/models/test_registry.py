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

DOCS = Path(__file__).parents[2] / "docs" / "approaches.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install packages with approaches, as pip would."""
    example = DOCS.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "uniform_showers.py").write_text(example)
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
    overfit_limit = 1.2


@pytest.mark.usefixtures("installed")
def test_the_approach_of_the_docs_in_another_package() -> None:
    assert "uniform" in models.names()
    assert models.get("uniform").name == "uniform"
    detector = Uniform.first()
    suite = Uniform()
    suite.test_shape_and_values(detector)
    suite.test_it_responds_to_its_conditions_and_no_others(detector, "energy")
    suite.test_it_responds_to_its_conditions_and_no_others(detector, "position")
    suite.test_other_conditions_are_refused(detector)
    suite.test_two_ranks_equal_one()
    suite.test_it_overfits_a_tiny_sample()


@pytest.mark.usefixtures("installed")
def test_an_approach_that_cannot_be_loaded() -> None:
    with pytest.raises(InputError, match=r"'broken' of 'uniform_showers:Missing' cannot be loaded"):
        models.get("broken")


def test_unknown_names() -> None:
    assert "uniform" not in models.names()
    with pytest.raises(InputError, match="unknown approach 'gan3'"):
        models.get("gan3")


@pytest.mark.parametrize("name", sorted(registry.OWN))
def test_own_approaches(name: str) -> None:
    assert models.get(name).name == name
