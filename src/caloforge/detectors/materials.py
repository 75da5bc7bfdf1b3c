"""Materials: those of NIST by Geant4's names, and the user's own mixtures.

Numbers of NIST materials are Geant4's (`tools/make_materials.py`); those of mixtures follow from their elements.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from caloforge.errors import did_you_mean

ELECTRON_MASS = 0.51099895
"""MeV (CODATA 2018)."""
BETHE_K = 0.307075
"""4 pi N_A r_e^2 m_e c^2 in MeV cm2 / mol (Particle Data Group, Review of Particle Physics 2024, table 34.1)."""
MINIMUM_IONISING = 3.5
"""beta * gamma at which ionisation is least (Particle Data Group 2024, section 34.2.3)."""
LANDAU_SHIFT = 0.200
"""The constant j of the most probable energy loss (Particle Data Group 2024, equation 34.12)."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Material:
    """A mixture of a detector file: density and mass fractions of elements or of NIST materials.

    Attributes:
        name: What slices call it; not that of a NIST material.
        density: In g/cm3.
        fractions: Mass fractions by chemical symbol (`Pb`) or NIST name (`G4_POLYSTYRENE`); they add up to 1.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")
    name: str
    density: Positive
    fractions: dict[str, Positive]

    def __post_init__(self) -> None:
        if self.name in nist_names():
            raise ValueError(f"material {self.name!r} is one of NIST's: give the mixture another name")
        if not self.density > 0:
            raise ValueError(f"density of material {self.name!r}: {self.density:g} g/cm3, must be positive")
        total = math.fsum(self.fractions.values())
        if not math.isclose(total, 1.0, abs_tol=1e-3):
            raise ValueError(f"mass fractions of material {self.name!r} add up to {total:.5g}, not to 1")
        for part in self.fractions:
            if part not in _table()["elements"] and part not in nist_names():
                known = [*_table()["elements"], *nist_names()]
                raise ValueError(
                    f"material {self.name!r}: {part!r} is neither an element nor a NIST material{suggest(part, known)}"
                )

    @property
    def shares(self) -> dict[str, float]:
        """The mass fractions, made to add up to 1 exactly."""
        total = math.fsum(self.fractions.values())
        return {part: share / total for part, share in self.fractions.items()}

    def __hash__(self) -> int:
        return hash((self.name, self.density, tuple(sorted(self.fractions.items()))))


@dataclass(frozen=True)
class Properties:
    """What a material does to particles.

    Attributes:
        density: In g/cm3.
        elements: Mass fractions by chemical symbol.
        radiation_length: In mm.
        interaction_length: Nuclear interaction length in mm.
        excitation_energy: Mean excitation energy in eV.
        density_effect: Sternheimer's x0, x1, C, a and m, if they are known.
    """

    density: float
    elements: Mapping[str, float]
    radiation_length: float
    interaction_length: float
    excitation_energy: float
    density_effect: tuple[float, ...] = ()

    @cached_property
    def z_over_a(self) -> float:
        """Electrons per nucleon mass, in mol/g."""
        known = _table()["elements"]
        return math.fsum(part * known[symbol][0] / known[symbol][1] for symbol, part in self.elements.items())

    def most_probable_loss(self, thickness: float) -> float:
        """Most probable energy in MeV that a minimum ionising muon leaves in a plate.

        Landau, Vavilov and Bichsel, as in equation 34.12 of the Review of Particle Physics (2024); not for plates so
        thin or of a gas so thin that it ionises a few atoms only.

        >>> round(1e3 * properties("G4_Si").most_probable_loss(0.3))  # keV
        79

        Args:
            thickness: In mm.
        """
        gamma2 = 1 + MINIMUM_IONISING**2
        beta2 = MINIMUM_IONISING**2 / gamma2
        xi = BETHE_K / 2 * self.z_over_a * self.density * thickness / 10 / beta2
        excitation = 1e-6 * self.excitation_energy
        logs = math.log(2 * ELECTRON_MASS * MINIMUM_IONISING**2 / excitation) + math.log(xi / excitation)
        loss = xi * (logs + LANDAU_SHIFT - beta2 - self._density_correction(MINIMUM_IONISING))
        return max(loss, 0.0)

    def _density_correction(self, beta_gamma: float) -> float:
        x = math.log10(beta_gamma)
        x0, x1, c, a, m = self.density_effect or self._sternheimer()
        if x < x0:
            return 0.0
        rise = a * (x1 - x) ** m if x < x1 else 0.0
        return max(2 * math.log(10) * x - c + rise, 0.0)

    def _sternheimer(self) -> tuple[float, ...]:
        """Parameters of condensed matter after Sternheimer and Peierls, Phys. Rev. B 3 (1971) 3681."""
        plasma = 28.816 * math.sqrt(self.density * self.z_over_a)
        c = 2 * math.log(self.excitation_energy / plasma) + 1
        if self.excitation_energy < 100:
            x0, x1 = (0.2, 2.0) if c < 3.681 else (0.326 * c - 1.0, 2.0)
        else:
            x0, x1 = (0.2, 3.0) if c < 5.215 else (0.326 * c - 1.5, 3.0)
        return x0, x1, c, (c - 2 * math.log(10) * x0) / (x1 - x0) ** 3, 3.0


@lru_cache
def _table() -> dict[str, Any]:
    text = (resources.files("caloforge.detectors") / "data" / "materials.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


@lru_cache
def nist_names() -> tuple[str, ...]:
    """Names of the NIST materials, as Geant4 writes them."""
    return tuple(_table()["materials"])


def suggest(name: str, known: Sequence[str]) -> str:
    """Return the nearest known material for a message, without a list of all 400 where none is near.

    >>> suggest("G4_PB", nist_names())
    "; did you mean 'G4_Pb'?"
    """
    same = [one for one in known if one.lower() == name.lower()]
    found = did_you_mean(name, same or known)
    return found if "did you mean" in found else "; NIST materials have Geant4's names, for instance 'G4_Pb'"


@lru_cache
def properties(material: str | Material) -> Properties:
    """Return the properties of a NIST material, by its name, or of a mixture.

    >>> properties("G4_W").radiation_length
    3.50418

    Raises:
        KeyError: If no NIST material has that name.
    """
    if isinstance(material, str):
        known = _table()["materials"][material]
        return Properties(
            known["density"],
            known["fractions"],
            known["radiation_length"],
            known["interaction_length"],
            known["excitation_energy"],
            tuple(known["density_effect"]),
        )
    parts = [(share, _of_part(name)) for name, share in material.shares.items()]
    elements: dict[str, float] = {}
    for share, part in parts:
        for symbol, fraction in part.elements.items():
            elements[symbol] = elements.get(symbol, 0.0) + share * fraction
    electrons = [share * part.z_over_a for share, part in parts]
    logs = [n * math.log(part.excitation_energy) for n, (_, part) in zip(electrons, parts, strict=True)]
    return Properties(
        material.density,
        elements,
        _mixed(material.density, [(share, part.radiation_length * part.density) for share, part in parts]),
        _mixed(material.density, [(share, part.interaction_length * part.density) for share, part in parts]),
        math.exp(math.fsum(logs) / math.fsum(electrons)),
    )


def _of_part(name: str) -> Properties:
    return properties(f"G4_{name}" if name in _table()["elements"] else name)


def _mixed(density: float, parts: Iterable[tuple[float, float]]) -> float:
    """Length in mm of a mixture, from mass fractions and lengths of its parts times their densities."""
    return 1 / (density * math.fsum(share / length for share, length in parts))
