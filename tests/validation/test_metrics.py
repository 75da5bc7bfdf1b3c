"""Separation powers: at the floor for equal distributions, above it for a known fault."""

import numpy as np
import pytest

from caloforge.physics import observe_details
from caloforge.validation.floor import halves_scale, random_halves, resample
from caloforge.validation.histograms import N_BINS
from caloforge.validation.metrics import QUANTITIES, compare


@pytest.fixture(scope="module")
def pair(toy_showers):
    return observe_details(toy_showers(1500, 1)), observe_details(toy_showers(1500, 2))


def all_of(one, two, seed=0):
    resampling = resample(len(one), len(two), np.random.default_rng(seed))
    return [compare(quantity, one, two, resampling) for quantity in QUANTITIES]


def test_equal_distributions_are_at_the_floor(pair):
    for separation, _ in all_of(*pair):
        assert separation.significance < 4, separation
        assert separation.verdict == "within floor"


def test_the_floor_is_what_independent_samples_give(toy_showers):
    """The scaled halves against many truly independent pairs."""
    samples = [observe_details(toy_showers(600, 10 + seed)) for seed in range(12)]
    found = [all_of(one, two)[0][0] for one, two in zip(samples[::2], samples[1::2], strict=True)]
    measured = np.mean([separation.value for separation in found])
    floor = np.mean([separation.floor for separation in found])
    assert floor == pytest.approx(measured, rel=0.25)


def test_a_known_fault_is_found(pair):
    from dataclasses import replace

    one, two = pair
    scaled = replace(one, layer_energies=one.layer_energies * np.float32(1.05))
    by_name = {separation.observable: separation for separation, _ in all_of(scaled, two)}
    assert by_name["response"].verdict == "wrong"
    assert by_name["response"].significance > 5
    assert by_name["hits"].verdict == "within floor"


def test_the_seed_rules(pair):
    assert [s for s, _ in all_of(*pair, seed=3)] == [s for s, _ in all_of(*pair, seed=3)]
    first, second = (all_of(*pair, seed=seed)[0][0] for seed in (3, 4))
    assert first.value == second.value
    assert first.floor != second.floor


def test_histograms_hold_every_shower(pair):
    for separation, histograms in all_of(*pair):
        quantity = next(q for q in QUANTITIES if q.name == separation.observable)
        assert len(histograms) == (quantity.values(pair[1]).shape[1] if quantity.kind == "columns" else 1)
        for histogram in histograms:
            assert len(histogram.edges) == len(histogram.reference) + 1
            assert np.all(np.diff(histogram.edges) > 0)
            if quantity.kind != "profile":
                assert len(histogram.reference) == N_BINS + 2
                assert histogram.generated.sum() == pytest.approx(1)
                assert histogram.reference.sum() == pytest.approx(1)


def test_halves():
    halves = random_halves(101, 4, np.random.default_rng(0))
    assert halves.sum(axis=1).tolist() == [50] * 4
    assert set(halves.ravel()) == {0, 1}
    assert halves_scale(10_000, 10_000) == 0.5
    assert halves_scale(5000, 10_000) == 0.75


def test_resampling():
    drawn = resample(30, 40, np.random.default_rng(0))
    assert drawn.generated.shape[1] == 30
    assert np.all(drawn.reference.sum(axis=1) == 40)
