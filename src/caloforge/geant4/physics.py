"""Which physics list simulates which particles, and what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

from caloforge.errors import Geant4Error, InputError
from caloforge.geant4.data_sets import DataSets
from caloforge.showers import particle_name

PhysicsList = Literal["G4EmStandardPhysics + G4DecayPhysics", "FTFP_BERT"]
ELECTROMAGNETIC: Final = "G4EmStandardPhysics + G4DecayPhysics"
HADRONIC: Final = "FTFP_BERT"

ELECTROMAGNETIC_PARTICLES = (11, -11, 22, 111)
"""PDG ids of e-, e+, gamma and pi0 (it decays to photons), which electromagnetic physics simulates."""

_HADRON_DIGITS = 100
_LEPTONS = (13, -13)


def choose_physics(pdgs: Iterable[int], data_sets: DataSets, wanted: str = "auto") -> PhysicsList:
    """Return the physics list that simulates these particles.

    Args:
        pdgs: PDG ids.
        data_sets: What is there.
        wanted: `physics_list` of the detector.

    Raises:
        InputError: If a particle is not one that a calorimeter sees, or not one of the detector's physics list.
        Geant4Error: If a particle needs hadronic data sets that are missing; it names them and the variables.
    """
    others = sorted(set(pdgs) - set(ELECTROMAGNETIC_PARTICLES), key=abs)
    if not others and wanted != HADRONIC:
        return ELECTROMAGNETIC
    names = ", ".join(map(particle_name, others))
    for pdg in others:
        if pdg not in _LEPTONS and abs(pdg) < _HADRON_DIGITS:
            raise InputError(f"incident {particle_name(pdg)} (PDG id {pdg}) makes no shower in a calorimeter")
    if wanted not in {"auto", HADRONIC}:
        raise InputError(
            f"incident {names}: the detector's physics list {wanted} is for e-, e+, gamma and pi0; set "
            f"physics.physics_list = 'auto' or '{HADRONIC}' in the detector file"
        )
    missing = data_sets.missing_hadronic()
    if missing:
        lacking = ", ".join(f"{entry.name} ({entry.variable})" for entry in missing)
        raise Geant4Error(
            f"incident {names or 'e-, e+, gamma, pi0'}: needs hadronic physics ({HADRONIC}), and these Geant4 data "
            f"sets are missing: {lacking}. Download them from https://geant4.web.cern.ch/download and set the "
            "variables, or GEANT4_DATA_DIR to the folder that holds them; e-, e+, gamma and pi0 need none"
        )
    return HADRONIC


def make_physics_list(g4: Any, name: PhysicsList) -> Any:
    """Build the physics list.

    Args:
        g4: The module `geant4_pybind`.
        name: What `choose_physics` returned.
    """
    if name == HADRONIC:
        return g4.FTFP_BERT(0)

    class ElectromagneticPhysics(g4.G4VModularPhysicsList):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.SetVerboseLevel(0)
            self.constructors = [g4.G4EmStandardPhysics(), g4.G4DecayPhysics()]
            for constructor in self.constructors:
                self.RegisterPhysics(constructor)

    return ElectromagneticPhysics()
