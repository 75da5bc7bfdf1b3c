import numpy as np
import pytest

from caloforge.errors import InputError
from caloforge.models._sublattices import REACH, split_layer


@pytest.mark.parametrize(("rows", "columns", "window"), [(25, 25, 13), (7, 7, 13), (8, 11, 5), (5, 5, 3)])
def test_every_cell_is_drawn_once(rows: int, columns: int, window: int) -> None:
    lattice = split_layer(rows, columns, window)
    cells = np.concatenate([lattice.inside, lattice.around])
    assert sorted(cells) == list(range(rows * columns))
    assert len(lattice.inside) == lattice.window**2
    assert lattice.window % 2 == 1
    np.testing.assert_array_equal(cells[lattice.order], np.arange(rows * columns))


def test_the_window_is_central() -> None:
    lattice = split_layer(25, 25, 13)
    rows, columns = np.divmod(lattice.inside, 25)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (6, 18, 6, 18)
    assert lattice.passes[0][24] == 12 * 25 + 12  # the central cell comes with the first pass
    np.testing.assert_array_equal(np.sort(lattice.in_window(0)), lattice.in_window(0))


def test_no_two_cells_of_a_pass_touch() -> None:
    for cells in split_layer(25, 25, 13).passes:
        rows, columns = np.divmod(cells, 25)
        distance = np.maximum(abs(rows[:, None] - rows), abs(columns[:, None] - columns))
        assert distance[~np.eye(len(cells), dtype=bool)].min() == 2


def test_offsets_lead_from_a_cell_to_a_known_one() -> None:
    lattice = split_layer(25, 25, 13)
    known, cells = np.concatenate(lattice.passes[:2]), lattice.passes[2]
    offsets = lattice.offsets(2)
    assert offsets.shape == (len(known), len(cells))
    for k, c in ((0, 0), (10, 5), (60, 20)):
        row, column = known[k] // 25 - cells[c] // 25, known[k] % 25 - cells[c] % 25
        near = max(abs(row), abs(column)) <= REACH
        expected = (row + REACH) * (2 * REACH + 1) + column + REACH if near else (2 * REACH + 1) ** 2
        assert offsets[k, c] == expected


def test_a_small_layer_is_an_error() -> None:
    with pytest.raises(InputError, match="4 x 25 cells are too small: at least 5 x 5"):
        split_layer(4, 25, 3)


@pytest.mark.parametrize("paired", [True, False])
def test_neighbours_around_the_window_get_like_numbers(paired: bool) -> None:
    lattice = split_layer(25, 25, 13)
    n = len(lattice.around)
    n_pairs = n - n // 2 if paired else n
    matrix = lattice.smoothing(0.2, n_pairs)
    assert matrix.shape == (n_pairs, n_pairs)
    covariance = matrix.T @ matrix
    np.testing.assert_allclose(np.diag(covariance), 1)
    rows, columns = np.divmod(lattice.around[:n_pairs], 25)
    far = np.abs(rows[:, None] - rows) + np.abs(columns[:, None] - columns)
    corner, beside = covariance[0, 1], covariance[30, 31]
    assert 0.3 < beside <= corner < 0.4
    first_half = rows < 10  # clear of the row where pairs meet
    assert np.all(covariance[np.ix_(first_half, first_half)][far[np.ix_(first_half, first_half)] > 2] == 0)
    np.testing.assert_array_equal(lattice.smoothing(0.0, n_pairs), np.eye(n_pairs))


def test_opposite_cells_have_opposite_numbers() -> None:
    """A cell beside one whose partner is in the other half sees the opposite of that partner's number."""
    lattice = split_layer(9, 9, 5)
    n = len(lattice.around)
    last = n // 2 - 1  # row 4, column 1, left of the window; below it is a cell of the other half
    matrix = lattice.smoothing(0.3, n // 2)
    below = list(lattice.around).index(lattice.around[last] + 9)
    assert matrix[n - 1 - below, last] < 0
