"""The model of hits and energy per layer."""

from __future__ import annotations

import torch

from caloforge.models._layers import LayerModel, encode_incident, mean_excess

PARTICLES = (11, 22)


def toy_layers(n: int, random: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Showers of 3 layers whose hits and energies grow with the incident energy."""
    energy = 1e3 * 10 ** torch.rand(n, generator=random)
    pdg = torch.tensor(PARTICLES, dtype=torch.float32)[torch.randint(2, (n,), generator=random)]
    incident = torch.zeros(n, 6)
    incident[:, 0], incident[:, 1] = pdg, energy
    mean = (energy / 1e3)[:, None] * torch.tensor([2.0, 4.0, 1.0])
    hits = torch.poisson(mean, generator=random)
    layer_energy = hits * (0.015 + 0.2 * (0.3 * torch.randn((n, 3), generator=random)).exp())
    return incident, hits, layer_energy


def test_incidents_are_encoded() -> None:
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0], [22.0, 1e5, 0, 0, 0, 0]])
    assert torch.equal(encode_incident(incident, PARTICLES), torch.tensor([[0.0, 1, -1], [1.0, -1, 1]]))


def test_mean_excess_of_empty_layers_is_zero() -> None:
    found = mean_excess(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.5]), 0.05)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.2]))


def test_training_and_drawing_see_the_same_history() -> None:
    # the likelihood's summaries of all layers at once are those that drawing collects layer by layer
    random = torch.Generator().manual_seed(1)
    incident, hits, energy = toy_layers(5, random)
    model = LayerModel(3, 3, 25, 0.015)
    history = model._history(incident[:, 1], hits, energy)
    first = history[:, 0]
    empty = model._summary(incident[:, 1:2], *(torch.zeros(5, 1) for _ in range(4)))
    torch.testing.assert_close(first, torch.cat([torch.zeros(5, 9), empty], 1))
    third = model._summary(
        incident[:, 1:2],
        hits[:, :2].sum(1, keepdim=True),
        energy[:, :2].sum(1, keepdim=True),
        energy[:, 1:2],
        energy[:, :2].amax(1, keepdim=True),
    )
    recent = model._normalised(hits[..., None], energy[..., None])
    torch.testing.assert_close(
        history[:, 2], torch.cat([recent[:, 1], recent[:, 0], torch.zeros(5, 3), third], 1)
    )


def test_it_learns_mean_and_fluctuation() -> None:
    random = torch.Generator().manual_seed(2)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = LayerModel(3, 3, 100, 0.015, hidden=32)
    incident, hits, energy = toy_layers(4000, random)
    context = encode_incident(incident, PARTICLES)
    model.fit_scales(context, incident[:, 1], hits, energy)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        loss = model.loss(context, incident[:, 1], hits, energy, random).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        noise = torch.randn((4000, 12), generator=random)
        drawn_hits, drawn_energy = model.sample(context, incident[:, 1], noise)
    for drawn, true in ((drawn_hits, hits), (drawn_energy, energy)):
        assert torch.all((drawn.mean(0) / true.mean(0) - 1).abs() < 0.08)
        assert torch.all((drawn.std(0) / true.std(0) - 1).abs() < 0.15)
    assert torch.equal(drawn_energy == 0, drawn_hits == 0)
