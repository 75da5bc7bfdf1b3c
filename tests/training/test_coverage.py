"""What a model is trained for."""

from __future__ import annotations

import numpy as np
import pytest

from caloforge.detectors import Detector, load
from caloforge.showers import IncidentSpectrum, incidents
from caloforge.training.coverage import covered, usable_symmetries
from caloforge.training.recipe import DataRecipe

ALL = DataRecipe()


def test_the_declared_spectrum_is_cut_to_recipe_and_showers() -> None:
    detector = load("clic-ecal-wide")
    declared = IncidentSpectrum((11, 22), (200.0, 1e5), theta=(0.0, 0.5), phi=(0.0, 6.0), position="cell")
    drawn = declared.draw(50, np.random.default_rng(1), detector)
    electrons = drawn[drawn.pdg == 11]
    found = covered(electrons, declared, DataRecipe(energy="1:200", theta="0:10"), detector)
    assert found.particles == (11,)
    assert found.energy == (1e3, 1e5)
    assert found.theta == (0.0, pytest.approx(np.radians(10)))
    assert found.position == (-2.55, 2.55, -2.55, 2.55)
    assert not found.outside(electrons[(electrons.energy > 1e3) & (electrons.theta < 0.17)])


def test_without_a_declared_spectrum_the_showers_say(small: Detector) -> None:
    drawn = incidents(np.array([11, 22]), np.array([1001.7, 99_900.0]), theta=0.1, phi=np.array([0.0, 1.0]))
    found = covered(drawn, None, ALL, small)
    assert found.particles == (11, 22)
    assert found.energy == (1000.0, 99_900.0)
    assert np.allclose(found.phi, (0, 1))
    assert not found.outside(drawn)


def test_fixed_energies_stay_fixed(small: Detector) -> None:
    declared = IncidentSpectrum((11,), (1e3, 1e4, 1e5), "list")
    drawn = declared.draw(20, np.random.default_rng(1), small)
    assert covered(drawn, declared, DataRecipe(energy="0.001:50"), small).energy == (1e3, 1e4)


def test_which_symmetries_multiply_the_data(small: Detector) -> None:
    normal = incidents(11, np.full(3, 1e3))
    assert len(usable_symmetries(small, normal, ("energy",))) == 8
    beside = incidents(11, np.full(3, 1e3), x=1.0)
    assert [one.name for _, one in usable_symmetries(small, beside, ("energy",))] == ["identity", "mirror y"]
    assert len(usable_symmetries(small, beside, ("energy", "position"))) == 8
    tilted = incidents(11, np.full(3, 1e3), theta=0.2, phi=np.linspace(0, 6, 3))
    assert len(usable_symmetries(small, tilted, ("energy",))) == 1
    assert len(usable_symmetries(small, tilted, ("energy", "direction"))) == 8
    assert len(usable_symmetries(load("calochallenge-2"), normal, ("energy",))) == 32
