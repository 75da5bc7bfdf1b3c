"""The proof in small: known faults are found by the observables that should see them, and named."""

from pathlib import Path

import numpy as np
import pytest

from caloforge.detectors import load
from caloforge.showers import read_showers
from caloforge.validation import evaluate, read_sample
from caloforge.validation.faults import (
    cut,
    duplicated,
    known_faults,
    layer_scaled,
    redrawn,
    rounded,
    scaled,
    shuffled,
    smeared,
    widened,
)
from caloforge.validation.verdict import WITHIN

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")

SMALL = Path(__file__).parents[1] / "data" / "clic-ecal-small.h5"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "clic-ecal-train.h5"


@pytest.fixture(scope="module")
def toy(toy_showers):
    return toy_showers(3000, 11), read_sample(toy_showers(3000, 12), "reference")


FAULTS = {fault.name: fault for fault in known_faults(0.1, 3)}
REDRAWN = FAULTS.pop("cells redrawn independently")
"""Not for toy showers: their cells are independent to begin with."""


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_toy_showers_are_found(toy, name):
    good, reference = toy
    fault = FAULTS[name]
    found = evaluate(fault.make(good, np.random.default_rng(1)), reference, classifier=False)
    assert found.verdict != WITHIN
    named = [f.observable for f in found.findings]
    assert set(fault.seen_by) & set(named), named


def test_independent_cells_are_found():
    showers = read_showers(SMALL)
    one, two = showers[::2], showers[1::2]
    one, two = (  # e- and gamma in turn: mix the halves
        type(showers).concatenate([part[::2], other[1::2]]) for part, other in ((one, two), (two, one))
    )
    found = evaluate(REDRAWN.make(one, np.random.default_rng(0)), two, classifier=False)
    assert set(REDRAWN.seen_by) & {f.observable for f in found.findings}


@pytest.fixture(scope="module")
def geant4():
    if not SHARED.exists():
        pytest.skip("the Geant4 sample in ../shared/data is not there")
    detector = load("clic-ecal")  # the file's own text is of a version before
    good, other = (read_showers(SHARED, start, start + 2500, detector) for start in (0, 10_000))
    return good, read_sample(other, "reference")


def test_geant4_against_geant4_is_within_the_floor(geant4):
    found = evaluate(*geant4, level="fast")
    assert {name: v for name, v in found.verdicts.items() if v != WITHIN} == {}
    (trees,) = found.classifiers
    assert abs(trees.auc - 0.5) < 4 * trees.error


@pytest.mark.parametrize("name", ["energy scale +1 %", "layer 9 +3 %"])
def test_faults_of_geant4_showers_are_found(geant4, name):
    good, reference = geant4
    strength = {
        "energy scale +1 %": lambda s, _: scaled(s, 1.02),
        "layer 9 +3 %": lambda s, _: layer_scaled(s, 9, 1.06),
    }
    fault = {f.name: f for f in known_faults(0.015, 9)}[name]
    make = strength.get(name, fault.make)  # twice as strong: a third of the showers of the full study
    found = evaluate(make(good, np.random.default_rng(1)), reference, classifier=False)
    assert set(fault.seen_by) & {f.observable for f in found.findings}


def test_what_the_faults_do(toy_showers):
    showers, rng = toy_showers(300, 3), np.random.default_rng(0)
    visible = showers.visible_energy
    assert scaled(showers, 1.01).visible_energy == pytest.approx(1.01 * visible, rel=1e-5)
    assert layer_scaled(showers, 2, 1.03).layer_energies[:, 2] == pytest.approx(
        1.03 * showers.layer_energies[:, 2], rel=1e-5
    )
    for same_layers in (shuffled(showers, rng), redrawn(showers, rng), widened(showers, 1.05, rng)):
        filled = same_layers.layer_energies > 0
        assert same_layers.layer_energies[filled] == pytest.approx(
            showers.layer_energies[filled], rel=1e-4, abs=1e-4
        )
    assert np.allclose(rounded(showers, 0.25).energies % 0.25, 0)
    assert cut(showers, 0.3).energies[cut(showers, 0.3).energies > 0].min() >= 0.3
    copied = duplicated(showers, 0.1, rng)
    assert len(np.unique(copied.energies.reshape(300, -1), axis=0)) == 270
    wider = smeared(showers, 1.1).with_threshold().visible_energy / showers.incidents.energy
    before = showers.with_threshold().visible_energy / showers.incidents.energy
    assert wider.std() > before.std()
    assert wider.mean() == pytest.approx(before.mean(), rel=0.01)
