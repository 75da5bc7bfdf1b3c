"""Spectra of incidents as the command line and recipes write them."""

from __future__ import annotations

import re

from caloforge.errors import InputError
from caloforge.showers.particles import parse_particles
from caloforge.showers.spectrum import Distribution, IncidentSpectrum, Position
from caloforge.units import parse_angle_range, parse_energy, parse_energy_range

_UNIT = re.compile(r"[a-zA-Z]+\s*$")


def parse_spectrum(
    particle: str = "e-", energy: str = "50", theta: str = "0", phi: str = "0", position: str = "0,0"
) -> IncidentSpectrum:
    """Read a spectrum of incidents.

    >>> parse_spectrum("e-,gamma", "1:100", "0:30", "0:360", "cell").describe()
    'e-, gamma, 1 GeV to 100 GeV, theta 0 to 30 degrees, phi 0 to 360 degrees, all over a cell'

    Args:
        particle: Names with commas, used in turn, or drawn with weights (`e-*2,gamma*1`).
        energy: In GeV: one (`50`), log-uniform (`1:100`), `uniform:1:100`, or a list (`1,10,100`); a unit at the end
            (`100,500MeV`) holds for all that have none.
        theta: Angle from the layer normal in degrees, one or `low:high`, uniform in solid angle.
        phi: Azimuth in degrees, one or `low:high`.
        position: Impact point in mm, `x,y`, a rectangle `x0:x1,y0:y1`, or `cell`.

    Raises:
        InputError: If one of them cannot be read.
    """
    pdgs, weights = _particles(particle)
    kind, energies = _energies(energy)
    return IncidentSpectrum(
        pdgs,
        energies,
        kind,
        parse_angle_range(theta),
        parse_angle_range(phi),
        parse_position(position),
        weights,
    )


def _particles(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if "*" not in text:
        return parse_particles(text), ()
    names, weights = [], []
    for word in text.split(","):
        name, _, weight = word.partition("*")
        names.append(name)
        try:
            weights.append(float(weight))
        except ValueError as error:
            raise InputError(
                f"particle {word.strip()!r}: write a weight, for instance 'e-*2,gamma*1'"
            ) from error
    return parse_particles(",".join(names)), tuple(weights)


def _energies(text: str) -> tuple[Distribution, tuple[float, ...]]:
    """Read energies: how they are meant, and in MeV."""
    if "," in text:
        words = text.split(",")
        unit = _UNIT.search(words[-1])
        if unit and not any(_UNIT.search(word) for word in words[:-1]):
            words = [f"{word}{unit[0]}" for word in words[:-1]] + words[-1:]
        return "list", tuple(map(parse_energy, words))
    kind, colon, rest = text.partition(":")
    if colon and kind.strip() == "uniform":
        return "uniform", parse_energy_range(rest)
    return "log-uniform", tuple(dict.fromkeys(parse_energy_range(text)))


def parse_position(text: str) -> Position:
    """Read an impact point, a rectangle, or `cell`.

    >>> parse_position("1.5,-2"), parse_position("-5:5,-5:5"), parse_position("cell")
    ((1.5, -2.0), (-5.0, 5.0, -5.0, 5.0), 'cell')

    Raises:
        InputError: If it is none of them.
    """
    if text.strip() == "cell":
        return "cell"
    try:
        ends = [tuple(map(float, part.split(":"))) for part in text.split(",")]
    except ValueError:
        ends = []
    if len(ends) == 2 and {len(part) for part in ends} == {1}:
        return ends[0][0], ends[1][0]
    if len(ends) == 2 and {len(part) for part in ends} <= {1, 2}:
        (x0, x1), (y0, y1) = ((part[0], part[-1]) for part in ends)
        return x0, x1, y0, y1
    raise InputError(f"position {text!r}: write 'x,y' or 'x0:x1,y0:y1' in mm, or 'cell'")
