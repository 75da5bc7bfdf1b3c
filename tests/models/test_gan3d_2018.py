"""The original 3D GAN: parameters, layers, losses as published."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from caloforge import detectors
from caloforge.errors import DetectorError
from caloforge.models import Batch
from caloforge.models.gan3d_2018 import Gan3D2018, Gan3D2018Config, Gan3D2018Discriminator, Gan3D2018Generator
from caloforge.models.gan3d_2018.approach import mape
from caloforge.models.gan3d_2018.networks import CELL_UNIT, LATENT, keras_same_padding
from caloforge.models.gan3d_2018.response import expected_sum, fit_response

BOTH = Gan3D2018Config(particles=("e-", "gamma"))


def parameter_count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def generator() -> Gan3D2018Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Gan3D2018Generator([11, 22]).eval()


def test_parameters_are_the_original_s(generator: Gan3D2018Generator) -> None:
    added = generator.particle.numel()
    assert added == 2 * LATENT
    assert parameter_count(generator) - added == 872_808
    statistics = 2 * (64 + 6)  # Keras counts the moving averages of both batch norms too
    assert parameter_count(generator) - added + statistics == 872_948


def test_operations_are_the_original_s(generator: Gan3D2018Generator) -> None:
    assert sum(multiply_accumulates(generator)) / 1e9 == pytest.approx(0.26, abs=0.005)


def multiply_accumulates(generator: Gan3D2018Generator) -> list[float]:
    found = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(module, nn.Conv3d | nn.Linear):
            found.append(module.weight[0].numel() * output.numel() / len(output))

    handles = [module.register_forward_hook(count) for module in generator.modules()]
    with torch.no_grad():
        generator(torch.tensor([[11.0, 1e4, 0, 0, 0, 0]]), torch.zeros(1, LATENT))
    for handle in handles:
        handle.remove()
    return found


def test_keras_settings(generator: Gan3D2018Generator) -> None:
    for norm in (generator.norm1, generator.norm2):
        assert norm.momentum == pytest.approx(0.01)
        assert norm.eps == pytest.approx(1e-3)
    assert keras_same_padding((6, 6, 8)) == (3, 4, 2, 3, 2, 3)  # z, y, x: the odd cell comes last
    assert generator.conv4.bias is None


def test_axes_are_layer_row_column(generator: Gan3D2018Generator) -> None:
    """The original's axes are x, y, z; ours are z, y, x."""
    incident, noise = (
        torch.tensor([[11.0, 5e4, 0, 0, 0, 0]]),
        torch.randn(1, LATENT, generator=torch.Generator().manual_seed(1)),
    )
    inside: list[torch.Tensor] = []
    handle = generator.conv4.register_forward_hook(lambda *a: inside.append(a[2]))
    with torch.no_grad():
        showers = generator(incident, noise)
    handle.remove()
    cells = inside[0].relu()[0, 0] * CELL_UNIT
    assert showers[0, 3, 4, 5] == cells[5, 4, 3]
    assert torch.equal(showers[0], cells.permute(2, 1, 0))


def test_discriminator_heads() -> None:
    discriminator = Gan3D2018Discriminator([11, 22]).eval()
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0], [22.0, 1e4, 0, 0, 0, 0]])
    showers = torch.ones(2, 25, 25, 25)
    logit, energy, total = discriminator(incident, showers)
    assert logit.shape == energy.shape == total.shape == (2,)
    torch.testing.assert_close(total, torch.full((2,), 25**3 / CELL_UNIT))
    assert not torch.sigmoid(logit).equal(logit)
    features = 8 * 11**3
    convolutions = (125 + 1) * 32 + (32 * 125 + 1) * 8 + 2 * (8 * 125 + 1) * 8 + 3 * 16
    assert parameter_count(discriminator) - 2 * features == convolutions + 2 * (features + 1)


def test_mape_divides_by_the_true_value() -> None:
    assert float(mape(torch.tensor([1.0, 4.0]), torch.tensor([2.0, 2.0]))) == pytest.approx(75.0)


def test_response_fit_recovers_a_parabola_in_log_energy() -> None:
    energy = torch.logspace(3, 5, 40)
    log = (energy / 1e5).log()
    ratio = 0.015 + 0.001 * log - 0.0002 * log**2
    incident = torch.zeros(40, 6)
    incident[:, 0], incident[:, 1] = 22, energy
    showers = torch.zeros(40, 1, 1, 1)
    showers[:, 0, 0, 0] = ratio * energy
    fitted = fit_response(Batch.whole(incident, showers), 22.0)
    torch.testing.assert_close(fitted, torch.tensor([0.015, 0.001, -0.0002]), rtol=1e-3, atol=1e-7)
    expected = expected_sum(fitted[None], torch.tensor([22.0]), incident)
    torch.testing.assert_close(expected, ratio * energy / CELL_UNIT, rtol=1e-4, atol=0.0)
    assert fit_response(Batch.whole(incident, showers), 11.0).eq(0).all()


def test_optimisers_are_keras_rmsprop() -> None:
    approach = Gan3D2018(detectors.load("clic-ecal"), BOTH)
    for _, optimizer in approach.optimizers().values():
        group = optimizer.param_groups[0]
        assert isinstance(optimizer, torch.optim.RMSprop)
        assert (group["lr"], group["alpha"], group["eps"]) == (1e-3, 0.9, 1e-7)
        assert group["momentum"] == 0
        assert not group["centered"]


def test_other_shapes_are_refused() -> None:
    text = detectors.toml("clic-ecal").replace("cells = [25, 25]", "cells = [24, 25]")
    with pytest.raises(DetectorError, match=r"makes \(25, 25, 25\) cells only"):
        Gan3D2018(detectors.parse(text), BOTH)


def test_zero_noise_and_no_energy_give_the_same_shower() -> None:
    """The input is z E: without either, the particle does not matter."""
    generator = Gan3D2018Generator([11, 22]).eval()
    incident = torch.tensor([[11.0, 1e4, 0, 0, 0, 0], [22.0, 5e4, 0, 0, 0, 0]])
    with torch.no_grad():
        showers = generator(incident, torch.zeros(2, LATENT))
    torch.testing.assert_close(showers[0], showers[1])
    assert math.isfinite(float(showers.sum()))
