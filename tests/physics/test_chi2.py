"""Chi-square: follows its distribution for equal samples, with weights and with correlated bins."""

import numpy as np
import pytest

from caloforge.physics import PooledValues, chi2_histograms, chi2_means, wasserstein

special = pytest.importorskip("scipy.special", reason="scipy (extra 'report') is not installed")


def p_values(statistics):
    return np.array([special.chdtrc(ndf, chi2) for chi2, ndf in statistics])


def is_uniform(p):
    assert np.mean(p) == pytest.approx(0.5, abs=4 / np.sqrt(12 * len(p)))
    assert np.mean(p < 0.1) == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / len(p)))


def test_counts_follow_chi2():
    rng = np.random.default_rng(0)
    draws = [rng.multinomial(n, np.arange(1, 21) / 210) for n in (2000, 3000) * 400]
    found = [chi2_histograms(a, a, b, b) for a, b in zip(draws[::2], draws[1::2], strict=True)]
    assert found[0][1] == 19
    is_uniform(p_values(found))


def test_weighted_histograms_follow_chi2():
    """A sample of another spectrum, weighted back: normal(0.5) to normal(0)."""
    rng = np.random.default_rng(1)
    edges = np.linspace(-2, 2, 12)
    found = []
    for _ in range(300):
        plain, other = rng.normal(0, 1, 4000), rng.normal(0.5, 1, 4000)
        weights = np.exp(-0.5 * other + 0.125)
        w, v = (np.histogram(other, edges, weights=weights**power)[0] for power in (1, 2))
        h = np.histogram(plain, edges)[0].astype(float)
        found.append(chi2_histograms(h, h, w, v))
    is_uniform(p_values(found))


def test_chi2_by_hand():
    chi2, ndf = chi2_histograms(
        np.array([60.0, 40]), np.array([60.0, 40]), np.array([50.0, 50]), np.array([50.0, 50])
    )
    assert ndf == 1
    assert chi2 == pytest.approx(10**2 / 110 + 10**2 / 90)


def test_the_normalisation_does_not_matter():
    rng = np.random.default_rng(2)
    a, b = rng.poisson(50, (2, 10)).astype(float)
    scaled = chi2_histograms(a, a, 7 * b, 49 * b)
    assert scaled[0] == pytest.approx(chi2_histograms(a, a, b, b)[0])


def test_thin_bins_are_merged_and_empty_histograms_say_nothing():
    a = np.array([100.0, 1, 0, 0, 1, 100])
    assert chi2_histograms(a, a, a, a) == (0.0, 1)
    assert chi2_histograms(a, a, 0 * a, 0 * a) == (0.0, 0)


def test_means_of_correlated_bins_follow_chi2():
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(6, 6))
    found = [chi2_means(rng.normal(size=(500, 6)) @ mix, rng.normal(size=(300, 6)) @ mix) for _ in range(400)]
    assert found[0][1] == 6
    is_uniform(p_values(found))


def test_weighted_means_follow_chi2():
    rng = np.random.default_rng(4)
    found = []
    for _ in range(300):
        one, two = rng.normal(size=(2, 600, 3))
        weights = np.exp(0.5 * one[:, 0] - 0.125)  # turns normal(0) into normal(0.5)
        two[:, 0] += 0.5
        found.append(chi2_means(one, two, weights))
    is_uniform(p_values(found))


def test_means_of_shares_have_one_direction_less():
    rng = np.random.default_rng(5)
    one, two = rng.dirichlet(np.ones(5), (2, 1000))
    assert chi2_means(one, two)[1] == 4


def test_the_share_of_an_only_layer_says_nothing():
    energies = np.random.default_rng(3).gamma(9.0, 1.0, (2, 500, 1))
    shares = (energies * 0.1) / (energies * 0.1 * (1 + 1e-16)) * (1 + 1e-15 * energies)
    assert chi2_means(shares[0], shares[1] + 1e-13) == (0.0, 0)


def test_a_shift_is_seen():
    rng = np.random.default_rng(6)
    one, two = rng.normal(size=(2, 1000, 4))
    chi2, ndf = chi2_means(one + 0.3, two)
    assert special.chdtrc(ndf, chi2) < 1e-10


def test_weighted_wasserstein():
    rng = np.random.default_rng(7)
    one, two = rng.normal(0, 1, 700), rng.normal(0.3, 1.2, 500)
    pooled = PooledValues(one, two)
    stats = pytest.importorskip("scipy.stats")
    assert pooled.wasserstein(np.ones(700), np.ones(500)) == pytest.approx(
        stats.wasserstein_distance(one, two)
    )
    w1, w2 = rng.random(700), rng.random(500)
    assert pooled.wasserstein(w1, w2) == pytest.approx(stats.wasserstein_distance(one, two, w1, w2))
    many = pooled.wasserstein(np.stack([w1, np.ones(700)]), np.stack([w2, np.ones(500)]))
    assert many[0] == pytest.approx(pooled.wasserstein(w1, w2))
    same = PooledValues(one, one[::-1])
    assert same.wasserstein(np.ones(700), np.ones(700)) == pytest.approx(0, abs=1e-12)
    equal = rng.normal(size=(2, 400))
    assert PooledValues(*equal).wasserstein(np.ones(400), np.ones(400)) == pytest.approx(wasserstein(*equal))
