"""Precision, recall, density and coverage of samples whose answer is known."""

import numpy as np
import pytest

from caloforge.physics import distances, manifold


def test_equal_distributions():
    one, two = np.random.default_rng(0).normal(size=(2, 2000, 3))
    found = manifold(one, two)
    assert found.precision == pytest.approx(found.recall, abs=0.03)
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 1 / 2**5, abs=0.02)


def test_mode_collapse_costs_recall_and_coverage():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(1500, 3))
    found = manifold(0.1 * rng.normal(size=(1500, 3)), true)
    assert found.precision > 0.95
    assert found.recall < 0.2
    assert found.coverage < 0.2


def test_outliers_cost_precision():
    rng = np.random.default_rng(2)
    fake, true = rng.normal(size=(2, 1500, 3))
    fake[:750] += 20
    found = manifold(fake, true)
    assert found.precision < 0.55
    assert found.recall > 0.85


def test_disjoint_samples():
    rng = np.random.default_rng(3)
    found = manifold(rng.normal(size=(500, 2)) + 50, rng.normal(size=(500, 2)))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_the_order_does_not_matter():
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(2, 700, 3))
    assert manifold(rng.permutation(one), rng.permutation(two)) == manifold(one, two)


def test_distances_by_hand():
    found = distances(np.array([[0, 0], [3, 4]], np.float32), np.array([[0, 0]], np.float32))
    assert found[:, 0].tolist() == [0, 5]
