"""Write `src/caloforge/detectors/data/materials.json`: the NIST materials as Geant4 knows them.

    python tools/make_materials.py

Geant4's `G4NistManager` takes densities, compositions and mean excitation energies from NIST, radiation lengths from
Tsai's formula, and the parameters of the density effect from Sternheimer, Berger and Seltzer (At. Data Nucl. Data
Tables 30 (1984) 261).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from caloforge.geant4.kernel import import_geant4

TARGET = Path(__file__).parents[1] / "src/caloforge/detectors/data/materials.json"


def describe(g4: Any, material: Any) -> dict[str, Any]:
    ionisation = material.GetIonisation()
    density = material.GetDensity() / (g4.g / g4.cm3)
    return {
        "density": _short(density),
        "fractions": {
            material.GetElement(i).GetSymbol(): _short(material.GetFractionVector()[i])
            for i in range(material.GetNumberOfElements())
        },
        "radiation_length": _short(material.GetRadlen()),
        "interaction_length": _short(material.GetNuclearInterLength()),
        "excitation_energy": _short(ionisation.GetMeanExcitationEnergy() / g4.eV),
        "density_effect": [
            _short(value())
            for value in (
                ionisation.GetX0density,
                ionisation.GetX1density,
                ionisation.GetCdensity,
                ionisation.GetAdensity,
                ionisation.GetMdensity,
            )
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def main() -> None:
    g4, _ = import_geant4()
    manager = g4.G4NistManager.Instance()
    elements = {}
    for z in range(1, 99):
        element = manager.FindOrBuildElement(z)
        elements[element.GetSymbol()] = [z, _short(element.GetN())]
    materials = {}
    for name in sorted(map(str, manager.GetNistMaterialNames())):
        materials[name] = describe(g4, manager.FindOrBuildMaterial(name))
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in materials.items())
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(
        f'{{"elements": {json.dumps(elements)},\n"materials": {{\n{lines}\n}}}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main()
