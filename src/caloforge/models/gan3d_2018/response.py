"""The fit of the visible energy that fakes should have, as in the original."""

from __future__ import annotations

import torch
from torch import Tensor

from caloforge.models.contract import Batch
from caloforge.models.gan3d_2018.networks import CELL_UNIT, ENERGY_UNIT, encode_particles


def expected_sum(response: Tensor, pdgs: Tensor, incident: Tensor) -> Tensor:
    """Sum of cells (units of 10 MeV) that incidents should leave by the fitted response, (n_showers,)."""
    log_energy = (incident[:, 1] / ENERGY_UNIT).log()
    basis = torch.stack([torch.ones_like(log_energy), log_energy, log_energy**2], 1)
    part = ((encode_particles(incident, pdgs) @ response) * basis).sum(1)
    return part * incident[:, 1] / CELL_UNIT


def fit_response(batch: Batch, pdg: float) -> Tensor:
    """Fit visible / incident energy of one particle by a parabola in ln E, shape (3,)."""
    chosen = batch.incident[:, 0] == pdg
    energy = batch.incident[chosen, 1].double()
    ratio = batch.showers[chosen].sum((1, 2, 3)).double() / energy
    log_energy = (energy / ENERGY_UNIT).log()
    spread = float(log_energy.max() - log_energy.min()) if len(energy) else 0.0
    powers = min(3, len(energy)) if spread > 0.1 else min(1, len(energy))
    fitted = torch.zeros(3)
    if powers:
        basis = torch.stack([log_energy**k for k in range(powers)], 1)
        fitted[:powers] = torch.linalg.lstsq(basis, ratio.unsqueeze(1)).solution.squeeze(1).float()
    return fitted
