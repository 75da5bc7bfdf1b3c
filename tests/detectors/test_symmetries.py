"""Symmetries form a group, permute cells, and act on incidents as on points."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from caloforge.detectors import CartesianReadout, CylindricalReadout, load, permutation
from caloforge.showers import incidents

READOUTS = {
    "square": CartesianReadout("cartesian", (4, 4), (5.1, 5.1)),
    "odd square": CartesianReadout("cartesian", (5, 5), (0.33, 0.33)),
    "rectangle": CartesianReadout("cartesian", (4, 4), (5.1, 5.0)),
    "unequal numbers": CartesianReadout("cartesian", (3, 5), (5.1, 5.1)),
    "one cell": CartesianReadout("cartesian", (1, 1), (5.1, 5.1)),
    "awkward size": CartesianReadout("cartesian", (4, 4), (0.82505, 0.82505)),
    "two sectors": CylindricalReadout("cylindrical", 2, (0.0, 1.0)),
    "seven sectors": CylindricalReadout("cylindrical", 7, (0.0, 4.65, 9.3)),
    "eight sectors": CylindricalReadout("cylindrical", 8, (1.0, 2.0, 4.0, 9.0)),
}
NUMBERS = [8, 8, 4, 4, 8, 8, 4, 14, 16]


@pytest.fixture(params=READOUTS)
def detector(request):
    return replace(load("lead-scintillator"), readout=READOUTS[request.param])


def test_how_many_there_are():
    assert [len(readout.symmetries) for readout in READOUTS.values()] == NUMBERS
    assert len(load("clic-ecal").symmetries) == 8
    assert len(load("lead-scintillator").symmetries) == 4
    assert len(load("calochallenge-2").symmetries) == 32
    assert len(load("calochallenge-3").symmetries) == 100


def test_they_form_a_group(detector):
    matrices = np.array([symmetry.matrix for symmetry in detector.symmetries])
    assert np.array_equal(matrices[0], np.eye(2))

    def known(matrix):
        return np.sum(np.abs(matrices - matrix).max(axis=(1, 2)) < 1e-9) == 1

    for one, two in itertools.product(matrices, repeat=2):
        assert known(one @ two)
    for matrix in matrices:
        assert known(matrix.T)  # orthogonal: the transposed matrix is the inverse one
        assert matrix @ matrix.T == pytest.approx(np.eye(2), abs=1e-12)


def test_they_permute_cells(detector):
    destinations = detector.destinations()
    assert destinations.shape == (len(detector.symmetries), detector.n_cells)
    assert np.array_equal(destinations[0], np.arange(detector.n_cells))
    for symmetry, where in zip(detector.symmetries, destinations, strict=True):
        assert np.array_equal(np.sort(where), np.arange(detector.n_cells))
        assert np.array_equal(detector.cell_layers[where], detector.cell_layers)
        moved = np.stack(symmetry.points(*detector.positions[:, :2].T), axis=1)
        assert detector.positions[where, :2] == pytest.approx(moved, abs=1e-9)


def test_permutations_compose_as_the_matrices(detector):
    matrices = np.array([symmetry.matrix for symmetry in detector.symmetries])
    destinations = detector.destinations()
    for i, j in itertools.islice(itertools.product(range(len(matrices)), repeat=2), 64):
        both = int(np.argmin(np.abs(matrices - matrices[i] @ matrices[j]).max(axis=(1, 2))))
        assert np.array_equal(destinations[i][destinations[j]], destinations[both])


def test_incidents_move_with_their_axis(detector):
    """The axis of a moved incident is the moved axis, in every plane."""
    rng = np.random.default_rng(1)
    n = 20
    some = incidents(
        11,
        np.full(n, 1e3),
        rng.uniform(0, 0.8, n),
        rng.uniform(-7, 7, n),
        rng.uniform(-9, 9, n),
        rng.uniform(-9, 9, n),
    )
    for symmetry in detector.symmetries:
        moved = some.moved(symmetry)
        for a, b in zip(moved.axis(detector.z), symmetry.points(*some.axis(detector.z)), strict=True):
            assert a == pytest.approx(b, abs=1e-3)
        assert np.array_equal(moved.energy, some.energy)
        assert np.array_equal(moved.theta, some.theta)


def test_a_symmetry_of_other_cells_is_refused():
    square, oblong = READOUTS["square"], READOUTS["rectangle"]
    quarter = next(one for one in square.symmetries if one.name == "quarter turn")
    with pytest.raises(ValueError, match="quarter turn does not map the cells onto each other"):
        permutation(oblong.centres(1), oblong.layers(1), quarter)


def test_names_say_what_they_do():
    readout = READOUTS["square"]
    by_name = {
        one.name: permutation(readout.centres(1), readout.layers(1), one) for one in readout.symmetries
    }
    cells = np.arange(16).reshape(4, 4)  # rows along y

    def image(name):
        moved = np.empty(16, dtype=int)
        moved[by_name[name]] = cells.ravel()
        return moved.reshape(4, 4)

    assert np.array_equal(image("mirror x"), cells[:, ::-1])
    assert np.array_equal(image("mirror y"), cells[::-1])
    assert np.array_equal(image("mirror x = y"), cells.T)
    assert np.array_equal(image("half turn"), cells[::-1, ::-1])
    assert np.array_equal(image("quarter turn"), np.rot90(cells, -1))  # x towards y: rows grow upwards
