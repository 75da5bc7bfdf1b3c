"""Does an exported graph draw the showers that its torch generator draws?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from caloforge.errors import ModelError
from caloforge.runtime import Model, ModelCard
from caloforge.showers import Incidents, incidents

if TYPE_CHECKING:
    from caloforge.models import Generator

RELATIVE, ABSOLUTE = 1e-3, 1e-4
"""Largest difference of a cell: relative, and in MeV (a hundredth of a typical threshold)."""
CELLS_OFF = 1e-4
"""Largest part of the cells that may differ more: a cell within rounding of a cut in the graph may flip."""
SUM_RELATIVE, SUM_ABSOLUTE = 1e-3, 0.05
"""Largest difference of the visible energy of a shower: relative, and in MeV."""
BATCHES = (1, 2, 37, 128)
N_SHOWERS = 148


@dataclass(frozen=True)
class Parity:
    """How far the graph is from torch, over all batch sizes.

    Attributes:
        showers: Number of showers compared.
        batches: Batch sizes of the graph.
        largest_cell: Largest difference of a cell in MeV.
        cells_off: Part of the cells that differ more than the tolerance of a cell.
        largest_sum: Largest relative difference of a visible energy.
    """

    showers: int
    batches: tuple[int, ...]
    largest_cell: float
    cells_off: float
    largest_sum: float

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        return asdict(self)


def sample_inputs(
    card: ModelCard, n: int = N_SHOWERS, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Make seeded inputs that cover all of the incidents that a model holds for: all corners, and draws between them.

    Args:
        card: The card of the model.
        n: Number of showers, at least; more if there are more corners.
        seed: Of draws and noise.

    Returns:
        Incidents (n, 6) and noise (n, Z), float32.
    """
    rng = np.random.default_rng(seed)
    x0, x1, y0, y1 = card.spectrum.rectangle
    ends = [
        card.spectrum.particles,
        card.spectrum.energy_range,
        card.spectrum.theta,
        card.spectrum.phi,
        (x0, x1),
        (y0, y1),
    ]
    corners = np.array(list(product(*map(dict.fromkeys, ends))))
    drawn = card.spectrum.draw(max(n - len(corners), 0), rng, card.detector)
    given = Incidents.concatenate([incidents(corners[:, 0].astype(int), *corners[:, 1:].T), drawn])
    noise = rng.standard_normal((len(given), card.noise_size), dtype=np.float32)
    return given.matrix(), noise


def check_parity(generator: Generator, model: Model) -> Parity:
    """Compare a graph with its torch generator on the same inputs, with several batch sizes.

    Args:
        generator: On the CPU, in eval mode.
        model: The exported graph.

    Returns:
        The differences found.

    Raises:
        ModelError: If they exceed the tolerance of this module.
    """
    incident, noise = sample_inputs(model.card)
    with torch.no_grad():
        drawn = generator(torch.from_numpy(incident), torch.from_numpy(noise)).numpy()
    parities = [
        _differences(drawn, model.forward(incident, noise, batch), model.card.threshold, batch)
        for batch in BATCHES
    ]
    worst = Parity(
        len(drawn),
        BATCHES,
        max(parity.largest_cell for parity in parities),
        max(parity.cells_off for parity in parities),
        max(parity.largest_sum for parity in parities),
    )
    for parity in parities:
        if parity.cells_off > CELLS_OFF or parity.largest_sum > SUM_RELATIVE:
            raise ModelError(
                f"the exported graph does not draw what torch draws (batch {parity.batches[0]}): "
                f"{parity.cells_off:.2%} of the cells differ by more than {RELATIVE:g} relative and "
                f"{ABSOLUTE:g} MeV, the largest by {parity.largest_cell:.3g} MeV, the visible energy "
                f"by up to {parity.largest_sum:.2%}: nothing was written"
            )
    return worst


def _differences(
    torch_cells: NDArray[np.float32], graph_cells: NDArray[np.float32], threshold: float, batch: int
) -> Parity:
    expected = np.where(torch_cells < threshold, np.float32(0), torch_cells)
    if expected.shape != graph_cells.shape:
        raise ModelError(f"the graph draws {graph_cells.shape}, torch draws {expected.shape}")
    if not (expected.min() >= 0 and expected.max() < np.inf):
        raise ModelError("the torch generator draws cells that are negative or not finite")
    difference = np.abs(graph_cells - expected)
    off = difference > ABSOLUTE + RELATIVE * expected
    cells = tuple(range(1, expected.ndim))
    sums = expected.sum(axis=cells, dtype=np.float64)
    other = graph_cells.sum(axis=cells, dtype=np.float64)
    excess = np.maximum(np.abs(other - sums) - SUM_ABSOLUTE, 0.0)
    relative = excess / np.maximum(sums, SUM_ABSOLUTE)
    return Parity(len(expected), (batch,), float(difference.max()), float(off.mean()), float(relative.max()))
