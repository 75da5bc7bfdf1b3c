"""Where a training stands, and the losses that wait to be looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class State:
    """How far a training is."""

    step: int = 0
    seconds: float = 0.0
    best_score: float = math.inf
    best_step: int = -1
    last_score: float = math.inf

    def plain(self) -> dict[str, Any]:
        """Return it as plain data; infinite numbers become None."""
        return {
            name: None if isinstance(value, float) and math.isinf(value) else value
            for name, value in vars(self).items()
        }

    @staticmethod
    def parse(data: Mapping[str, Any]) -> State:
        """Read what `plain` gave."""
        values: dict[str, Any] = {
            name: math.inf if data[name] is None else data[name] for name in vars(State())
        }
        return State(**values)


@dataclass
class Pending:
    """Losses that wait on the device until they are looked at."""

    names: tuple[str, ...] = ()
    values: list[Tensor] = field(default_factory=list)

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Keep the losses of a step."""
        self.names = tuple(losses)
        self.values.append(torch.stack([loss.detach().float() for loss in losses.values()]))

    def take(self) -> list[list[float]]:
        """Return the losses of all steps that wait, a row a step."""
        rows: list[list[float]] = torch.stack(self.values).tolist() if self.values else []
        self.values.clear()
        return rows


def step_seed(seed: int, rank: int, step: int) -> int:
    """Seed of torch's global generator in one step of one rank: a resumed training continues exactly."""
    return int(np.random.SeedSequence([seed, 7, rank, step]).generate_state(1, np.uint64)[0] >> 1)
