"""A small detector, synthetic showers, and a toy approach that trains in milliseconds."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from caloforge import detectors
from caloforge.detectors import Detector
from caloforge.models import Approach, ApproachConfig, Batch, Generator, Step, registry
from caloforge.showers import IncidentSpectrum, Showers, write_showers
from caloforge.training import Recipe

SMALL = """
name = "small"
threshold = 0.015
physics = { production_cut = 0.7 }
readout = { kind = "cartesian", cells = [7, 7], size = [5.0, 5.0] }
[[stack]]
repeat = 5
slices = [{ material = "G4_W", thickness = 9.0 }, { material = "G4_Si", thickness = 0.3, sensitive = true }]
"""


@pytest.fixture
def small() -> Detector:
    return detectors.parse(SMALL)


@pytest.fixture
def small_toml(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def showers(small: Detector) -> Showers:
    return synthetic(small, 400)


@pytest.fixture
def data(showers: Showers, tmp_path: Path) -> Path:
    path = tmp_path / "showers.h5"
    write_showers(path, showers)
    return path


def synthetic(detector: Detector, n: int, seed: int = 1) -> Showers:
    """Showers with an exponential radial and a gamma-like longitudinal profile, and a few empty cells."""
    rng = np.random.default_rng(seed)
    incidents = IncidentSpectrum((11, 22), (1e3, 1e5)).draw(n, rng, detector)
    layers, rows, columns = (np.arange(k, dtype=float) for k in detector.shape)
    radius = np.hypot(rows[:, None] - rows.mean(), columns - columns.mean())
    depth = 0.8 + 0.3 * np.log(incidents.energy / 1e3) + 0.3 * (incidents.pdg == 22)
    profile = layers**2 * np.exp(-2 * layers / depth[:, None]) + 0.01
    mean = profile[:, :, None, None] * np.exp(-radius)
    mean *= (0.015 * incidents.energy / mean.sum((1, 2, 3)))[:, None, None, None]
    cells = mean * rng.gamma(4, 0.25, mean.shape)
    return Showers(cells.astype(np.float32), incidents, detector)


class ToyConfig(ApproachConfig):
    approach: Literal["toy"] = "toy"
    learning_rate: float = 1e-2
    nan_at: int = -1


class ToyGenerator(Generator):
    scale: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.noise_size, self.shape = 4, shape
        self.register_buffer("scale", torch.ones(()))
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.Linear(16, int(np.prod(shape)))
        )

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        condition = torch.stack([(incident[:, 0] == 22).float(), (incident[:, 1] / 1e4).log()], 1)
        cells = nn.functional.softplus(self.body(torch.cat([condition, noise], 1)))
        return (cells * self.scale * incident[:, 1:2]).reshape(-1, *self.shape)


class Toy(Approach[ToyConfig]):
    """Fits a generator and a critic to squared errors; uses dropout, batch norm and random numbers."""

    name = "toy"
    precisions = ("bf16", "16")
    config_type = ToyConfig

    def __init__(self, detector: Detector, config: ToyConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": ToyGenerator(detector.shape), "critic": nn.Linear(detector.n_cells, 1)}
        self.done = 0

    def prepare(self, sample: Batch) -> None:
        generator = self.networks["generator"]
        assert isinstance(generator, ToyGenerator)
        generator.scale.fill_(float(sample.showers.mean() / sample.incident[:, 1].mean()))

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        generator, critic = self.networks["generator"], self.networks["critic"]
        return {
            "main": ("generator", torch.optim.Adam(generator.parameters(), self.config.learning_rate)),
            "critic": ("critic", torch.optim.RMSprop(critic.parameters(), 1e-3)),
        }

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        noise = step.random.normal(batch, 4)
        part = (step.networks["generator"](batch.incident, noise) - batch.showers) / batch.incident[
            :, 1, None, None, None
        ]
        loss = (part * 1e3).square().mean()
        step.optimizers["main"].zero_grad()
        step.backward(loss)
        step.optimizers["main"].step()
        guess = step.networks["critic"](batch.showers.flatten(1) / 100)
        critic = (guess[:, 0] - batch.incident[:, 1] / 1e5).square().mean()
        step.optimizers["critic"].zero_grad()
        step.backward(critic)
        step.optimizers["critic"].step()
        self.done += 1
        HOOK["after step"](self.done)
        if self.done == self.config.nan_at:
            loss = loss * torch.nan
        return {"generator": loss.detach(), "critic": critic.detach()}


def _nothing(step: int) -> None:
    pass


HOOK: dict[str, Any] = {"after step": _nothing}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Register the toy approach; its entry "after step" is called with the number of each step."""
    module = types.ModuleType("toy_approach")
    module.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_approach", module)
    monkeypatch.setitem(registry.OWN, "toy", "toy_approach:Toy")
    monkeypatch.setitem(HOOK, "after step", _nothing)
    return HOOK


@pytest.fixture
def recipe(toy: dict[str, Any], small_toml: Path) -> Any:
    """Make recipes for the toy approach."""

    def make(
        model: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **training: Any
    ) -> Recipe:
        plain = {
            "detector": str(small_toml),
            "model": {"approach": "toy", **(model or {})},
            "data": {"validation_fraction": 0.4, **(data or {})},
            "training": {"steps": 10, "batch_size": 16, "validate_every": 5, "log_every": 1, **training},
        }
        return Recipe.parse(plain, "test")

    return make
