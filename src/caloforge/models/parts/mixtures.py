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


def log_normal(mean: Tensor, log_sigma: Tensor, value: Tensor) -> Tensor:
    """Logarithm of the density of normals, elementwise; standard deviations are kept within bounds."""
    log_sigma = log_sigma.clamp(NARROWEST, WIDEST)
    pull = (value - mean) * (-log_sigma).exp()
    return -0.5 * pull.square() - log_sigma - 0.5 * math.log(2 * math.pi)


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
    return torch.logsumexp(log_weights(raw) + log_normal(mean, log_sigma, value[..., None]), -1)


def running_sum(n: int) -> Tensor:
    """Make the matrix (n, n) with x @ matrix = x.cumsum(-1), which is faster in a graph."""
    return torch.triu(torch.ones(n, n))


def choose(raw: Tensor, uniform: Tensor, running: Tensor) -> Tensor:
    """Choose a component each: 1 for it, 0 for the others.

    >>> choose(torch.zeros(2, 4), torch.tensor([[0.1], [0.6]]), running_sum(4))
    tensor([[1., 0., 0., 0.],
            [0., 0., 1., 0.]])

    Args:
        raw: (..., n_components) logarithms of the weights, not normalised.
        uniform: (..., 1) from 0 to 1.
        running: `running_sum`.

    Returns:
        (..., n_components).
    """
    reached = raw.clamp(-LARGEST, LARGEST).exp() @ running
    before = (uniform * reached[..., -1:] > reached).to(raw.dtype)  # 1 for components before the chosen one
    steps = torch.eye(len(running), dtype=raw.dtype, device=raw.device)
    # the last number of `before` is 0, so that nothing wraps around
    return steps[0] + before @ (steps.roll(1, 1) - steps)


def to_steps(mixtures: int) -> Tensor:
    """Make the matrix that turns weights, means and widths of components, (3 * mixtures,), into steps.

    With means and widths given as the first value and the steps to the next ones, choosing a component is a sum of
    steps (`choose_by_steps`): fewer operations for many draws. Networks learn better without, so that the matrix is
    multiplied into the last layer for drawing only.

    >>> to_steps(2) @ torch.tensor([0.1, 0.2, 5.0, 6.0, -1.0, -3.0])
    tensor([ 0.1000,  0.2000,  1.0000,  5.0000, -2.0000, -1.0000])
    """
    steps = torch.eye(mixtures).roll(1, 1) - torch.eye(mixtures)
    steps[-1] = torch.eye(mixtures)[0]
    matrix: Tensor = torch.block_diag(torch.eye(mixtures), steps, steps)
    return matrix


def signed_sum(mixtures: int) -> Tensor:
    """Make the matrix of running sums whose last one has a minus sign: no part of the sum lies beyond it."""
    running = running_sum(mixtures)
    last = torch.zeros_like(running)
    last[-1, -1] = 1.0
    return running @ (torch.eye(len(running)) - 2 * last)


def choose_by_steps(steps: Tensor, weight: Tensor, chance: Tensor, signed: Tensor) -> Tensor:
    """Choose components by numbers from -1 to 0.

    Args:
        steps: (..., n_numbers, mixtures), see `to_steps`.
        weight: (..., mixtures) logarithms of the weights.
        chance: (..., 1).
        signed: `signed_sum`.

    Returns:
        (..., n_numbers) of the chosen components.
    """
    reached = weight.clamp(-LARGEST, LARGEST).exp() @ signed
    above = (chance * reached[..., -1:] > reached).to(weight.dtype)
    return (steps * above[..., None, :]).sum(-1)
