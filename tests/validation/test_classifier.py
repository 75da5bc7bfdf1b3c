"""Classifiers: nothing to tell apart in equal samples, known faults told apart, equal treatment."""

import math

import numpy as np
import pytest

from caloforge.errors import MissingExtraError
from caloforge.validation import read_sample
from caloforge.validation.classifier import Classifier, classify, make_task, tell_tales
from caloforge.validation.faults import scaled, shuffled
from caloforge.validation.features import high_level_features, single_feature_auc
from caloforge.validation.networks import CellMLP, CellResNet, HighLevelMLP
from caloforge.validation.roc import area, auc_error, divergence
from caloforge.validation.trees import BoostedTrees

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")

FEW_TREES = BoostedTrees(40)


def test_features(pair):
    o = pair[0].observables
    features, names = high_level_features(o)
    assert features.shape == (1000, 6 * 8 + 13)
    assert len(set(names)) == len(names) == features.shape[1]
    assert np.all(np.isfinite(features))
    column = dict(zip(names, features.T, strict=True))
    assert column["response"] == pytest.approx(o.response, rel=1e-5)
    assert column["hits, layer 3"] == pytest.approx(o.layer_hits[:, 3])
    assert column["log incident energy"] == pytest.approx(np.log10(o.incidents.energy), rel=1e-5)
    assert column["particle"].tolist()[:2] == [11, 22]


def test_equal_distributions_are_not_told_apart(pair):
    found = classify("auc_trees", FEW_TREES, *pair, seeds=[0, 1, 2])
    assert abs(found.auc - 0.5) < 4 * found.error
    assert abs(found.floor - 0.5) < 4 * found.floor_error
    assert found.jsd < 0.05
    assert len(found.seeds) == 3
    assert found.auc == pytest.approx(np.mean(found.seeds))
    assert found.verdict == "within floor"
    assert "1000 showers are few" in found.warning


def test_the_same_seed_gives_the_same_auc(pair):
    first, second = (classify("auc_trees", FEW_TREES, *pair, seeds=[5]) for _ in range(2))
    assert first.seeds == second.seeds
    assert first.floor == second.floor


def test_an_energy_scale_is_told_apart(toy_showers, pair):
    broken = read_sample(scaled(toy_showers(1000, 1), 1.05), "generated")
    found = classify("auc_trees", FEW_TREES, broken, pair[1], seeds=[0, 1, 2])
    assert found.auc > 0.62
    assert found.jsd > 0.02
    assert found.verdict == "wrong"
    tales = tell_tales(broken.observables, pair[1].observables)
    assert tales[0].feature == "response"
    assert tales[0].auc > 0.55
    assert [t.auc for t in tales] == sorted((t.auc for t in tales), reverse=True)


@pytest.mark.parametrize(
    ("learner", "least"), [(HighLevelMLP(10), 0.9), (CellMLP(6), 0.7), (CellResNet(3), 0.7)]
)
def test_networks(toy_showers, pair, learner, least):
    pytest.importorskip("torch", reason="torch (extra 'train') is not installed")
    same = classify("key", learner, *pair, seeds=[0])
    assert abs(same.auc - 0.5) < 5 * same.error
    assert same.seeds == classify("key", learner, *pair, seeds=[0]).seeds
    broken = read_sample(shuffled(toy_showers(1000, 1), np.random.default_rng(0)), "generated")
    assert classify("key", learner, broken, pair[1], seeds=[0]).auc > least


def test_without_torch_networks_are_skipped(pair, monkeypatch):
    def missing(module, extra):
        raise MissingExtraError(f"this needs {module!r}, which is not installed: pip install {extra}")

    monkeypatch.setattr("caloforge.validation.networks.require", missing)
    found = classify("auc_mlp_high", HighLevelMLP(), *pair, seeds=[0])
    assert "torch" in found.skipped
    assert found.verdict == "not tested"


def test_seeds_that_spread_do_not_hide_a_difference():
    """One training found it, one did not: the samples do differ."""
    found = Classifier("key", "MLP", "cells", 4000, 0.666, 0.085, 0.5, 0.014, 0.014, seeds=(0.606, 0.726))
    assert found.significance > 5
    assert found.verdict == "wrong"


def test_small_samples_are_skipped(pair):
    few = pair[0].select(np.arange(100))
    found = classify("auc_trees", FEW_TREES, few, pair[1], seeds=[0])
    assert "100 showers are too few" in found.skipped
    assert math.isnan(found.auc)
    assert found.verdict == "not tested"


def test_unequal_sizes_are_balanced(pair):
    few = pair[0].select(np.arange(450))
    assert classify("auc_trees", FEW_TREES, few, pair[1], seeds=[0]).showers == 450


def test_a_task_treats_both_samples_alike(pair):
    rows = [np.arange(500), np.arange(500, 1000)]
    task = make_task(pair, rows, np.random.default_rng(0), on_cells=True)
    parts = (task.train, task.choose, task.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    assert [len(part) for part in parts] == [600, 200, 200]
    for part in parts:
        assert task.truth[part].mean() == 0.5
    assert task.cells is not None
    response = task.cells.dense().sum(axis=1) / 10 ** task.conditions[:, 0]
    names = high_level_features(pair[0].observables)[1]
    assert response == pytest.approx(task.features[:, names.index("response")], rel=1e-4)


def test_area_and_divergence_of_gaussians():
    rng = np.random.default_rng(0)
    for distance in (0.0, 1.0):
        one, two = rng.normal(distance, 1, (2, 10_000)), rng.normal(0, 1, (2, 10_000))
        expected = 0.5 * (1 + math.erf(distance / 2))
        assert area(one[0], two[0]) == pytest.approx(expected, abs=0.01)
        scores = [np.concatenate([one[part], two[part]]) for part in (0, 1)]
        truth = np.repeat([1, 0], 10_000)
        grid = np.linspace(-8, 9, 2000)
        p, q = (np.exp(-((grid - mean) ** 2) / 2) for mean in (distance, 0.0))
        p, q = p / p.sum(), q / q.sum()
        mixed = (p + q) / 2
        exact = 0.5 * (p @ np.log2(p / mixed) + q @ np.log2(q / mixed))
        assert divergence(scores[0], truth, scores[1], truth) == pytest.approx(exact, abs=0.01)


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
