"""Likelihoods of cells that are drawn on their own and then made to fit a total.

A pass has a number of hits and an energy. Its hits are the cells whose logit plus a logistic number is highest, its
energies are drawn cell by cell and then stretched to the energy of the pass. The likelihood of what comes out is not
that of independent cells: those, made to fit, would share the energy too evenly (of two cells, the logarithm of the
ratio would vary by 1 / sqrt(2) of what it should). Here the probability of exactly what is drawn is integrated over
what the procedure forgets, the cut of the logits or the common factor of the energies, by the trapezoidal rule about
the peak.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from caloforge.models.parts.mixtures import NARROWEST, WIDEST, log_weights

NODES, SPACING = 11, 0.9
"""Nodes of the quadrature and their distance, in widths of the integrand."""
NEWTON_STEPS = 6
FURTHEST = 4.0
"""The search for a cut begins at most so far below the lowest of the highest logits, as many as there are hits: cells
that cannot be hit lie far below."""


def log_probability_of_hits(logit: Tensor, hit: Tensor, shift: Tensor | None = None) -> Tensor:
    """Logarithm of the probability that the hits are the cells with the highest logit plus logistic number.

    P(hits S) is the integral over the cut t of the density that the lowest of S is at t and all others are below:
    sum over j in S of s(t - l_j), times the product of s(l_i - t) in S and s(t - l_i) outside, s the logistic function.

    Args:
        logit: (n, n_cells).
        hit: (n, n_cells), true for hits.
        shift: (n,) from -0.5 to 0.5: shifts the nodes by parts of a spacing; drawn at random, so that no network can
            fit itself to them.

    Returns:
        (n,): 0 where no cell or every cell is hit.

    >>> logit = torch.tensor([[1.0, -1.0]])
    >>> both = torch.stack([log_probability_of_hits(logit, torch.tensor([[k == 0, k == 1]])) for k in range(2)])
    >>> round(float(both.exp().sum()), 2)
    1.0
    """
    n_hits = hit.sum(1)
    open_rows = ((n_hits > 0) & (n_hits < hit.shape[1])).nonzero()[:, 0]
    logit, hit = logit.index_select(0, open_rows), hit.index_select(0, open_rows).to(logit.dtype)
    with torch.no_grad():
        cut = _first_cut(logit, hit)
        spread = cut
        for _ in range(NEWTON_STEPS):
            chance = torch.sigmoid(logit - cut)
            spread = (chance * (1 - chance)).sum(1, keepdim=True).clamp(min=0.15)
            cut = cut + ((chance.sum(1, keepdim=True) - hit.sum(1, keepdim=True)) / spread).clamp(-2.0, 2.0)
        spread = spread.rsqrt()
        cuts = cut + spread * _nodes(logit, None if shift is None else shift.index_select(0, open_rows))
    above = logit[:, None] - cuts[:, :, None]
    log_each = (hit[:, None] * above - functional.softplus(above)).sum(2)
    last = (hit[:, None] * torch.sigmoid(-above)).sum(2)
    total = torch.logsumexp(log_each + last.log(), 1) + (SPACING * spread[:, 0]).log()
    return logit.new_zeros(len(n_hits)).index_copy(0, open_rows, total)


def log_density_of_parts(
    mixture: tuple[Tensor, Tensor, Tensor],
    value: Tensor,
    group: Tensor,
    n_groups: int,
    shift: Tensor | None = None,
) -> Tensor:
    """Logarithm of the density of the ratios of numbers that are drawn on their own and then stretched to a sum.

    For numbers with logarithms y_i it is the integral over c of the product of their densities at y_i + c.

    Args:
        mixture: Logarithms of weights (not normalised), means and logarithms of standard deviations of mixtures of
            normals in the logarithm of a number, each (n, n_components).
        value: (n,) logarithms of the numbers.
        group: (n,) which of the groups, each with a sum of its own, a number belongs to.
        n_groups: Number of groups.
        shift: (n_groups,) as in `log_probability_of_hits`.

    Returns:
        (n_groups,): 0 for groups of less than two numbers.
    """
    raw, mean, log_sigma = mixture
    weight = log_weights(raw)
    log_sigma = log_sigma.clamp(NARROWEST, WIDEST)
    with torch.no_grad():
        centre = (weight.exp() * mean).sum(1)
        variance = (weight.exp() * (mean.square() + (2 * log_sigma).exp())).sum(1) - centre.square()
        precision = 1 / variance.clamp(min=1e-4)
        empty = value.new_zeros(n_groups)
        size = empty.index_add(0, group, torch.ones_like(value))
        total = empty.index_add(0, group, precision).clamp(min=1e-4)
        middle = empty.index_add(0, group, precision * (centre - value)) / total
        spread = total.rsqrt()
        shifts = middle[:, None] + spread[:, None] * _nodes(value, shift)
    pull = (value[:, None] + shifts[group])[:, :, None] - mean[:, None]
    log_normal = -0.5 * (pull * (-log_sigma)[:, None].exp()).square() - log_sigma[:, None]
    each = torch.logsumexp(weight[:, None] + log_normal, 2) - 0.5 * math.log(2 * math.pi)
    joint = each.new_zeros(n_groups, NODES).index_add(0, group, each)
    integral = torch.logsumexp(joint, 1) + (SPACING * spread).log()
    return torch.where(size > 1, integral, torch.zeros_like(integral))


def _first_cut(logit: Tensor, hit: Tensor) -> Tensor:
    """Between the lowest logit of as many cells as are hit and the next, (n, 1): where the search for a cut begins."""
    ranked = logit.sort(1, descending=True).values
    number = hit.sum(1, keepdim=True).long()
    lowest, following = ranked.gather(1, number - 1), ranked.gather(1, number)
    return torch.maximum((lowest + following) / 2, lowest - FURTHEST)


def _nodes(like: Tensor, shift: Tensor | None) -> Tensor:
    """Places of the nodes in widths of the integrand, (n or 1, NODES)."""
    steps = torch.arange(NODES, dtype=like.dtype, device=like.device) - (NODES - 1) / 2
    return SPACING * (steps[None] if shift is None else steps + shift[:, None])
