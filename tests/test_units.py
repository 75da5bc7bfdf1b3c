import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import InputError
from caloforge.units import (
    degree,
    format_angle,
    format_energy,
    parse_angle,
    parse_angle_range,
    parse_energy,
    parse_energy_range,
)

ENERGIES = st.floats(min_value=1e-3, max_value=1e9, allow_nan=False)


@given(ENERGIES)
def test_a_bare_number_is_in_gev(value):
    assert math.isclose(parse_energy(repr(value)), 1000 * value)


@given(ENERGIES, st.sampled_from([("keV", 1e-3), ("MeV", 1.0), ("GeV", 1e3), ("TeV", 1e6)]))
def test_units(value, unit):
    name, factor = unit
    assert math.isclose(parse_energy(f"{value!r} {name}"), value * factor)


@given(ENERGIES)
def test_formatted_energies_read_back(value):
    assert math.isclose(parse_energy(format_energy(value)), value, rel_tol=1e-5)


@given(ENERGIES, ENERGIES)
def test_ranges_are_ordered(one, two):
    low, high = sorted((one, two))
    assert parse_energy_range(f"{low!r}:{high!r}") == (parse_energy(repr(low)), parse_energy(repr(high)))
    if low < high:
        with pytest.raises(InputError, match="exceeds"):
            parse_energy_range(f"{high!r}:{low!r}")


def test_the_lower_end_takes_the_unit_of_the_upper():
    assert parse_energy_range("1:10TeV") == (1e6, 1e7)
    assert parse_energy_range("500MeV:10GeV") == (500.0, 1e4)
    assert parse_energy_range("50") == (5e4, 5e4)


@pytest.mark.parametrize("text", ["", "abc", "-5", "1:", ":1", "0", "1e999", "nan", "5 eV", "1:2:3"])
def test_nonsense_is_refused(text):
    with pytest.raises(InputError):
        parse_energy_range(text)


@given(st.floats(-360, 360))
def test_a_bare_angle_is_in_degrees(value):
    assert parse_angle(repr(value)) == value * degree
    assert parse_angle(f"{value!r}rad") == value
    assert parse_angle(format_angle(value * degree).removesuffix(" degrees")) == pytest.approx(
        value * degree, rel=1e-3, abs=1e-12
    )


def test_ranges_of_angles():
    assert parse_angle_range("0:30") == (0, 30 * degree)
    assert parse_angle_range("0.1:0.5rad") == (0.1, 0.5)
    assert parse_angle_range("10deg:0.5rad") == (10 * degree, 0.5)
    assert parse_angle_range("-90:90") == (-90 * degree, 90 * degree)
    with pytest.raises(InputError, match="the lower end exceeds the upper end"):
        parse_angle_range("30:0")


@pytest.mark.parametrize("text", ["", "flat", "1:", ":1", "nan", "5 grad", "1:2:3"])
def test_nonsense_angles_are_refused(text):
    with pytest.raises(InputError, match="is not an angle"):
        parse_angle_range(text)
