"""The geometry of the shipped CLIC calorimeter against its published numbers."""

import numpy as np
import pytest

from caloforge.detectors import load, names


@pytest.fixture(scope="module")
def clic():
    return load("clic-ecal")


def test_it_is_shipped():
    assert "clic-ecal" in names()


def test_shape(clic):
    assert clic.shape == (25, 25, 25)
    assert clic.n_cells == 15625
    assert clic.readout.size == (5.1, 5.1)


def test_depth_is_23_radiation_lengths(clic):
    assert clic.radiation_lengths == pytest.approx(23, abs=1)


def test_thickness_is_159_mm(clic):
    assert clic.thickness == pytest.approx(17 * 5.59 + 8 * 7.99)
    assert clic.thickness == pytest.approx(1659 - 1500, abs=0.1)


def test_tungsten(clic):
    plates = [plate.thickness for plate, _ in clic.slices() if plate.material == "G4_W"]
    assert plates == [2.4] * 17 + [4.8] * 8


def test_layers(clic):
    assert [layer.index for layer in clic.layers] == list(range(25))
    assert all(layer.material == "G4_Si" and layer.thickness == 0.32 for layer in clic.layers)
    assert clic.layers[0].z == pytest.approx(2.4 + 0.25 + 0.16)
    assert clic.layers[0].depth == pytest.approx(2.4 / 3.504, rel=0.01)
    steps = np.diff(clic.z)
    assert steps[:16] == pytest.approx(5.59)
    assert steps[17:] == pytest.approx(7.99)
    assert np.all(np.diff([layer.depth for layer in clic.layers]) > 0)


def test_coordinates(clic):
    x, y = clic.readout.x, clic.readout.y
    assert x[12] == 0
    assert y[12] == 0
    assert x[0] == -x[-1] == pytest.approx(-12 * 5.1)
    assert np.diff(y) == pytest.approx(5.1)
    assert clic.positions[0] == pytest.approx([-12 * 5.1, -12 * 5.1, 2.81])


def test_the_gun_is_in_front(clic):
    assert clic.gun.distance == 1


def test_the_wide_one_is_the_same_stack(clic):
    wide = load("clic-ecal-wide")
    assert wide.stack == clic.stack
    assert wide.shape == (25, 51, 51)
    assert wide.threshold == clic.threshold


def test_a_minimum_ionising_particle(clic):
    assert clic.mip_energy.shape == (25,)
    assert clic.mip_energy == pytest.approx(0.084, rel=0.03)
