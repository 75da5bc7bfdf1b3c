"""Copies, empty showers, rounding, thresholds; memorisation and diversity; weights; small numbers."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from caloforge.errors import FileError, InputError
from caloforge.showers import write_showers
from caloforge.validation import evaluate, read_sample
from caloforge.validation.cells import SparseCells
from caloforge.validation.faults import cut, duplicated, rounded
from caloforge.validation.integrity import checks
from caloforge.validation.originality import diversity, memorisation
from caloforge.validation.scores import correlation_score, feature_scores

pytest.importorskip("sklearn", reason="scikit-learn (extra 'report') is not installed")


def by_key(generated, reference):
    return {check.key: check for check in checks(generated, reference)}


def test_good_showers_pass(pair):
    assert all(check.verdict == "within floor" for check in checks(*pair))


def test_copies(toy_showers, pair):
    found = by_key(
        read_sample(duplicated(toy_showers(1000, 1), 0.02, np.random.default_rng(0)), "g"), pair[1]
    )
    assert found["copies"].value == pytest.approx(0.02)
    assert "2 % of the showers are copies of another shower" in found["copies"].finding
    stolen = by_key(pair[1].select(np.arange(500)), pair[1])
    assert "100 % are copies of showers of the reference"[4:] in stolen["copies"].finding


def test_rounding(toy_showers, pair):
    found = by_key(read_sample(rounded(toy_showers(1000, 1), 0.05), "g"), pair[1])
    assert found["distinct"].verdict == "wrong"
    assert "50 keV apart" in found["distinct"].finding


def test_thresholds_of_either_sample(toy_showers, pair):
    other = read_sample(cut(toy_showers(1000, 1), 0.5), "g")
    assert "the generated sample has no cells below 5" in by_key(other, pair[1])["threshold"].finding
    assert "the reference sample has no cells below 5" in by_key(pair[1], other)["threshold"].finding


def test_empty_showers(toy_showers, pair):
    showers = toy_showers(1000, 1)
    cells = showers.energies.copy()
    cells[:50] = 0
    found = by_key(read_sample(replace(showers, energies=cells), "g"), pair[1])
    assert found["empty"].value == pytest.approx(0.05, abs=0.01)
    assert "5" in found["empty"].finding


def test_a_reference_of_empty_showers_is_refused(toy_showers, pair):
    empty = replace(toy_showers(100, 1), energies=np.zeros((100, 8, 9, 9), np.float32))
    with pytest.raises(InputError, match="all 100 showers are empty"):
        evaluate(pair[0], read_sample(empty, "reference"), classifier=False)


def test_sparse_cells(toy_showers):
    showers = toy_showers(40, 1)
    cells = SparseCells.of(showers, 0.1)
    dense = showers.with_threshold(0.1).energies.reshape(40, -1)
    assert np.array_equal(cells.dense(), dense)
    rows = np.array([3, 30, 3, 7])
    assert np.array_equal(cells[rows].dense(), dense[rows])
    assert np.array_equal(cells[5:9].dense(), dense[5:9])
    joined = SparseCells.concatenate([cells[:10], cells[10:]])
    assert np.array_equal(joined.dense(), dense)
    assert np.array_equal(joined.fingerprints(), cells.fingerprints())
    assert np.array_equal(cells.matrix().toarray(), dense)


@pytest.mark.parametrize("turn", [lambda cells: cells, lambda cells: cells[:, :, ::-1]])
def test_memorisation(toy_showers, pair, turn):
    training = read_sample(toy_showers(1500, 5), "training")
    good = memorisation(*pair, training, np.random.default_rng(0))
    assert good.verdict == "within floor"
    assert good.value == pytest.approx(0.01, abs=0.02)
    mixed = toy_showers(1000, 1)
    cells = mixed.energies.copy()
    cells[:200] = turn(toy_showers(1500, 5).energies[:200]) * np.float32(1.001)
    bad = memorisation(
        read_sample(replace(mixed, energies=cells), "g"), pair[1], training, np.random.default_rng(0)
    )
    assert bad.value > 0.15
    assert bad.verdict == "wrong"
    with pytest.raises(InputError, match="the model was not trained on"):
        memorisation(pair[0], training, training, np.random.default_rng(0))


def test_mode_collapse_shows_in_diversity(toy_showers, pair):
    same = list(diversity(*pair, np.random.default_rng(0)))
    assert [score.verdict for score in same] == ["within floor", "within floor"]
    showers = toy_showers(1000, 1)
    few = np.empty_like(showers.energies)
    for pdg in (11, 22):
        own = np.flatnonzero(showers.incidents.pdg == pdg)
        order = own[np.argsort(showers.incidents.energy[own])]
        few[order] = showers.energies[order[np.arange(len(order)) // 25 * 25]]
    collapsed = list(
        diversity(read_sample(replace(showers, energies=few), "g"), pair[1], np.random.default_rng(0))
    )
    assert collapsed[0].value < 0.95
    assert collapsed[0].verdict == "wrong"


def test_scores_of_equal_samples_are_at_their_floors(pair):
    one, two = (s.observables for s in pair)
    for score in (
        *feature_scores(one, two, np.random.default_rng(0)),
        correlation_score(one, two, np.random.default_rng(0)),
    ):
        assert score.verdict == "within floor", score


def test_scores_need_enough_showers(pair):
    one, two = (s.observables[:100] for s in pair)
    assert all(
        "100 showers are too few" in s.skipped for s in feature_scores(one, two, np.random.default_rng(0))
    )


def test_weights_turn_one_spectrum_into_another(toy_showers, pair):
    """A reference of another mix of particles, weighted to the right one, is within the floor."""
    showers = toy_showers(2000, 21)
    keep = np.flatnonzero((showers.incidents.pdg == 11) | (np.arange(2000) % 4 == 1))
    thinned = showers[keep]
    assert 0.3 < (thinned.incidents.pdg == 22).mean() < 0.4
    depth = evaluate_depth(pair[0], read_sample(thinned, "reference"))
    weights = np.where(thinned.incidents.pdg == 22, 2.0, 1.0)
    weighted = evaluate_depth(pair[0], read_sample(thinned, "reference", weights=weights))
    assert weighted.p_value > 1e-3
    assert depth.p_value < weighted.p_value


def evaluate_depth(one, two):
    from caloforge.validation.floor import resample
    from caloforge.validation.metrics import QUANTITIES, compare

    quantity = next(q for q in QUANTITIES if q.name == "depth")
    rng = np.random.default_rng(0)
    resampling = resample(len(one), len(two), rng, one.weights, two.weights)
    return compare(quantity, one.observables, two.observables, resampling)[0]


def test_equal_weights_change_nothing(toy_showers):
    one, two = toy_showers(300, 1), toy_showers(300, 2)
    plain, scaled = (
        evaluate(read_sample(one, "g", weights=w), two, classifier=False) for w in (None, np.full(300, 7.0))
    )
    for a, b in zip(plain.comparisons, scaled.comparisons, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-12)
        assert a.chi2 == pytest.approx(b.chi2)
        assert a.shift == pytest.approx(b.shift, abs=1e-12)


def test_unweighted_showers_follow_the_weights(toy_showers):
    showers = toy_showers(2000, 1)
    weights = showers.incidents.energy.astype(float)
    found = read_sample(showers, "g", weights=weights).unweighted(np.random.default_rng(0))
    expected = (weights * showers.incidents.energy).sum() / weights.sum()
    assert found.observables.incidents.energy.mean() == pytest.approx(expected, rel=0.1)
    assert not found.weighted


def test_weights_of_a_file(tmp_path, toy_showers):
    path = tmp_path / "weighted.h5"
    write_showers(path, toy_showers(60, 1))
    with h5py.File(path, "a") as file:
        file["weights"] = np.arange(60.0)
    assert read_sample(path, "w").weights.tolist() == list(range(60))
    for wrong, error, words in (
        (np.arange(59.0), FileError, "one number for each of 60"),
        (-np.arange(60.0), InputError, "weights must be finite, not negative"),
    ):
        with h5py.File(path, "a") as file:
            del file["weights"]
            file["weights"] = wrong
        with pytest.raises(error, match=words):
            read_sample(path, "w")


def test_the_order_of_showers_does_not_matter(pair):
    from caloforge.validation.floor import resample
    from caloforge.validation.metrics import QUANTITIES, compare

    one, two = (s.observables[:400] for s in pair)
    resampling = resample(400, 400, np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(400)
    for quantity in QUANTITIES:
        a, _ = compare(quantity, one, two, resampling)
        b, _ = compare(quantity, one[order], two, resampling)
        assert (a.value, a.chi2, a.shift) == pytest.approx((b.value, b.chi2, b.shift), abs=1e-9)
        assert a.wasserstein.value == pytest.approx(b.wasserstein.value, abs=1e-9)
