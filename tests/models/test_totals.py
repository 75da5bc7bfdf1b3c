"""The model of the visible energy and the hits of a shower."""

from __future__ import annotations

import pytest
import torch

from caloforge.models.parts.encoder import ConditionEncoder, available_energy
from caloforge.models.parts.totals import TOTALS_NOISE, Totals

ENCODER = ConditionEncoder((11, 22))


def toy_totals(n: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Showers of 1.5 % response and 10 % resolution, with 40 hits per root of GeV."""
    energy = 1e3 * 100 ** torch.rand(n, generator=random)
    incident = torch.zeros(n, 6)
    incident[:, 0] = torch.tensor([11.0, 22.0])[torch.randint(2, (n,), generator=random)]
    incident[:, 1] = energy
    visible = 0.015 * energy * (1 + 0.1 * torch.randn(n, generator=random))
    hits = (40 * (energy / 1e3).sqrt() * (1 + 0.05 * torch.randn(n, generator=random))).round()
    return incident, hits, visible


@pytest.fixture(scope="module")
def taught() -> tuple[Totals, torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Totals(3, 2, 0.015)
    incident, hits, visible = toy_totals(4000, random)
    context = ENCODER(incident)
    model.fit_scales(context, available_energy(incident), hits, visible)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        loss = model.loss(context, model.encode(context, available_energy(incident), hits, visible)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, incident, hits, visible


def test_response_and_resolution_are_learnt(taught) -> None:
    model, incident, hits, visible = taught
    context = ENCODER(incident)
    noise = torch.randn((4000, TOTALS_NOISE), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        _, drawn_hits, drawn = model.sample(context, available_energy(incident), noise)
    for low, high in ((1e3, 1e4), (1e4, 1e5)):
        chosen = (incident[:, 1] >= low) & (incident[:, 1] < high)
        one, other = (values[chosen] / incident[chosen, 1] for values in (drawn[:, 0], visible))
        assert abs(one.mean() / other.mean() - 1) < 0.015
        assert abs(one.std() / other.std() - 1) < 0.1
        scale = (incident[chosen, 1] / 1e3).sqrt()
        one, other = drawn_hits[chosen, 0] / scale, hits[chosen] / scale
        assert abs(one.mean() / other.mean() - 1) < 0.015
        assert abs(one.std() / other.std() - 1) < 0.15


def test_what_is_drawn_is_encoded_as_in_training(taught) -> None:
    model, incident, _, _ = taught
    context = ENCODER(incident)
    noise = torch.randn((4000, TOTALS_NOISE), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        encoded, hits, energy = model.sample(context, available_energy(incident), noise)
        again = model.encode(context, available_energy(incident), hits[:, 0] + 0.5, energy[:, 0])
    torch.testing.assert_close(again[:, 0], encoded[:, 0], rtol=0.02, atol=0.02)
    assert (again[:, 1] - encoded[:, 1]).abs().max() < 0.5


@pytest.mark.parametrize(("pdg", "released"), [(11, 0.0), (-11, 1.02199790)])
def test_visible_energy_never_exceeds_what_there_is(pdg: int, released: float) -> None:
    """In a homogeneous calorimeter nearly all is seen; what is drawn stays below the energy that there is."""
    random = torch.Generator().manual_seed(4)
    incident = torch.zeros(3000, 6)
    incident[:, 0], incident[:, 1] = pdg, 1e2 * 10 ** torch.rand(3000, generator=random)
    limit = available_energy(incident)
    torch.testing.assert_close(limit, incident[:, 1] + released)
    visible = limit * (1 - 0.01 * torch.rand(3000, generator=random).exp())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Totals(2, 1, 0.1)
    context = ConditionEncoder((pdg,))(incident)
    model.fit_scales(context, limit, torch.full_like(limit, 20.0), visible)
    noise = 4 * torch.randn((3000, TOTALS_NOISE), generator=random)
    with torch.no_grad():
        _, _, drawn = model.sample(context, limit, noise)
    assert (drawn[:, 0] <= limit).all()
    assert float((drawn[:, 0] / limit).mean()) == pytest.approx(float((visible / limit).mean()), abs=0.02)
