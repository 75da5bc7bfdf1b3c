"""Materials and mixtures against published numbers."""

import pytest

from caloforge.detectors import Material, load, properties
from caloforge.detectors.materials import nist_names


@pytest.mark.parametrize(
    ("name", "radiation_length", "interaction_length"),
    [
        ("G4_W", 3.504, 99.46),
        ("G4_Pb", 5.612, 175.9),
        ("G4_Si", 93.70, 465.2),
        ("G4_POLYSTYRENE", 413.1, 771.0),
        ("G4_PbWO4", 8.904, 202.7),
    ],
)
def test_nist_materials(name, radiation_length, interaction_length):
    """mm: Particle Data Group, Atomic and Nuclear Properties of Materials (2024).

    Geant4 computes both lengths from the composition, the second one from a rough formula.
    """
    found = properties(name)
    assert found.radiation_length == pytest.approx(radiation_length, rel=0.01)
    assert found.interaction_length == pytest.approx(interaction_length, rel=0.12)


def test_a_minimum_ionising_particle_in_silicon():
    """The 22 000 pairs of electrons and holes, 3.62 eV each, that 300 micrometres are known for."""
    assert properties("G4_Si").most_probable_loss(0.3) == pytest.approx(22_000 * 3.62e-6, rel=0.03)


@pytest.mark.parametrize("name", ["G4_PbWO4", "G4_WATER", "G4_STAINLESS-STEEL", "G4_BGO"])
def test_a_mixture_of_the_same_composition(name):
    nist = properties(name)
    mixed = properties(Material("mine", nist.density, dict(nist.elements)))
    assert mixed.radiation_length == pytest.approx(nist.radiation_length, rel=0.005)
    assert mixed.interaction_length == pytest.approx(nist.interaction_length, rel=0.02)
    assert mixed.z_over_a == pytest.approx(nist.z_over_a)
    assert mixed.most_probable_loss(5.0) == pytest.approx(nist.most_probable_loss(5.0), rel=0.05)


def test_a_mixture_of_materials():
    half = Material("half", 2.0, {"G4_Si": 0.5, "Si": 0.5})
    assert properties(half).elements == {"Si": pytest.approx(1.0)}
    assert properties(half).radiation_length == pytest.approx(93.66 * 2.33 / 2.0, rel=1e-3)


def test_every_nist_material_has_properties():
    assert len(nist_names()) > 300
    for name in nist_names():
        found = properties(name)
        assert found.radiation_length > 0
        assert found.most_probable_loss(10.0) >= 0


def test_the_threshold_of_the_scintillator_is_a_third_of_a_minimum_ionising_particle():
    detector = load("lead-scintillator")
    assert detector.threshold == pytest.approx(0.3 * detector.mip_energy[0], rel=0.002)
