"""Training showers, held compactly: only the cells above threshold, with random access and symmetries."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import TrainingError
from caloforge.files import writing
from caloforge.models import Batch
from caloforge.showers import Incidents, IncidentSpectrum, ShowerFile, Showers, particle_name
from caloforge.training.coverage import usable_symmetries
from caloforge.training.recipe import DataRecipe
from caloforge.units import format_energy

MEMORY_PART = 0.4
"""Part of the machine's memory that training showers may take; larger sets live in a file, paged in."""


@dataclass(frozen=True)
class SparseShowers:
    """Showers as lists of hit cells.

    Attributes:
        incidents: The N incidents.
        starts: Where each shower's hits begin, int64, shape (N + 1,).
        cells: Flat index of the cell of each hit, int32, shape (n_hits,).
        energies: Energy of each hit in MeV, float32, shape (n_hits,).
        shape: Axes of a shower.
        declared: The spectrum that the file says the incidents were drawn from.
        physics: What the file says of the physics of its simulation.
    """

    incidents: Incidents
    starts: NDArray[np.int64]
    cells: NDArray[np.int32]
    energies: NDArray[np.float32]
    shape: tuple[int, ...]
    declared: IncidentSpectrum | None = None
    physics: str = ""

    def __len__(self) -> int:
        return len(self.incidents)

    def hits(
        self,
        chosen: NDArray[np.int64],
        table: NDArray[np.int64] | None = None,
        symmetry: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return where the hits of some showers are in those showers unfolded and flat, and their energies in MeV.

        Args:
            chosen: Indices of showers.
            table: Where each symmetry moves each cell, shape (n_symmetries, n_cells), see `Detector.destinations`.
            symmetry: Index of the symmetry of each shower, shape (len(chosen),).
        """
        n_cells = int(np.prod(self.shape))
        first = self.starts[chosen]
        lengths = self.starts[chosen + 1] - first
        ends = np.cumsum(lengths)
        hits = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - (ends - lengths), lengths)
        rows = np.repeat(np.arange(len(chosen)) * n_cells, lengths)
        cells = self.cells[hits]
        if table is not None and symmetry is not None:
            cells = table.reshape(-1)[np.repeat(symmetry * n_cells, lengths) + cells]
        return rows + cells, self.energies[hits]

    def dense(self, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Unfold showers, shape (len(chosen), *shape)."""
        unfolded = np.zeros((len(chosen), *self.shape), np.float32)
        places, energies = self.hits(chosen)
        unfolded.reshape(-1)[places] = energies
        return unfolded


def check_file(path: str | Path, detector: Detector, pdg: int | None = None) -> None:
    """Raise unless a file holds showers of a detector.

    Args:
        path: The file.
        detector: The detector of the recipe.
        pdg: PDG id of the incidents where the file does not say.

    Raises:
        FileError: If the file is missing, broken or not a shower file, or its own detector has other slices, cells or
            physics.
    """
    with ShowerFile(path, detector, pdg=pdg):
        pass


def load_showers(
    path: str | Path, detector: Detector, recipe: DataRecipe, folder: Path, pdg: int | None = None
) -> SparseShowers:
    """Load the showers of a file that a recipe asks for, the detector's threshold applied.

    Args:
        path: A shower file.
        detector: The detector they must fit.
        recipe: Which particles and energies.
        folder: Where showers live that do not fit into memory (in a file without a name).
        pdg: PDG id of the incidents where the file does not say.

    Raises:
        FileError: If the file cannot be used.
        TrainingError: If no shower is left.
    """
    low, high = recipe.energy_range
    least, most = recipe.theta_range
    with ShowerFile(path, detector, pdg=pdg) as file:
        everything = file.incidents
        keep = (everything.energy >= low) & (everything.energy <= high)
        keep &= (everything.theta >= least - 1e-6) & (everything.theta <= most + 1e-6)
        if recipe.particles:
            keep &= np.isin(everything.pdg, recipe.pdgs)
        if not keep.any():
            found = ", ".join(particle_name(int(pdg)) for pdg in np.unique(everything.pdg))
            raise TrainingError(
                f"'{path}' holds no shower that [data] asks for: it has {found} from "
                f"{format_energy(float(everything.energy.min()))} to "
                f"{format_energy(float(everything.energy.max()))}"
            )
        counts, cells, energies = _collect(file, keep, detector.threshold, folder)
        if not len(cells):
            raise TrainingError(
                f"'{path}': no cell of any shower is above the threshold of detector {detector.name!r} "
                f"({detector.threshold:g} MeV): there is nothing to learn"
            )
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return SparseShowers(
            everything[keep],
            starts,
            cells,
            energies,
            detector.shape,
            file.spectrum,
            file.provenance.get("physics", ""),
        )


def _collect(file: ShowerFile, keep: NDArray[np.bool_], threshold: float, folder: Path) -> Any:
    limit = MEMORY_PART * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    counts: list[NDArray[np.int64]] = []
    with (
        writing(folder),
        tempfile.TemporaryFile(dir=folder) as cells_file,
        tempfile.TemporaryFile(dir=folder) as energies_file,
    ):
        kept: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = []
        size = spilled = 0
        least = max(threshold, float(np.finfo(np.float32).tiny))
        for showers, mask in _chunks(file, keep):
            flat = showers.flat[mask]
            rows, columns = np.nonzero(flat >= least)
            counts.append(np.bincount(rows, minlength=len(flat)))
            kept.append((columns.astype(np.int32), flat[rows, columns]))
            size += 8 * len(columns)
            if size > limit:
                spilled += _spill(kept, cells_file, energies_file)
                size = 0
        cells: NDArray[np.int32]
        energies: NDArray[np.float32]
        if spilled:
            spilled += _spill(kept, cells_file, energies_file)
            cells = np.memmap(cells_file, np.int32, "r", shape=(spilled,))
            energies = np.memmap(energies_file, np.float32, "r", shape=(spilled,))
        else:
            cells = np.concatenate([part[0] for part in kept])
            energies = np.concatenate([part[1] for part in kept])
    return np.concatenate(counts), cells, energies


def _chunks(file: ShowerFile, keep: NDArray[np.bool_]) -> Iterator[tuple[Showers, NDArray[np.bool_]]]:
    start = 0
    for showers in file.chunks(1000):
        yield showers, keep[start : start + len(showers)]
        start += len(showers)


def _spill(
    kept: list[tuple[NDArray[np.int32], NDArray[np.float32]]],
    cells: BinaryIO | Any,
    energies: BinaryIO | Any,
) -> int:
    n = 0
    for columns, values in kept:
        cells.write(columns.tobytes())
        energies.write(values.tobytes())
        n += len(columns)
    cells.flush()
    energies.flush()
    kept.clear()
    return n


def split(n: int, validation_fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split n showers at random into training and held-out ones, both sorted; at least one of each.

    >>> [len(part) for part in split(10, 0.2, seed=1)]
    [8, 2]
    """
    if n < 2:
        raise TrainingError(f"{n} showers cannot be split into training and held-out ones")
    held_out = min(n - 1, max(1, round(n * validation_fraction)))
    order = np.random.default_rng([seed, 0]).permutation(n)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


class Batches:
    """The order of batches: a new permutation each epoch, a new symmetry for each shower.

    Batch `step` is a function of the seed and the step alone, so a resumed training goes on with the same
    batches, and every rank takes its share of the same batch.

    Args:
        showers: The showers.
        chosen: Indices of those to train on.
        detector: Their detector.
        batch_size: Showers per batch over all ranks.
        seed: Of order and symmetries.
        symmetries: Apply the detector's symmetries.
        conditions: What the model is conditioned on: symmetries may change that of an incident.
        rank: Of this process.
        world_size: Number of processes.
        device: Where batches are unfolded: only their hits are copied there.

    Raises:
        TrainingError: If there are fewer showers than a batch takes, or the ranks do not divide a batch.
    """

    def __init__(
        self,
        showers: SparseShowers,
        chosen: NDArray[np.int64],
        detector: Detector,
        *,
        batch_size: int,
        seed: int,
        symmetries: bool = True,
        conditions: Sequence[str] = (),
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        if len(chosen) < batch_size:
            raise TrainingError(
                f"{len(chosen)} training showers are fewer than training.batch_size = {batch_size}"
            )
        if batch_size % world_size:
            raise TrainingError(f"training.batch_size = {batch_size} cannot be shared by {world_size} ranks")
        self.showers, self.chosen, self.batch_size, self.seed = showers, chosen, batch_size, seed
        self.device = torch.device(device)
        share = batch_size // world_size
        self.part = slice(rank * share, (rank + 1) * share)
        self.per_epoch = len(chosen) // batch_size
        self.incident = showers.incidents.matrix()
        self.table: NDArray[np.int64] | None = None
        self.matrices = np.zeros((0, 2, 2))
        usable = usable_symmetries(detector, showers.incidents[chosen], conditions) if symmetries else ()
        if len(usable) > 1:
            self.table = detector.destinations()[[number for number, _ in usable]]
            self.matrices = np.array([one.matrix for _, one in usable])
        self._epoch = -1
        self._order = chosen

    def __getitem__(self, step: int) -> Batch:
        """Return this rank's share of batch `step`, on the device."""
        epoch, index = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.chosen)
            self._epoch, self._order = epoch, order
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size][self.part]
        symmetry = None
        if self.table is not None:
            rng = np.random.default_rng([self.seed, 2, step])
            symmetry = rng.integers(len(self.table), size=self.batch_size)[self.part]
        unfolded = torch.zeros((len(chosen), *self.showers.shape), device=self.device)
        places, energies = self.showers.hits(chosen, self.table, symmetry)
        unfolded.view(-1)[torch.from_numpy(places).to(self.device)] = torch.from_numpy(energies).to(
            self.device
        )
        incident = self.incident[chosen]
        if symmetry is not None:
            incident = _moved(incident, self.matrices[symmetry])
        of_batch = torch.arange(self.batch_size, device=self.device)[self.part]
        return Batch(torch.from_numpy(incident).to(self.device), unfolded, of_batch, self.batch_size)

    def sample(self, n: int) -> Batch:
        """Return up to n training showers, unchanged, drawn with the seed, on the CPU."""
        chosen = np.random.default_rng([self.seed, 3]).permutation(self.chosen)[:n]
        return Batch.whole(
            torch.from_numpy(self.incident[chosen]), torch.from_numpy(self.showers.dense(chosen))
        )


def _moved(incident: NDArray[np.float32], matrices: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn incidents (n, 6) by matrices (n, 2, 2) that act on x and y."""
    moved = incident.copy()
    moved[:, 4:6] = np.einsum("nij,nj->ni", matrices, incident[:, 4:6])
    direction = np.stack([np.cos(incident[:, 3]), np.sin(incident[:, 3])], axis=1)
    x, y = np.einsum("nij,nj->ni", matrices, direction).T
    moved[:, 3] = np.where(incident[:, 2] > 0, np.arctan2(y, x), incident[:, 3])
    return moved


def held_out_showers(
    showers: SparseShowers, chosen: NDArray[np.int64], n: int, detector: Detector, seed: int
) -> Showers:
    """Draw up to n of the held-out showers with a seed, as `Showers`."""
    some = np.sort(np.random.default_rng([seed, 4]).permutation(chosen)[:n])
    return Showers(showers.dense(some), showers.incidents[some], detector)
