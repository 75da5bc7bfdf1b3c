"""Units inside the code and in files: MeV, mm, ns, radians (Geant4's and the CaloChallenge's).

GeV appears only on the command line and on plot axes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from caloforge.errors import InputError

MeV = 1.0
keV = 1e-3  # noqa: N816
GeV = 1e3
TeV = 1e6
mm = 1.0
cm = 10.0

rad = 1.0
degree = math.pi / 180

_ANGLE = re.compile(r"^\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(deg|rad|mrad)?\s*$")
_ANGLES = {"deg": degree, "rad": rad, "mrad": 1e-3}
_ENERGY = re.compile(r"^\s*([-+]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*(keV|MeV|GeV|TeV)?\s*$")
_UNITS = {"keV": keV, "MeV": MeV, "GeV": GeV, "TeV": TeV}


def parse_energy(text: str, default_unit: str = "GeV") -> float:
    """Read one energy as written on the command line, in MeV.

    >>> parse_energy("50"), parse_energy("500MeV"), parse_energy("1.5 TeV")
    (50000.0, 500.0, 1500000.0)

    Args:
        text: A number with an optional unit keV, MeV, GeV or TeV.
        default_unit: The unit of a bare number.

    Raises:
        InputError: If the text is not an energy, or not positive and finite.
    """
    match = _ENERGY.match(text)
    if not match:
        raise InputError(f"{text!r} is not an energy; write for instance '50' (GeV), '500MeV' or '1:100'")
    energy = float(match[1]) * _UNITS[match[2] or default_unit]
    if not (math.isfinite(energy) and energy > 0):
        raise InputError(f"energy {text!r} must be positive and finite")
    return energy


def parse_energy_range(text: str) -> tuple[float, float]:
    """Read an energy or a range `low:high` (log-uniform between them) in MeV.

    >>> parse_energy_range("1:100")
    (1000.0, 100000.0)
    >>> parse_energy_range("500MeV")
    (500.0, 500.0)
    >>> parse_energy_range("1:10 TeV")
    (1000000.0, 10000000.0)

    Raises:
        InputError: If it cannot be read or `low` exceeds `high`.
    """
    return _parse_range(text, parse_energy, _ENERGY, "GeV", "energy range")


def parse_angle(text: str, default_unit: str = "deg") -> float:
    """Read one angle as written on the command line, in rad.

    >>> round(parse_angle("30"), 4), parse_angle("0.5rad"), parse_angle("10 mrad")
    (0.5236, 0.5, 0.01)

    Args:
        text: A number with an optional unit deg, rad or mrad.
        default_unit: The unit of a bare number.

    Raises:
        InputError: If the text is not an angle.
    """
    match = _ANGLE.match(text)
    if not match:
        raise InputError(f"{text!r} is not an angle; write for instance '30' (degrees), '0.5rad' or '0:30'")
    return float(match[1]) * _ANGLES[match[2] or default_unit]


def parse_angle_range(text: str) -> tuple[float, float]:
    """Read an angle or a range `low:high` in rad.

    >>> parse_angle_range("0:0.5rad")
    (0.0, 0.5)

    Raises:
        InputError: If it cannot be read or `low` exceeds `high`.
    """
    return _parse_range(text, parse_angle, _ANGLE, "deg", "range of angles")


def _parse_range(
    text: str, parse: Callable[[str, str], float], pattern: re.Pattern[str], default_unit: str, what: str
) -> tuple[float, float]:
    """Read one value, or `low:high`, where a bare lower end has the unit of the upper one."""
    low_text, colon, high_text = text.partition(":")
    if not colon:
        value = parse(text, default_unit)
        return value, value
    unit = pattern.match(high_text)
    high = parse(high_text, default_unit)
    low = parse(low_text, (unit[2] if unit else None) or default_unit)
    if low > high:
        raise InputError(f"{what} {text!r}: the lower end exceeds the upper end")
    return low, high


def format_angle(angle: float) -> str:
    """Write an angle in rad for people.

    >>> format_angle(0.5235987755982988)
    '30 degrees'
    """
    return f"{angle / degree:.4g} degrees"


def format_energy(energy: float) -> str:
    """Write an energy in MeV for people.

    >>> format_energy(50_000), format_energy(500), format_energy(0.7)
    ('50 GeV', '500 MeV', '700 keV')
    """
    for unit in ("TeV", "GeV", "MeV"):
        if energy >= _UNITS[unit]:
            return f"{energy / _UNITS[unit]:.6g} {unit}"
    return f"{energy / keV:.6g} keV"
