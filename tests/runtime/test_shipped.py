"""The models that the package ships: they load, say how good they are, and draw showers of the right energy."""

import numpy as np
import pytest

from caloforge.runtime import load, names

# Response in percent and resolution of Geant4: DESIGN, "Seen on one core".
RESPONSE = {("e-", 10e3): (1.600, 0.073), ("e-", 50e3): (1.501, 0.060), ("gamma", 10e3): (1.551, 0.096)}


def test_the_first_detector_has_a_model() -> None:
    assert "clic-ecal" in names()


@pytest.mark.parametrize("name", names())
def test_the_card_says_how_good_and_how_fast_it_is(name: str) -> None:
    card = load(name, threads=1).card
    assert card.name == name
    assert all({"value", "floor"} <= set(figure) for figure in card.validation.values())
    assert any("AUC" in title for title in card.validation)
    assert {"ms_per_shower", "batch", "threads", "machine"} <= set(card.speed)
    assert card.training_data["sha256"]


@pytest.mark.parametrize("name", names())
def test_the_response_is_that_of_geant4(name: str) -> None:
    model = load(name)
    n = 400
    for (particle, energy), (response, resolution) in RESPONSE.items():
        showers = model.generate(particle, energy, n=n, seed=1, strict=True)
        showers.check()
        drawn = 100 * showers.visible_energy / energy
        assert drawn.mean() == pytest.approx(response, rel=0.01 + 4 * resolution / np.sqrt(n))
        assert drawn.std() / drawn.mean() == pytest.approx(resolution, rel=0.25)
