import math
from dataclasses import replace

import numpy as np
import pytest

from caloforge.physics import observe
from caloforge.validation.classifier import auc_error, boosted_trees, classify, mlp, tell_tales
from caloforge.validation.features import high_level_features, single_feature_auc

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")


@pytest.fixture(scope="module")
def pair(toy_showers):
    return observe(toy_showers(1000, 1)), observe(toy_showers(1000, 2))


def test_features(pair):
    features, names = high_level_features(pair[0])
    assert features.shape == (1000, 6 * 8 + 5)
    assert len(set(names)) == len(names) == features.shape[1]
    assert np.all(np.isfinite(features))
    column = dict(zip(names, features.T, strict=True))
    assert column["response"] == pytest.approx(pair[0].response, rel=1e-5)
    assert column["hits, layer 3"] == pytest.approx(pair[0].layer_hits[:, 3])
    assert column["log incident energy"] == pytest.approx(np.log10(pair[0].incidents.energy), rel=1e-5)
    assert column["particle"].tolist()[:2] == [11, 22]


def test_equal_distributions_are_not_told_apart(pair):
    found = classify("boosted trees", boosted_trees, *pair, seed=0)
    assert abs(found.auc - 0.5) < 4 * found.error
    assert abs(found.floor - 0.5) < 4 * found.floor_error
    assert found.error < 0.03
    assert found.verdict == "good"
    assert found == classify("boosted trees", boosted_trees, *pair, seed=0)


def test_an_energy_scale_is_told_apart(toy_showers):
    one, two = toy_showers(1000, 1), observe(toy_showers(1000, 2))
    scaled = observe(replace(one, energies=one.energies * np.float32(1.05)))
    found = classify("boosted trees", boosted_trees, scaled, two, seed=0)
    assert found.auc > 0.62
    assert found.verdict == "poor"
    tales = tell_tales(scaled, two)
    assert tales[0].feature == "response"
    assert tales[0].auc > 0.55
    assert [t.auc for t in tales] == sorted((t.auc for t in tales), reverse=True)


def test_mlp(pair):
    found = classify("MLP", mlp, pair[0][:500], pair[1][:500], seed=0)
    assert abs(found.auc - 0.5) < 5 * found.error


def test_small_samples_are_skipped(pair):
    found = classify("boosted trees", boosted_trees, pair[0][:100], pair[1], seed=0)
    assert "100 showers are too few" in found.skipped
    assert math.isnan(found.auc)
    assert found.verdict == "skipped"


def test_unequal_sizes_are_balanced(pair):
    assert classify("boosted trees", boosted_trees, pair[0][:450], pair[1], seed=0).showers == 450


def test_single_feature_auc():
    rng = np.random.default_rng(0)
    one = np.stack([rng.normal(0, 1, 4000), rng.normal(1, 1, 4000), np.zeros(4000), np.zeros(4000)], axis=1)
    two = np.stack([rng.normal(0, 1, 3000), rng.normal(0, 1, 3000), np.zeros(3000), np.ones(3000)], axis=1)
    areas = single_feature_auc(one.astype(np.float32), two.astype(np.float32))
    assert areas == pytest.approx([0.5, 0.5 * (1 + math.erf(0.5)), 0.5, 1], abs=0.02)


def test_auc_error_against_many_samples():
    rng = np.random.default_rng(0)
    areas = single_feature_auc(rng.normal(1, 1, (400, 300)), rng.normal(0, 1, (400, 300)))
    assert np.std(areas) == pytest.approx(auc_error(float(areas.mean()), 400, 400), rel=0.15)
