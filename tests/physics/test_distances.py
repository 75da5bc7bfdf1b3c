import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from caloforge.physics import separation_power, wasserstein

CONTENTS = arrays(np.float64, 8, elements=st.floats(0, 1e6, allow_subnormal=False))


@given(CONTENTS, CONTENTS)
def test_separation_power_is_a_distance_between_0_and_1(one, two):
    value = separation_power(one, two)
    assert 0 <= value <= 1 + 1e-12
    assert value == pytest.approx(separation_power(two, one))


@given(CONTENTS, st.floats(1e-3, 1e3))
def test_normalisation_does_not_matter(one, factor):
    assert separation_power(one, factor * one) == pytest.approx(0, abs=1e-12)


def test_separation_power_by_hand():
    value = separation_power(np.array([3, 1]), np.array([1, 1]))
    assert value == pytest.approx(0.5 * (0.25**2 / 1.25 + 0.25**2 / 0.75))
    several = separation_power(np.array([[1, 0], [1, 1]]), np.array([[0, 1], [1, 1]]))
    assert several.tolist() == [1, 0]


def test_empty_histograms():
    assert separation_power(np.zeros(3), np.ones(3)) == 1
    assert separation_power(np.zeros(3), np.zeros(3)) == 0


def test_separation_power_of_equal_distributions_falls_with_the_sample():
    rng = np.random.default_rng(0)
    n_bins = 20
    for n, m in ((1000, 1000), (4000, 1000)):
        values = [
            separation_power(
                rng.multinomial(n, np.full(n_bins, 0.05)), rng.multinomial(m, np.full(n_bins, 0.05))
            )
            for _ in range(300)
        ]
        assert np.mean(values) == pytest.approx((n_bins - 1) / 4 * (1 / n + 1 / m), rel=0.05)


def test_wasserstein_of_shifted_samples():
    values = np.random.default_rng(1).normal(size=(500, 3))
    assert wasserstein(values, values + np.array([0, 1, -2])) == pytest.approx([0, 1, 2])


def test_wasserstein_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats", reason="scipy comes with scikit-learn (extra 'report')")
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=1000), rng.normal(0.3, 1.4, size=1000)
    assert wasserstein(one, two) == pytest.approx(stats.wasserstein_distance(one, two))
    assert wasserstein(one, two[:700]) == pytest.approx(stats.wasserstein_distance(one, two[:700]), rel=0.05)


def test_an_empty_histogram_is_disjoint_from_any_filled_one():
    filled = np.random.default_rng(1).random((50, 7))
    assert separation_power(filled, np.zeros_like(filled)).tolist() == [1.0] * 50
