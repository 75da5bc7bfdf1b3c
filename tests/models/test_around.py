"""The hits around the windows of `nested3d`."""

from __future__ import annotations

import pytest
import torch

from caloforge.models.nested3d import clusters
from caloforge.models.nested3d.around import NOISE_PER_HIT, Around
from caloforge.models.nested3d.surroundings import Shapes, Surroundings

POOL = 60


def make(seed: int = 2, directional: int = 1, layers: int = 1) -> Around:
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
            n_layers=layers,
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
    row, cell, energy, lost = draw(make(layers=5), hits)
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
    row, cell, _, _ = draw(make(layers=2), torch.full((40, 2), float(around.most)))
    same = (cell[row % 2 == 0] == cell[row % 2 == 1]).float().mean()  # hit for hit in both layers
    assert float(same) < 0.1


def steps_of(around: Around) -> torch.Tensor:
    """Where a step from each cell leads, (n_cells, n_cells)."""
    cells = around.cells
    kernel = torch.zeros(cells.n_cells, cells.n_cells)
    for step, chance in enumerate(around.clusters.beside_logits.softmax(0)):
        there = cells.beside[:, step] >= 0
        kernel[there, cells.beside[there, step]] += chance
    return kernel


def kernel_of(around: Around) -> torch.Tensor:
    """Where a hit beside one in each cell stands, and on its own where that is nowhere, (n_cells, n_cells)."""
    alone = (around.mixing(torch.zeros(1, 2)).softmax(1) @ around.shapes())[0]
    kernel = steps_of(around)
    return kernel + (1 - kernel.sum(1, keepdim=True)) * alone


@pytest.mark.parametrize("centre", [None, (7, 7), (7, 11), (2, 12)])
def test_pairs_are_placed_as_often_as_the_likelihood_says(
    around: Around, centre: tuple[int, int] | None
) -> None:
    """On their own, beside others, and mirrored at the window where they would leave the readout."""
    n = 40000
    middle = None if centre is None else torch.tensor([centre])
    with torch.no_grad():
        _, cell, energy, _ = draw(
            around,
            torch.full((n, 1), 2.0),
            centre=None if middle is None else middle.expand(n, -1),
        )
        alone = (around.mixing(torch.zeros(1, 2)).softmax(1) @ around.shapes())[0]
        part = torch.sigmoid(around.clusters.part_beside.bias) * (0.5 * 2 / 1.5)
        second = (1 - part) * alone + part * (alone @ kernel_of(around))
        expected = (alone + second) / 2
        if middle is not None:
            images, weights = around.cells.images(torch.arange(around.cells.n_cells), middle)
            expected = (expected[images] * weights).sum(1)
            inside = around.cells.inside(torch.arange(around.cells.n_cells), middle)
            expected = expected * inside
    found = torch.bincount(cell[energy > 0], minlength=around.cells.n_cells) / (2 * n)
    assert float(expected.sum()) == pytest.approx(1.0, abs=2e-3 if centre == (2, 12) else 1e-4)
    near = around.cells.places[:, 1] < around.cells.places[:, 1].median()
    assert float(found[near].sum()) == pytest.approx(float(expected[near].sum()), abs=0.01)
    if middle is None:
        error = (expected * (1 - expected) / (2 * n)).sqrt()
        assert ((found - expected).abs() / (error + 2e-4)).max() < 5


def test_a_second_hit_is_as_probable_as_its_shape_and_the_first_say(around: Around) -> None:
    n_cells = around.cells.n_cells
    pairs = torch.zeros(n_cells, n_cells, dtype=torch.bool)
    pairs[torch.arange(n_cells), torch.arange(n_cells)] = True
    pairs[:, 17] = True
    with torch.no_grad():
        alone_of = (around.mixing(torch.zeros(1, 2)).softmax(1) @ around.shapes())[0]
        cell = pairs.nonzero()[:, 1]
        found = around.clusters.probability(torch.zeros(n_cells, 2), pairs, alone_of[cell])
        second = (cell != 17) & (found != alone_of[cell])  # those that come after 17 in the order
        part = torch.sigmoid(around.clusters.part_beside.bias) * (0.5 * 2 / 1.5)
        first = alone_of[17] * steps_of(around)[17]  # of the second if its own cell is 17
        expected = (1 - part) * (alone_of + first) + part * kernel_of(around)[17]
    assert second.sum() > n_cells / 4
    torch.testing.assert_close(found[second], expected[cell[second]])


@pytest.mark.parametrize("others", [(17, 30), (17, None), (None, 30), (None, None)])
def test_probabilities_of_a_hit_between_others_sum_to_one(others: tuple[int | None, int | None]) -> None:
    """Of all cells of a hit whose layers before and after have a hit each, or none."""
    model = make(layers=3)
    n_cells = model.cells.n_cells
    hit = torch.zeros(n_cells, 3, n_cells, dtype=torch.bool)
    hit[torch.arange(n_cells), 1, torch.arange(n_cells)] = True
    for layer, cell in zip((0, 2), others, strict=True):
        if cell is not None:
            hit[:, layer, cell] = True
    hit = hit.flatten(0, 1)
    with torch.no_grad():
        model.clusters.part_across.bias.fill_(0.5)
        alone_of = (model.mixing(torch.zeros(1, 2)).softmax(1) @ model.shapes())[0]
        row, cell = hit.nonzero().unbind(1)
        found = model.clusters.probability(torch.zeros(3 * n_cells, 2), hit, alone_of[cell])
    middle = row % 3 == 1
    assert float(found[middle].sum()) == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(found[~middle], alone_of[cell[~middle]])
    assert (others == (None, None)) == torch.allclose(found[middle], alone_of)


def clustered(n: int, layers: int) -> tuple[Around, torch.Tensor]:
    """Showers of a model with many hits beside others, energies (n * layers, n_cells)."""
    model = make(3, directional=0, layers=layers)
    with torch.no_grad():
        model.clusters.part_beside.bias.fill_(0.0)
        model.clusters.part_across.bias.fill_(-0.5)
    return model, drawn(model, n, layers)


def drawn(model: Around, n: int, layers: int, seed: int = 1) -> torch.Tensor:
    """Energies of showers with four hits in each layer, (n * layers, n_cells)."""
    row, cell, energy, _ = draw(model, torch.full((n, layers), 4.0), seed)
    n_cells = model.cells.n_cells
    cells = torch.zeros(n * layers * n_cells).index_add(0, row * n_cells + cell, energy)
    return cells.reshape(n * layers, n_cells)


def test_the_likelihood_finds_how_hits_cluster() -> None:
    """Parts of the hits beside others of their layer, and of the layers before and after, are learnt."""
    model, cells = clustered(1000, 3)
    clusters = model.clusters
    with torch.no_grad():
        clusters.part_beside.bias.fill_(-2.0)
        clusters.part_across.bias.fill_(-2.0)
    optimizer = torch.optim.Adam(clusters.parameters(), 0.15)
    random = torch.Generator().manual_seed(1)
    for _ in range(60):
        shift = torch.rand(1000, generator=random).repeat_interleave(3) - 0.5
        loss = -model.likelihood(torch.zeros(3000, 2), cells, None, shift)[0] / 3000
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(torch.sigmoid(clusters.part_across.bias.detach())[0]) == pytest.approx(0.38, abs=0.08)
    assert float(clusters.across_logits.detach().softmax(0)[0]) == pytest.approx(0.42, abs=0.1)
    again = drawn(model, 1000, 3, seed=2)
    assert touching(model, again) == pytest.approx(touching(model, cells), rel=0.1)


def test_draws_are_as_probable_as_the_likelihood_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many hits in one another's way: the likelihood of draws, in their order, is flat where they were drawn."""
    model = make(3, directional=0, layers=3)
    core = model.clusters
    with torch.no_grad():
        core.part_beside.bias.fill_(0.0)
        core.part_across.bias.fill_(0.5)
    parameters = [core.part_beside.bias, core.part_across.bias, core.beside_logits, core.across_logits]
    n_cells, scores = model.cells.n_cells, []
    for seed in range(40):
        row, cell, energy, _ = draw(model, torch.full((400, 3), 7.0), seed)
        cells = torch.zeros(1200 * n_cells).index_add(0, row * n_cells + cell, energy)
        place = torch.zeros(1200 * n_cells, dtype=torch.long)
        place[(row * n_cells + cell)[energy > 0]] = torch.arange(len(row))[energy > 0]

        def as_drawn(
            number: torch.Tensor,
            row: torch.Tensor,
            cell: torch.Tensor,
            shift: torch.Tensor | None,
            place: torch.Tensor = place,
        ) -> tuple[torch.Tensor, torch.Tensor]:
            order = place[row * n_cells + cell].argsort()
            back = torch.empty_like(order).index_copy(0, order, torch.arange(len(order)))
            return order, back - (number.cumsum(0) - number)[row]

        monkeypatch.setattr(clusters, "order_of_hits", as_drawn)
        likelihood = model.likelihood(torch.zeros(1200, 2), cells.reshape(1200, n_cells), None)[0]
        slopes = torch.autograd.grad(likelihood / 400, parameters)
        scores.append(torch.stack([slopes[0][0], slopes[1][0], *slopes[2][:8:4], slopes[3][0]]))
    found = torch.stack(scores)
    pull = found.mean(0) / (found.std(0) / len(scores) ** 0.5)
    assert float(pull.abs().max()) < 4


def touching(model: Around, cells: torch.Tensor) -> float:
    """Hits that touch another one of their layer, on average."""
    row, cell = (cells > 0).nonzero().unbind(1)
    beside = model.cells.beside[:, :8][cell]
    there = (cells[row[:, None], beside.clamp(min=0)] > 0) & (beside >= 0)
    return float(there.sum() / len(row))


def test_every_second_layer_stands_beside_the_layers_around_it() -> None:
    """Hits of the layers between two others have more of them in the same cell; the first layer knows no other."""
    _, cells = clustered(3000, 3)
    hit = (cells > 0).reshape(3000, 3, -1).float()
    first, second, third = hit.unbind(1)
    same = (first * second).sum() / 3000, (second * third).sum() / 3000, (first * third).sum() / 3000
    assert same[0] > 1.5 * same[2]
    assert float(same[0]) == pytest.approx(float(same[1]), rel=0.15)


def test_hits_that_touch_others_have_more_energy() -> None:
    model = make(3, directional=0)
    with torch.no_grad():
        model.clusters.part_beside.bias.fill_(1.0)
        model.weights_beside[1:, 2] = 2.0
    row, cell, energy, _ = draw(model, torch.full((4000, 1), 4.0))
    n_cells = model.cells.n_cells
    cells = torch.zeros(4000 * n_cells).index_add(0, row * n_cells + cell, energy).reshape(4000, n_cells)
    row, cell = (cells > 0).nonzero().unbind(1)
    beside = model.cells.beside[:, :8][cell]
    touches = ((cells[row[:, None], beside.clamp(min=0)] > 0) & (beside >= 0)).any(1)
    assert cells[row, cell][touches].mean() > 1.3 * cells[row, cell][~touches].mean()


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
