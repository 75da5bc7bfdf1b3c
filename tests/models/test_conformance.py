"""What every approach must do, whatever it is: one suite, run for each of `models.APPROACHES`."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from caloforge import detectors, models
from caloforge.detectors import Detector
from caloforge.models._base import Approach, Batch, Generator, Step
from caloforge.training import checkpoint

SMALL = """
name = "small"
production_cut = 0.7
threshold = 0.015
readout = { kind = "cartesian", cells = [7, 7], size = [5.0, 5.0] }
[[stack]]
repeat = 5
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""


@dataclass(frozen=True)
class Case:
    """How an approach is tested: the smallest detector and hyper-parameters that it allows.

    Attributes:
        detector: None stands for the small detector.
        config: Hyper-parameters other than their defaults.
        showers: In the tiny sample that it overfits.
        steps: Steps that it gets for that.
    """

    detector: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    showers: int = 32
    steps: int = 60


CASES = {
    "gan3d-2018": Case(detector="clic-ecal", showers=2, steps=6),
    "library": Case(steps=0),
    "parametrised": Case(config={"drawn": 500, "iterations": 5}, showers=64, steps=0),
}
"""Cases of approaches that need other than the defaults."""

PDGS, ENERGIES = (11.0, 22.0), (5e3, 2e4, 8e4)


@pytest.fixture(params=sorted(models.APPROACHES))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    module = models.APPROACHES[found].partition(":")[0]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not there yet")
    return found


@cache
def prepared(name: str) -> tuple[Approach[Any], Batch]:
    """An approach prepared on a few synthetic showers, and those."""
    approach = make(name)
    sample = synthetic(approach.detector, 64)
    approach.prepare(sample)
    for network in approach.networks.values():
        network.eval()
    return approach, sample


def make(name: str, seed: int = 1) -> Approach[Any]:
    case = CASES.get(name, Case())
    detector = detectors.load(case.detector) if case.detector else detectors.parse(SMALL)
    kind = models.get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(detector, kind.config_type(approach=name, **case.config))


def synthetic(detector: Detector, n: int) -> Batch:
    """Showers of 1.5 % response, gamma-like along z, exponential in r, with fluctuations and empty cells."""
    rng = np.random.default_rng(1)
    pdg = np.resize(PDGS, n)
    energy = np.exp(rng.uniform(np.log(1e3), np.log(1e5), n))
    layers, rows, columns = (np.arange(k, dtype=float) for k in detector.shape)
    radius = np.hypot(rows[:, None] - rows.mean(), columns - columns.mean())
    depth = len(layers) * (0.1 + 0.02 * np.log(energy / 1e3) + 0.02 * (pdg == 22))
    profile = (layers + 0.2) ** 2 * np.exp(-2 * layers / depth[:, None])
    cells = profile[:, :, None, None] * np.exp(-radius) * rng.gamma(2, 0.5, (n, *detector.shape))
    cells *= (0.015 * energy / cells.sum((1, 2, 3)))[:, None, None, None]
    cells[cells < detector.threshold] = 0
    incident = np.stack([pdg, energy, *np.zeros((4, n))], 1)
    return Batch(torch.from_numpy(incident.astype(np.float32)), torch.from_numpy(cells.astype(np.float32)))


def inputs(generator: Generator, n: int = 6, seed: int = 2) -> tuple[Tensor, Tensor]:
    incident = torch.zeros(n, 6)
    incident[:, 0] = torch.tensor(np.resize(PDGS, n), dtype=torch.float32)
    incident[:, 1] = torch.tensor(np.resize(ENERGIES, n), dtype=torch.float32)
    noise = torch.randn(n, generator.noise_size, generator=torch.Generator().manual_seed(seed))
    return incident, noise


@torch.no_grad()
def draw(generator: Generator, incident: Tensor, noise: Tensor) -> Tensor:
    showers: Tensor = generator(incident, noise)
    return showers


def test_shape_kind_and_values(name: str) -> None:
    approach, _ = prepared(name)
    assert approach.name == name
    showers = draw(approach.generator, *inputs(approach.generator))
    assert showers.shape == (6, *approach.detector.shape)
    assert showers.dtype == torch.float32
    assert torch.isfinite(showers).all()
    assert (showers >= 0).all()
    assert (showers > 0).any()


def test_it_is_a_function_of_its_inputs(name: str) -> None:
    generator = prepared(name)[0].generator
    incident, noise = inputs(generator)
    first = draw(generator, incident, noise)
    torch.manual_seed(99)
    assert torch.equal(draw(generator, incident, noise), first)
    assert not torch.equal(draw(generator, incident, inputs(generator, seed=3)[1]), first)


def test_each_shower_is_independent_of_its_batch(name: str) -> None:
    generator = prepared(name)[0].generator
    incident, noise = inputs(generator)
    together = draw(generator, incident, noise)
    alone = torch.cat([draw(generator, incident[i : i + 1], noise[i : i + 1]) for i in range(len(noise))])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)


def test_it_responds_to_energy_and_particle(name: str) -> None:
    generator = prepared(name)[0].generator
    incident, noise = inputs(generator, 1)
    showers = draw(generator, incident, noise)
    for column, value in ((0, 22.0), (1, 6e4)):
        changed = incident.clone()
        changed[:, column] = value
        assert not torch.allclose(draw(generator, changed, noise), showers)


def test_the_same_seed_makes_the_same_weights(name: str) -> None:
    first, second, other = make(name), make(name), make(name, seed=2)
    assert equal(first, second)
    if first.fitted:  # nothing is drawn before the fit: then the fit is what must repeat
        sample = synthetic(first.detector, 64)
        first.prepare(sample)
        second.prepare(sample)
        assert equal(first, second)
        assert not equal(first, other)
    else:
        assert not equal(first, other)


def equal(first: Approach[Any], second: Approach[Any]) -> bool:
    one, two = first.generator.state_dict(), second.generator.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_steps_are_there_unless_it_is_fitted(name: str) -> None:
    approach = make(name)
    step = Step(approach.networks, {}, lambda loss: loss.backward(), torch.Generator(), 0.0)
    if approach.fitted:
        with pytest.raises(TypeError, match="no training steps"):
            approach.training_step(synthetic(approach.detector, 2), step)
    else:
        assert approach.optimizers()


def test_every_network_has_an_optimiser_of_its_own(name: str) -> None:
    approach = make(name)
    if approach.fitted:  # neither has anything to train
        assert approach.optimizers() == {}
        assert list(approach.generator.parameters()) == []
        return
    owned: list[int] = []
    for network, optimizer in approach.optimizers().values():
        inside = {id(p) for p in approach.networks[network].parameters()}
        ours = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert set(ours) <= inside
        owned += ours
    assert len(owned) == len(set(owned))
    assert "generator" in {network for network, _ in approach.optimizers().values()}


def test_save_and_load(name: str, tmp_path: Path) -> None:
    approach, _ = prepared(name)
    path = tmp_path / "generator.safetensors"
    checkpoint.write(path, approach.generator.state_dict(), {})
    other = make(name, seed=5)
    checkpoint.load_network(other.generator, checkpoint.read(path)[0], str(path))
    other.generator.eval()
    arguments = inputs(approach.generator)
    assert torch.equal(draw(other.generator, *arguments), draw(approach.generator, *arguments))


def test_it_overfits_a_tiny_sample(name: str) -> None:
    """Some steps on few showers bring response and longitudinal profile nearer, and leave all finite."""
    case = CASES.get(name, Case())
    approach = make(name)
    sample = synthetic(approach.detector, case.showers)
    approach.prepare(sample)
    before = distance(approach, sample)
    losses = {} if approach.fitted else train(approach, sample, case.steps)
    assert all(np.isfinite(value) for value in losses.values())
    assert distance(approach, sample) < (0.15 if approach.fitted else max(0.5 * before, 0.3))


def distance(approach: Approach[Any], sample: Batch) -> float:
    """Mean |ln(drawn / true)| of the visible energy and of each third of the layers."""
    generator = approach.generator.eval()
    noise = torch.randn(len(sample), generator.noise_size, generator=torch.Generator().manual_seed(4))
    drawn = draw(generator, sample.incident, noise).sum((2, 3))
    true = sample.showers.sum((2, 3))
    parts = [
        (d.sum(), t.sum()) for d, t in zip(drawn.tensor_split(3, 1), true.tensor_split(3, 1), strict=True)
    ]
    ratios = [(drawn.sum() + 1) / (true.sum() + 1), *((d + 1) / (t + 1) for d, t in parts)]
    return float(np.mean([abs(np.log(float(ratio))) for ratio in ratios]))


def train(approach: Approach[Any], sample: Batch, steps: int) -> dict[str, float]:
    optimizers = {key: optimizer for key, (_, optimizer) in approach.optimizers().items()}
    losses: dict[str, Tensor] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for network in approach.networks.values():
            network.train()
        random = torch.Generator().manual_seed(1)
        for number in range(steps):
            step = Step(approach.networks, optimizers, lambda loss: loss.backward(), random, number / steps)
            losses = approach.training_step(sample, step)
    assert not any(loss.requires_grad for loss in losses.values())
    return {key: float(loss) for key, loss in losses.items()}
