"""TOML -> Detector -> TOML for every kind of detector."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caloforge.detectors import (
    CartesianReadout,
    CylindricalReadout,
    Detector,
    Gun,
    Material,
    Physics,
    Slice,
    Stack,
    load,
    names,
    parse,
    to_toml,
)

EVERYTHING = """
name = "everything"
description = 'quotes " and \\\\ and µ'
reference = "none"
threshold = 0.125
margin = 12.5
mip = [0.5, 0.25]
gun = { distance = 33 }

[physics]
production_cut = 0.05
photoelectric_shells = "outermost"
physics_list = "FTFP_BERT"

[readout]
kind = "cylindrical"
sectors = 7
rings = [1.5, 2, 7.25]
merge = 2
calibration = 2.5

[[material]]
name = "absorber"
density = 17.8
fractions = { W = 0.9, Ni = 0.07, Fe = 0.03 }

[[material]]
name = "tile"
density = 1.2
fractions = { G4_POLYSTYRENE = 0.99, Ti = 0.01 }

[[stack]]
repeat = 4
slices = [{ material = "absorber", thickness = 3 }, { material = "tile", thickness = 2, sensitive = true }]
"""


@pytest.mark.parametrize("name", names())
def test_the_library_reads_back(name):
    assert parse(to_toml(load(name))) == load(name)


def test_everything_reads_back():
    detector = parse(EVERYTHING)
    text = to_toml(detector)
    assert parse(text) == detector
    assert to_toml(parse(text)) == text
    assert hash(parse(text)) == hash(detector)
    assert detector.shape == (2, 7, 2)
    assert detector.mip_energy.tolist() == [0.5, 0.25]


LENGTHS = st.floats(0.01, 100)
CARTESIAN = st.builds(
    CartesianReadout,
    st.just("cartesian"),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(LENGTHS, LENGTHS),
    calibration=LENGTHS,
)
CYLINDRICAL = st.builds(
    lambda sectors, inner, widths: CylindricalReadout(
        "cylindrical", sectors, tuple(inner + sum(widths[:n]) for n in range(len(widths) + 1))
    ),
    st.integers(1, 20),
    st.floats(0, 5),
    st.lists(LENGTHS, min_size=1, max_size=5),
)
MATERIALS = st.sampled_from(["G4_W", "G4_Pb", "G4_AIR", "steel"])
STEEL = Material("steel", 7.9, {"Fe": 0.75, "Cr": 0.25})


@settings(max_examples=50, deadline=None)
@given(
    st.text(max_size=20),
    st.lists(st.tuples(MATERIALS, LENGTHS), min_size=1, max_size=4),
    st.integers(1, 5),
    CARTESIAN | CYLINDRICAL,
    LENGTHS,
)
def test_written_detectors_read_back(description, plates, repeat, readout, length):
    stack = Stack(repeat, (*(Slice(*plate) for plate in plates), Slice("G4_Si", 0.3, sensitive=True)))
    detector = Detector(
        "any",
        readout,
        (stack,),
        Physics(length),
        0.015,
        description,
        gun=Gun(length),
        margin=length,
        material=(STEEL,),
        mip=length,
    )
    assert parse(to_toml(detector)) == detector
