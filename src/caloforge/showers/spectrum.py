"""The spectrum of incidents: how particles, energies, directions and impact points are distributed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import ConfigDict, Field

from caloforge.config import validate
from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.showers.incidents import Incidents, incidents
from caloforge.showers.particles import particle_name
from caloforge.showers.wording import (
    write_angles,
    write_ends,
    write_energies,
    write_number,
    write_numbers,
    write_value,
)
from caloforge.units import format_energy

Finite = Annotated[float, Field(allow_inf_nan=False)]
Distribution = Literal["log-uniform", "uniform", "list"]
Position = Literal["cell"] | tuple[Finite, Finite] | tuple[Finite, Finite, Finite, Finite]

MARGIN = 1e-6
"""Relative slack of all bounds: incidents are kept in float32."""


@dataclass(frozen=True)
class IncidentSpectrum:
    """How incidents are distributed.

    Attributes:
        particles: PDG ids, used in turn, or drawn if there are weights.
        energy: Kinetic energies in MeV: one, the lowest and the highest, or a list.
        energies: How they are meant: `log-uniform` or `uniform` between two, or a `list` to draw from.
        theta: Lowest and highest angle from the layer normal in rad, uniform in solid angle between.
        phi: Lowest and highest azimuth in rad, uniform between.
        position: Impact point: (x, y) in mm, a rectangle (x0, x1, y0, y1), or `cell`: a rectangle of one cell's
            size around (0, 0).
        weights: Of the particles, if they are drawn.

    A range of no width and a list of one energy are the same spectrum as the single energy, and become it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    particles: tuple[int, ...]
    energy: tuple[Finite, ...]
    energies: Distribution = "log-uniform"
    theta: tuple[Finite, Finite] = (0.0, 0.0)
    phi: tuple[Finite, Finite] = (0.0, 0.0)
    position: Position = (0.0, 0.0)
    weights: tuple[Finite, ...] = ()

    def __post_init__(self) -> None:
        self._check_particles()
        self._check_energies()
        low, high = self.theta
        if not 0 <= low <= high < math.pi / 2:
            raise InputError(
                f"theta {write_ends(self.theta)}: must be at least 0 and below 90 degrees{_in_order(self.theta)}"
            )
        if not (-2 * math.pi <= self.phi[0] <= self.phi[1] <= 2 * math.pi):
            raise InputError(
                f"phi {write_ends(self.phi)}: must be within -360 to 360 degrees{_in_order(self.phi)}"
            )
        self._check_position()

    def _check_particles(self) -> None:
        if not self.particles:
            raise InputError("no particle given; write for instance 'e-,gamma'")
        if self.weights and len(self.weights) != len(self.particles):
            raise InputError(f"{len(self.weights)} weights for {len(self.particles)} particles")
        if not all(math.isfinite(weight) and weight > 0 for weight in self.weights):
            raise InputError(
                f"weights {write_numbers(self.weights)} of particles: must be positive and finite"
            )

    def _check_energies(self) -> None:
        energies = f"energies {write_numbers(self.energy)} MeV"
        if not self.energy or not all(math.isfinite(e) and e > 0 for e in self.energy):
            raise InputError(f"{energies}: must be positive and finite")
        if self.energies not in get_args(Distribution):
            raise InputError(
                f"{energies}: {self.energies!r} is not one of {', '.join(get_args(Distribution))}"
            )
        if self.energies != "list":
            if len(self.energy) > 2:
                raise InputError(f"{energies}: give one, or the lowest and the highest")
            if self.energy[0] > self.energy[-1]:
                raise InputError(f"{energies}: the lower end exceeds the upper end")
        if len(set(self.energy)) == 1:
            object.__setattr__(self, "energy", self.energy[:1])
            object.__setattr__(self, "energies", "log-uniform")

    def _check_position(self) -> None:
        if self.position == "cell":
            return
        place = f"position {self.position}"
        if isinstance(self.position, str) or len(self.position) not in {2, 4}:
            raise InputError(f"{place}: give (x, y) or (x0, x1, y0, y1) in mm, or 'cell'")
        if not all(map(math.isfinite, self.position)):
            raise InputError(f"{place}: must be finite, in mm")
        if len(self.position) == 4 and (
            self.position[0] > self.position[1] or self.position[2] > self.position[3]
        ):
            raise InputError(f"{place} mm: the lower end exceeds the upper end")

    @property
    def energy_range(self) -> tuple[float, float]:
        """Lowest and highest kinetic energy in MeV."""
        return min(self.energy), max(self.energy)

    @property
    def rectangle(self) -> tuple[float, float, float, float]:
        """Ends (x0, x1, y0, y1) of the impact points in mm.

        Raises:
            InputError: If the position is `cell`: `on` a detector it is a rectangle.
        """
        if self.position == "cell":
            raise InputError("position 'cell' means something on a detector only")
        if len(self.position) == 2:
            x, y = self.position
            return x, x, y, y
        return self.position

    def on(self, detector: Detector) -> IncidentSpectrum:
        """Return the spectrum with impact points in mm, checked to lie in the readout of a detector.

        Raises:
            InputError: If they do not, or the readout knows no cell of one size.
        """
        found = self
        if self.position == "cell":
            found = replace(self, position=detector.readout.cell_rectangle())
        x0, x1, y0, y1 = found.rectangle
        corners = incidents(
            self.particles[0],
            self.energy[0],
            x=np.array([x0, x0, x1, x1]),
            y=np.array([y0, y1, y0, y1]),
        )
        corners.check_inside(detector)
        return found

    def draw(self, n: int, rng: np.random.Generator, detector: Detector) -> Incidents:
        """Draw incidents.

        The first m of n incidents are not those of m: draw all at once.

        Args:
            n: Number of incidents.
            rng: Source of random numbers.
            detector: What they hit.

        Raises:
            InputError: If they do not hit its readout.
        """
        x0, x1, y0, y1 = self.on(detector).rectangle
        pdg = np.asarray(self.particles, dtype=np.int32)[np.arange(n) % len(self.particles)]
        if self.weights:
            share = np.asarray(self.weights) / math.fsum(self.weights)
            pdg = rng.choice(np.asarray(self.particles, dtype=np.int32), n, p=share)
        energy = self._energies(rng, n)
        cosines = self._between(rng, n, math.cos(self.theta[1]), math.cos(self.theta[0]))
        return incidents(
            pdg,
            energy,
            theta=np.arccos(cosines) if self.theta[0] < self.theta[1] else self.theta[0],
            phi=self._between(rng, n, *self.phi),
            x=self._between(rng, n, x0, x1),
            y=self._between(rng, n, y0, y1),
        )

    def _energies(self, rng: np.random.Generator, n: int) -> np.ndarray[Any, Any]:
        low, high = self.energy_range
        if self.energies == "list":
            return rng.choice(np.asarray(self.energy), n)
        if self.energies == "uniform":
            return np.asarray(rng.uniform(low, high, n))
        return np.exp(rng.uniform(math.log(low), math.log(high), n)).clip(low, high)

    @staticmethod
    def _between(rng: np.random.Generator, n: int, low: float, high: float) -> Any:
        """Draw uniform numbers; none are drawn where the ends are equal."""
        return low if low == high else rng.uniform(low, high, n)

    def outside(self, drawn: Incidents) -> list[str]:
        """Say in which ways incidents leave the spectrum; one sentence a way, none if all are inside."""
        found = []
        strangers = sorted(set(drawn.pdg.tolist()) - set(self.particles))
        if strangers:
            known = ", ".join(map(particle_name, self.particles))
            found.append(f"particle {', '.join(map(particle_name, strangers))} instead of {known}")
        x0, x1, y0, y1 = self.rectangle
        tilted = drawn.theta > 0
        for name, values, (low, high) in (
            ("energy", drawn.energy, self.energy_range),
            ("theta", drawn.theta, self.theta),
            ("phi", _wrapped(drawn.phi[tilted], self.phi), self.phi),
            ("x", drawn.x, (x0, x1)),
            ("y", drawn.y, (y0, y1)),
        ):
            slack = MARGIN * (max(abs(low), abs(high)) + 1)
            if values.size and (values.min() < low - slack or values.max() > high + slack):
                ends = [write_value(name, float(v)) for v in (values.min(), values.max(), low, high)]
                asked = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
                known = ends[2] if ends[2] == ends[3] else f"{ends[2]} to {ends[3]}"
                found.append(f"{name} {asked} instead of {known}")
        return found

    def describe(self) -> str:
        """Return the spectrum in words.

        >>> IncidentSpectrum((11, 22), (1e3, 1e5)).describe()
        'e-, gamma, 1 GeV to 100 GeV, normal, at (0, 0) mm'
        """
        low, high = map(format_energy, self.energy_range)
        energy = low if low == high else f"{low} to {high}"
        if self.energies == "list":
            energy = ", ".join(map(format_energy, self.energy))
        elif self.energies == "uniform":
            energy += " uniform"
        direction = "normal"
        if self.theta != (0.0, 0.0):
            direction = f"theta {write_ends(self.theta)}, phi {write_ends(self.phi)}"
        if self.position == "cell":
            place = "all over a cell"
        elif len(self.position) == 2:
            place = f"at ({self.position[0]:g}, {self.position[1]:g}) mm"
        else:
            place = "x {:g} to {:g} mm, y {:g} to {:g} mm".format(*self.position)
        names = list(map(particle_name, self.particles))
        if self.weights:
            total = math.fsum(self.weights)
            names = [
                f"{100 * weight / total:.3g} % {name}"
                for name, weight in zip(names, self.weights, strict=True)
            ]
        return f"{', '.join(names)}, {energy}, {direction}, {place}"

    def options(self) -> list[str]:
        """Return the options of the command line that mean this spectrum.

        >>> IncidentSpectrum((11,), (1e3, 1e5), theta=(0, 0.5)).options()
        ['--particle', 'e-', '--energy', '1:100', '--theta', '0:0.5rad']
        """
        names = ",".join(map(particle_name, self.particles))
        if self.weights:
            pairs = zip(self.particles, self.weights, strict=True)
            names = ",".join(f"{particle_name(pdg)}*{weight!r}" for pdg, weight in pairs)
        values = write_energies(self.energy)
        energy = ",".join(values) if self.energies == "list" else ":".join(dict.fromkeys(values))
        if self.energies == "uniform":
            energy = f"uniform:{energy}"
        words = ["--particle", names, "--energy", energy]
        for name, angles in (("theta", self.theta), ("phi", self.phi)):
            if angles != (0.0, 0.0):
                words += [f"--{name}", ":".join(write_angles(tuple(dict.fromkeys(angles))))]
        if self.position == "cell":
            words += ["--position", "cell"]
        elif self.position != (0.0, 0.0):
            ends = [write_number(value) for value in self.position]
            text = ",".join(ends) if len(ends) == 2 else f"{ends[0]}:{ends[1]},{ends[2]}:{ends[3]}"
            words += ["--position", text]
        return words

    def to_json(self) -> str:
        """Return it as JSON text, which `parse_json` reads back."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def parse(data: Mapping[str, Any], source: str) -> IncidentSpectrum:
        """Turn plain data into a spectrum.

        Raises:
            InputError: Naming the source and what is wrong.
        """
        return validate(IncidentSpectrum, data, source)

    @staticmethod
    def parse_json(text: str, source: str) -> IncidentSpectrum:
        """Read what `to_json` wrote.

        Raises:
            InputError: Naming the source and what is wrong.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{source}: not a spectrum: {error}") from error
        if not isinstance(data, dict):
            raise InputError(f"{source}: not a spectrum: {text[:80]}")
        return IncidentSpectrum.parse(data, source)

    @staticmethod
    def around(drawn: Incidents) -> IncidentSpectrum:
        """Return the smallest spectrum of uniform distributions that holds incidents."""

        def ends(values: np.ndarray[Any, Any]) -> tuple[float, float]:
            return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)

        def azimuths(values: np.ndarray[Any, Any]) -> tuple[float, float]:
            turn = 2 * math.pi
            inside = np.where(np.abs(values) > turn * (1 + MARGIN), np.fmod(values, turn), values)
            low, high = ends(inside.clip(-turn, turn))
            return max(low, -turn), min(high, turn)

        x, y = ends(drawn.x), ends(drawn.y)
        point = x[0] == x[1] and y[0] == y[1]
        return IncidentSpectrum(
            tuple(sorted({int(pdg) for pdg in drawn.pdg})),
            tuple(dict.fromkeys(ends(drawn.energy))),
            theta=ends(drawn.theta),
            phi=azimuths(drawn.phi[drawn.theta > 0]),
            position=(x[0], y[0]) if point else (*x, *y),
        )


def spectrum(
    particle: Sequence[int] = (11,),
    energy: float | tuple[float, float] = 50_000.0,
    theta: float | tuple[float, float] = 0.0,
    phi: float | tuple[float, float] = 0.0,
    position: Position = (0.0, 0.0),
) -> IncidentSpectrum:
    """Build a spectrum from single values and (lowest, highest) pairs.

    >>> spectrum((11, 22), (1e3, 1e5)).energy
    (1000.0, 100000.0)

    Args:
        particle: PDG ids, used in turn.
        energy: Kinetic energy in MeV, log-uniform between two.
        theta: Angle from the layer normal in rad, uniform in solid angle between two.
        phi: Azimuth in rad, uniform between two.
        position: See `IncidentSpectrum`.

    Raises:
        InputError: If a value cannot be used.
    """
    energies = (float(energy),) if isinstance(energy, (int, float, np.number)) else tuple(map(float, energy))
    return IncidentSpectrum(
        tuple(map(int, particle)), energies, theta=_pair(theta), phi=_pair(phi), position=position
    )


def _pair(value: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(value, (int, float, np.number)):
        return float(value), float(value)
    low, high = value
    return float(low), float(high)


def _wrapped(phi: Any, ends: tuple[float, float]) -> Any:
    """Bring azimuths into a turn that begins at the lower end of a range (with its slack)."""
    start = ends[0] - 1e-5
    return (phi - start) % (2 * math.pi) + start


def _in_order(ends: tuple[float, float]) -> str:
    return ", the lower end first" if ends[0] != ends[1] else ""
