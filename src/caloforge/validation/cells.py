"""The cells of many showers in little memory: only those that are hit are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require
from caloforge.showers import Showers


@dataclass(frozen=True)
class SparseCells:
    """The hit cells of N showers, one shower after the other.

    Attributes:
        shape: Axes of a shower.
        start: Where the cells of each shower start, and the end, (N + 1,).
        index: Number of each hit cell in its shower, C order, int32.
        energy: Its energy in MeV, float32.
    """

    shape: tuple[int, ...]
    start: NDArray[np.int64]
    index: NDArray[np.int32]
    energy: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def n_cells(self) -> int:
        """Cells of a shower."""
        return int(np.prod(self.shape))

    @staticmethod
    def of(showers: Showers, threshold: float) -> SparseCells:
        """Keep the cells of showers at or above the threshold (MeV)."""
        flat = showers.flat
        shower, cell = np.nonzero((flat >= np.float32(threshold)) & (flat > 0))
        start = np.searchsorted(shower, np.arange(len(showers) + 1)).astype(np.int64)
        return SparseCells(showers.shape, start, cell.astype(np.int32), flat[shower, cell])

    @staticmethod
    def concatenate(parts: Sequence[SparseCells]) -> SparseCells:
        """Join showers in order."""
        lengths = np.concatenate([np.diff(part.start) for part in parts])
        return SparseCells(
            parts[0].shape,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.index for part in parts]),
            np.concatenate([part.energy for part in parts]),
        )

    def __getitem__(self, rows: NDArray[np.integer] | slice) -> SparseCells:
        """Select showers by indices or a slice."""
        chosen = np.arange(len(self))[rows]
        places = self._places(chosen)
        lengths = np.diff(self.start)[chosen]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return SparseCells(self.shape, start, self.index[places], self.energy[places])

    def _places(self, chosen: NDArray[np.integer]) -> NDArray[np.int64]:
        lengths = np.diff(self.start)[chosen]
        offset = np.repeat(self.start[chosen] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return np.asarray(offset + np.arange(int(lengths.sum())), dtype=np.int64)

    def moved(self, destinations: NDArray[np.integer]) -> SparseCells:
        """Return the showers with cell i moved to destinations[i], see `Detector.destinations`."""
        return replace(self, index=np.asarray(destinations, dtype=np.int32)[self.index])

    def dense(self) -> NDArray[np.float32]:
        """Return all cells, (N, n_cells)."""
        found = np.zeros((len(self), self.n_cells), dtype=np.float32)
        found[np.repeat(np.arange(len(self)), np.diff(self.start)), self.index] = self.energy
        return found

    def matrix(self, values: NDArray[np.float32] | None = None) -> Any:
        """Return a scipy CSR matrix (N, n_cells) of the energies, or of other values of the hit cells."""
        sparse = require("scipy.sparse", "report")
        data = self.energy if values is None else values
        return sparse.csr_array((data, self.index, self.start), shape=(len(self), self.n_cells))

    def fingerprints(self) -> NDArray[np.uint64]:
        """Return a number per shower that is equal for equal cells and differs otherwise, (N,)."""
        found = np.empty(len(self), dtype=np.uint64)
        for number, (start, stop) in enumerate(zip(self.start[:-1], self.start[1:], strict=True)):
            digest = blake2b(self.index[start:stop].tobytes(), digest_size=8)
            digest.update(self.energy[start:stop].tobytes())
            found[number] = int.from_bytes(digest.digest(), "little")
        return found
