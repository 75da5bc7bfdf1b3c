"""Observables of single showers, from one pass over their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.physics.neighbours import neighbours
from caloforge.showers import Incidents, Showers

SPECTRUM_EDGES = np.logspace(-3, 5, 81)
"""Edges of the cell-energy spectrum in MeV: ten bins per decade, the outer bins take what lies beyond."""

_CHUNK = 500

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Observables:
    """High-level observables of N showers, cells below the threshold left out.

    Attributes:
        detector: The detector.
        threshold: In MeV; cells below count as empty.
        incidents: The N incidents.
        layer_energies: Energy per layer in MeV, (N, n_layers).
        layer_hits: Cells hit per layer, (N, n_layers).
        centre_x: Energy-weighted mean x per layer in mm, (N, n_layers), 0 in empty layers.
        centre_y: Likewise in y.
        width_x: Energy-weighted standard deviation in x per layer in mm, (N, n_layers), 0 in empty layers.
        width_y: Likewise in y.
        columns: Energy per bin in x, the columns of a grid, in MeV, (N, n_columns).
        rows: Energy per bin in y, the rows of a grid, in MeV, (N, n_rows).
        rings: Energy per ring of `ring_edges` around the axis in MeV, (N, n_rings).
        spectrum: Cells hit per bin of `SPECTRUM_EDGES`, (N, 80).
        maximum: Largest cell in MeV, (N,).
        neighbours: Correlation with the next cell in z, y and x, (N, 3): sum of sqrt(e_i e_j) over
            neighbouring cells divided by the visible energy; 1 for a flat block, 0 for isolated cells.
    """

    detector: Detector
    threshold: float
    incidents: Incidents
    layer_energies: Floats
    layer_hits: Floats
    centre_x: Floats
    centre_y: Floats
    width_x: Floats
    width_y: Floats
    columns: Floats
    rows: Floats
    rings: Floats
    spectrum: Floats
    maximum: Floats
    neighbours: Floats

    def __len__(self) -> int:
        return len(self.incidents)

    def __getitem__(self, key: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Self:
        """Select showers by a slice, a mask or indices."""
        return replace(self, **{name: getattr(self, name)[key] for name in self._per_shower()})

    @cached_property
    def visible_energy(self) -> NDArray[np.float64]:
        """Energy over all cells in MeV, (N,)."""
        total: NDArray[np.float64] = self.layer_energies.sum(axis=1, dtype=np.float64)
        return total

    @property
    def response(self) -> NDArray[np.float64]:
        """Visible energy divided by incident energy (the sampling fraction), (N,)."""
        return self.visible_energy / self.incidents.energy

    @property
    def depth(self) -> NDArray[np.float64]:
        """Energy-weighted mean layer number, (N,), 0 for empty showers."""
        return self._along(np.arange(len(self.detector.layers), dtype=np.float64))

    @property
    def depth_x0(self) -> NDArray[np.float64]:
        """Energy-weighted mean depth in radiation lengths, (N,), 0 for empty showers."""
        return self._along(self._layer_depths)

    @property
    def length_x0(self) -> NDArray[np.float64]:
        """Energy-weighted standard deviation of the depth in radiation lengths, (N,)."""
        square = self._along(self._layer_depths**2) - self.depth_x0**2
        return np.asarray(np.sqrt(np.clip(square, 0, None)))

    @property
    def hits(self) -> NDArray[np.float64]:
        """Cells hit, (N,)."""
        hits: NDArray[np.float64] = self.layer_hits.sum(axis=1, dtype=np.float64)
        return hits

    @property
    def sparsity(self) -> NDArray[np.float64]:
        """Fraction of the cells that is empty, (N,)."""
        return 1 - self.hits / self.detector.n_cells

    @property
    def occupancy(self) -> NDArray[np.float64]:
        """Fraction of the cells of each layer that is hit, (N, n_layers)."""
        cells = self.detector.readout.cells
        return self.layer_hits.astype(np.float64) / (cells[0] * cells[1])

    @property
    def width(self) -> NDArray[np.float64]:
        """Energy-weighted mean over layers of the lateral width sqrt(width_x^2 + width_y^2) in mm, (N,)."""
        lateral = np.sqrt(self.width_x.astype(np.float64) ** 2 + self.width_y**2)
        return _divide((lateral * self.layer_energies).sum(axis=1), self.visible_energy)

    @property
    def ring_edges(self) -> NDArray[np.float64]:
        """Edges of the rings in mm, (n_rings + 1,)."""
        return _ring_edges(self.detector)

    @property
    def _layer_depths(self) -> NDArray[np.float64]:
        return np.array([layer.depth for layer in self.detector.layers])

    def _along(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return _divide(self.layer_energies @ weights, self.visible_energy)

    @classmethod
    def _per_shower(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls) if f.name not in {"detector", "threshold"})

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Join observables of showers of one detector in order.

        Raises:
            InputError: If there are none, or they differ in detector or threshold.
        """
        if not parts:
            raise InputError("no showers to observe")
        if any((p.detector, p.threshold) != (parts[0].detector, parts[0].threshold) for p in parts):
            raise InputError("observables of different detectors or thresholds cannot be joined")
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in cls._per_shower()
            if name != "incidents"
        }
        incidents = Incidents.concatenate([part.incidents for part in parts])
        return replace(parts[0], incidents=incidents, **joined)


def fields_of(observables: Observables) -> dict[str, Any]:
    """Return the attributes of observables by name."""
    return {f.name: getattr(observables, f.name) for f in fields(observables)}


def observe(showers: Showers | Iterable[Showers], threshold: float | None = None) -> Observables:
    """Compute the observables of showers, or of a stream of pieces such as `ShowerFile.chunks()`.

    Args:
        showers: Showers with a known detector; never changed.
        threshold: In MeV; the detector's if not given.

    Raises:
        InputError: If there are none or their detector is unknown.
    """
    if isinstance(showers, Showers):
        showers = [showers[start : start + _CHUNK] for start in range(0, len(showers), _CHUNK)] or [showers]
    return Observables.concatenate([_observe(piece, threshold) for piece in showers])


def _observe(showers: Showers, threshold: float | None) -> Observables:
    detector = showers.detector
    if detector is None:
        raise InputError("the detector of these showers is unknown: give it when reading the file")
    cut = detector.threshold if threshold is None else threshold
    n, (n_layers, n_rows, n_columns) = len(showers), detector.shape
    flat = np.ascontiguousarray(showers.energies, dtype=np.float32).reshape(-1)
    place = np.flatnonzero((flat >= np.float32(cut)) & (flat > 0))
    energy = flat[place].astype(np.float64)
    shower, cell = np.divmod(place, detector.n_cells)
    layer, in_layer = np.divmod(cell, n_rows * n_columns)
    row, column = np.divmod(in_layer, n_columns)
    slot = shower * n_layers + layer

    def total(index: NDArray[np.integer], size: int, weights: NDArray[np.float64] | None = None) -> Any:
        return np.bincount(index, weights, minlength=n * size).reshape(n, size).astype(np.float64)

    layer_energies = total(slot, n_layers, energy)
    moments = {}
    n_x, n_y = len(detector.x), len(detector.y)
    for name, position in (("x", detector.cell_x[row, column]), ("y", detector.cell_y[row, column])):
        mean = _divide(total(slot, n_layers, energy * position), layer_energies)
        square = _divide(total(slot, n_layers, energy * position**2), layer_energies)
        moments[f"centre_{name}"] = mean.astype(np.float32)
        moments[f"width_{name}"] = np.sqrt(np.clip(square - mean**2, 0, None)).astype(np.float32)
    ring_of_cell = np.digitize(np.hypot(detector.cell_x, detector.cell_y), _ring_edges(detector)[1:-1])
    column, row = (
        _place(detector.cell_x, detector.x)[row, column],
        _place(detector.cell_y, detector.y)[row, column],
    )
    n_rings = len(_ring_edges(detector)) - 1
    n_bins = len(SPECTRUM_EDGES) - 1
    spectrum_bin = np.clip(np.searchsorted(SPECTRUM_EDGES, energy, side="right") - 1, 0, n_bins - 1)
    maximum = np.zeros(n)
    np.maximum.at(maximum, shower, energy)
    return Observables(
        detector=detector,
        threshold=float(cut),
        incidents=showers.incidents,
        layer_energies=layer_energies.astype(np.float32),
        layer_hits=total(slot, n_layers).astype(np.float32),
        columns=total(shower * n_x + column, n_x, energy).astype(np.float32),
        rows=total(shower * n_y + row, n_y, energy).astype(np.float32),
        rings=total(shower * n_rings + ring_of_cell.reshape(-1)[in_layer], n_rings, energy).astype(
            np.float32
        ),
        spectrum=total(shower * n_bins + spectrum_bin, n_bins).astype(np.float32),
        maximum=maximum.astype(np.float32),
        neighbours=neighbours(flat, place, cut, detector.shape),
        **moments,
    )


def _place(cells: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each cell among bins around equally spaced centres."""
    step = (centres[-1] - centres[0]) / max(len(centres) - 1, 1) or 1.0
    place = np.clip(np.rint((cells - centres[0]) / step), 0, len(centres) - 1)
    return np.asarray(place, dtype=np.intp)


def _ring_edges(detector: Detector) -> NDArray[np.float64]:
    size = min(detector.readout.size)
    corner = np.hypot(np.abs(detector.x).max(), np.abs(detector.y).max())
    return np.concatenate([[0.0], (np.arange(int(np.ceil(corner / size)) + 1) + 0.5) * size])


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    result = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
