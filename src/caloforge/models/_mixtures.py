"""Mixtures of normals as networks give them: densities for training, and draws that are cheap in an ONNX graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = 15.0
"""Largest logarithm of the weight of a component."""
NARROWEST, WIDEST = -5.0, 2.0
"""Least and largest logarithm of a standard deviation."""


def log_weights(raw: Tensor) -> Tensor:
    """Normalise logarithms of weights, over the last axis."""
    return raw.clamp(-LARGEST, LARGEST).log_softmax(-1)


def log_density(raw: Tensor, mean: Tensor, log_sigma: Tensor, value: Tensor) -> Tensor:
    """Logarithm of the density of mixtures.

    Args:
        raw: (..., n_components) logarithms of the weights, not normalised.
        mean: (..., n_components).
        log_sigma: (..., n_components).
        value: (...).

    Returns:
        (...).
    """
    log_sigma = log_sigma.clamp(NARROWEST, WIDEST)
    pull = (value[..., None] - mean) * (-log_sigma).exp()
    log_normal = -0.5 * pull * pull - log_sigma - 0.5 * math.log(2 * math.pi)
    return torch.logsumexp(log_weights(raw) + log_normal, -1)


def running_sum(n: int) -> Tensor:
    """Make the matrix (n, n) with x @ matrix = x.cumsum(-1), which is faster in a graph."""
    return torch.triu(torch.ones(n, n))


def beyond(raw: Tensor, uniform: Tensor, running: Tensor) -> Tensor:
    """Choose a component each: 1 for all components before the chosen one, 0 from it on.

    Args:
        raw: (..., n_components) logarithms of the weights, not normalised.
        uniform: (..., 1) from 0 to 1.
        running: `running_sum`.

    Returns:
        (..., n_components).
    """
    reached = raw.clamp(-LARGEST, LARGEST).exp() @ running
    return (uniform * reached[..., -1:] > reached).to(raw.dtype)


def choose(raw: Tensor, uniform: Tensor, running: Tensor) -> Tensor:
    """Choose a component each: 1 for it, 0 for the others; see `beyond`.

    >>> choose(torch.zeros(2, 4), torch.tensor([[0.1], [0.6]]), running_sum(4))
    tensor([[1., 0., 0., 0.],
            [0., 0., 1., 0.]])
    """
    above = beyond(raw, uniform, running)
    steps = torch.eye(len(running), dtype=raw.dtype, device=raw.device)
    # the last number of `above` is 0, so that nothing wraps around
    return steps[0] + above @ (steps.roll(1, 1) - steps)
