"""Radiation lengths of the materials that detector files may name (NIST names, as in Geant4)."""

from __future__ import annotations

RADIATION_LENGTH = {
    "G4_Galactic": 6.0e25,
    "G4_AIR": 3.0390e5,
    "G4_Al": 88.97,
    "G4_Si": 93.70,
    "G4_Ar": 1.0971e5,
    "G4_lAr": 140.03,
    "G4_Fe": 17.57,
    "G4_Cu": 14.36,
    "G4_W": 3.504,
    "G4_Pb": 5.612,
    "G4_U": 3.166,
    "G4_KAPTON": 285.7,
    "G4_POLYSTYRENE": 413.1,
    "G4_PLASTIC_SC_VINYLTOLUENE": 424.4,
    "G4_WATER": 360.8,
    "G4_PbWO4": 8.903,
}
"""Radiation length in mm. Source: Particle Data Group, Atomic and Nuclear Properties of Materials (2024),
https://pdg.lbl.gov/AtomicNuclearProperties/; G4_Galactic: G4NistMaterialBuilder's density of 1e-25 g/cm3."""
