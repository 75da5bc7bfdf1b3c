"""The energy of a hit: above threshold, from a mixture of normals in its logarithm."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.models._mixtures import LARGEST, NARROWEST, WIDEST

SOFT = 0.005
"""MeV: the energy of a hit is threshold - SOFT + exp(y), so that y has no far tail at the threshold."""
ANCHOR = 0.03
"""Weight of the likelihood of cells on their own: it fixes the cut and the common factor, which totals leave open."""


def log_excess(energy: Tensor, threshold: float) -> Tensor:
    """Logarithm of the energies of hits in MeV, as mixtures describe it, of the same shape."""
    return (energy - threshold + SOFT).clamp(min=0.5 * SOFT).log()


def draw_excess(mean: Tensor, log_sigma: Tensor, normal: Tensor) -> Tensor:
    """Draw what hits have above threshold in MeV, before it is stretched to a total; all of one shape."""
    return ((mean + log_sigma.exp() * normal).clamp(max=7.0).exp() - SOFT).clamp(min=1e-4)


def first_normals(mixtures: int) -> Tensor:
    """Means from -3 to 1 and log sigmas 0 to begin with: (2, mixtures)."""
    return torch.stack([torch.linspace(-3.0, 1.0, mixtures), torch.zeros(mixtures)])


def unstepped(normals: Tensor, running: Tensor) -> tuple[Tensor, Tensor]:
    """Means and log sigmas of normals: the last number is the first's, the others are steps to the next.

    Args:
        normals: (..., 2, mixtures).
        running: `running_sum`.

    Returns:
        Both (..., mixtures).
    """
    mean, log_sigma = (torch.cat([normals[..., -1:], normals[..., :-1]], -1) @ running).unbind(-2)
    return mean, log_sigma


def to_steps(mixtures: int) -> Tensor:
    """Make the matrix that turns weights, places and widths of components, (3 * mixtures,), into steps.

    A choice among components then is a sum of steps, see `choose_normal_by`; networks learn better without.

    >>> to_steps(2) @ torch.tensor([0.1, 0.2, 5.0, 6.0, -1.0, -3.0])
    tensor([ 0.1000,  0.2000,  1.0000,  5.0000, -2.0000, -1.0000])
    """
    steps = torch.eye(mixtures).roll(1, 1) - torch.eye(mixtures)
    steps[-1] = torch.eye(mixtures)[0]
    matrix: Tensor = torch.block_diag(torch.eye(mixtures), steps, steps)
    return matrix


def signed_sum(running: Tensor) -> Tensor:
    """Make the matrix of running sums whose last one has a minus sign: no part of the sum lies beyond it."""
    last = torch.zeros_like(running)
    last[-1, -1] = 1.0
    return running @ (torch.eye(len(running)) - 2 * last)


def choose_normal(
    normals: Tensor, weight: Tensor, tail: Tensor, lack: Tensor, signed: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose a normal for each hit by the part of its random number that did not decide about the hit.

    Given that logit + logistic > cut, -tail * (1 + exp(cut - logit)) is uniform.

    Args:
        normals: (..., 2, mixtures), see `to_steps`.
        weight: (..., mixtures) logarithms of the weights.
        tail: (...) minus the probability of a larger logistic number.
        lack: (...) cut - logit.
        signed: `signed_sum`.

    Returns:
        Mean and log sigma, both (...).
    """
    return choose_normal_by(normals, weight, (tail * (1 + lack.exp())).clamp(min=-0.999999), signed)


def choose_normal_by(
    normals: Tensor, weight: Tensor, chance: Tensor, signed: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose a normal for each hit by a number from -1 to 0, (...); see `choose_normal`."""
    mean, log_sigma = choose_steps(normals, weight, chance[..., None], signed).unbind(-1)
    return mean, log_sigma.clamp(NARROWEST, WIDEST)


def choose_steps(steps: Tensor, weight: Tensor, chance: Tensor, signed: Tensor) -> Tensor:
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
