"""Physics of a detector: materials as Geant4 builds them, photoelectric shells, physics list."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from caloforge.detectors import Material, properties
from caloforge.errors import Geant4Error, InputError
from caloforge.geant4.data_sets import DataSet, DataSets
from caloforge.geant4.physics import ELECTROMAGNETIC, HADRONIC, choose_physics
from caloforge.showers import incidents

GEANT4 = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")

CRYSTAL = properties("G4_PbWO4")
MIXTURES = {
    "crystal": Material("crystal", CRYSTAL.density, dict(CRYSTAL.elements)),
    "alloy": Material("alloy", 17.8, {"W": 0.92, "Ni": 0.05, "Cu": 0.03}),
    "filled": Material("filled", 1.5, {"G4_POLYSTYRENE": 0.75, "Gd": 0.25}),
}

PROBE = """
import json, sys
from caloforge.detectors import parse
from caloforge.geant4.kernel import kernel

mixtures = json.loads(sys.argv[1])
table = "".join(
    f'[[material]]\\nname = "{name}"\\ndensity = {density!r}\\nfractions = '
    + "{" + ", ".join(f"{part} = {share!r}" for part, share in fractions.items()) + "}\\n"
    for name, (density, fractions) in mixtures.items()
)
slices = ", ".join(f'{{ material = "{m}", thickness = 1, sensitive = true }}' for m in (*mixtures, "G4_PbWO4"))
text = f'''
name = "probe"
threshold = 0
physics = {{ production_cut = 0.7 }}
readout = {{ kind = "cartesian", cells = [1, 1], size = [10, 10] }}
stack = [{{ repeat = 1, slices = [{slices}] }}]
{table}
'''
g4 = kernel(parse(text), (22,))._g4
found = {}
for name in (*mixtures, "G4_PbWO4"):
    material = g4.G4Material.GetMaterial(name)
    found[name] = [material.GetDensity() / (g4.g / g4.cm3), material.GetRadlen(), material.GetElectronDensity()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def materials() -> dict[str, list[float]]:
    """Density in g/cm3, radiation length in mm and electrons per mm3 of Geant4's materials."""
    mixtures = {name: [one.density, one.fractions] for name, one in MIXTURES.items()}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(mixtures)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@GEANT4
def test_a_mixture_is_the_nist_material_of_its_composition(materials) -> None:
    assert materials["crystal"] == pytest.approx(materials["G4_PbWO4"], rel=1e-3)


@GEANT4
@pytest.mark.parametrize("name", MIXTURES)
def test_properties_are_geant4s(materials, name) -> None:
    density, radiation_length, electrons = materials[name]
    found = properties(MIXTURES[name])
    assert found.density == pytest.approx(density)
    assert found.radiation_length == pytest.approx(radiation_length, rel=0.005)
    avogadro = 6.02214076e23
    assert found.z_over_a * density * avogadro / 1000 == pytest.approx(electrons, rel=1e-3)


FOILS = """
name = "foils"
threshold = 0
[physics]
production_cut = 0.001
photoelectric_shells = "{shells}"
[readout]
kind = "cartesian"
cells = [1, 1]
size = [50, 50]
[[stack]]
repeat = 10
slices = [{{ material = "G4_W", thickness = 0.01 }}, {{ material = "G4_Si", thickness = 0.3, sensitive = true }}]
"""


@GEANT4
def test_outermost_shells_give_more_response(simulate_apart) -> None:
    """A photon of 100 keV leaves the 69.5 keV of tungsten's K shell in the foil, or nothing."""
    photons = incidents(22, np.full(1500, 0.1))
    energies = {}
    for shells in ("measured", "outermost"):
        showers = simulate_apart(FOILS.format(shells=shells), photons)
        assert f"photoelectric shells: {shells}" in showers.provenance["source"]
        energies[shells] = showers.visible_energy
    error = np.sqrt(sum(one.var() / len(one) for one in energies.values()))
    assert energies["outermost"].mean() - energies["measured"].mean() > 5 * error


def data_sets(*missing: str) -> DataSets:
    from pathlib import Path

    from caloforge.geant4.data_sets import ABSENT, VARIABLES

    return DataSets(
        tuple(
            DataSet(variable, name, Path("/data"), ABSENT if variable in missing else variable)
            for variable, name in VARIABLES.items()
        )
    )


def test_the_detector_may_want_a_physics_list() -> None:
    everything = data_sets()
    assert choose_physics([11], everything) == ELECTROMAGNETIC
    assert choose_physics([11], everything, "G4EmStandardPhysics") == ELECTROMAGNETIC
    assert choose_physics([11], everything, "FTFP_BERT") == HADRONIC
    assert choose_physics([-211], everything, "auto") == HADRONIC
    with pytest.raises(InputError, match="physics list G4EmStandardPhysics is for e-, e\\+, gamma and pi0"):
        choose_physics([11, -211], everything, "G4EmStandardPhysics")
    with pytest.raises(Geant4Error, match=r"needs hadronic physics \(FTFP_BERT\).*G4PARTICLEXS"):
        choose_physics([11], data_sets("G4PARTICLEXSDATA"), "FTFP_BERT")
