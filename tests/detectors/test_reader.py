import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.detectors import check_shape, load, parse, toml
from caloforge.detectors.materials import RADIATION_LENGTH
from caloforge.detectors.writer import to_toml
from caloforge.errors import DetectorError, FileError

GOOD = """
name = "box"
production_cut = 0.7
threshold = 0
[readout]
kind = "cartesian"
cells = [3, 4]
size = [10, 20]
[[stack]]
repeat = 2
slices = [{ material = "G4_Pb", thickness = 5 }, { material = "G4_Si", thickness = 1, sensitive = true }]
"""


def test_a_users_detector(tmp_path):
    path = tmp_path / "box.toml"
    path.write_text(GOOD)
    box = load(str(path))
    assert box.shape == (2, 3, 4)
    assert box.y.tolist() == [-10, 0, 10]
    assert box.x.tolist() == [-30, -10, 10, 30]
    assert box.thickness == 12
    assert box.gun.position == (0, 0, -1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("threshold = 0", "treshold = 0", "unknown key 'treshold'; did you mean 'threshold'?"),
        ("threshold = 0", "threshold = -1", "'threshold'"),
        ("G4_Pb", "G4_PB", "unknown material 'G4_PB'; did you mean 'G4_Pb'?"),
        ("cells = [3, 4]", "cells = [3]", "readout"),
        ("cells = [3, 4]", "cells = [0, 4]", "'readout.cells[0]'"),
        ("thickness = 5", "thickness = 0", "'stack[0].slices[0].thickness'"),
        ("thickness = 5", "thickness = nan", "'stack[0].slices[0].thickness'"),
        (", sensitive = true", "", "no slice is sensitive"),
        ('kind = "cartesian"', 'kind = "round"', "'readout.kind'"),
        ("repeat = 2", "", "key 'stack[0].repeat' is missing"),
        ('name = "box"', "", "key 'name' is missing"),
        ("[readout]", "[readout", "no valid TOML"),
    ],
)
def test_errors_are_precise(old, new, words):
    assert old in GOOD
    with pytest.raises(DetectorError) as caught:
        parse(GOOD.replace(old, new), "box.toml")
    assert str(caught.value).startswith("box.toml: ")
    assert words in str(caught.value)


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(DetectorError, match="did you mean 'clic-ecal'"):
        load("clic-ecl")
    with pytest.raises(FileError, match="does not exist"):
        load(str(tmp_path / "none.toml"))


def test_shapes_are_checked():
    check_shape(load("clic-ecal"), (25, 25, 25), "here")
    with pytest.raises(DetectorError, match=r"here: .*\(1, 2, 3\).*clic-ecal"):
        check_shape(load("clic-ecal"), (1, 2, 3), "here")


slices = st.fixed_dictionaries(
    {"material": st.sampled_from(sorted(RADIATION_LENGTH)), "thickness": st.floats(0.01, 100)}
)


@given(st.text(max_size=20), st.lists(slices, min_size=1, max_size=4), st.integers(1, 5), st.floats(0.01, 50))
def test_written_detectors_read_back(description, plates, repeat, size):
    from caloforge.detectors import CartesianReadout, Detector, Slice, Stack

    stack = Stack(repeat, (*(Slice(**plate) for plate in plates), Slice("G4_Si", 0.3, sensitive=True)))
    detector = Detector(
        "any", CartesianReadout("cartesian", (3, 2), (size, 2.0)), (stack,), 0.7, 0.015, description
    )
    assert parse(to_toml(detector)) == detector


def test_the_shipped_text_is_what_is_loaded():
    assert parse(toml("clic-ecal")) == load("clic-ecal")
