"""How hits and energy of a layer are shared out among groups of cells."""

from __future__ import annotations

import itertools

import pytest
import torch

from caloforge.models.parts.shares import Shares, share_noise

N = 20000


@pytest.fixture(scope="module")
def shares() -> Shares:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = Shares(3, 2, 0.1, hidden=16, mixtures=3)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def draw(shares: Shares, hits: float, excess: float, most: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    random = share_noise(torch.randn(N, shares.noise_size, generator=torch.Generator().manual_seed(2)))
    inputs = torch.full((N, 2), 0.3)
    with torch.no_grad():
        return shares.sample(
            inputs, torch.full((N, 1), hits), torch.full((N, 1), excess), torch.tensor([most]), random
        )


def test_what_is_shared_adds_up_and_has_room(shares: Shares) -> None:
    hits, excess = draw(shares, 7.0, 2.0, [3.0, 2.0, 4.0])
    torch.testing.assert_close(hits.sum(1), torch.full((N,), 7.0))
    torch.testing.assert_close(excess.sum(1), torch.full((N,), 2.0))
    assert (hits <= torch.tensor([3.0, 2.0, 4.0])).all()
    assert (hits >= 0).all()
    assert (excess[hits == 0] < 1e-6).all()


def test_hits_are_drawn_as_often_as_the_likelihood_says(shares: Shares) -> None:
    """All ways to share two hits: their probabilities add up to one, and are those of the draws."""
    ways = [way for way in itertools.product(range(3), repeat=3) if sum(way) == 2]
    hits = torch.tensor(ways, dtype=torch.float32)
    with torch.no_grad():
        hidden = shares._hidden(torch.full((len(ways), 2), 0.3))
        loss = shares.loss(torch.full((len(ways), 2), 0.3), hits, hits * 0.5)
        numbers = shares._energy_numbers(hidden, hits)
        weight, mean, log_sigma = shares._mixture(numbers)
        mean = mean + shares._log_odds_of_hits(hits)[:, None]
        rest = hits.sum(1, keepdim=True) - hits @ shares.before
        shared = ((hits > 0) & (hits < rest))[:, None, :-1]
        odds = shares._odds(hits, hits * 0.5)[:, None]
        log_sigma = log_sigma.clamp(-5, 2)
        each = -0.5 * ((odds - mean) / log_sigma.exp()).square() - log_sigma - 0.9189385
        of_energy = torch.logsumexp(weight.log_softmax(1) + (each * shared).sum(2), 1)
        chance = (-loss - of_energy).exp()
    assert float(chance.sum()) == pytest.approx(1.0, abs=1e-4)
    drawn, _ = draw(shares, 2.0, 1.0, [9.0, 9.0, 9.0])
    for way, expected in zip(hits, chance, strict=True):
        assert float((drawn == way).all(1).float().mean()) == pytest.approx(float(expected), abs=0.015)
