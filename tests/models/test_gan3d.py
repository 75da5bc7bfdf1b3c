"""The modern 3D GAN: what holds exactly, whatever the weights."""

from __future__ import annotations

import pytest
import torch

from caloforge import detectors
from caloforge.errors import InputError
from caloforge.models._base import Batch
from caloforge.models.gan3d import Gan3D, Gan3DConfig, Gan3DGenerator

N = 12


@pytest.fixture(scope="module")
def generator() -> Gan3DGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        approach = Gan3D(detectors.load("clic-ecal"), Gan3DConfig(approach="gan3d"))
    made = approach.generator
    assert isinstance(made, Gan3DGenerator)
    return made.eval()


def draw_cells(generator: Gan3DGenerator, hits: torch.Tensor, energy: torch.Tensor) -> torch.Tensor:
    random = torch.Generator().manual_seed(2)
    context = torch.zeros(len(hits), 3)
    shapes, cells = (torch.randn((len(hits), n), generator=random) for n in generator.noise_sizes[1:])
    with torch.no_grad():
        return generator.cells(context, hits, energy, shapes, cells)


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
    assert showers[showers > 0].min() >= 0.015


def test_empty_layers_stay_empty(generator: Gan3DGenerator) -> None:
    showers = draw_cells(generator, torch.zeros(N, 25), torch.zeros(N, 25))
    assert torch.count_nonzero(showers) == 0


def test_gradients_reach_all_weights_of_the_cells(generator: Gan3DGenerator) -> None:
    hits = torch.full((N, 25), 40.0)
    context = torch.zeros(N, 3)
    noise = (torch.randn(N, size) for size in generator.noise_sizes[1:])
    drawn = generator.cells(context, hits, hits * 0.3, *noise)
    drawn.log1p().square().sum().backward()
    cells = {n: p for n, p in generator.named_parameters() if not n.startswith("layers.")}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in cells.values())
    generator.zero_grad()


def test_more_hits_than_allowed_is_an_error_that_says_what_to_set() -> None:
    detector = detectors.load("clic-ecal")
    approach = Gan3D(detector, Gan3DConfig(approach="gan3d", most_hits=10))
    crowded = torch.ones(4, *detector.shape)
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0]] * 4)
    with pytest.raises(InputError, match="most_hits"):
        approach.prepare(Batch(incident, crowded))


def test_even_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        Gan3DConfig(approach="gan3d", window=12)


def test_of_two_opposite_cells_outside_the_window_at_most_one_is_hit(generator: Gan3DGenerator) -> None:
    showers = draw_cells(generator, torch.full((N, 25), 100.0), torch.full((N, 25), 30.0))
    opposite = showers.flip(2, 3)
    both = (showers > 0) & (opposite > 0)
    rows, columns = generator.window
    both[:, :, rows, columns] = False
    assert not both.any()
