"""Two-point functions: how the energies of neighbouring cells go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def neighbours(
    cells: NDArray[np.float32],
    hit: NDArray[np.intp],
    threshold: float,
    following: NDArray[np.integer],
    distance: int = 1,
    count: bool = False,
) -> NDArray[np.float32]:
    """Return the correlation of the cells of each shower with those some steps away, in each direction.

    sum of sqrt(e_i e_j) over pairs of cells / visible energy: 1 for a flat block, 0 for isolated cells. Or,
    with counts instead of energies, the share of the hit cells whose partner is hit too.

    Args:
        cells: Energies of all cells of N showers in MeV, flat, (N * n_cells,).
        hit: Places in `cells` of those at or above the threshold.
        threshold: In MeV.
        following: The next cell in each direction or -1, `Detector.neighbours`, (n_directions, n_cells).
        distance: Steps from a cell to its partner.
        count: Count hit cells instead.

    Returns:
        (N, n_directions), 0 for empty showers.
    """
    n_cells = following.shape[1]
    n = len(cells) // n_cells
    energy = cells[hit].astype(np.float64)
    shower, cell = np.divmod(hit, n_cells)
    total = np.bincount(shower, None if count else energy, minlength=n)
    found = np.zeros((n, len(following)), dtype=np.float32)
    for direction, step in enumerate(following):
        place = cell
        for _ in range(distance):
            place = np.where(place >= 0, step[place], -1)
        inside = place >= 0
        partner = cells[(shower * n_cells + place)[inside]].astype(np.float64)
        partner[partner < np.float32(threshold)] = 0
        pair = (partner > 0).astype(np.float64) if count else np.sqrt(energy[inside] * partner)
        pairs = np.bincount(shower[inside], pair, minlength=n)
        np.divide(pairs, total, out=found[:, direction], where=total > 0, casting="unsafe")
    return found
