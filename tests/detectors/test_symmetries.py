import itertools

import numpy as np
import pytest

from caloforge.detectors import SYMMETRIES, load, parse
from caloforge.detectors.writer import to_toml

CELLS = np.arange(2 * 4 * 4).reshape(2, 4, 4)


def images(operations):
    return {operation(CELLS).tobytes() for operation in operations}


def test_a_square_has_eight():
    assert len(load("clic-ecal").symmetries) == 8
    assert len(images(SYMMETRIES)) == 8


def test_they_form_a_group():
    known = images(SYMMETRIES)
    for first, second in itertools.product(SYMMETRIES, repeat=2):
        assert second(first(CELLS)).tobytes() in known
    for operation in SYMMETRIES:
        assert any(np.array_equal(back(operation(CELLS)), CELLS) for back in SYMMETRIES)


def test_names_say_what_they_do():
    by_name = {operation.name: operation for operation in SYMMETRIES}
    assert np.array_equal(by_name["quarter turn"](CELLS), np.rot90(CELLS, 1, (1, 2)))
    assert np.array_equal(by_name["half turn"](CELLS), np.rot90(CELLS, 2, (1, 2)))
    assert np.array_equal(by_name["three quarter turn"](CELLS), np.rot90(CELLS, 3, (1, 2)))
    assert np.array_equal(by_name["mirror x"](CELLS), CELLS[:, :, ::-1])
    assert np.array_equal(by_name["mirror y"](CELLS), CELLS[:, ::-1])


@pytest.mark.parametrize(("size", "cells"), [("[5.1, 5.0]", "[25, 25]"), ("[5.1, 5.1]", "[25, 24]")])
def test_a_rectangle_has_four(size, cells):
    text = to_toml(load("clic-ecal")).replace("[5.1, 5.1]", size).replace("[25, 25]", cells)
    operations = parse(text).symmetries
    assert len(operations) == 4
    assert not any(operation.transpose for operation in operations)


def test_tensors_turn_like_arrays():
    torch = pytest.importorskip("torch", reason="torch (extra 'train') is not installed")
    for operation in SYMMETRIES:
        assert np.array_equal(operation(torch.from_numpy(CELLS)).numpy(), operation(CELLS))
