"""Response bias and resolution ratio between equal distributions: right on average, errors that hold."""

import numpy as np
import pytest

from caloforge.physics import ResponseBin
from caloforge.validation.bias import Bias, mean_bias, mean_resolution_ratio
from caloforge.validation.findings import findings


def a_bin(values):
    """What `response_bins` says of one bin."""
    from caloforge.physics.response import _bin

    return _bin(11, 1e3, 2e3, values)


@pytest.fixture(scope="module")
def many():
    """Pairs of small samples with heavy tails, as leakage makes them."""
    rng = np.random.default_rng(0)
    values = 0.016 * (1 + 0.08 * rng.standard_t(5, (2, 1500, 30)))
    return [Bias(a_bin(one), a_bin(two)) for one, two in zip(*values, strict=True)]


def test_errors_of_the_ratio_hold(many):
    pulls = np.array(
        [np.log(b.resolution_ratio) * b.resolution_ratio / b.resolution_ratio_error for b in many]
    )
    assert abs(pulls.mean()) < 0.1
    assert pulls.std() == pytest.approx(1.05, abs=0.1)
    assert np.mean(np.abs(pulls) > 3) < 0.01
    assert sum(b.resolution_verdict != "within floor" for b in many) <= 2


def test_errors_of_the_bias_hold(many):
    pulls = np.array([b.bias / b.bias_error for b in many])
    assert pulls.std() == pytest.approx(1, abs=0.1)
    assert sum(b.verdict != "within floor" for b in many) <= 2


def test_the_means_are_not_biased(many):
    """A narrow sample must not weigh more for being narrow."""
    ratio, error = mean_resolution_ratio(many)
    assert ratio == pytest.approx(1, abs=4 * error)
    bias, error = mean_bias(many)
    assert bias == pytest.approx(0, abs=4 * error)


def test_a_swap_of_the_samples_inverts_the_ratio(many):
    one = many[0]
    other = Bias(one.reference, one.generated)
    assert other.resolution_ratio == pytest.approx(1 / one.resolution_ratio)
    assert other.resolution_ratio_error / other.resolution_ratio == pytest.approx(
        one.resolution_ratio_error / one.resolution_ratio
    )


def test_a_dead_model_is_wrong():
    dead, alive = ResponseBin(11, 1e3, 2e3, 20, 0.0, 0.0, 0.0, 0.0), a_bin(np.linspace(0.9, 1.1, 20))
    found = Bias(dead, alive)
    assert (found.verdict, found.resolution_verdict) == ("wrong", "wrong")
    assert np.isnan(mean_resolution_ratio([found])).all()


def test_bins_without_energy_or_fluctuations_in_both_samples_do_not_differ():
    dead = ResponseBin(11, 1e3, 2e3, 20, 0.0, 0.0, 0.0, 0.0)
    constant = a_bin(np.full(20, 0.9))
    assert (Bias(dead, dead).verdict, Bias(dead, dead).resolution_verdict) == ("within floor", "within floor")
    assert Bias(constant, constant).resolution_verdict == "within floor"


def test_bins_are_among_the_findings():
    rng = np.random.default_rng(1)
    values = rng.normal(1.0, 0.01, 400)
    good, low = a_bin(values), a_bin(0.9 * values)
    found = findings((), (), (), (), [Bias(good, good), Bias(low, good)])
    assert [f.observable for f in found] == ["response in bins of energy"]
    assert found[0].verdict == "wrong"
    assert "bias -0.1" in found[0].text
