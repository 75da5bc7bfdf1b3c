"""Spots of energy: what a cell holds if the spots that fall into it are a Poisson number of independent ones.

GFlash draws spots one by one at random places (hep-ex/0001020). Numbers of spots in disjoint cells are then independent
Poisson numbers, so the energy of a cell can be drawn from its own distribution at once: a compound Poisson one.
`quantile_table` tabulates it, by Fourier transform (Embrechts and Frei, Math. Meth. Oper. Res. 69 (2009) 497).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOG_FEWEST, LOG_MOST = np.log(1e-3), np.log(3e3)
"""Logarithms of the mean numbers of spots that the table covers; below, a hit is one spot."""
ROWS, COLUMNS = 640, 512
POWER = 0.25
"""Columns are even in the upper tail probability to this power: many where the tail is far."""
BINS = 2**15


def quantile_table(spot: NDArray[np.float64]) -> NDArray[np.float32]:
    """Tabulate the energy of cells that are hit.

    Args:
        spot: Energies of spots: quantiles at even steps, in MeV, shape (n_quantiles,).

    Returns:
        (ROWS, COLUMNS + 1) in MeV: the energy that a cell exceeds with probability (column / COLUMNS)^(1 / POWER)
        if it is hit; rows are even in the logarithm of the mean number of spots.
    """
    exceed = (np.arange(COLUMNS + 1) / COLUMNS) ** (1 / POWER)
    exceed = np.clip(exceed, 1e-7, 1 - 3e-4)
    table = np.empty((ROWS, COLUMNS + 1), np.float32)
    mean, largest = spot.mean(), spot.max()
    for row, log_number in enumerate(np.linspace(LOG_FEWEST, LOG_MOST, ROWS)):
        number = np.exp(log_number)
        reach = number * mean + 9 * np.sqrt(number * (spot**2).mean()) + 4 * largest
        width = reach / BINS
        counts = np.bincount((spot / width).astype(int), minlength=BINS) / len(spot)
        total = np.fft.irfft(np.exp(number * (np.fft.rfft(counts) - 1)), BINS)
        total[0] -= np.exp(-number)
        running = np.cumsum(np.clip(total, 0, None))
        running = np.concatenate([[0.0], running / running[-1]])
        # spots are taken down to the edge of their bin: half a bin each in the mean
        edges = (np.arange(BINS + 1)) * width + 0.5 * width * max(number - 1, 0)
        table[row] = np.interp(1 - exceed, running, edges)
    return table


def draw_cells(number: Tensor, class_of: Tensor, table: Tensor, exceed: Tensor) -> Tensor:
    """Draw the energies of cells.

    Args:
        number: Mean numbers of spots in one cell of each class, (..., n_classes).
        class_of: Class of each cell, (n_cells,).
        table: See `quantile_table`.
        exceed: Uniform from 0 to 1, (..., n_cells).

    Returns:
        Energies in MeV, (..., n_cells), 0 for cells that are not hit.
    """
    per_row = (ROWS - 1) / (LOG_MOST - LOG_FEWEST)
    row = ((number.log() - LOG_FEWEST) * per_row + 0.5).clamp(0, ROWS - 1).floor() * (COLUMNS + 1)
    chance = -torch.expm1(-number)
    part = exceed * (1 / chance.clamp(min=1e-12)).index_select(-1, class_of)
    column = part.clamp(max=1.0).sqrt().sqrt() * COLUMNS
    below = column.clamp(max=COLUMNS - 0.5).floor()
    place = (row.index_select(-1, class_of) + below).int().flatten()  # flat: fast in a graph
    values = table.flatten()
    low, high = values.index_select(0, place), values.index_select(0, place + 1)
    drawn = low.reshape(part.shape) + (high - low).reshape(part.shape) * (column - below)
    return drawn * (part < 1).to(drawn.dtype)
