"""How much of the fluctuations of a shower's core is common to its layers.

A core is described by sums over layers, S = sum of w x, whose layers fluctuate partly together. If layers did so alone,
the variance of S would be the sum of theirs; what is beyond is common to them. The part that is common says how to tell
layers of S so that, given that, they are independent of one another (see `core`).
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-6
FAINT = 1e-6
MOST = 0.9
"""Largest part that is common: layers always fluctuate by themselves too."""


def residuals(values: Tensor, hit: Tensor, known: Tensor) -> Tensor:
    """Take from the values of layers what a linear fit for each layer explains, of the same shape.

    Args:
        values: (n_showers, n_layers, n_values).
        hit: (n_showers, n_layers), whether layers hold anything; others get 0.
        known: (n_showers, n_layers, n_known), what is known about layers.
    """
    weight = hit.double()[..., None]
    known = known.double()
    weighted = known * weight
    normal = torch.einsum("nli,nlj->lij", weighted, known)
    ridge = RIDGE * (torch.diagonal(normal, dim1=1, dim2=2) + FAINT).diag_embed()
    right = torch.einsum("nli,nlv->liv", weighted, values.double())
    slopes = torch.linalg.solve(normal + ridge, right)
    rest = (values - torch.einsum("nli,liv->nlv", known, slopes)) * weight
    return rest.to(values.dtype)


def about_layers(hits: Tensor, energy: Tensor) -> Tensor:
    """What hits and energies, both (n_showers, n_layers), tell about each layer, (n_showers, n_layers, 14)."""
    n_layers = hits.shape[1]
    logs = torch.stack([(hits + 0.5).log(), (energy + 0.1).log()], 2)
    padded = torch.nn.functional.pad(logs, (0, 0, 1, 1))
    squares = torch.stack([logs[..., 0] ** 2, logs[..., 1] ** 2, logs[..., 0] * logs[..., 1]], 2)
    layer = torch.arange(n_layers, dtype=energy.dtype)
    depth = (energy @ layer / energy.sum(1).clamp(min=FAINT) / n_layers)[:, None, None]
    totals = torch.stack([(hits.sum(1) + 0.5).log(), (energy.sum(1) + 0.1).log()], 1)[:, None]
    of_shower = torch.cat([depth, depth**2, totals, totals[..., :1] ** 2], 2)
    return torch.cat([logs, squares, padded[:, :-2], padded[:, 2:], of_shower.expand(-1, n_layers, -1)], 2)


def squares(deviations: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Squares of weighted sums over layers, and sums of the squares of their terms, both (n_showers, n_sums).

    Args:
        deviations: (n_showers, n_layers, n_sums).
        weights: Likewise.
    """
    terms = weights * deviations
    return terms.sum(1).square(), terms.square().sum(1)


def powers(log_energy: Tensor) -> Tensor:
    """1, x and x squared for x (n, 1), (n, 3)."""
    return torch.cat([torch.ones_like(log_energy), log_energy, log_energy**2], 1)


def fit_common(log_energy: Tensor, whole: Tensor, single: Tensor) -> Tensor:
    """Fit how squares of sums and sums of squares go with energy, in double: two energies are enough then.

    Args:
        log_energy: (n_showers, 1).
        whole: (n_showers, n_sums) squares of sums.
        single: (n_showers, n_sums) sums of squares.

    Returns:
        Coefficients of `powers`, of both in the same unit, (n_sums, 3, 2).
    """
    basis = powers(log_energy.double())
    normal = basis.T @ basis
    normal += RIDGE * (torch.diagonal(normal) + FAINT).diag()
    scale = (basis @ torch.linalg.solve(normal, basis.T @ (single.double() + FAINT**2).log())).exp()
    pairs = torch.stack([whole, single], 2) / scale[..., None]
    right = torch.einsum("np,nsk->spk", basis, pairs)
    found: Tensor = torch.linalg.solve(normal, right)
    return found.to(log_energy.dtype)


def common_part(log_energy: Tensor, coefficients: Tensor) -> Tensor:
    """Part of the variance of a sum that its layers have in common, from 0 to `MOST`.

    Args:
        log_energy: (n_showers, 1).
        coefficients: (n_sums, 3, 2), see `fit_common`.

    Returns:
        (n_showers, n_sums).
    """
    whole, single = torch.einsum("np,spk->nsk", powers(log_energy), coefficients).unbind(2)
    return (1 - single / whole.clamp(min=FAINT)).clamp(0.0, MOST)
