"""Neural classifiers: an MLP on high-level features, an MLP and a 3D ResNet on cells. They need torch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require
from caloforge.validation.classifier import Task
from caloforge.validation.features import CONDITIONS

Rows = NDArray[np.intp]
Inputs = Callable[[Rows], Any]

_BATCH = 256


@dataclass(frozen=True)
class HighLevelMLP:
    """A perceptron of two hidden layers of 512 on standardised high-level features (CaloChallenge's DNN)."""

    epochs: int = 30
    name: str = "MLP"
    features: str = "high-level"
    on_cells: bool = False
    on_array: bool = False

    def scores(self, task: Task, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Train, and return scores of `task.choose` and `task.test`."""
        torch = require("torch", "train")
        standard = _standardised(task.features, task.train)
        values = torch.from_numpy(standard)
        return _train(
            task,
            lambda: _mlp(standard.shape[1], 512, 0.1),
            lambda rows: (values[torch.from_numpy(rows)],),
            self.epochs,
            seed,
        )


@dataclass(frozen=True)
class CellMLP:
    """A perceptron on cells around the shower axis, with the incident."""

    epochs: int = 12
    name: str = "MLP"
    features: str = "cells"
    on_cells: bool = True
    on_array: bool = False

    def scores(self, task: Task, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Train, and return scores of `task.choose` and `task.test`."""
        torch = require("torch", "train")
        assert task.cells is not None
        cells = task.cells
        conditions = _conditions(task)

        def inputs(rows: Rows) -> tuple[Any]:
            values = np.concatenate([_dense(task, rows), conditions[rows]], axis=1)
            return (torch.from_numpy(values),)

        size = cells.n_cells + conditions.shape[1]
        return _train(task, lambda: _mlp(size, 256, 0.2), inputs, self.epochs, seed)


@dataclass(frozen=True)
class CellResNet:
    """A residual network of 3D convolutions on cells around the shower axis, with the incident.

    Convolutions are circular along an axis that closes on itself.
    """

    epochs: int = 8
    name: str = "3D ResNet"
    features: str = "cells"
    on_cells: bool = True
    on_array: bool = True

    def scores(self, task: Task, seed: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Train, and return scores of `task.choose` and `task.test`."""
        torch = require("torch", "train")
        assert task.cells is not None
        shape = task.cells.shape
        conditions = _conditions(task)

        def inputs(rows: Rows) -> tuple[Any, Any]:
            volume = _dense(task, rows).reshape(len(rows), 1, *shape)
            return torch.from_numpy(volume), torch.from_numpy(conditions[rows])

        def make() -> Any:
            return _resnet(conditions.shape[1], task.circular)

        return _train(task, make, inputs, self.epochs, seed, threads=None)


def _standardised(values: NDArray[np.float32], train: Rows) -> NDArray[np.float32]:
    mean, spread = values[train].mean(axis=0), values[train].std(axis=0)
    standard = (values - mean) / np.where(spread > 1e-6, spread, 1)
    clipped: NDArray[np.float32] = np.clip(standard, -8, 8).astype(np.float32)
    return clipped


def _conditions(task: Task) -> NDArray[np.float32]:
    """Standardised conditions with one column per particle, (n, 6 + n_particles)."""
    column = CONDITIONS.index("particle")
    pdg, others = task.conditions[:, column], np.delete(task.conditions, column, axis=1)
    one_hot = (pdg[:, None] == np.unique(pdg)).astype(np.float32)
    found: NDArray[np.float32] = np.concatenate([_standardised(others, task.train), one_hot], axis=1)
    return found


def _dense(task: Task, rows: Rows) -> NDArray[np.float32]:
    """Cells as ln(1 + energy / scale), of order 1 from the threshold to the hottest cell, (n, n_cells)."""
    assert task.cells is not None
    cells = task.cells[rows]
    found = np.zeros((len(cells), cells.n_cells), dtype=np.float32)
    shower = np.repeat(np.arange(len(cells)), np.diff(cells.start))
    found[shower, cells.index] = np.log1p(cells.energy / np.float32(task.scale))
    return found


def _mlp(size: int, width: int, dropout: float) -> Any:
    nn = require("torch.nn", "train")
    return nn.Sequential(
        nn.Linear(size, width),
        nn.LeakyReLU(0.01),
        nn.Dropout(dropout),
        nn.Linear(width, width),
        nn.LeakyReLU(0.01),
        nn.Dropout(dropout),
        nn.Linear(width, 1),
    )


def _resnet(n_conditions: int, circular: bool) -> Any:
    torch, nn = require("torch", "train"), require("torch.nn", "train")
    functional = require("torch.nn.functional", "train")

    class Convolution(nn.Module):  # type: ignore[misc, name-defined]
        """A convolution of 3 x 3 x 3 cells that keeps the size, circular along the second axis if asked."""

        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            padding = (1, 0, 1) if circular else 1
            self.inner = nn.Conv3d(before, after, 3, stride=stride, padding=padding, bias=False)

        def forward(self, x: Any) -> Any:
            if circular:
                x = functional.pad(x, (0, 0, 1, 1, 0, 0), mode="circular")
            return self.inner(x)

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, before: int, after: int) -> None:
            super().__init__()
            self.way = nn.Sequential(
                Convolution(before, after, 2),
                nn.BatchNorm3d(after),
                nn.ReLU(),
                Convolution(after, after, 1),
                nn.BatchNorm3d(after),
            )
            self.short = nn.Conv3d(before, after, 1, stride=2, bias=False)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.way(x) + self.short(x))

    class ResNet(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(Convolution(1, 16, 2), nn.BatchNorm3d(16))
            self.blocks = nn.Sequential(Block(16, 32), Block(32, 64))
            self.head = nn.Sequential(nn.Linear(64 + n_conditions, 64), nn.ReLU(), nn.Linear(64, 1))

        def forward(self, volume: Any, conditions: Any) -> Any:
            pooled = self.blocks(torch.relu(self.stem(volume))).mean(dim=(2, 3, 4))
            return self.head(torch.cat([pooled, conditions], dim=1))

    return ResNet().to(memory_format=torch.channels_last_3d)  # convolutions are half as fast again


def _train(
    task: Task, make: Callable[[], Any], inputs: Inputs, epochs: int, seed: int, threads: int | None = 1
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Train with AdamW and a one-cycle learning rate; keep the epoch with the best loss on `task.choose`.

    Perceptrons get one thread: they gain little from more, and threads that wait for each other on a shared
    machine take ten times as long.
    """
    torch, functional = require("torch", "train"), require("torch.nn.functional", "train")
    truth = torch.from_numpy(task.truth.astype(np.float32))
    rng = np.random.default_rng((seed, 2))
    with _threads(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = make()
        steps = epochs * -(-len(task.train) // _BATCH)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-3, total_steps=steps)
        best, kept, patience = float("inf"), copy.deepcopy(network.state_dict()), 0
        for _ in range(epochs):
            network.train()
            order = rng.permutation(task.train)
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                loss = functional.binary_cross_entropy_with_logits(
                    network(*inputs(rows))[:, 0], truth[torch.from_numpy(rows)]
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            scores = _scores(network, inputs, task.choose)
            found = float(
                functional.binary_cross_entropy_with_logits(
                    torch.from_numpy(scores), truth[torch.from_numpy(task.choose)]
                )
            )
            if found < best:
                best, kept, patience = found, copy.deepcopy(network.state_dict()), 0
            else:
                patience += 1
                if patience > 3:
                    break
        network.load_state_dict(kept)
        return _scores(network, inputs, task.choose), _scores(network, inputs, task.test)


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    torch = require("torch", "train")
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _scores(network: Any, inputs: Inputs, rows: Rows) -> NDArray[np.float32]:
    torch = require("torch", "train")
    network.eval()
    with torch.no_grad():
        parts = [
            network(*inputs(rows[start : start + _BATCH]))[:, 0].numpy()
            for start in range(0, len(rows), _BATCH)
        ]
    return np.concatenate(parts)
