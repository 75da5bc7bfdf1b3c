"""The modern 3D GAN: what holds exactly, whatever the weights."""

from __future__ import annotations

import math

import pytest
import torch

from caloforge import detectors
from caloforge.errors import InputError
from caloforge.models import Batch
from caloforge.models.gan3d import Gan3D, Gan3DConfig, Gan3DGenerator
from caloforge.models.gan3d.scores import ShowerShapes
from caloforge.testing import READOUTS, draw_incidents, synthetic_showers, train

N = 12
CONFIG = Gan3DConfig(
    particles=("e-", "gamma"), conditions=("particle", "energy"), hit_energy=0.3, most_hits=125
)
THRESHOLD = 0.015


@pytest.fixture(scope="module")
def generator() -> Gan3DGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        approach = Gan3D(detectors.load("clic-ecal"), CONFIG)
    made = approach.generator
    assert isinstance(made, Gan3DGenerator)
    return made.eval()


def draw_cells(generator: Gan3DGenerator, hits: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    context = torch.zeros(len(hits), 3)
    shapes, cells = (torch.randn((len(hits), n), generator=random) for n in generator.noise_sizes[1:])
    with torch.no_grad():
        return generator.draw_cells(context, hits, energy / generator.unit, shapes, cells)


def test_every_layer_gets_exactly_its_hits_and_energy(generator: Gan3DGenerator) -> None:
    random = torch.Generator().manual_seed(3)
    hits = torch.randint(0, 100, (N, 25), generator=random).float()
    energy = hits * (0.015 + torch.rand((N, 25), generator=random))
    showers = draw_cells(generator, hits, energy)
    assert torch.equal((showers > 0).sum((2, 3)).float(), hits)
    torch.testing.assert_close(showers.sum((2, 3)), energy, rtol=1e-4, atol=1e-4)


def test_no_hit_is_below_the_threshold(generator: Gan3DGenerator) -> None:
    hits = torch.full((N, 25), 40.0)
    showers = draw_cells(generator, hits, hits * 0.3)
    assert showers[showers > 0].min() >= THRESHOLD * (1 - 1e-5)


def test_empty_layers_stay_empty(generator: Gan3DGenerator) -> None:
    showers = draw_cells(generator, torch.zeros(N, 25), torch.zeros(N, 25))
    assert torch.count_nonzero(showers) == 0


def test_gradients_reach_all_weights_of_the_cells(generator: Gan3DGenerator) -> None:
    hits = torch.full((N, 25), 40.0)
    context = torch.zeros(N, 3)
    noise = (torch.randn(N, size) for size in generator.noise_sizes[1:])
    drawn = generator.draw_cells(context, hits, hits * 0.3, *noise)
    drawn.log1p().square().sum().backward()
    cells = {n: p for n, p in generator.named_parameters() if not n.startswith("layers.")}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in cells.values())
    generator.zero_grad()


def test_more_hits_than_allowed_is_an_error_that_says_what_to_set() -> None:
    detector = detectors.load("clic-ecal")
    approach = Gan3D(detector, Gan3DConfig(particles=("e-",), most_hits=10))
    crowded = torch.ones(4, *detector.shape)
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0]] * 4)
    with pytest.raises(InputError, match="most_hits"):
        approach.prepare(Batch.whole(incident, crowded))


def test_even_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        Gan3DConfig(window=12)


def test_all_cells_of_a_layer_can_be_hit() -> None:
    detector = detectors.parse(READOUTS["square"])
    approach = Gan3D(detector, Gan3DConfig(particles=("e-", "gamma"), hit_energy=1.0))
    hits = torch.full((2, 5), 49.0)
    showers = draw_cells(approach.generator, hits, hits)
    assert torch.equal((showers > 0).sum((2, 3)).float(), hits)


def score(shapes: ShowerShapes, scale: float, correlated: bool) -> float:
    random = torch.Generator().manual_seed(1)

    def showers(scale: float, correlated: bool) -> torch.Tensor:
        size = (4000, 1 if correlated else 5, 7, 7)
        return scale * (0.8 * torch.randn(size, generator=random)).exp().expand(-1, 5, 7, 7)

    return float(shapes.energy_score(showers(0.2, True), *(showers(scale, correlated) for _ in range(2))))


def test_the_energy_score_is_least_for_the_truth() -> None:
    shapes = ShowerShapes(detectors.parse(READOUTS["square"]), 0.2)
    truth = score(shapes, 0.2, True)
    assert truth < score(shapes, 0.25, True)
    assert truth < score(shapes, 0.16, True)
    assert truth < score(shapes, 0.2, False)  # layers that know nothing of each other


def test_shapes_of_a_single_cell() -> None:
    cells = torch.zeros(1, 5, 7, 7)
    cells[0, 0, 4, 5] = 1e5
    shapes = ShowerShapes(detectors.parse(READOUTS["square"]), 1.0)
    centroid_y, width_y, centroid_x, width_x, largest, core, *_ = shapes(cells)
    assert abs(float(centroid_y[0, 0]) - 1) < 1e-4
    assert abs(float(centroid_x[0, 0]) - 2) < 1e-4
    assert max(float(width_y[0, 0]), float(width_x[0, 0])) < 0.011
    assert abs(float(largest[0, 0]) - 4) < 1e-4
    assert float(core[0, 0]) == 0
    assert float(centroid_x[0, 1]) == 0
    torch.testing.assert_close(shapes.expand(shapes.compress(cells)), cells)


def test_100_steps_are_stable() -> None:
    detector = detectors.parse(READOUTS["square"])
    sample = synthetic_showers(detector, draw_incidents(detector, 8, ("particle", "energy")))
    config = Gan3D.size(Gan3DConfig(channels=4, window=5, discriminator_channels=4), detector, sample)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        approach = Gan3D(detector, config)
    approach.prepare(sample)
    losses = train(approach, sample, 100)
    assert all(math.isfinite(loss) for loss in losses.values())
    assert 0.1 < losses["discriminator"] < 2
