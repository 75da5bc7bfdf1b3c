"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """A copy of a network that follows it slowly: weights averaged, buffers copied.

    Args:
        network: The network to follow.
        decay: Of the average, per step; it starts lower, (1 + step) / (10 + step), so that the first weights
            are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step)) if self.decay else 0.0
        slow = [p.data for p in self.network.parameters()]
        fast = [p.data for p in network.parameters()]
        if slow:
            torch._foreach_lerp_(slow, fast, 1 - decay)
        for kept, current in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(current)
