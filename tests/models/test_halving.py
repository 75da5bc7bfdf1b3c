"""The model of one split: probabilities, and limits."""

from __future__ import annotations

import pytest
import torch

from caloforge.models.parts.halving import Halving, split_noise
from caloforge.models.parts.mixtures import log_normal

N = 20000


@pytest.fixture(scope="module")
def halving() -> Halving:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = Halving(4, hidden=16, mixtures=3)
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return made.eval()


def test_probabilities_of_hits_add_up_to_one(halving: Halving) -> None:
    """Without energies (all hits on one side have none to share), exp(-loss) is a probability of hits."""
    first = halving.first(torch.randn(1, 4, generator=torch.Generator().manual_seed(1)))
    part = torch.arange(8.0)
    hits = torch.stack([part, 7 - part], 1)
    with torch.no_grad():
        hidden = halving._hidden(first.expand(8, -1))
        inputs = halving._with_hits(hidden, hits, torch.full((8, 1), 2.0))
        loss = halving.loss(first.expand(8, -1), hits, torch.tensor([[1.0, 1.0]]).expand(8, -1))
        weight, mean, log_sigma = halving.of_energy(inputs).split(3, 1)
        even = torch.zeros(8, 1)
        of_energy = torch.logsumexp(weight.log_softmax(1) + log_normal(mean, log_sigma, even), 1)
        of_energy = of_energy * ((part > 0) & (part < 7))
    total = (-loss - of_energy).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-4)


def test_hits_are_drawn_as_often_as_the_likelihood_says(halving: Halving) -> None:
    random = torch.Generator().manual_seed(2)
    first = halving.first(torch.randn(1, 4, generator=random)).detach()
    with torch.no_grad():
        noise = split_noise(torch.randn(N, 4, generator=random))
        drawn = halving.sample(first.expand(N, -1), torch.full((N, 1), 2.0), torch.full((N, 1), 0.5), noise)
        for part in (0.0, 2.0):  # nothing to share out: the loss is of the hits alone
            loss = halving.loss(first, torch.tensor([[part, 2 - part]]), torch.tensor([[part, 2 - part]]) / 4)
            expected = float((-loss).exp())
            assert float((drawn[:, 0] == part).float().mean()) == pytest.approx(expected, abs=0.015)


def test_parts_stay_within_the_piece(halving: Halving) -> None:
    random = torch.Generator().manual_seed(3)
    inputs = torch.randn(N, 4, generator=random)
    hits = torch.randint(0, 5, (N, 1), generator=random).float()
    excess = torch.rand(N, 1, generator=random) * (hits > 0)
    with torch.no_grad():
        part, front = halving.sample(
            halving.first(inputs), hits, excess, split_noise(torch.randn(N, 4, generator=random))
        ).split(1, 1)
    assert ((part >= 0) & (part <= hits)).all()
    assert ((front >= 0) & (front <= excess)).all()
    assert (front[(part == 0)] == 0).all()
    assert torch.equal(front[part == hits], excess[part == hits])
