"""Geant4 with the shipped tables against published values, computed by Geant4 itself (G4EmCalculator)."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from caloforge.geant4.em_tables import radiative_stopping_power

pytestmark = pytest.mark.skipif(find_spec("geant4_pybind") is None, reason="geant4-pybind is not installed")

PHOTON_ENERGIES = [0.03, 0.05, 0.1, 0.15, 0.3, 0.5, 1.0, 5.0, 10.0, 20.0]
"""MeV; none on an edge."""

ATTENUATION = {
    "W": [22.73, 5.949, 4.438, 1.581, 0.3238, 0.1378, 0.06618, 0.04103, 0.04747, 0.05893],
    "Pb": [30.32, 8.041, 5.549, 2.014, 0.4031, 0.1614, 0.07102, 0.04272, 0.04972, 0.06206],
    "Si": [1.436, 0.4385, 0.1835, 0.1448, 0.1082, 0.08748, 0.06361, 0.02967, 0.02462, 0.02338],
    "Cu": [10.92, 2.613, 0.4584, 0.2217, 0.1119, 0.08362, 0.05901, 0.03177, 0.03103, 0.03408],
}
"""Mass attenuation coefficients with coherent scattering in cm2/g: NIST XCOM (SRD 8) as tabulated in SRD 126,
J. H. Hubbell and S. M. Seltzer, NISTIR 5632 (1995)."""

RANGE_ENERGIES = [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
TUNGSTEN_RANGES = [3.687, 6.211, 9.594, 15.06, 19.60, 24.28, 30.52, 35.24]
"""CSDA ranges of electrons in tungsten in g/cm2: NIST ESTAR (SRD 124)."""

ELECTRON_ENERGIES = [10.0, 100.0, 1000.0]
MOLAR_MASS = {"W": (74, 183.84), "Pb": (82, 207.2)}
"""Z and standard atomic weight in g/mol (IUPAC)."""

PROBE = """
import json
import sys

import numpy as np

from caloforge import detectors
from caloforge.geant4.kernel import kernel, quiet

photons, electrons = json.loads(sys.argv[1])
slices = ", ".join(f'{{ material = "G4_{m}", thickness = 1 }}' for m in ("W", "Pb", "Cu"))
text = f'''
name = "probe"
threshold = 0.0
physics = {{ production_cut = 0.7 }}
readout = {{ kind = "cartesian", cells = [1, 1], size = [10, 10] }}
stack = [ {{ repeat = 1, slices = [{slices}, {{ material = "G4_Si", thickness = 1, sensitive = true }}] }} ]
'''
g4 = kernel(detectors.parse(text), (22,))._g4
found = {"attenuation": {}, "radiative": {}, "total": {}}
with quiet():
    calculator = g4.G4EmCalculator()
    for symbol in ("W", "Pb", "Cu", "Si"):
        name = f"G4_{symbol}"
        cm2_per_g = g4.g / g4.cm2 / g4.G4NistManager.Instance().FindOrBuildMaterial(name).GetDensity()
        found["attenuation"][symbol] = [
            cm2_per_g
            * sum(
                calculator.ComputeCrossSectionPerVolume(energy, "gamma", process, name)
                for process in ("phot", "compt", "conv", "Rayl")
            )
            for energy in photons
        ]
        found["radiative"][symbol] = [
            cm2_per_g * calculator.ComputeDEDX(energy, "e-", "eBrem", name) for energy in electrons
        ]
    cm2_per_g = g4.g / g4.cm2 / g4.G4NistManager.Instance().FindOrBuildMaterial("G4_W").GetDensity()
    energies = np.geomspace(5, 1000, 300)
    found["energies"] = energies.tolist()
    found["total"] = [cm2_per_g * calculator.ComputeElectronicDEDX(e, "e-", "G4_W") for e in energies]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def geant4() -> dict:
    """What Geant4 computes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps([PHOTON_ENERGIES, ELECTRON_ENERGIES])],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("symbol", ATTENUATION)
def test_photon_attenuation_agrees_with_xcom(geant4, symbol) -> None:
    np.testing.assert_allclose(geant4["attenuation"][symbol], ATTENUATION[symbol], rtol=0.02)


def test_electron_ranges_agree_with_estar(geant4) -> None:
    """From 10 MeV on tungsten's stopping power is mostly radiative; at 1 GeV to 99 %."""
    energies, total = np.array(geant4["energies"]), np.array(geant4["total"])
    steps = np.diff(energies) * (1 / total[1:] + 1 / total[:-1]) / 2
    ranges = np.interp(RANGE_ENERGIES, energies, np.concatenate([[0], np.cumsum(steps)]))
    np.testing.assert_allclose(np.diff(ranges), np.diff(TUNGSTEN_RANGES), rtol=0.005)


@pytest.mark.parametrize("symbol", MOLAR_MASS)
def test_geant4_reads_the_radiative_stopping_power_of_the_tables(geant4, symbol) -> None:
    expected = [radiative_stopping_power(*MOLAR_MASS[symbol], energy) for energy in ELECTRON_ENERGIES]
    np.testing.assert_allclose(geant4["radiative"][symbol], expected, rtol=0.002)
