"""Training of some steps, on one rank and on two."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from caloforge.models import Approach, Batch, Step, StepRandom


def step_of(
    approach: Approach[Any],
    optimizers: Mapping[str, torch.optim.Optimizer],
    number: int,
    steps: int,
    *,
    seed: int = 1,
    backward: Callable[[Tensor], None] | None = None,
) -> Step:
    """Make what a training loop lends to one step.

    Args:
        approach: Its networks are lent as they are.
        optimizers: By name.
        number: Of the step, from 0.
        steps: Of the training.
        seed: Of the training.
        backward: Instead of `loss.backward()`.
    """

    def plain(loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call, unused-ignore]

    return Step(approach.networks, optimizers, backward or plain, StepRandom(seed, number), number / steps)


def train(approach: Approach[Any], batch: Batch, steps: int) -> dict[str, float]:
    """Train on one batch, again and again, and return the losses of the last step by name."""
    optimizers = {name: optimizer for name, (_, optimizer) in approach.optimizers().items()}
    losses: dict[str, Tensor] = {}
    for network in approach.networks.values():
        network.train()
    for number in range(steps):
        losses = approach.training_step(batch, step_of(approach, optimizers, number, steps))
    return {name: float(loss) for name, loss in losses.items()}


def train_on_two_ranks(approach: Approach[Any], batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
    """Make one training step with a whole batch, and the same with half of it on each of two ranks.

    Ranks are threads that average their gradients after each `backward`, as distributed training does. All optimisers
    are replaced by plain gradient descent, so that the changes of weights show the gradients.

    Args:
        approach: Stays as it is.
        batch: An even number of showers.

    Returns:
        Changes of all weights: with the whole batch, and with two halves.
    """
    half = len(batch) // 2
    whole, first, second = (copy.deepcopy(approach) for _ in range(3))
    barrier = threading.Barrier(2, timeout=60)

    def share(_: Tensor) -> None:
        """Average the gradients of both ranks: the second to arrive does it."""
        if barrier.wait() == 0:
            for one, other in zip(_weights(first), _weights(second), strict=True):
                if one.grad is not None and other.grad is not None:
                    mean = (one.grad + other.grad) / 2
                    one.grad, other.grad = mean.clone(), mean.clone()
        barrier.wait()

    def descend(rank: Approach[Any], part: Batch, after: Callable[[Tensor], None] | None) -> None:
        def backward(loss: Tensor) -> None:
            loss.backward()  # type: ignore[no-untyped-call, unused-ignore]
            if after is not None:
                after(loss)

        for network in rank.networks.values():
            network.train()
        plain = {
            name: torch.optim.SGD([p for group in optimizer.param_groups for p in group["params"]], 1e-3)
            for name, (_, optimizer) in rank.optimizers().items()
        }
        rank.training_step(part, step_of(rank, plain, 1, 2, backward=backward))

    descend(whole, batch, None)
    halves = [batch.select(torch.arange(half)), batch.select(torch.arange(half, 2 * half))]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(descend, (first, second), halves, (share, share)))
    before = _weights(approach)
    return [
        [(after - old).detach() for after, old in zip(_weights(one), before, strict=True)]
        for one in (whole, first)
    ]  # type: ignore[return-value]


def _weights(approach: Approach[Any]) -> list[nn.Parameter]:
    return [weight for network in approach.networks.values() for weight in network.parameters()]
