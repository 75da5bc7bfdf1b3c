"""The parametrised shower: profiles that are what they are called, and a fit that finds what was put in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from caloforge import detectors
from caloforge.errors import InputError
from caloforge.models import Batch
from caloforge.models.parametrised import (
    Parametrised,
    ParametrisedConfig,
    ParametrisedGenerator,
    longitudinal,
    radial,
    spots,
)
from caloforge.models.parametrised.fit import smoothing
from caloforge.models.parametrised.generator import gamma_factor, redistribute

SMALL = """
name = "small"
threshold = 0.015
physics = { production_cut = 0.7 }
readout = { kind = "cartesian", cells = [9, 9], size = [5.0, 5.0] }
[[stack]]
repeat = 12
slices = [{ material = "G4_W", thickness = 6.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""
DETECTOR = detectors.parse(SMALL)
N = 1500
BOTH = ("e-", "gamma")


def made(detector: detectors.Detector = DETECTOR, response: float = 0.0) -> ParametrisedGenerator:
    """A generator with plausible numbers."""
    generator = Parametrised(detector, ParametrisedConfig(particles=BOTH)).generator
    assert isinstance(generator, ParametrisedGenerator)
    generator.means[:] = torch.tensor([[1.8, 0.17, 0.0], [1.1, 0.15, 0.0], [-3.5 + response, 0.0, 0.0]])
    generator.spreads[:] = torch.tensor([[-2.0, -0.1, 0.0], [-1.7, -0.1, 0.0], [-3.0, -0.2, 0.0]])
    generator.slopes[:, 1, 0, 0] = 0.1
    generator.radial[:, 0] = torch.tensor([1.0, 1.2, 0.7, -5.0])
    spot = np.random.default_rng(1).gamma(1.5, 0.15, 20_000) + 0.015
    spot = np.quantile(spot, (np.arange(500) + 0.5) / 500)
    generator.spot_mean.fill_(spot.mean())
    generator.spot_size.fill_((spot**2).mean() / spot.mean())
    generator.table.copy_(torch.from_numpy(spots.quantile_table(spot)))
    generator.track.copy_(torch.linspace(0.15, 0.08, len(generator.track)))
    return generator


def incidents(n: int, seed: int = 1) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    incident = np.zeros((n, 6), np.float32)
    incident[:, 0], incident[:, 1] = np.resize([11, 22], n), np.exp(rng.uniform(np.log(1e3), np.log(1e5), n))
    return torch.from_numpy(incident)


def draw(generator: ParametrisedGenerator, incident: torch.Tensor, seed: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        return generator(incident, torch.randn(len(incident), generator.noise_size, generator=random))


def test_the_gamma_profile_has_its_maximum_at_t_and_integrates_to_one() -> None:
    depth = torch.linspace(-5, 80, 85_001, dtype=torch.float64)
    for maximum, alpha in ((4.0, 2.5), (7.5, 4.2), (9.0, 6.0)):
        density = longitudinal.profile(depth, torch.tensor(maximum), torch.tensor(alpha))
        assert float(depth[density.argmax()]) == pytest.approx(maximum, abs=0.002)
        assert float(torch.trapezoid(density, depth)) == pytest.approx(1, abs=1e-3)
        assert not density[depth <= 0].any()


def test_log_gamma() -> None:
    x = torch.linspace(1, 40, 200, dtype=torch.float64)
    torch.testing.assert_close(longitudinal.log_gamma(x), torch.lgamma(x), rtol=1e-5, atol=1e-5)


def test_the_radial_profile_integrates_to_one_and_is_the_rational_function() -> None:
    far = torch.tensor(1e5, dtype=torch.float64)
    for radius in (0.5, 3.0, 40.0):
        r = torch.tensor(radius, dtype=torch.float64)
        assert float(4 * radial.quadrant(far, far, r)) == pytest.approx(1, abs=1e-4)
        x = torch.linspace(0, 10, 400, dtype=torch.float64)
        density = radius**2 / (torch.pi * (x[:, None] ** 2 + x**2 + radius**2) ** 2)
        numerical = torch.trapezoid(torch.trapezoid(density, x), x)
        assert float(radial.quadrant(x[-1], x[-1], r)) == pytest.approx(float(numerical), rel=3e-3)


@pytest.mark.parametrize("cells", ["cells = [5, 5], size = [4.0, 4.0]", "cells = [4, 6], size = [3.0, 5.0]"])
def test_cells_share_the_whole_profile(cells: str) -> None:
    detector = detectors.parse(SMALL.replace("cells = [9, 9], size = [5.0, 5.0]", cells))
    lateral = radial.RadialProfile(detector)
    one = torch.ones(())
    parts = lateral.absolute(0.7 * one, 3 * one, 0.6 * one)
    total = float((parts * lateral.counts).sum())
    half_y, half_x = (
        n * size / 2 for n, size in zip(detector.readout.cells, detector.readout.size, strict=True)
    )
    x, y = torch.tensor(half_x), torch.tensor(half_y)
    inside = 4 * (0.6 * radial.quadrant(x, y, 0.7 * one) + 0.4 * radial.quadrant(x, y, 3 * one))
    assert total == pytest.approx(float(inside), abs=1e-4)
    relative = lateral(0.7 * one, 3 * one, 0.6 * one)
    assert float((relative * lateral.counts).sum()) == pytest.approx(1, abs=1e-5)
    square = parts[lateral.class_of].reshape(detector.readout.cells)
    flat = square.flatten()
    for moved in torch.from_numpy(detector.destinations()[:, : flat.numel()]):
        torch.testing.assert_close(flat[moved], flat)


def test_far_cells_are_integrated_as_near_ones() -> None:
    x, y, h = 20.0, 15.0, 5.0
    for radius in (1.0, 6.0, 50.0):
        r = torch.tensor([radius], dtype=torch.float64)
        ends = [torch.tensor(v, dtype=torch.float64) for v in (x - h / 2, x + h / 2, y - h / 2, y + h / 2)]
        q = [radial.quadrant(a, b, r) for a in ends[:2] for b in ends[2:]]
        exact = q[3] - q[2] - q[1] + q[0]
        far = radial.average(torch.tensor([[x, y]], dtype=torch.float64), (h, h), r)
        assert float(far) == pytest.approx(float(exact), rel=2e-3)


def test_cells_are_compound_poisson() -> None:
    spot = np.random.default_rng(1).gamma(1.5, 0.15, 20_000) + 0.015
    spot = np.quantile(spot, (np.arange(1000) + 0.5) / 1000)
    table = torch.from_numpy(spots.quantile_table(spot))
    random = torch.Generator().manual_seed(1)
    n = 200_000
    for number in (0.02, 0.5, 4.0, 60.0, 800.0):
        uniform = torch.rand(1, n, generator=random)
        drawn = spots.draw_cells(torch.tensor([[number]]), torch.zeros(n, dtype=torch.int64), table, uniform)
        mean, variance = number * spot.mean(), number * (spot**2).mean()
        assert float(drawn.mean()) == pytest.approx(mean, rel=0.02, abs=5 * np.sqrt(variance / n))
        assert float(drawn.var()) == pytest.approx(variance, rel=0.06)
        assert float((drawn > 0).float().mean()) == pytest.approx(-np.expm1(-number), rel=0.03)


def test_cells_with_one_spot_have_the_energies_of_spots() -> None:
    spot = np.quantile(np.random.default_rng(1).gamma(1.5, 0.15, 20_000), (np.arange(1000) + 0.5) / 1000)
    table = torch.from_numpy(spots.quantile_table(spot))
    uniform = torch.rand(1, 200_000, generator=torch.Generator().manual_seed(1)) * 1e-3
    cells = torch.zeros(200_000, dtype=torch.int64)
    drawn = spots.draw_cells(torch.tensor([[1e-3]]), cells, table, uniform)
    quantiles = np.linspace(0.05, 0.95, 10)
    np.testing.assert_allclose(
        np.quantile(drawn[drawn > 0].numpy(), quantiles), np.quantile(spot, quantiles), rtol=0.03
    )


def test_fluctuations_of_layers_have_their_moments_and_keep_the_sum() -> None:
    normal = torch.randn(300_000, generator=torch.Generator().manual_seed(1))
    for shape in (2.0, 20.0):
        factor = gamma_factor(torch.tensor(shape), normal)
        assert float(factor.mean()) == pytest.approx(1, abs=0.02)
        assert float(factor.var()) == pytest.approx(1 / shape, rel=0.1)
    energies = torch.rand(10, 12)
    moved = redistribute(energies, gamma_factor(torch.tensor(3.0), normal[:120].reshape(10, 12)))
    torch.testing.assert_close(moved.sum(1), energies.sum(1))
    assert not torch.allclose(moved, energies)


def test_shapes_of_noiseless_showers_are_found() -> None:
    depth = np.linspace(0.7, 23, 30)[None].repeat(4, 0)
    maximum, alpha = np.array([4.0, 5.5, 7.0, 9.0]), np.array([2.5, 3.5, 4.0, 5.5])
    shown = longitudinal.profile(*(torch.from_numpy(v) for v in (depth, maximum[:, None], alpha[:, None])))
    incident = np.array([1e3, 5e3, 2e4, 8e4])
    energies = 0.02 * incident[:, None] * shown.numpy()
    found = longitudinal.estimate(energies, incident, depth, np.ones_like(depth), np.full(4, 1e9), steps=60)
    np.testing.assert_allclose(np.exp(found.log_maximum), maximum, rtol=0.01)
    np.testing.assert_allclose(np.exp(found.log_alpha) + 1, alpha, rtol=0.02)
    np.testing.assert_allclose(np.exp(found.log_response), 0.02, rtol=0.01)


def test_correlated_normal_numbers_are_found() -> None:
    rng = np.random.default_rng(1)
    log_energy = rng.uniform(-2.3, 2.3, 40_000)
    first = rng.standard_normal(40_000)
    values = np.stack(
        [
            1.8 + 0.2 * log_energy + np.exp(-2 - 0.2 * log_energy) * first,
            1.1 + 0.1 * first + 0.3 * rng.standard_normal(40_000),
            -4 + 0.05 * rng.standard_normal(40_000),
        ],
        1,
    )
    found = longitudinal.fit_correlated(values, log_energy)
    np.testing.assert_allclose(found.means[0], [1.8, 0.2, 0], atol=0.01)
    np.testing.assert_allclose(found.spreads[0], [-2, -0.2, 0], atol=0.03)
    np.testing.assert_allclose(found.slopes[1, 0], [0.1, 0], atol=0.01)
    np.testing.assert_allclose(np.exp(found.spreads[1:, 0]), [0.3, 0.05], rtol=0.02)


def test_photons_start_deeper() -> None:
    generator = made()
    showers = draw(generator, incidents(2000))
    layers = showers.sum((2, 3))
    centre = (layers * generator.depth).sum(1) / layers.sum(1)
    electrons, photons = centre[0::2], centre[1::2]
    assert 0.5 < float(photons.mean() - electrons.mean()) < 9 / 7 + 0.5


@pytest.fixture(scope="module")
def fitted() -> tuple[Batch, ParametrisedGenerator]:
    """A generator fitted to showers of another."""
    incident = incidents(N)
    sample = Batch.whole(incident, draw(made(), incident))
    approach = Parametrised(DETECTOR, ParametrisedConfig(particles=BOTH, drawn=N, iterations=6))
    approach.prepare(sample)
    generator = approach.generator
    assert isinstance(generator, ParametrisedGenerator)
    return sample, generator


def test_the_mean_response_and_its_spread_are_reproduced(fitted) -> None:
    sample, generator = fitted
    showers = draw(generator, sample.incident, seed=3)
    log_energy = sample.incident[:, 1].log()
    for pdg in (11, 22):
        for low, high in ((7.0, 8.5), (8.5, 10.0), (10.0, 11.6)):
            chosen = (sample.incident[:, 0] == pdg) & (log_energy > low) & (log_energy <= high)
            drawn, given = (
                (s[chosen].sum((1, 2, 3)) / sample.incident[chosen, 1]) for s in (showers, sample.showers)
            )
            error = float((drawn.var() + given.var()).sqrt() / chosen.sum() ** 0.5 / given.mean())
            assert float(drawn.mean() / given.mean()) == pytest.approx(1, abs=0.01 + 4 * error)
            assert float(drawn.std() / given.std()) == pytest.approx(1, abs=0.35)


def test_profiles_are_reproduced(fitted) -> None:
    sample, generator = fitted
    showers = draw(generator, sample.incident, seed=3)
    for axes in ((0, 2, 3), (0, 1, 3), (0, 1, 2)):
        drawn, given = (s.sum(axes) / s.sum() for s in (showers, sample.showers))
        assert float((drawn - given).abs().sum()) < 0.06
    ratio = float((showers > 0).sum() / (sample.showers > 0).sum())
    assert ratio == pytest.approx(1, abs=0.05)


def test_energies_outside_those_fitted_give_finite_showers(fitted) -> None:
    generator = fitted[1]
    incident = incidents(4)
    incident[:, 1] = torch.tensor([1.0, 100.0, 1e6, 1e8])
    showers = draw(generator, incident)
    assert torch.isfinite(showers).all()
    assert (showers.sum((1, 2, 3)).diff() > 0).all()


def test_one_particle_is_enough() -> None:
    incident = incidents(200)
    incident[:, 0] = 22
    sample = Batch.whole(incident, draw(made(), incident))
    approach = Parametrised(DETECTOR, ParametrisedConfig(particles=("gamma",), drawn=200, iterations=1))
    approach.prepare(sample)
    assert torch.isfinite(draw(approach.generator, incident)).all()


def test_errors() -> None:
    incident = incidents(60)
    sample = Batch.whole(incident, draw(made(), incident))
    electrons = incident[:, 0] == 11
    approach = Parametrised(DETECTOR, ParametrisedConfig(particles=BOTH))
    with pytest.raises(InputError, match="gets 0 showers of gamma that are not empty, at least 20"):
        approach.prepare(Batch.whole(incident[electrons], sample.showers[electrons]))
    with pytest.raises(InputError, match="gets 0 showers of e-"):
        approach.prepare(Batch.whole(incident, torch.zeros_like(sample.showers)))
    with pytest.raises(ValidationError, match="unknown particle"):
        ParametrisedConfig(particles=("fotone",))


def test_starting_depth_is_in_the_gap() -> None:
    depth = np.array([0.7, 1.4, 2.8])
    found = longitudinal.starting_depth(np.array([0, 1, 2]), depth, 9 / 7)
    assert (found > [0, 0.7, 1.4]).all()
    assert (found < (np.array([0, 0.7, 1.4]) + depth) / 2).all()


def test_smoothing_correlates_neighbours() -> None:
    mix = smoothing(0.6, 8)
    assert float((mix.T @ mix)[3, 5]) == pytest.approx(0.36, abs=1e-5)


def test_the_fit_follows_the_seed_of_the_recipe() -> None:
    incident = incidents(60)
    sample = Batch.whole(incident, draw(made(), incident))

    def means(seed: int) -> torch.Tensor:
        approach = Parametrised(
            DETECTOR, ParametrisedConfig(particles=BOTH, drawn=60, iterations=1, seed=seed)
        )
        approach.prepare(sample)
        return approach.generator.means

    assert not torch.equal(means(1), means(2))


def test_incidents_off_the_centre_are_refused() -> None:
    incident = incidents(60)
    sample = Batch.whole(incident, draw(made(), incident))
    incident[:, 4] = 2.0
    with pytest.raises(InputError, match=r"incidents at \(0, 0\) only"):
        Parametrised.size(ParametrisedConfig(particles=BOTH), DETECTOR, sample)
