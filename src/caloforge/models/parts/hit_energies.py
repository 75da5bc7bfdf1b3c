"""The energy of a hit: above threshold, from a mixture of normals in its logarithm.

Energies are in units of the detector's typical hit (`Nested3DConfig.unit`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.models.parts.mixtures import NARROWEST, WIDEST, choose_by_steps

SOFT = 0.05
"""The energy of a hit is threshold - SOFT + exp(y), so that y has no far tail at the threshold."""
LARGEST = 9.3
"""Largest y: a hit of ten thousand typical ones."""
ANCHOR = 0.03
"""Weight of the likelihood of cells on their own: it fixes the cut and the common factor, which totals leave open."""


def log_excess(energy: Tensor, threshold: float) -> Tensor:
    """Logarithm of the energies of hits above threshold, as mixtures describe it, of the same shape."""
    return (energy - threshold + SOFT).clamp(min=0.5 * SOFT).log()


def draw_excess(mean: Tensor, log_sigma: Tensor, normal: Tensor) -> Tensor:
    """Draw what hits have above threshold, before it is stretched to a total; all of one shape."""
    return ((mean + log_sigma.exp() * normal).clamp(max=LARGEST).exp() - SOFT).clamp(min=1e-3)


def first_normals(mixtures: int) -> Tensor:
    """Means from -0.7 to 3.3 and log sigmas 0 to begin with: (2, mixtures)."""
    return torch.stack([torch.linspace(-0.7, 3.3, mixtures), torch.zeros(mixtures)])


def choose_normal(steps: Tensor, weight: Tensor, chance: Tensor, signed: Tensor) -> tuple[Tensor, Tensor]:
    """Choose a normal for each hit by a number from -1 to 0.

    Args:
        steps: (..., 2, mixtures), see `mixtures.to_steps`.
        weight: (..., mixtures) logarithms of the weights.
        chance: (...).
        signed: `mixtures.signed_sum`.

    Returns:
        Mean and log sigma, both (...).
    """
    mean, log_sigma = choose_by_steps(steps, weight, chance[..., None], signed).unbind(-1)
    return mean, log_sigma.clamp(NARROWEST, WIDEST)


def chance_left(tail: Tensor, lack: Tensor) -> Tensor:
    """Turn the part of a logistic number that did not decide about a hit into a number from -1 to 0.

    Given that logit + logistic > cut, -tail * (1 + exp(cut - logit)) is uniform.

    Args:
        tail: Minus the probability of a larger logistic number.
        lack: cut - logit, of the same shape.
    """
    return (tail * (1 + lack.exp())).clamp(min=-0.999999)
