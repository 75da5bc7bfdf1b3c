import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import InputError
from caloforge.showers import (
    COMMON_PARTICLES,
    Incidents,
    draw_incidents,
    incidents,
    parse_particles,
    particle_name,
    pdg_id,
)


@pytest.mark.parametrize("name", COMMON_PARTICLES)
def test_names_and_ids(name):
    assert particle_name(pdg_id(name)) == name


def test_names_of_the_particle_package():
    assert pdg_id("J/psi(1S)") == 443
    assert particle_name(443) == "J/psi(1S)"
    assert particle_name(123456789) == "123456789"


def test_unknown_particles():
    with pytest.raises(InputError, match="unknown particle 'gama'; did you mean 'gamma'"):
        pdg_id("gama")
    with pytest.raises(InputError, match="no particle given"):
        parse_particles(" , ")


@given(st.integers(0, 50), st.integers(0, 2**32), st.floats(1, 1e4), st.floats(1, 100))
def test_drawn_incidents(n, seed, low, factor):
    drawn = draw_incidents(n, (11, 22), (low, low * factor), np.random.default_rng(seed))
    assert len(drawn) == n
    assert np.all((drawn.energy >= low * (1 - 1e-6)) & (drawn.energy <= low * factor * (1 + 1e-6)))
    assert np.array_equal(drawn.pdg, np.resize([11, 22], n))
    again = draw_incidents(n, (11, 22), (low, low * factor), np.random.default_rng(seed))
    assert np.array_equal(again.matrix(), drawn.matrix())


def test_energies_are_log_uniform():
    energy = draw_incidents(20_000, (11,), (1e3, 1e5), np.random.default_rng(0)).energy
    counts, _ = np.histogram(np.log(energy), bins=10)
    assert counts.min() > 2000 - 5 * np.sqrt(2000)


def test_matrix_and_selection():
    some = incidents(np.array([11, 22]), np.array([1e3, 2e3]), theta=0.1, x=3)
    assert some.matrix()[1].tolist() == pytest.approx([22, 2000, 0.1, 0, 3, 0])
    assert some[1:].energy.tolist() == [2000]
    assert len(Incidents.concatenate([some, some[:1]])) == 3


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan, np.inf])
def test_bad_energies(energy):
    with pytest.raises(InputError, match="energy"):
        incidents(11, np.array([1e3, energy]))
