"""What layers of showers have in common: known cases."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from caloforge.models.nested3d.common import (
    about_layers,
    common_part,
    fit_common,
    residuals,
    squares,
)

N, LAYERS = 20_000, 10


def layers(strength: float, seed: int = 1) -> tuple[Tensor, Tensor, float]:
    """Layers that follow one common number, their weights, and the part of the variance of their sum in common."""
    random = torch.Generator().manual_seed(seed)
    alone = torch.randn((N, LAYERS), generator=random)
    common = strength * torch.randn((N, 1), generator=random)
    weights = torch.linspace(0.5, 1.5, LAYERS) / LAYERS
    shared = float((strength * weights.sum()) ** 2)
    # squares of single terms hold what each has of the common number, so a little less counts as common
    single = float((weights**2).sum()) * (1 + strength**2)
    whole = shared + float((weights**2).sum())
    return alone + common, weights.expand(N, -1), 1 - single / whole


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.5])
def test_the_common_part_of_a_sum_is_found(strength: float) -> None:
    values, weights, expected = layers(strength)
    energy = torch.linspace(-1, 1, N)[:, None]
    found = common_part(energy, fit_common(energy, *squares(values[..., None], weights[..., None])))
    assert found.shape == (N, 1)
    assert float(found.mean()) == pytest.approx(expected, abs=0.03)


def test_it_may_go_with_energy() -> None:
    energy = torch.linspace(-1, 1, N)[:, None]
    random = torch.Generator().manual_seed(2)
    values = torch.randn((N, LAYERS), generator=random)
    values += (0.6 + 0.6 * energy).clamp(0) * torch.randn((N, 1), generator=random)
    weights = torch.full((N, LAYERS), 1 / LAYERS)
    found = common_part(energy, fit_common(energy, *squares(values[..., None], weights[..., None])))[:, 0]
    assert float(found[: N // 10].mean()) < 0.2
    assert float(found[-N // 10 :].mean()) > 0.7


def test_two_energies_are_enough() -> None:
    values, weights, expected = layers(0.5)
    for low in (-1.0, 0.6):
        energy = torch.where(torch.arange(N) % 2 == 0, 1.0, low)[:, None]
        found = common_part(energy, fit_common(energy, *squares(values[..., None], weights[..., None])))
        assert float((found - expected).abs().max()) < 0.05


@pytest.mark.parametrize("strength", [0.3, 0.6])
def test_layers_are_independent_given_what_is_told(strength: float) -> None:
    """The covariances of different layers, given sqrt(c) S + sqrt(1 - c) noise, sum to little."""
    values, weights, _ = layers(strength, seed=3)
    terms = values * weights
    whole = terms.sum(1)
    single = float(terms.square().sum(1).mean())
    part = 1 - single / float(whole.square().mean())
    noise = torch.randn(N, generator=torch.Generator().manual_seed(4)) * whole.std()
    told = part**0.5 * whole + (1 - part) ** 0.5 * noise
    rest = terms - told[:, None] * (told @ terms / told.square().sum())
    covariance = rest.T @ rest / N
    between = float(covariance.sum() - covariance.diagonal().sum())
    raw = terms.T @ terms / N
    of_itself = (terms.T @ told / N).square().sum() / told.square().mean()  # one layer's share of the sum
    assert between == pytest.approx(float(of_itself), abs=0.02 * float(raw.sum()))
    assert between < 0.15 * float(raw.sum() - raw.diagonal().sum())


def test_a_linear_fit_takes_away_what_is_known() -> None:
    random = torch.Generator().manual_seed(5)
    hits = torch.randint(1, 20, (500, 4), generator=random).float()
    energy = hits * (1 + torch.rand((500, 4), generator=random))
    known = torch.cat([torch.ones(500, 4, 1), about_layers(hits, energy)], 2)
    true = (known[..., 1:2] * torch.tensor([1.0, 2.0, -1.0, 0.5])[:, None]) + 3
    hit = torch.ones(500, 4, dtype=torch.bool)
    hit[7, 2] = False
    rest = residuals(true, hit, known)
    assert float(rest.abs().max()) < 0.02
    assert float(rest[7, 2]) == 0
