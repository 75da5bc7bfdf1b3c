"""The models that the package ships: they load, hold what their cards say, and draw showers of the right energy."""

from pathlib import Path

import numpy as np
import pytest

from caloforge.runtime import load, names, read_card_of
from caloforge.showers import read_showers

REFERENCE = Path(__file__).parents[1] / "data" / "clic-ecal-small.h5"


def test_the_first_detector_has_a_model() -> None:
    assert "clic-ecal" in names()


@pytest.mark.parametrize("name", names())
def test_the_card_says_what_it_holds_for(name: str) -> None:
    with load(name, threads=1) as model:
        card = model.card
    assert card.name == name
    assert card.physics
    assert {"particle", "energy"} <= set(card.conditions)
    assert card.training_data["sha256"]
    assert all("value" in figure for figure in card.validation.values())
    assert read_card_of(model.path.with_suffix(".safetensors")) == card


@pytest.mark.parametrize("name", names())
def test_it_draws_all_of_its_spectrum(name: str) -> None:
    with load(name) as model:
        (showers,) = model.stream(model.card.spectrum, 300, seed=1, strict=True)
        (other,) = model.stream(model.card.spectrum, 300, seed=1, batch=7)
    showers.check()
    visible = showers.with_threshold().visible_energy
    assert (visible > 0).mean() > 0.9
    assert np.corrcoef(visible, showers.incidents.energy)[0, 1] > 0.9
    # rounding may move hits, but not energy; here and there it flips a decision
    change = np.abs(other.visible_energy - showers.visible_energy)
    assert (change > 1e-3 * showers.visible_energy + 1e-3).mean() < 0.02


def test_the_response_is_that_of_geant4() -> None:
    geant4 = read_showers(REFERENCE)
    with load("clic-ecal") as model:
        drawn = model.generate_incidents(geant4.incidents, seed=1, strict=True)
    responses = [s.with_threshold(0.015).visible_energy / s.incidents.energy for s in (geant4, drawn)]
    mean, other = (response.mean() for response in responses)
    error = np.hypot(*(response.std() for response in responses)) / np.sqrt(len(geant4))
    assert other == pytest.approx(mean, abs=0.015 * mean + 4 * error)
    spreads = [response.std() / response.mean() for response in responses]
    assert spreads[1] == pytest.approx(spreads[0], rel=4 / np.sqrt(len(geant4)))
