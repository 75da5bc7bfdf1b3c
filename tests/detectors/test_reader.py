"""Detector files: good ones, and errors that name the key and what to do."""

import pytest

from caloforge.cli import main
from caloforge.detectors import cartesian, check_shape, load, names, parse, toml
from caloforge.errors import DetectorError, FileError

GOOD = """
name = "box"
threshold = 0
[physics]
production_cut = 0.7
[readout]
kind = "cartesian"
cells = [3, 4]
size = [10, 20]
[[stack]]
repeat = 2
slices = [{ material = "G4_Pb", thickness = 5 }, { material = "mine", thickness = 1, sensitive = true }]
[[material]]
name = "mine"
density = 1.1
fractions = { C = 0.9, G4_WATER = 0.1 }
"""

ROUND = GOOD.replace(
    'kind = "cartesian"\ncells = [3, 4]\nsize = [10, 20]',
    'kind = "cylindrical"\nsectors = 6\nrings = [0, 5, 12]',
)


def test_a_users_detector(tmp_path):
    path = tmp_path / "box.toml"
    path.write_text(GOOD)
    box = load(str(path))
    assert box.shape == (2, 3, 4)
    assert box.readout.y.tolist() == [-10, 0, 10]
    assert box.readout.x.tolist() == [-30, -10, 10, 30]
    assert box.thickness == 12
    assert box.gun.distance == 1
    assert box.physics.photoelectric_shells == "measured"
    assert [layer.material for layer in box.layers] == ["mine", "mine"]
    assert parse(ROUND).shape == (2, 6, 2)


def test_an_edited_file_is_read_again(tmp_path):
    path = tmp_path / "box.toml"
    path.write_text(GOOD)
    assert load(path).threshold == 0
    path.write_text(GOOD.replace("threshold = 0", "threshold = 2"))
    assert load(path).threshold == 2


BAD = [
    ("threshold = 0", "treshold = 0", "unknown key 'treshold'; did you mean 'threshold'?"),
    ("threshold = 0", "threshold = -1", "'threshold': Input should be greater than or equal to 0"),
    (
        "threshold = 0",
        "threshold = 0\nproduction_cut = 1",
        "'production_cut' has moved: write it into a table [physics]",
    ),
    (
        "threshold = 0",
        "threshold = 0\ngun = { position = [0, 0, -1] }",
        "unknown key 'gun.position'; known are 'distance'",
    ),
    ("threshold = 0", "threshold = 0\ngun = { distance = -3 }", "the gun must stand before the front face"),
    ("threshold = 0", "threshold = 0\nmargin = -1", "'margin'"),
    ("threshold = 0", "threshold = 0\nmip = [0.1, 0.2, 0.3]", "'mip' has 3 numbers for 2 layers"),
    ("threshold = 0", "threshold = 0\nmip = 0", "'mip': Input should be greater than 0"),
    ("G4_Pb", "G4_PB", "unknown material 'G4_PB'; did you mean 'G4_Pb'?"),
    ("G4_Pb", "unobtainium", "unknown material 'unobtainium'; NIST materials have Geant4's names"),
    ("cells = [3, 4]", "cells = [3]", "key 'readout.cells[1]' is missing"),
    ("cells = [3, 4]", "cells = [0, 4]", "'readout.cells[0]'"),
    ("cells = [3, 4]", "cell = [3, 4]", "unknown key 'readout.cell'; did you mean 'cells'?"),
    ("cells = [3, 4]", "cells = [3, 4]\nmerge = 4", "2 sensitive slices cannot be merged by 4"),
    ("cells = [3, 4]", "cells = [3, 4]\ncalibration = 0", "'readout.calibration'"),
    ("thickness = 5", "thickness = 0", "'stack[0].slices[0].thickness'"),
    ("thickness = 5", "thickness = nan", "'stack[0].slices[0].thickness'"),
    (", sensitive = true", "", "no slice is sensitive"),
    (
        'kind = "cartesian"',
        'kind = "round"',
        "'readout.kind': 'round' is not one of 'cartesian', 'cylindrical'",
    ),
    ('kind = "cartesian"', "", "key 'readout.kind' is missing"),
    ("repeat = 2", "", "key 'stack[0].repeat' is missing"),
    ("production_cut = 0.7", "", "key 'physics.production_cut' is missing"),
    (
        "production_cut = 0.7",
        'production_cut = 1\nphotoelectric_shells = "inner"',
        "'physics.photoelectric_shells'",
    ),
    ('name = "box"', "", "key 'name' is missing"),
    ("[readout]", "[readout", "not valid TOML"),
    ("C = 0.9", "C = 0.8", "mass fractions of material 'mine' add up to 0.9, not to 1"),
    ("C = 0.9", "Cx = 0.9", "material 'mine': 'Cx' is neither an element nor a NIST material"),
    ("density = 1.1", "density = 0", "'material[0].density'"),
    ("fractions = {", "fraction = {", "unknown key 'material[0].fraction'; did you mean 'fractions'?"),
    ('name = "mine"', 'name = "G4_Pb"', "material 'G4_Pb' is one of NIST's: give the mixture another name"),
    (
        "[[material]]",
        '[[material]]\nname = "mine"\ndensity = 1\nfractions = { H = 1 }\n[[material]]',
        "two mixtures have the same name 'mine'",
    ),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD)
def test_errors_are_precise(old, new, words):
    assert old in GOOD
    with pytest.raises(DetectorError) as caught:
        parse(GOOD.replace(old, new), "box.toml")
    assert str(caught.value).startswith("box.toml: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rings = [0, 5, 12]", "rings = [0, 12, 5]", "rings overlap: edge 5 mm follows 12 mm"),
        ("rings = [0, 5, 12]", "rings = [0, 5, 5]", "rings overlap"),
        ("rings = [0, 5, 12]", "rings = [-1, 5, 12]", "'readout.rings[0]'"),
        ("rings = [0, 5, 12]", "rings = [5]", "'readout.rings'"),
        (
            "rings = [0, 5, 12]",
            "cells = [3, 4]",
            "key 'readout.rings' is missing; unknown key 'readout.cells'",
        ),
        ("sectors = 6", "sectors = 0", "'readout.sectors'"),
    ],
)
def test_errors_of_cylinders(old, new, words):
    with pytest.raises(DetectorError) as caught:
        parse(ROUND.replace(old, new), "round.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_line_says_so_in_one_line(tmp_path, capsys):
    path = tmp_path / "round.toml"
    path.write_text(ROUND.replace("[0, 5, 12]", "[0, 12, 5]"))
    assert main(["detectors", str(path)]) == 2
    streams = capsys.readouterr()
    assert streams.err.count("\n") == 1
    assert f"{path}: 'readout': rings overlap" in streams.err
    assert streams.out == ""


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(DetectorError, match="did you mean 'clic-ecal'"):
        load("clic-ecl")
    with pytest.raises(FileError, match="does not exist"):
        load(str(tmp_path / "none.toml"))


def test_shapes_are_checked():
    check_shape(load("clic-ecal"), (25, 25, 25), "here")
    with pytest.raises(DetectorError, match=r"here: .*\(1, 2, 3\).*clic-ecal"):
        check_shape(load("clic-ecal"), (1, 2, 3), "here")


def test_what_needs_rows_and_columns_refuses_cylinders():
    assert cartesian(load("clic-ecal"), "this").cells == (25, 25)
    with pytest.raises(
        DetectorError, match="gan3d needs a cartesian readout; detector 'calochallenge-2' has a cylindrical"
    ):
        cartesian(load("calochallenge-2"), "gan3d")


@pytest.mark.parametrize("name", names())
def test_the_shipped_text_is_what_is_loaded(name):
    detector = parse(toml(name))
    assert detector == load(name)
    assert detector.name == name
    assert len(detector.description) > 20
