import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caloforge.errors import InputError
from caloforge.units import format_energy, parse_energy, parse_energy_range

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
