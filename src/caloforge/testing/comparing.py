"""Drawing showers in tests, and comparing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from caloforge.detectors import Detector
from caloforge.models import Approach, Batch


@torch.no_grad()
def draw(approach: Approach[Any], incident: Tensor, noise: Tensor) -> Tensor:
    """Draw showers without gradients."""
    showers: Tensor = approach.generator(incident, noise)
    return showers


def change(incident: Tensor, condition: str, detector: Detector) -> Tensor:
    """Return incidents that differ in one condition."""
    changed = incident.clone()
    if condition == "particle":
        changed[:, 0] = 33.0 - changed[:, 0]  # 11 and 22
    elif condition == "energy":
        changed[:, 1] = changed[:, 1].flip(0) * 1.5
    elif condition == "direction":
        changed[:, 2], changed[:, 3] = 0.35, 1.0
    else:
        width, height = detector.readout.pitch
        changed[:, 4], changed[:, 5] = 0.45 * width, -0.4 * height
    return changed


def same_state(one: Approach[Any], other: Approach[Any]) -> bool:
    """Whether two generators have the same weights and buffers."""
    first, second = one.generator.state_dict(), other.generator.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def distance(approach: Approach[Any], sample: Batch) -> float:
    """Mean |ln(drawn / true)| of the visible energy and of each third of the layers."""
    generator = approach.generator.eval()
    noise = torch.randn(len(sample), generator.noise_size, generator=torch.Generator().manual_seed(4))
    renew_statistics(approach, sample.incident, noise)
    third = torch.from_numpy(3 * approach.detector.cell_layers // approach.detector.n_layers)
    drawn, true = (
        torch.zeros(3).index_add_(0, third, showers.flatten(1).sum(0))
        for showers in (draw(approach, sample.incident, noise), sample.showers)
    )
    floor = 0.01 * true.sum()
    ratios = torch.cat([(drawn + floor) / (true + floor), (drawn.sum() / true.sum()).reshape(1)])
    return float(ratios.clamp(min=1e-6).log().abs().mean())


@torch.no_grad()
def renew_statistics(approach: Approach[Any], incident: Tensor, noise: Tensor) -> None:
    """Take the running statistics of batch normalisation anew: they lag behind in a training of a few steps."""
    norms = [m for m in approach.generator.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        approach.generator(incident, noise)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
