from pathlib import Path

import pytest

from caloforge.errors import Geant4Error, InputError
from caloforge.geant4.data_sets import VARIABLES, find_data_sets
from caloforge.geant4.physics import ELECTROMAGNETIC, HADRONIC, choose_physics


@pytest.fixture
def bare(tmp_path, monkeypatch) -> dict[str, str]:
    """An environment without any data sets."""
    monkeypatch.setenv("CALOFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("caloforge.geant4.data_sets.sys.prefix", str(tmp_path / "prefix"))
    return {"HOME": str(tmp_path / "home"), "PATH": ""}


def fake(folder: Path, variable: str) -> Path:
    files = {
        "G4LEDATA": ["brem_SB/br74", "epics2017/phot/pe-high-74.dat", "epics2017/rayl/re-cs-74.dat"],
        "G4ENSDFSTATEDATA": ["ENSDFSTATE.dat"],
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name in files.get(variable, []):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    return folder


def test_without_data_sets_ours_are_used(bare, tmp_path) -> None:
    found = find_data_sets(bare)
    assert set(found.environment) == set(VARIABLES)  # geant4-pybind downloads what has no variable
    assert found["G4LEDATA"].origin == "CaloForge"
    assert found["G4LEDATA"].path.parent == tmp_path / "cache/geant4"
    assert (found["G4ENSDFSTATEDATA"].path / "ENSDFSTATE.dat").is_file()
    assert found["G4PARTICLEXSDATA"].origin == "absent"
    assert found.electromagnetic.startswith("CaloForge EM tables ")


def test_what_we_set_ourselves_does_not_count_as_the_users(bare) -> None:
    first = find_data_sets(bare)
    assert find_data_sets({**bare, **first.environment}) == first


def test_the_users_variable_wins(bare, tmp_path) -> None:
    mine = fake(tmp_path / "G4EMLOW8.8", "G4LEDATA")
    found = find_data_sets({**bare, "G4LEDATA": str(mine)})
    assert (found["G4LEDATA"].path, found["G4LEDATA"].origin) == (mine, "G4LEDATA")
    assert found.electromagnetic == "G4EMLOW8.8"


@pytest.mark.parametrize("place", ["GEANT4_DATA_DIR", "geant4-pybind", "conda"])
def test_installed_data_sets_are_found(bare, tmp_path, place) -> None:
    folder = {
        "GEANT4_DATA_DIR": tmp_path / "data",
        "geant4-pybind": tmp_path / "home/.geant4_pybind",
        "conda": tmp_path / "conda/share/Geant4/data",
    }[place]
    mine = fake(folder / "G4EMLOW8.8", "G4LEDATA")
    settings = {**bare, "GEANT4_DATA_DIR": str(tmp_path / "data"), "CONDA_PREFIX": str(tmp_path / "conda")}
    assert find_data_sets(settings)["G4LEDATA"].path == mine


def test_shells_are_a_choice_of_our_own_tables(bare, tmp_path) -> None:
    measured, outermost = find_data_sets(bare), find_data_sets(bare, "outermost")
    assert measured["G4LEDATA"].path != outermost["G4LEDATA"].path
    assert measured.electromagnetic.endswith("(photoelectric shells: measured)")
    assert outermost.electromagnetic.endswith("(photoelectric shells: outermost)")
    mine = fake(tmp_path / "G4EMLOW8.8", "G4LEDATA")
    settings = {**bare, "G4LEDATA": str(mine)}
    assert find_data_sets(settings, "measured").electromagnetic == "G4EMLOW8.8"
    with pytest.raises(
        Geant4Error, match=r"'outermost' are a choice of CaloForge's own tables.*unset G4LEDATA"
    ):
        find_data_sets(settings, "outermost")


def test_a_variable_that_leads_nowhere_is_an_error(bare, tmp_path) -> None:
    with pytest.raises(Geant4Error, match=r"G4LEDATA=.*no such folder.*unset it to use CaloForge"):
        find_data_sets({**bare, "G4LEDATA": str(tmp_path / "nowhere")})


def test_a_data_set_that_is_too_old_is_an_error(bare, tmp_path) -> None:
    with pytest.raises(Geant4Error, match=r"no brem_SB/br74 \(Geant4 11.4 needs G4EMLOW 8.0"):
        find_data_sets({**bare, "G4LEDATA": str(tmp_path)})


def test_electromagnetic_particles_need_no_hadronic_data(bare) -> None:
    assert choose_physics([11, -11, 22, 111], find_data_sets(bare)) == ELECTROMAGNETIC


def test_hadrons_name_the_missing_data_sets(bare) -> None:
    expected = r"incident pi-: needs hadronic.*PhotonEvaporation \(G4LEVELGAMMADATA\).*G4PARTICLEXS"
    with pytest.raises(Geant4Error, match=expected):
        choose_physics([11, -211], find_data_sets(bare))


def test_hadrons_are_possible_with_data_sets(bare, tmp_path) -> None:
    names = ["G4LEVELGAMMADATA", "G4PARTICLEXSDATA", "G4ENSDFSTATEDATA"]
    mine = {name: str(fake(tmp_path / name, name)) for name in names}
    assert choose_physics([-211], find_data_sets({**bare, **mine})) == HADRONIC


def test_neutrinos_are_refused(bare) -> None:
    with pytest.raises(InputError, match="PDG id 12"):
        choose_physics([12], find_data_sets(bare))
