"""Spectra of incidents: distributions, seeds, and the ways they are written."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caloforge.detectors import load
from caloforge.errors import InputError
from caloforge.showers import IncidentSpectrum, incidents, parse_spectrum, spectrum
from caloforge.units import degree

CLIC = load("clic-ecal")
WIDE = parse_spectrum("e-,gamma", "0.2:100", "0:30", "0:360", "cell")


def draw(one, n, seed=0, detector=CLIC):
    return one.draw(n, np.random.default_rng(seed), detector)


def is_uniform(values, low, high, bins=20):
    """Whether a histogram agrees with a uniform distribution: chi2 within five standard deviations."""
    counts, _ = np.histogram(values, bins, (low, high))
    assert counts.sum() == len(values)
    expected = len(values) / bins
    return ((counts - expected) ** 2 / expected).sum() < bins - 1 + 5 * math.sqrt(2 * (bins - 1))


@given(st.integers(0, 50), st.integers(0, 2**32), st.floats(1, 1e4), st.floats(1.001, 100))
@settings(max_examples=30)
def test_the_default_is_what_it_always_was(n, seed, low, factor):
    """Particles in turn, energies log-uniform, along the axis: the draws of the first samples of CaloForge."""
    ends = (low, low * factor)
    drawn = draw(IncidentSpectrum((11, 22), ends), n, seed)
    logs = np.random.default_rng(seed).uniform(*np.log(ends), n)
    assert np.array_equal(drawn.energy, np.exp(logs).clip(*ends).astype(np.float32))
    assert np.array_equal(drawn.pdg, np.resize([11, 22], n))
    for column in (drawn.theta, drawn.phi, drawn.x, drawn.y):
        assert np.array_equal(column, np.zeros(n, np.float32))


def test_equal_seeds_draw_equal_incidents():
    assert np.array_equal(draw(WIDE, 100, 5).matrix(), draw(WIDE, 100, 5).matrix())
    assert not np.array_equal(draw(WIDE, 100, 5).matrix(), draw(WIDE, 100, 6).matrix())


def test_what_is_drawn():
    drawn = draw(WIDE, 20_000)
    assert is_uniform(np.log(drawn.energy), math.log(200) - 1e-6, math.log(1e5) + 1e-6)
    assert is_uniform(np.cos(drawn.theta.astype(float)), math.cos(30 * degree) - 1e-7, 1)
    assert is_uniform(drawn.phi, 0, 2 * np.pi + 1e-6)
    assert is_uniform(drawn.x, -2.55, 2.55)
    assert is_uniform(drawn.y, -2.55, 2.55)
    matrix = drawn.matrix()[:, 1:]
    matrix[:, 0] = np.log(matrix[:, 0])
    correlations = np.corrcoef(matrix.T) - np.eye(5)
    assert np.abs(correlations).max() < 5 / math.sqrt(20_000)


def test_energies():
    assert is_uniform(draw(parse_spectrum(energy="uniform:1:100"), 20_000).energy, 1e3, 1e5)
    listed = draw(parse_spectrum(energy="1,10,100"), 3000).energy
    values, counts = np.unique(listed, return_counts=True)
    assert values.tolist() == [1e3, 1e4, 1e5]
    assert counts.min() > 1000 - 5 * math.sqrt(1000)
    assert set(draw(parse_spectrum(energy="50"), 10).energy) == {5e4}


def test_weights():
    pdg = draw(parse_spectrum("e-*3,gamma*1"), 4000).pdg
    assert np.sum(pdg == 11) == pytest.approx(3000, abs=5 * math.sqrt(750))


def test_angles_may_be_fixed():
    drawn = draw(spectrum((11,), 1e3, theta=0.3, phi=(0, 1)), 100)
    assert set(drawn.theta) == {np.float32(0.3)}
    assert is_uniform(draw(spectrum((11,), 1e3, theta=0.3, phi=(0, 1)), 5000).phi, 0, 1)


def test_a_cell_is_a_rectangle_of_the_readout():
    assert WIDE.on(CLIC).rectangle == (-2.55, 2.55, -2.55, 2.55)
    assert WIDE.on(load("lead-scintillator")).rectangle == (-7.5, 7.5, -10, 10)
    with pytest.raises(InputError, match="on a detector only"):
        _ = WIDE.rectangle
    with pytest.raises(InputError, match="position 'cell' is for cartesian readouts"):
        draw(WIDE, 1, detector=load("calochallenge-2"))


@pytest.mark.parametrize("position", ["70,0", "0,-70", "0:70,0", "-64:64,-64:64"])
def test_impact_points_outside_the_readout(position):
    with pytest.raises(
        InputError, match=r"lies outside the readout of detector 'clic-ecal', which reaches to 63.75"
    ):
        draw(parse_spectrum(position=position), 1)


def test_impact_points_up_to_the_edge():
    draw(parse_spectrum(position="-63.75:63.75,-63.75:63.75"), 10)
    draw(parse_spectrum(position="-41:0,0"), 10, detector=load("calochallenge-2"))
    with pytest.raises(InputError, match="outside the readout"):
        draw(parse_spectrum(position="-31:31,-31:31"), 10, detector=load("calochallenge-2"))


ANY_ANGLE = st.floats(0, 1.5)
ANY_ENERGY = st.floats(1e-3, 1e7)
ANY_LENGTH = st.floats(-60, 60)


def pair(values):
    return st.tuples(values, values).map(sorted).map(tuple)


SPECTRA = st.builds(
    IncidentSpectrum,
    st.just((11, 22, -211)),
    pair(ANY_ENERGY),
    st.sampled_from(["log-uniform", "uniform", "list"]),
    pair(ANY_ANGLE),
    pair(st.floats(-6, 6)),
    st.one_of(
        st.just("cell"),
        st.tuples(ANY_LENGTH, ANY_LENGTH),
        st.tuples(pair(ANY_LENGTH), pair(ANY_LENGTH)).map(lambda ends: (*ends[0], *ends[1])),
    ),
    st.sampled_from([(), (1.0, 2.5, 0.1)]),
)


@given(SPECTRA)
def test_spectra_read_back(one):
    """From JSON, and from the options of the command line."""
    assert IncidentSpectrum.parse_json(one.to_json(), "here") == one
    words = one.options()
    options = {name.removeprefix("--"): text for name, text in zip(words[::2], words[1::2], strict=True)}
    assert parse_spectrum(**options) == one


def test_options_are_short():
    assert " ".join(WIDE.options()) == (
        "--particle e-,gamma --energy 0.2:100 --theta 0:30 --phi 0:360 --position cell"
    )
    assert IncidentSpectrum((11,), (1e3,)).options() == ["--particle", "e-", "--energy", "1"]


def test_one_energy_is_one_spectrum():
    assert parse_spectrum(energy="1:1") == parse_spectrum(energy="1") == parse_spectrum(energy="uniform:1:1")
    assert IncidentSpectrum((11,), (1e3, 1e3), "list") == IncidentSpectrum((11,), (1e3,))


def test_in_words():
    assert (
        WIDE.describe()
        == "e-, gamma, 200 MeV to 100 GeV, theta 0 to 30 degrees, phi 0 to 360 degrees, all over a cell"
    )
    text = parse_spectrum("e-*3,gamma*1", "1,10", position="1,-2").describe()
    assert text == "75 % e-, 25 % gamma, 1 GeV, 10 GeV, normal, at (1, -2) mm"


def test_what_lies_outside():
    inside = draw(WIDE, 500)
    on = WIDE.on(CLIC)
    assert on.outside(inside) == []
    assert on.outside(inside.moved(CLIC.symmetries[5])) == []
    strange = incidents(np.array([11, 211]), 2e5, theta=0.6, phi=1, x=5)
    found = on.outside(strange)
    assert [text.split()[0] for text in found] == ["particle", "energy", "theta", "x"]
    assert found[0] == "particle pi+ instead of e-, gamma"
    assert found[1] == "energy 200 GeV instead of 200 MeV to 100 GeV"
    turned = parse_spectrum(theta="10", phi="350:360")
    assert turned.outside(incidents(11, 5e4, theta=10 * degree, phi=-5 * degree)) == []
    assert len(turned.outside(incidents(11, 5e4, theta=10 * degree, phi=5 * degree))) == 1


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30)
def test_the_spectrum_around_incidents_holds_them(n, seed):
    drawn = draw(WIDE, n, seed)
    found = IncidentSpectrum.around(drawn)
    assert found.outside(drawn) == []
    assert WIDE.on(CLIC).energy_range[0] * (1 - 1e-6) <= found.energy_range[0]


def test_the_spectrum_around_full_turns():
    drawn = incidents(11, 1e3, theta=0.1, phi=np.array([np.float32(2 * np.pi), 100.0, -7.0]))
    assert IncidentSpectrum.around(drawn).phi[1] <= 2 * np.pi


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"theta": "90"}, "theta 90 degrees: must be at least 0 and below 90 degrees"),
        ({"theta": "30:10"}, "the lower end exceeds the upper end"),
        ({"theta": "-1"}, "must be at least 0"),
        ({"theta": "flat"}, "'flat' is not an angle"),
        ({"phi": "0:400"}, "phi 0 to 400 degrees: must be within -360 to 360"),
        ({"position": "1"}, "position '1': write 'x,y'"),
        ({"position": "nan,0"}, "must be finite"),
        ({"position": "5:1,0"}, "the lower end exceeds the upper end"),
        ({"energy": "0"}, "must be positive and finite"),
        ({"energy": "100:1"}, "the lower end exceeds the upper end"),
        ({"energy": "1,"}, "'' is not an energy"),
        ({"particle": "elektron"}, "unknown particle 'elektron'"),
        ({"particle": " , "}, "no particle given"),
        ({"particle": "e-*2,gamma"}, "particle 'gamma': write a weight"),
        ({"particle": "e-*-2,gamma*1"}, "weights -2, 1 of particles: must be positive"),
    ],
)
def test_what_the_command_line_cannot_mean(options, words):
    with pytest.raises(InputError, match=words):
        parse_spectrum(**options)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"theta": [0, 1.6]}, "theta 0 to 91.67 degrees: must be at least 0 and below 90"),
        ({"thet": [0, 1]}, "unknown key 'thet'; did you mean 'theta'"),
        ({"energy": [2, 1]}, "energies 2, 1 MeV: the lower end exceeds the upper end"),
        ({"energy": [1, 2, 3]}, "give one, or the lowest and the highest"),
        ({"energy": []}, "must be positive and finite"),
        ({"energies": "normal"}, "'energies': Input should be 'log-uniform'"),
        ({"position": "all"}, "'position': Input should be 'cell'"),
        ({"particles": []}, "no particle given"),
        ({"weights": [1, 2, 3]}, "3 weights for 1 particles"),
    ],
)
def test_what_a_file_cannot_mean(data, words):
    """Errors of checks that pydantic does not do name the file too."""
    with pytest.raises(InputError) as caught:
        IncidentSpectrum.parse({"particles": [11], "energy": [1000]} | data, "recipe.toml: spectrum")
    assert str(caught.value).startswith("recipe.toml: spectrum: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_a_spectrum():
    with pytest.raises(InputError, match="file: not a spectrum"):
        IncidentSpectrum.parse_json("{", "file")


def test_a_unit_at_the_end_of_a_list_holds_for_all():
    assert parse_spectrum("e-", "100,200,500MeV").energy == (100.0, 200.0, 500.0)
    assert parse_spectrum("e-", "1GeV,2,500MeV").energy == (1000.0, 2000.0, 500.0)
    assert parse_spectrum("e-", "1,10").energy == (1000.0, 10_000.0)
