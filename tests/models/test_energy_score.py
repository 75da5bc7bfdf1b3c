"""The energy score is least for the true distribution."""

from __future__ import annotations

import torch

from caloforge.models._energy_score import centred, compress, energy_score, layer_shapes

PLACE = torch.arange(5.0) - 2
WHOLE = (slice(None), slice(None))


def showers(n: int, scale: float, correlated: bool, random: torch.Generator) -> torch.Tensor:
    shape = (n, 1, 5, 5) if correlated else (n, 4, 5, 5)
    return scale * (0.8 * torch.randn(shape, generator=random)).exp().expand(n, 4, 5, 5)


def score(scale: float, correlated: bool) -> float:
    random = torch.Generator().manual_seed(1)
    real = showers(4000, 0.2, True, random)
    fakes = (showers(4000, scale, correlated, random) for _ in range(2))
    return float(energy_score(real, *fakes, PLACE, PLACE, 0.015, WHOLE))


def test_the_truth_scores_best() -> None:
    truth = score(0.2, True)
    assert truth < score(0.25, True)
    assert truth < score(0.16, True)


def test_lost_correlations_between_layers_are_seen() -> None:
    assert score(0.2, True) < score(0.2, False)


def test_shapes_of_a_single_cell() -> None:
    cells = torch.zeros(1, 2, 5, 5)
    cells[0, 0, 3, 4] = 10.0
    centre_y, width_y, centre_x, width_x, largest, core, *_ = layer_shapes(cells, PLACE, PLACE, 1e-6)
    assert abs(float(centre_y[0, 0]) - 1) < 1e-4
    assert abs(float(centre_x[0, 0]) - 2) < 1e-4
    assert max(float(width_y[0, 0]), float(width_x[0, 0])) < 0.011
    assert abs(float(largest[0, 0]) - 4) < 1e-4
    assert float(core[0, 0]) == 0
    assert float(centre_x[0, 1]) == 0


def test_compression_keeps_zero_and_order() -> None:
    values = torch.tensor([0.0, 0.015, 0.1, 50.0])
    found = compress(values)
    assert found[0] == 0
    assert torch.all(found.diff() > 0)


def test_positions_in_cells() -> None:
    torch.testing.assert_close(centred(torch.tensor([-10.2, -5.1, 0.0])), torch.tensor([-2.0, -1.0, 0.0]))
