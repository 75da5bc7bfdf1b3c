"""The score of the original 3D GAN, and the fit of the resolution."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from caloforge.physics import ResponseBin, fit_resolution, gan3d_score, linearity, observe
from caloforge.showers import Showers, incidents


def test_identical_samples_score_zero(toy_showers):
    o = observe(toy_showers(300, 1))
    assert gan3d_score(o, o).total == 0


def test_an_energy_scale_shows_in_profiles_and_sampling_fraction(toy_showers):
    showers = toy_showers(300, 1)
    reference = observe(showers, threshold=0)
    found = gan3d_score(observe(replace(showers, energies=1.1 * showers.energies), threshold=0), reference)
    assert found.sampling_fraction == pytest.approx(0.1, rel=1e-3)
    assert found.profiles == pytest.approx(0.1, rel=1e-3)
    assert found.moments == pytest.approx(0, abs=1e-4)
    assert found.total == pytest.approx(0.2, rel=1e-2)


def test_moments_by_hand(toy_detector):
    """All energy in column 2 instead of column 4: the mean is half, in one of six moments."""
    cells = np.zeros((2, 20, *toy_detector.shape), dtype=np.float32)
    cells[0, :, 3, 4, 2] = cells[1, :, 3, 4, 4] = 1
    one, two = (observe(Showers(c, incidents(11, np.full(20, 1500.0)), toy_detector)) for c in cells)
    found = gan3d_score(one, two)
    assert found.moments == pytest.approx(0.5 / 6)
    assert found.sampling_fraction == 0


def test_too_few_showers(toy_showers):
    o = observe(toy_showers(12, 1))
    assert gan3d_score(o, o) is None


def bins(a, b, c, n=10_000):
    edges = np.array([1, 2, 5, 10, 20, 50, 100]) * 1e3
    found = []
    for low, high in pairwise(edges):
        energy = np.sqrt(low * high) / 1e3
        resolution = float(np.sqrt(a**2 / energy + (b / energy) ** 2 + c**2))
        found.append(
            ResponseBin(
                11, low, high, n, 0.02, 1e-5, resolution, resolution / np.sqrt(2 * n), middle=1e3 * energy
            )
        )
    return found


def test_the_fit_finds_what_was_put_in():
    found = fit_resolution(bins(0.2, 0.1, 0.01))
    assert (found.stochastic, found.noise, found.constant) == pytest.approx((0.2, 0.1, 0.01))
    assert found.chi2 == pytest.approx(0, abs=1e-9)
    assert found.ndf == 3
    assert found(np.array([1e3])) == pytest.approx([np.sqrt(0.04 + 0.01 + 1e-4)])


def test_terms_that_are_not_there_are_zero():
    found = fit_resolution(bins(0.2, 0, 0))
    assert found.stochastic == pytest.approx(0.2, rel=1e-6)
    assert found.noise == pytest.approx(0, abs=1e-4)
    assert found.constant == pytest.approx(0, abs=1e-4)


def test_two_bins_are_too_few():
    assert fit_resolution(bins(0.2, 0.1, 0.01)[:2]) is None


def test_linearity():
    b = bins(0.2, 0, 0)[:3]
    b[2] = replace(b[2], response=0.026)
    assert linearity(bins(0.2, 0, 0)) == 0
    assert linearity(b) == pytest.approx(0.026 / 0.022 - 1)
