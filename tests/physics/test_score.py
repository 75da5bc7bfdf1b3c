from dataclasses import replace

import numpy as np
import pytest

from caloforge.errors import InputError
from caloforge.physics import observe, physics_score, score_parts


@pytest.fixture(scope="module")
def pair(toy_showers):
    return toy_showers(1000, 1), toy_showers(1000, 2)


@pytest.fixture(scope="module")
def floor(pair):
    return physics_score(*pair)


def test_equal_samples_score_zero(pair):
    assert physics_score(pair[0], pair[0]) == pytest.approx(0, abs=1e-9)


def test_independent_samples_score_the_floor(floor):
    assert 0 < floor < 0.2


def test_the_floor_falls_with_the_sample(pair, floor):
    one, two = pair
    assert physics_score(one[:250], two[:250]) > 1.3 * floor


def scaled(showers):
    return replace(showers, energies=showers.energies * np.float32(1.1))


def shifted(showers):
    return replace(showers, energies=np.roll(showers.energies, 1, axis=1))


def moved(showers):
    return replace(showers, energies=np.roll(showers.energies, 1, axis=3))


def shuffled(showers):
    cells = showers.energies.reshape(len(showers), showers.shape[0], -1)
    mixed = np.random.default_rng(0).permuted(cells, axis=2)
    return replace(showers, energies=mixed.reshape(showers.energies.shape))


def smeared(showers):
    factor = np.random.default_rng(0).normal(1, 0.15, (len(showers), 1, 1, 1)).astype(np.float32)
    return replace(showers, energies=showers.energies * np.abs(factor))


@pytest.mark.parametrize(
    ("fault", "part"),
    [
        (scaled, "response"),
        (shifted, "depth"),
        (moved, "layer centres"),
        (shuffled, "neighbours"),
        (smeared, "resolution"),
    ],
)
def test_faults_are_found(pair, floor, fault, part):
    one, two = pair
    clean, faulty = score_parts(one, two), score_parts(fault(one), two)
    assert faulty.total > 1.15 * floor
    assert faulty.parts[part] > 2 * clean.parts[part]


def test_noise_below_the_threshold_does_not_count(pair, floor):
    one, two = pair
    noise = np.random.default_rng(0).uniform(0, 0.09, one.energies.shape).astype(np.float32)
    noisy = replace(one, energies=np.where(one.energies < 0.1, noise, one.energies))
    assert physics_score(noisy, two) == pytest.approx(floor)


def test_dead_models_score_badly_but_finitely(pair):
    one, two = pair
    assert 1 < physics_score(replace(one, energies=0 * one.energies), two) < 6
    assert 1 < physics_score(replace(one, energies=one.energies + 1e6), two) < 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_cells_score_infinity(pair, value):
    cells = pair[0].energies.copy()
    cells[3, 0, 0, 0] = value
    assert physics_score(replace(pair[0], energies=cells), pair[1]) == np.inf


def test_observables_do_as_well(pair, floor):
    assert physics_score(observe(pair[0]), observe(pair[1])) == floor


def test_sizes_may_differ(pair):
    assert physics_score(pair[0][:400], pair[1]) < 0.3


def test_mistakes(pair):
    one, two = pair
    with pytest.raises(InputError, match="none of gamma"):
        physics_score(one[one.incidents.pdg == 11], two)
    with pytest.raises(InputError, match="too few showers to score"):
        physics_score(one[:10], two[:10])
