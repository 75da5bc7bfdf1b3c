"""How the values of a spectrum are written: for people, and for the command line."""

from __future__ import annotations

from collections.abc import Sequence

from caloforge.units import GeV, degree, format_angle, format_energy


def write_number(value: float) -> str:
    """Write a number as short as it reads back exactly."""
    text = f"{value:.12g}"
    return text if float(text) == value else repr(value)


def write_numbers(values: Sequence[float]) -> str:
    """Write numbers for a message."""
    return ", ".join(f"{value:g}" for value in values)


def write_energies(energies: Sequence[float]) -> list[str]:
    """Write energies in MeV such that they read back exactly: in GeV where these are short."""
    texts = [f"{energy / GeV:.12g}" for energy in energies]
    exact = all(float(text) * GeV == energy for text, energy in zip(texts, energies, strict=True))
    return texts if exact else [f"{energy!r}MeV" for energy in energies]


def write_angles(angles: Sequence[float]) -> list[str]:
    """Write angles in rad such that they read back exactly: in degrees where these are short."""
    texts = [f"{angle / degree:.12g}" for angle in angles]
    exact = all(float(text) * degree == angle for text, angle in zip(texts, angles, strict=True))
    return texts if exact else [f"{angle!r}rad" if angle else "0" for angle in angles]


def write_ends(ends: tuple[float, float]) -> str:
    """Write a range of angles in rad for people."""
    low, high = (f"{end / degree:.4g}" for end in ends)
    return f"{low} degrees" if low == high else f"{low} to {high} degrees"


def write_value(name: str, value: float) -> str:
    """Write an energy, an angle or a length for people."""
    if name == "energy":
        return format_energy(value)
    return format_angle(value) if name in {"theta", "phi"} else f"{value:.4g} mm"
