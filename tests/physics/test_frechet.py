"""FPD and KPD of Gaussians with known distances."""

import numpy as np
import pytest

from caloforge.physics import fpd, frechet_distance, kernel_distance, kpd


def test_frechet_distance_of_known_moments():
    """Samples with exact moments: |mean|^2 + sum (s1 - s2)^2 for aligned covariances."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(1000, 3))
    base -= base.mean(axis=0)
    base = base @ np.linalg.inv(np.linalg.cholesky(np.cov(base, rowvar=False)).T)
    shifted = base * np.array([1, 2, 0.5]) + np.array([1, 0, -2])
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(base, shifted) == pytest.approx(5 + 1 + 0.25)


def test_fpd_is_free_of_the_bias_of_small_samples():
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(2, 4000, 10))
    biased = frechet_distance(one / np.abs(one).max(axis=0), two / np.abs(one).max(axis=0))
    value, error = fpd(one, two, rng)
    assert value < 0.4 * biased
    assert 0 <= value < 5 * max(error, 1e-4)


def test_fpd_of_shifted_gaussians():
    rng = np.random.default_rng(2)
    one, two = rng.normal(size=(2, 8000, 4))
    value, _ = fpd(one, two + np.array([0.5, 0, 0, 0]), rng)
    assert value == pytest.approx((0.5 / np.abs(one[:, 0]).max()) ** 2, rel=0.15)


def test_fpd_does_not_depend_on_units():
    rng = np.random.default_rng(3)
    one, two = rng.normal(size=(2, 2000, 3))
    scale = np.array([1e-3, 1.0, 1e4])
    values = [fpd(a, b, np.random.default_rng(0))[0] for a, b in ((one, two), (one * scale, two * scale))]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_kernel_distance_against_jetnet():
    """The value that JetNet 0.2.5 gives: `_mmd_poly_quadratic_unbiased` of these vectors."""
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(2, 50, 3))
    assert kernel_distance(one, two + 0.2) == pytest.approx(1.87479536922163, rel=1e-9)


def test_kpd_of_equal_samples_is_zero_on_average():
    rng = np.random.default_rng(5)
    values = [kpd(*rng.normal(size=(2, 1000, 4)), rng)[0] for _ in range(20)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(20)


def test_kpd_sees_a_shift():
    rng = np.random.default_rng(6)
    one, two = rng.normal(size=(2, 2000, 4))
    value, error = kpd(one, two + 0.5, rng)
    assert value > 5 * error


def test_a_feature_that_the_reference_hardly_has_stays_finite():
    rng = np.random.default_rng(7)
    one, two = rng.normal(size=(2, 500, 4))
    one[:, 3] *= 1e-7
    assert np.isfinite(kpd(one, two, rng)).all()
    assert np.isfinite(fpd(one, two, rng)).all()
