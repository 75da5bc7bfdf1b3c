"""`nested3d`: the cells of showers, given their layers."""

from __future__ import annotations

import pytest
import torch

from caloforge import detectors
from caloforge.errors import InputError
from caloforge.models._around import POOL, STEPS, Around
from caloforge.models._base import Batch
from caloforge.models._layers import encode_incident
from caloforge.models._nested_cells import NestedCells
from caloforge.models._nested_networks import plan_stages
from caloforge.models._places import place_features
from caloforge.models._sublattices import split_layer
from caloforge.models.nested3d import Nested3D, Nested3DConfig

DETECTOR = detectors.parse(
    """
name = "small"
production_cut = 0.7
threshold = 0.015
readout = { kind = "cartesian", cells = [11, 11], size = [5.0, 5.0] }
[[stack]]
repeat = 6
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
)
N, LAYERS = 30, 6


@pytest.fixture(scope="module")
def cells() -> NestedCells:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = NestedCells(
            DETECTOR,
            3,
            window=5,
            width=8,
            depth=1,
            energy_width=8,
            hidden=8,
            features=4,
            mixtures=3,
            most_around=20,
            shapes=3,
        )
        for parameter in made.parameters():  # far from the cautious beginning, so that everything matters
            torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.fixture(scope="module")
def drawn(cells: NestedCells) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    hits = torch.randint(0, 22, (N, LAYERS), generator=random).float()
    energy = hits * (0.015 + torch.rand(N, LAYERS, generator=random))
    incident = torch.zeros(N, 6)
    incident[:, 0], incident[:, 1] = 11.0, torch.linspace(1e3, 1e5, N)
    context = encode_incident(incident, (11, 22))
    noise = torch.randn(N, cells.noise_size, generator=random)
    with torch.no_grad():
        showers = cells.sample(context, hits, energy, noise)
    return {"context": context, "hits": hits, "energy": energy, "noise": noise, "showers": showers}


@pytest.mark.parametrize("n_layers", [1, 2, 3, 6, 25, 28])
def test_each_layer_sees_the_nearest_ones_that_are_drawn(n_layers: int) -> None:
    order: list[int] = []
    for stage in plan_stages(n_layers):
        for layer, before, after in zip(stage.layers, stage.before, stage.after, strict=True):
            assert (order[before - 1] if before else -1) == max((k for k in order if k < layer), default=-1)
            assert (order[after - 1] if after else -1) == min((k for k in order if k > layer), default=-1)
        order += stage.layers
    assert sorted(order) == list(range(n_layers))


def test_each_layer_has_its_hits_and_energy(drawn) -> None:
    showers = drawn["showers"]
    found = (showers > 0).sum((2, 3)).float()
    assert (found <= drawn["hits"]).all()
    full = found == drawn["hits"]  # all but where two hits around the window met in the same cell
    assert full.float().mean() > 0.97
    torch.testing.assert_close(showers.sum((2, 3))[full], drawn["energy"][full], rtol=1e-4, atol=1e-4)
    assert (showers[showers > 0] >= 0.015 - 1e-6).all()


def test_training_sees_what_drawing_saw(cells, drawn, monkeypatch) -> None:
    """Maps and what is told, of every pass: masked in training, step by step in drawing."""
    showers = drawn["showers"]
    complete = ((showers > 0).sum((2, 3)).float() == drawn["hits"]).all(1)
    seen: dict[str, list] = {"drawing": [], "training": []}
    phase = "drawing"
    for passes in cells.passes:
        for network in passes:
            forward = network.forward

            def record(maps, told, forward=forward):
                seen[phase].append((maps, told))
                return forward(maps, told)

            monkeypatch.setattr(network, "forward", record)
    arguments = [drawn[name] for name in ("context", "hits", "energy", "noise")]
    with torch.no_grad():
        again = cells.sample(*arguments)
        phase = "training"
        cells.losses(drawn["context"], again)
    assert len(seen["drawing"]) == len(seen["training"]) == 4 * len(cells.stages)
    for pair in zip(seen["drawing"], seen["training"], strict=True):
        for one, other in zip(*pair, strict=True):
            first, second = (values.unflatten(0, (N, -1))[complete] for values in (one, other))
            torch.testing.assert_close(first, second, rtol=2e-3, atol=2e-3)


def test_a_stage_depends_on_nothing_that_is_drawn_later(cells, drawn) -> None:
    noise = drawn["noise"].clone()
    n_first = len(cells.stages[0].layers)
    window = noise[:, : LAYERS * cells.n_window]
    window[:, n_first * cells.n_window :] += 0.7
    with torch.no_grad():
        other = cells.sample(drawn["context"], drawn["hits"], drawn["energy"], noise)
    first = list(cells.stages[0].layers)
    rest = [layer for layer in range(LAYERS) if layer not in first]
    torch.testing.assert_close(other[:, first], drawn["showers"][:, first])
    assert not torch.allclose(other[:, rest], drawn["showers"][:, rest])


def test_more_hits_around_than_planned_are_an_error() -> None:
    approach = Nested3D(DETECTOR, Nested3DConfig(window=5, most_around=3))
    showers = torch.zeros(4, LAYERS, 11, 11)
    showers[:, :, 0, :5] = 0.1
    incident = torch.zeros(4, 6)
    incident[:, 0], incident[:, 1] = 11.0, torch.linspace(1e3, 1e4, 4)
    with pytest.raises(InputError, match="most_around to at least 6"):
        approach.prepare(Batch(incident, showers))


@pytest.fixture(scope="module")
def around() -> Around:
    lattice = split_layer(15, 15, 5)
    detector = detectors.parse(detectors.toml("clic-ecal").replace("[25, 25]", "[15, 15]"))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        made = Around(lattice, place_features(detector)[2], 2, 24, 3, 3, 0.015)
    return made.eval()


def place(around: Around, hits: torch.Tensor, seed: int = 1) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(seed)
    n, layers = hits.shape
    noise = torch.randn(n, layers * POOL * 4, generator=random)
    with torch.no_grad():
        return around.sample(torch.zeros(n * layers, 2), hits, 0.1 * hits, noise)


def test_hits_around_stand_in_cells_of_their_own(around: Around) -> None:
    hits = torch.randint(0, 12, (200, 5), generator=torch.Generator().manual_seed(1)).float()
    row, cell, energy, lost = place(around, hits)
    alive = energy > 0
    places = (row * 225 + cell)[alive]
    counts = torch.zeros(1000).index_add(0, row, alive.float()).reshape(200, 5)
    torch.testing.assert_close(counts + lost, hits)
    assert float(lost.sum() / hits.sum()) < 0.02
    assert float(1 - len(places.unique()) / len(places)) < 2e-3
    assert not torch.isin(cell, torch.tensor(split_layer(15, 15, 5).inside)).any()
    sums = torch.zeros(1000).index_add(0, row, energy - 0.015 * alive)
    torch.testing.assert_close(sums.reshape(200, 5), 0.1 * hits, rtol=1e-4, atol=1e-4)


def test_single_hits_are_drawn_as_the_shapes_say(around: Around) -> None:
    n = 40000
    _, cell, _, _ = place(around, torch.ones(n, 1))
    with torch.no_grad():
        expected = around.mixing(torch.zeros(1, 2)).softmax(1) @ around.shape_logits.softmax(1)
    found = torch.bincount(cell, minlength=225)[around.cells] / n
    error = (expected[0] * (1 - expected[0]) / n).sqrt()
    assert ((found - expected[0]).abs() / (error + 1e-5)).max() < 5


def test_layers_of_a_shower_share_no_random_numbers(around: Around) -> None:
    row, cell, _, _ = place(around, torch.full((40, 2), float(around.most)))
    same = (cell[row % 2 == 0] == cell[row % 2 == 1]).float().mean()  # hit for hit in both layers
    assert around.most <= POOL
    assert float(same) < 0.1


@pytest.mark.parametrize("number", [1, 2, 3, 6])
def test_hits_that_stand_beside_others_are_counted_in_the_shapes(around: Around, number: int) -> None:
    n = 40000 // number
    with torch.no_grad():
        _, cell, energy, _ = place(around, torch.full((n, 1), float(number)), seed=number)
        everywhere = torch.arange(around.n_cells)
        kernel = around.beside_logits.softmax(0)
        lost = (around.beside < 0).float() @ kernel
        expected = around._anywhere(
            torch.zeros(1, 2),
            torch.zeros_like(everywhere),
            everywhere,
            torch.full((around.n_cells,), float(number)),
            kernel,
            lost,
        )
    assert float(expected.sum()) == pytest.approx(1.0, abs=1e-4)
    found = torch.bincount(cell[energy > 0], minlength=225)[around.cells] / (n * number)
    near = (
        around.places[:, 1] < around.places[:, 1].median()
    )  # log r: the half of the cells next to the window
    assert float(found[near].sum()) == pytest.approx(float(expected[near].sum()), abs=0.012)


def test_the_likelihood_finds_how_hits_cluster(around: Around) -> None:
    """Pairs side by side: the part of hits with a neighbour is learnt, and drawn."""
    random = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Around(split_layer(15, 15, 5), around.places.new_zeros(225, 17), 2, 24, 3, 3, 0.015)
    row, cell, energy, _ = place(model, torch.full((3000, 1), 2.0))
    cells = torch.zeros(3000 * 225).index_add(0, row * 225 + cell, energy).reshape(3000, 225)[:, model.cells]
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    with torch.no_grad():
        model.part_beside.bias.fill_(-4.0)
    for _ in range(60):
        loss = -model.likelihood(torch.zeros(3000, 2), cells, random)[0] / 3000
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # drawn with sigmoid(-1.5): the chains of two hits have 0.75 of what chains of four would have
    part = float(torch.sigmoid(model.part_beside.bias.detach()))
    assert 0.08 < part < 0.3
    assert len(STEPS) == model.beside.shape[1]
