"""The hits around the windows of `nested3d`."""

from __future__ import annotations

import pytest
import torch

from caloforge.models.nested3d.around import NOISE_PER_HIT, Around
from caloforge.models.nested3d.surroundings import STEPS, Shapes, Surroundings

POOL = 60


def make(seed: int = 2, directional: int = 1) -> Around:
    surroundings = Surroundings(5, 7, (15, 15), (1.0, 1.0))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Around(
            surroundings,
            2,
            most=24,
            pool=POOL,
            round_shapes=3,
            directional=directional,
            mixtures=3,
            threshold=0.15,
        ).eval()


@pytest.fixture(scope="module")
def around() -> Around:
    return make()


def draw(around: Around, hits: torch.Tensor, seed: int = 1, centre: torch.Tensor | None = None) -> tuple:
    random = torch.Generator().manual_seed(seed)
    n, layers = hits.shape
    noise = torch.randn(n, POOL * NOISE_PER_HIT, generator=random)
    with torch.no_grad():
        return around.sample(torch.zeros(n * layers, 2), hits, hits, centre, noise)


def test_hits_stand_in_cells_of_their_own(around: Around) -> None:
    hits = torch.randint(0, 12, (200, 5), generator=torch.Generator().manual_seed(1)).float()
    row, cell, energy, lost = draw(around, hits)
    alive = energy > 0
    places = (row * around.cells.n_cells + cell)[alive]
    counts = torch.zeros(1000).index_add(0, row, alive.float()).reshape(200, 5)
    torch.testing.assert_close(counts + lost, hits)
    assert float(lost.sum() / hits.sum()) < 0.02
    assert float(1 - len(places.unique()) / len(places)) < 2e-3
    sums = torch.zeros(1000).index_add(0, row, energy - 0.15 * alive)
    torch.testing.assert_close(sums.reshape(200, 5), hits, rtol=1e-4, atol=1e-4)


def test_single_hits_are_drawn_as_the_shapes_say(around: Around) -> None:
    n = 40000
    _, cell, _, _ = draw(around, torch.ones(n, 1))
    with torch.no_grad():
        expected = around.mixing(torch.zeros(1, 2)).softmax(1) @ around.shapes()
    found = torch.bincount(cell, minlength=around.cells.n_cells) / n
    error = (expected[0] * (1 - expected[0]) / n).sqrt()
    assert ((found - expected[0]).abs() / (error + 1e-5)).max() < 5


def test_layers_of_a_shower_share_no_random_numbers(around: Around) -> None:
    row, cell, _, _ = draw(around, torch.full((40, 2), float(around.most)))
    same = (cell[row % 2 == 0] == cell[row % 2 == 1]).float().mean()  # hit for hit in both layers
    assert float(same) < 0.1


@pytest.mark.parametrize("number", [1, 2, 3, 6])
@pytest.mark.parametrize("centre", [None, (7, 7), (7, 11), (2, 12)])
def test_hits_are_placed_as_often_as_the_likelihood_says(
    around: Around, number: int, centre: tuple[int, int] | None
) -> None:
    """On their own, beside others, and mirrored at the window where they would leave the readout."""
    n = 40000 // number
    middle = None if centre is None else torch.tensor([centre])
    with torch.no_grad():
        _, cell, energy, _ = draw(
            around,
            torch.full((n, 1), float(number)),
            seed=number,
            centre=None if middle is None else middle.expand(n, -1),
        )
        everywhere = torch.arange(around.cells.n_cells)
        kernel = around.beside_logits.softmax(0)
        lost = (around.cells.beside < 0).float() @ kernel
        expected = around._anywhere(
            torch.zeros(1, 2),
            torch.zeros_like(everywhere),
            everywhere,
            torch.full((around.cells.n_cells,), float(number)),
            kernel,
            lost,
            middle,
        )
    if middle is not None:
        expected = expected * around.cells.inside(everywhere, middle.expand(len(everywhere), -1))
    assert float(expected.sum()) == pytest.approx(1.0, abs=2e-3 if centre == (2, 12) else 1e-4)
    found = torch.bincount(cell[energy > 0], minlength=around.cells.n_cells) / (n * number)
    near = (
        around.cells.places[:, 1] < around.cells.places[:, 1].median()
    )  # log r: the half next to the window
    assert float(found[near].sum()) == pytest.approx(
        float(expected[near].sum()), abs=0.012 if number < 6 else 0.02
    )
    if number == 1:
        error = (expected * (1 - expected) / n).clamp(min=0).sqrt()
        assert ((found - expected).abs() / (error + 2e-5)).max() < 5


def test_the_likelihood_finds_how_hits_cluster() -> None:
    """Pairs side by side: the part of hits with a neighbour is learnt."""
    model = make(3, directional=0)
    n_cells = model.cells.n_cells
    row, cell, energy, _ = draw(model, torch.full((3000, 1), 2.0))
    cells = torch.zeros(3000 * n_cells).index_add(0, row * n_cells + cell, energy).reshape(3000, n_cells)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    with torch.no_grad():
        model.part_beside.bias.fill_(-4.0)
    for _ in range(60):
        loss = -model.likelihood(torch.zeros(3000, 2), cells, None)[0] / 3000
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # drawn with sigmoid(-1.5): the chains of two hits have 0.75 of what chains of four would have
    part = float(torch.sigmoid(model.part_beside.bias.detach()))
    assert 0.08 < part < 0.3
    assert len(STEPS) == model.cells.beside.shape[1]


def test_directional_shapes_point_in_eight_directions() -> None:
    surroundings = Surroundings(5, 9, (19, 19), (1.0, 1.0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shapes = Shapes(surroundings, 1, 1)
    with torch.no_grad():
        found = shapes()
    torch.testing.assert_close(found.sum(1), torch.ones(9))
    means = torch.stack([found @ surroundings.columns.float(), found @ surroundings.rows.float()], 1)
    torch.testing.assert_close(means[0], torch.zeros(2), atol=1e-4, rtol=0)
    angle = torch.atan2(means[1:, 1], means[1:, 0]) % (2 * torch.pi)
    torch.testing.assert_close(angle, torch.arange(8) * torch.pi / 4, atol=0.02, rtol=0)
