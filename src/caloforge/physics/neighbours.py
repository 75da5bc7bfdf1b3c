"""Two-point functions: how the energies of neighbouring cells go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def neighbours(
    cells: NDArray[np.float32],
    hit: NDArray[np.intp],
    threshold: float,
    shape: tuple[int, int, int],
    distance: int = 1,
    count: bool = False,
) -> NDArray[np.float32]:
    """Return the correlation of the cells of each shower with those some steps away in z, y and x.

    sum of sqrt(e_i e_j) over pairs of cells / visible energy: 1 for a flat block, 0 for isolated cells. Or,
    with counts instead of energies, the share of the hit cells whose partner is hit too.

    Args:
        cells: Energies of all cells of N showers in MeV, flat, (N * n_cells,).
        hit: Places in `cells` of those at or above the threshold.
        threshold: In MeV.
        shape: (n_layers, n_rows, n_columns).
        distance: Steps from a cell to its partner.
        count: Count hit cells instead.

    Returns:
        (N, 3), 0 for empty showers.
    """
    n = len(cells) // int(np.prod(shape))
    energy = cells[hit].astype(np.float64)
    shower, *position = np.unravel_index(hit, (n, *shape))
    total = np.bincount(shower, None if count else energy, minlength=n)
    found = np.zeros((n, 3), dtype=np.float32)
    steps = (shape[1] * shape[2], shape[2], 1)
    for axis, (step, size) in enumerate(zip(steps, shape, strict=True)):
        inside = position[axis] < size - distance
        partner = cells[hit[inside] + distance * step].astype(np.float64)
        partner[partner < threshold] = 0
        pair = (partner > 0).astype(np.float64) if count else np.sqrt(energy[inside] * partner)
        pairs = np.bincount(shower[inside], pair, minlength=n)
        np.divide(pairs, total, out=found[:, axis], where=total > 0, casting="unsafe")
    return found
