import numpy as np
import pytest

from caloforge.errors import FileError, InputError
from caloforge.geant4 import em_tables


def test_the_tables_cover_all_elements() -> None:
    tables = em_tables.load_tables()
    assert tables.brem_table.shape == (92, len(tables.brem_fraction), len(tables.brem_energy))
    assert tables.rayleigh_table.shape == (92, len(tables.rayleigh_energy))
    assert len(tables.photoelectric) == 92
    assert np.all(tables.brem_table > 0)
    for element in tables.photoelectric:
        assert np.all(np.diff(element.energy) > 0)
        assert np.all(element.table > 0)
        assert np.all(np.diff(element.edges) <= 0)


def test_the_shells_add_up_to_the_total() -> None:
    tungsten = em_tables.load_tables().photoelectric[73]
    above = tungsten.energy >= tungsten.edges[0]
    total = sum(shell[-above.sum() :] for shell in tungsten.shells)
    np.testing.assert_allclose(total, tungsten.table[above], rtol=1e-5)


@pytest.mark.parametrize(("z", "edge"), [(74, 0.069525), (82, 0.0880045), (29, 0.008979), (14, 0.001839)])
def test_the_photoelectric_effect_jumps_at_the_k_edge(z: int, edge: float) -> None:
    """Edges: NIST SRD 128, X-ray transition energies (to 0.1 %)."""
    assert em_tables.load_tables().photoelectric[z - 1].edges[0] == pytest.approx(edge, rel=1e-3)
    below, above = em_tables.photoelectric_cross_section(z, [edge * 0.99, edge * 1.01])
    assert above > 4 * below


def test_the_photoelectric_effect_falls_as_sauter_says_far_above_the_edge() -> None:
    low, high = em_tables.photoelectric_cross_section(82, [100.0, 200.0])
    assert low / high == pytest.approx(2, rel=0.02)  # sigma ~ 1/E


def test_rayleigh_is_coherent_at_low_energy() -> None:
    """Forward scattering off all electrons together: sigma -> Z^2 times Thomson's 0.6652 barn."""
    assert em_tables.rayleigh_cross_section(74, 1e-3) > 0.8 * 0.6652 * 74**2 * 0.7
    low, high = em_tables.rayleigh_cross_section(74, [0.01, 0.5])
    assert low > 100 * high


def tsai(z: int, molar_mass: float, kinetic_energy: float) -> float:
    """Radiative stopping power in MeV cm2/g after Y.-S. Tsai, Rev. Mod. Phys. 46 (1974) 815.

    Thomas-Fermi-Moliere screening, Coulomb correction of Davies, Bethe and Maximon.
    """
    fine_structure, radius_cm, mass = 1 / 137.035999, 2.8179403e-13, em_tables.ELECTRON_MASS
    total = kinetic_energy + mass
    y = np.linspace(1e-6, kinetic_energy / total * (1 - 1e-9), 20001)
    a2 = (fine_structure * z) ** 2
    coulomb = a2 * (1 / (1 + a2) + 0.20206 - 0.0369 * a2 + 0.0083 * a2**2 - 0.002 * a2**3)
    gamma = 100 * mass * y / (total * (1 - y) * z ** (1 / 3))
    epsilon = gamma / z ** (1 / 3)
    atom = 20.863 - 2 * np.log1p((0.55846 * gamma) ** 2)
    atom -= 4 * (1 - 0.6 * np.exp(-0.9 * gamma) - 0.4 * np.exp(-1.5 * gamma))
    electron = 28.340 - 2 * np.log1p((3.621 * epsilon) ** 2)
    electron -= 4 * (1 - 0.7 * np.exp(-8 * epsilon) - 0.3 * np.exp(-29.2 * epsilon))
    spectrum = (4 / 3 - 4 / 3 * y + y**2) * (
        z**2 * (atom - 4 / 3 * np.log(z) - 4 * coulomb) + z * (electron - 8 / 3 * np.log(z))
    )
    difference = z**2 / (1 + 6.5 * gamma + 6 * gamma**2) + z / (1 + 40 * epsilon + 400 * epsilon**2)
    spectrum += 2 / 3 * (1 - y) * 2 / 3 * difference
    per_atom = fine_structure * radius_cm**2 * total * np.trapezoid(np.maximum(spectrum, 0), y)
    return float(em_tables.AVOGADRO / molar_mass * per_atom)


@pytest.mark.parametrize("energy", [100.0, 1000.0])
@pytest.mark.parametrize(("z", "molar_mass"), [(74, 183.84), (82, 207.2)])
def test_the_radiative_stopping_power_agrees_with_tsai(z, molar_mass, energy) -> None:
    """At 10 MeV Born's approximation fails in heavy elements; ESTAR's ranges test that."""
    found = em_tables.radiative_stopping_power(z, molar_mass, energy)
    assert found == pytest.approx(tsai(z, molar_mass, energy), rel=0.02)


@pytest.mark.parametrize("z", [0, 93])
def test_elements_without_tables_are_named(z: int) -> None:
    with pytest.raises(InputError, match=f"Z = {z}; they cover 1 to 92"):
        em_tables.photoelectric_cross_section(z, 1.0)


def test_stopping_power_outside_the_tables_is_an_error() -> None:
    with pytest.raises(InputError, match=r"reach from 0.001 to 1000.0 MeV"):
        em_tables.radiative_stopping_power(82, 207.2, 1e4)


def test_the_data_set_is_written_once(tmp_path, monkeypatch) -> None:
    folder = em_tables.write_data_set(cache=tmp_path)
    assert folder.parent == tmp_path / "geant4"
    assert (folder / "brem_SB/br92").is_file()
    assert (folder / "epics2017/phot/pe-high-1.dat").is_file()
    assert (folder / "ensdfstate/ENSDFSTATE.dat").read_text() == ""
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]
    monkeypatch.setattr(em_tables, "_write_files", None)
    assert em_tables.write_data_set(cache=tmp_path) == folder


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    def full_disk(folder, shells):
        (folder / "brem_SB").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(em_tables, "_write_files", full_disk)
    with pytest.raises(FileError, match=r"No space left on device; .* CALOFORGE_CACHE"):
        em_tables.write_data_set(cache=tmp_path)
    assert list((tmp_path / "geant4").iterdir()) == []


def test_the_cache_can_be_moved(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CALOFORGE_CACHE", str(tmp_path))
    assert em_tables.cache_folder() == tmp_path


def test_a_cache_that_is_a_file_is_an_error(tmp_path) -> None:
    blocked = tmp_path / "cache"
    blocked.write_text("")
    with pytest.raises(FileError, match="folder"):
        em_tables.write_data_set(cache=blocked)


@pytest.mark.parametrize("choice", em_tables.SHELL_CHOICES)
def test_the_shells_of_the_photoelectric_effect_can_be_chosen(tmp_path, choice) -> None:
    text = (em_tables.write_data_set(choice, tmp_path) / "epics2017/phot/pe-ss-cs-74.dat").read_text()
    lines = text.splitlines()
    points = int(lines[0].split()[2])
    of_k_shell = [float(line.split()[1]) for line in lines[1 : points + 1]]
    assert all(value > 0 for value in of_k_shell) == (choice == "measured")
    assert any(of_k_shell) == (choice == "measured")


def test_each_choice_of_shells_has_its_own_data_set(tmp_path) -> None:
    folders = {em_tables.write_data_set(choice, tmp_path) for choice in em_tables.SHELL_CHOICES}
    assert len(folders) == 2
    assert em_tables.write_data_set(cache=tmp_path) == em_tables.write_data_set("measured", tmp_path)


def test_an_unknown_choice_of_shells_is_an_error(tmp_path) -> None:
    with pytest.raises(InputError, match=r"photoelectric shells 'innermost'; .*'outermost'"):
        em_tables.write_data_set("innermost", tmp_path)
