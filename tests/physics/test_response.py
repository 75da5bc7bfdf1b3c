import numpy as np
import pytest

from caloforge.physics import bin_of, decade_edges, energy_edges, layer_correlation, observe, response_bins
from caloforge.showers import Showers, incidents
from caloforge.units import GeV


def showers_of(detector, energy, response, pdg=11):
    cells = np.zeros((len(energy), *detector.shape), dtype=np.float32)
    cells[:, 3, 4, 4] = energy * response
    return Showers(cells, incidents(pdg, energy), detector)


def test_response_and_resolution_by_hand(toy_detector):
    rng = np.random.default_rng(0)
    energy = np.full(20_000, 10 * GeV)
    o = observe(showers_of(toy_detector, energy, 0.02 * (1 + 0.1 * rng.standard_normal(20_000))))
    (found,) = response_bins(o, np.array([5, 20]) * GeV, [11])
    assert found.n == 20_000
    assert found.response == pytest.approx(0.02, abs=4 * found.response_error)
    assert found.response_error == pytest.approx(0.002 / np.sqrt(20_000), rel=0.03)
    assert found.resolution == pytest.approx(0.1, abs=4 * found.resolution_error)
    assert found.resolution_error == pytest.approx(0.1 / np.sqrt(2 * 20_000), rel=0.1)


def test_bins_of_particles_and_energies(toy_detector):
    energy = np.repeat([1.5, 7.0, 70.0], 12) * GeV
    o = observe(showers_of(toy_detector, energy, 0.02, pdg=np.tile([11, 11, 11, 22], 9)))
    found = response_bins(o, energy_edges(energy), [11, 22])
    assert [(b.pdg, b.low / GeV, b.n) for b in found] == []
    many = observe(
        showers_of(toy_detector, np.repeat(energy, 5), 0.02, pdg=np.repeat(np.tile([11, 11, 11, 22], 9), 5))
    )
    found = response_bins(many, energy_edges(energy), [11, 22])
    assert [(b.pdg, b.low / GeV, b.n) for b in found] == [
        (11, 1, 45), (11, 5, 45), (11, 50, 45), (22, 1, 15), (22, 5, 15), (22, 50, 15),
    ]  # fmt: skip
    assert all(b.response == pytest.approx(0.02) and b.resolution < 1e-6 for b in found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 100, [1, 2, 5, 10, 20, 50, 100]),
        (1.01, 99, [1, 2, 5, 10, 20, 50, 100]),
        (50, 50, [50, 100]),
        (3, 3, [2, 5]),
        (0.5, 0.6, [0.5, 1]),
    ],
)
def test_edges(low, high, expected):
    energy = np.array([low, high], dtype=np.float32) * GeV
    edges = energy_edges(energy)
    assert edges / GeV == pytest.approx(expected)
    assert np.all(bin_of(energy, edges) >= 0)
    decades = decade_edges(energy)
    assert np.all(bin_of(energy, decades) >= 0)
    assert np.log10(decades) == pytest.approx(np.round(np.log10(decades)))


def test_bin_of():
    edges = np.array([1.0, 2.0, 5.0])
    assert bin_of(np.array([0.5, 1, 1.9, 2, 5, 5.1]), edges).tolist() == [-1, 0, 0, 1, 1, -1]


def test_bins_of_other_variables(toy_detector):
    theta = np.repeat(np.float32([0.05, 0.15, 0.3]), 20)
    o = observe(showers_of(toy_detector, np.full(60, 10 * GeV), np.where(theta < 0.1, 0.02, 0.03)))
    found = response_bins(o, np.array([0, 0.1, 0.2, 0.3]), [11], "theta", theta)
    assert [(b.variable, b.low, b.n) for b in found] == [
        ("theta", 0, 20),
        ("theta", 0.1, 20),
        ("theta", 0.2, 20),
    ]
    assert [b.response for b in found] == pytest.approx([0.02, 0.03, 0.03])


def test_layer_correlation(toy_detector):
    rng = np.random.default_rng(0)
    cells = np.zeros((5000, *toy_detector.shape), dtype=np.float32)
    shared, own = rng.random((2, 5000))
    cells[:, 0, 4, 4] = 1 + shared
    cells[:, 1, 4, 4] = 1 + shared
    cells[:, 2, 4, 4] = 3 - shared
    cells[:, 3, 4, 4] = 1 + own
    matrix = layer_correlation(observe(Showers(cells, incidents(11, np.full(5000, 1e3)), toy_detector)))
    assert matrix[0, 1] == pytest.approx(1, abs=1e-4)
    assert matrix[0, 2] == pytest.approx(-1, abs=1e-4)
    assert matrix[0, 3] == pytest.approx(0, abs=0.06)
    assert np.all(np.diag(matrix) == 1)
    assert matrix[0, 7] == 0
