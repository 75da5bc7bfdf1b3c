"""Likelihoods of cells made to fit a total, against enumeration and analytic cases."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from caloforge.models.parts.given_totals import log_density_of_parts, log_probability_of_hits


def test_all_sets_of_hits_have_probabilities_that_sum_to_one() -> None:
    logit = torch.tensor([2.0, -1.0, 0.3, -2.5, 0.0])
    for n_hits in range(1, 5):
        sets = torch.zeros(10, 5, dtype=torch.bool)
        found = list(combinations(range(5), n_hits))
        for row, chosen in enumerate(found):
            sets[row, list(chosen)] = True
        sets = sets[: len(found)]
        total = log_probability_of_hits(logit.expand(len(found), -1), sets).exp().sum()
        assert float(total) == pytest.approx(1.0, abs=0.01)


def test_hits_are_as_probable_as_drawing_finds_them() -> None:
    logit = torch.tensor([1.5, 0.0, -0.5, -2.0])
    random = torch.Generator().manual_seed(1)
    uniform = torch.rand((200_000, 4), generator=random, dtype=torch.float64)
    drawn = (logit + torch.logit(uniform)).topk(2, dim=1).indices.sort(1).values
    for pair in combinations(range(4), 2):
        hit = torch.zeros(1, 4, dtype=torch.bool)
        hit[0, list(pair)] = True
        found = float((drawn == torch.tensor(pair)).all(1).double().mean())
        assert float(log_probability_of_hits(logit[None], hit).exp()) == pytest.approx(found, abs=0.006)


def test_full_and_empty_passes_are_certain() -> None:
    hit = torch.tensor([[False, False], [True, True]])
    assert torch.equal(log_probability_of_hits(torch.randn(2, 2), hit), torch.zeros(2))


@pytest.mark.parametrize("further", [3.0, 20.0, -40.0])
def test_the_likelihood_of_hits_has_no_favourite_cut(further: float) -> None:
    hit = torch.tensor([[True, False, False, True, False]])
    logit = torch.tensor([[1.0, 0.5, -1.0, 0.2, -3.0]])
    there = log_probability_of_hits(logit + further, hit)
    torch.testing.assert_close(there, log_probability_of_hits(logit, hit), rtol=1e-3, atol=1e-3)


def test_parts_of_normals_follow_the_normal_of_their_difference() -> None:
    """The difference of two normal logarithms is normal, with the sum of variances."""
    mean, log_sigma = torch.tensor([[0.5], [-0.3]]), torch.tensor([[0.4], [0.7]]).log()
    raw, group = torch.zeros(2, 1), torch.zeros(2, dtype=torch.long)
    for difference in (-1.0, 0.0, 0.8, 2.0):
        value = torch.tensor([difference, 0.0])
        found = log_density_of_parts((raw, mean, log_sigma), value, group, 1)
        normal = torch.distributions.Normal(0.8, (0.4**2 + 0.7**2) ** 0.5)
        torch.testing.assert_close(found[0], normal.log_prob(torch.tensor(difference)), atol=0.01, rtol=0)


def test_parts_of_mixtures_integrate_to_one() -> None:
    raw = torch.tensor([[0.0, 1.0], [0.5, -0.5]])
    mean, log_sigma = torch.tensor([[-1.0, 1.0], [0.0, 0.5]]), torch.tensor([[0.5, 0.8], [0.6, 0.9]]).log()
    step = 0.05
    differences = torch.arange(-8.0, 8.0, step)
    values = torch.stack([differences, torch.zeros_like(differences)], 1)
    n = len(values)
    found = log_density_of_parts(
        (raw.repeat(n, 1), mean.repeat(n, 1), log_sigma.repeat(n, 1)),
        values.flatten(),
        torch.arange(n).repeat_interleave(2),
        n,
    )
    assert float(found.exp().sum() * step) == pytest.approx(1.0, abs=0.02)


def test_groups_of_one_number_say_nothing() -> None:
    mixture = (torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3, 1))
    found = log_density_of_parts(mixture, torch.tensor([0.1, 0.2, 5.0]), torch.tensor([0, 0, 2]), 3)
    assert float(found[0]) != 0
    assert torch.equal(found[1:], torch.zeros(2))
