import numpy as np
import pytest

from caloforge.detectors import load
from caloforge.errors import InputError
from caloforge.showers import (
    COMMON_PARTICLES,
    Incidents,
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
    with pytest.raises(InputError, match="unknown particle 'electron'; did you mean 'e-'"):
        pdg_id("electron")
    with pytest.raises(InputError, match="no particle given"):
        parse_particles(" , ")


def test_matrix_and_selection():
    some = incidents(np.array([11, 22]), np.array([1e3, 2e3]), theta=0.1, x=3)
    assert some.matrix()[1].tolist() == pytest.approx([22, 2000, 0.1, 0, 3, 0])
    assert some[1:].energy.tolist() == [2000]
    assert len(Incidents.concatenate([some, some[:1]])) == 3


@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan, np.inf])
def test_bad_energies(energy):
    with pytest.raises(InputError, match="energy"):
        incidents(11, np.array([1e3, energy]))


@pytest.mark.parametrize("theta", [-0.1, np.pi / 2, 2.0])
def test_bad_angles(theta):
    with pytest.raises(InputError, match="theta: must be at least 0 and below 90 degrees"):
        incidents(11, 1e3, theta=theta)


def test_the_shower_axis():
    tilted = incidents(11, 1e3, theta=np.arctan(0.5), phi=np.pi / 2, x=3, y=-1)
    x, y = tilted.axis(np.array([0.0, 10.0]))
    assert x[0] == pytest.approx([3, 3], abs=1e-5)
    assert y[0] == pytest.approx([-1, 4], abs=1e-5)
    _, y = tilted.axis(np.array([[20.0]]))
    assert y.shape == (1, 1)
    assert y[0, 0] == pytest.approx(9, abs=1e-5)


def test_impact_points_lie_in_the_readout():
    incidents(11, 1e3, x=np.array([0.0, 63.7])).check_inside(load("clic-ecal"))
    with pytest.raises(InputError, match=r"\(0, -64\) mm lies outside the readout of detector 'clic-ecal'"):
        incidents(11, 1e3, y=np.array([0.0, -64.0])).check_inside(load("clic-ecal"))
    with pytest.raises(InputError, match=r"reaches to 41\.85 mm"):
        incidents(11, 1e3, x=30, y=30).check_inside(load("calochallenge-2"))


@pytest.mark.parametrize("name", [str(2**32 + 11), "99999999999"])
def test_pdg_ids_have_32_bits(name):
    with pytest.raises(InputError, match="PDG ids"):
        pdg_id(name)
    with pytest.raises(InputError, match="PDG ids"):
        incidents(np.array([int(name)]), 1e3)
    with pytest.raises(InputError, match="unknown particle"):
        pdg_id("--5")
