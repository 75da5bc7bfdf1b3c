"""The model of hits and energy per layer."""

from __future__ import annotations

import pytest
import torch

from caloforge import detectors
from caloforge.models.parts.encoder import ConditionEncoder, available_energy
from caloforge.models.parts.layer_model import LayerModel
from caloforge.models.parts.splits import SEEN, plan_splits
from caloforge.models.parts.totals import TOTALS_NOISE

PARTICLES = (11, 22)
ENCODER = ConditionEncoder(PARTICLES)
TEXT = """
name = "layers"
threshold = 0.015
physics = { production_cut = 0.7 }
readout = { kind = "cartesian", cells = [5, 5], size = [5.0, 5.0] }
[[stack]]
repeat = REPEAT
slices = [{ material = "G4_W", thickness = 4.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""


def make(n_layers: int, seed: int, hidden: int = 96) -> LayerModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LayerModel(detectors.parse(TEXT.replace("REPEAT", str(n_layers))), 3, 2, 0.015, hidden)


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
    incident = torch.tensor([[11.0, 1e3, 0, 0, 0, 0], [22.0, 1e5, 0, 0, 0, 0]])
    encoder = ConditionEncoder(PARTICLES)
    encoder.fit(incident)
    torch.testing.assert_close(encoder(incident), torch.tensor([[-1.0, 1, -1], [1.0, -1, 1]]))


def test_direction_and_place_are_encoded_by_slopes_and_millimetres() -> None:
    incident = torch.tensor([[11.0, 1e3, 0.5, 0.0, 2.0, 0], [11.0, 1e4, 0.25, torch.pi / 2, 0.0, -4.0]])
    encoder = ConditionEncoder((11,), ("energy", "direction", "position"))
    encoder.fit(incident)
    found = encoder(incident)[:, 2:]
    slope = float(torch.tan(torch.tensor(0.25)) / torch.tan(torch.tensor(0.5)))
    torch.testing.assert_close(
        found, torch.tensor([[1.0, 0, 0.5, 0], [0.0, slope, 0, -1.0]]), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("n_layers", [1, 2, 3, 7, 25, 30])
def test_splits_lead_to_single_layers(n_layers: int) -> None:
    edges = {0, n_layers}
    for step in plan_splits(n_layers):
        for split in step:
            assert list(split.edges) == sorted(split.edges)
            first, end = split.edges[SEEN : SEEN + 2]
            assert set(split.edges) <= edges
            assert first < split.middle < end
            assert not any(first < edge < end for edge in edges)
        edges |= {split.middle for split in step}
    assert edges == set(range(n_layers + 1))


def test_training_and_drawing_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(1)
    model = make(6, 1)
    incident, hits, energy = toy_layers(5, random)
    context = ENCODER(incident)
    model.fit_scales(context, available_energy(incident), hits, energy)
    seen: dict[str, list[torch.Tensor]] = {"sample": [], "loss": []}
    for name, kept in seen.items():
        method = getattr(model.halving, name)

        def record(first, *rest, kept=kept, method=method):
            kept.append(first)
            return method(first, *rest)

        monkeypatch.setattr(model.halving, name, record)
    with torch.no_grad():
        encoded: list[torch.Tensor] = []
        draw = model.totals.sample

        def keep(*arguments):
            encoded.append(draw(*arguments)[0])
            return (encoded[0], *draw(*arguments)[1:])

        monkeypatch.setattr(model.totals, "sample", keep)
        hits, energy = model.sample(
            context, available_energy(incident), torch.randn((5, model.noise_size), generator=random)
        )
        monkeypatch.setattr(model.totals, "encode", lambda *_: encoded[0])
        model.loss(context, available_energy(incident), hits, energy, torch.rand(len(hits), generator=random))
    drawn = torch.cat([first.unflatten(0, (5, -1)) for first in seen["sample"]], 1)
    torch.testing.assert_close(drawn, seen["loss"][0].unflatten(0, (5, -1)), rtol=1e-3, atol=1e-3)


def test_layers_add_up_to_the_totals() -> None:
    random = torch.Generator().manual_seed(1)
    model = make(7, 4)
    incident, _, _ = toy_layers(50, random)
    context = ENCODER(incident)
    noise = torch.randn((50, model.noise_size), generator=random)
    with torch.no_grad():
        hits, energy = model.sample(context, available_energy(incident), noise)
        _, total_hits, total_energy = model.totals.sample(
            context, available_energy(incident), noise[:, :TOTALS_NOISE]
        )
    assert torch.equal(hits.sum(1), total_hits[:, 0])
    assert torch.equal(hits, hits.round())
    assert (hits >= 0).all()
    wanted = torch.maximum(total_energy, 0.015 * total_hits)[:, 0] * (total_hits[:, 0] > 0)
    torch.testing.assert_close(energy.sum(1), wanted, rtol=1e-4, atol=1e-3)


def test_it_learns_mean_and_fluctuation() -> None:
    random = torch.Generator().manual_seed(2)
    model = make(3, 2, 32)
    incident, hits, energy = toy_layers(4000, random)
    context = ENCODER(incident)
    model.fit_scales(context, available_energy(incident), hits, energy)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(150):
        loss = model.loss(
            context, available_energy(incident), hits, energy, torch.rand(len(hits), generator=random)
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        noise = torch.randn((4000, model.noise_size), generator=random)
        drawn_hits, drawn_energy = model.sample(context, available_energy(incident), noise)
    for drawn, true in ((drawn_hits, hits), (drawn_energy, energy)):
        assert torch.all((drawn.mean(0) / true.mean(0) - 1).abs() < 0.08)
        assert torch.all((drawn.std(0) / true.std(0) - 1).abs() < 0.15)
    assert torch.equal(drawn_energy == 0, drawn_hits == 0)
