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
from caloforge.physics.bins import bin_across, lateral_edges, ring_edges
from caloforge.physics.neighbours import neighbours
from caloforge.showers import Incidents, Showers

SPECTRUM_EDGES = np.logspace(-3, 5, 81)
"""Edges of the cell-energy spectrum in MeV: ten bins per decade, the outer bins take what lies beyond."""

_CHUNK = 500

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Observables:
    """High-level observables of N showers, cells below the threshold left out.

    x and y are relative to the shower axis, where it crosses the mid-plane of each layer.

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
        columns: Energy per bin of `lateral_edges` in x, in MeV, (N, n_x); the outer bins take what lies beyond.
        rows: Likewise in y, (N, n_y).
        rings: Energy per ring of `ring_edges` around the axis in MeV, (N, n_rings); the last one likewise.
        spectrum: Cells hit per bin of `SPECTRUM_EDGES`, (N, 80).
        maximum: Largest cell in MeV, (N,).
        neighbours: Correlation with the next cell in each direction of the readout, (N, n_directions): sum of
            sqrt(e_i e_j) over neighbouring cells divided by the visible energy; 1 for a flat block, 0 for
            isolated cells.
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
        cells = np.bincount(self.detector.cell_layers, minlength=self.detector.n_layers)
        return self.layer_hits.astype(np.float64) / cells

    @property
    def centroid(self) -> NDArray[np.float64]:
        """Energy-weighted mean of x and y over all cells minus the shower axis in mm, (N, 2), 0 for empty showers."""
        return np.stack([self._over_layers(centre) for centre in (self.centre_x, self.centre_y)], axis=1)

    @property
    def centroid_along_phi(self) -> NDArray[np.float64]:
        """The centroid along and across the azimuth of the incident in mm, (N, 2); x and y where theta is 0."""
        x, y = self.centroid.T
        return np.stack(self.along_phi(x, y), axis=1)

    def along_phi(
        self, x: NDArray[np.floating], y: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the components of vectors (x, y) along and across the azimuth, x and y where theta is 0.

        Args:
            x: (N, ...).
            y: (N, ...).
        """
        phi = np.where(self.incidents.theta > 0, self.incidents.phi, 0).astype(np.float64)
        phi = phi.reshape(-1, *[1] * (x.ndim - 1))
        return x * np.cos(phi) + y * np.sin(phi), y * np.cos(phi) - x * np.sin(phi)

    @property
    def mean_squares(self) -> NDArray[np.float64]:
        """Energy-weighted mean of the squares of x and y over all cells in mm^2, (N, 2), 0 for empty showers."""
        moments = ((self.centre_x, self.width_x), (self.centre_y, self.width_y))
        squares = (
            centre.astype(np.float64) ** 2 + width.astype(np.float64) ** 2 for centre, width in moments
        )
        return np.stack([self._over_layers(square) for square in squares], axis=1)

    @property
    def width(self) -> NDArray[np.float64]:
        """Energy-weighted mean over layers of the lateral width sqrt(width_x^2 + width_y^2) in mm, (N,)."""
        return self._over_layers(np.sqrt(self.width_x.astype(np.float64) ** 2 + self.width_y**2))

    @property
    def ring_edges(self) -> NDArray[np.float64]:
        """Edges of the rings in mm, (n_rings + 1,)."""
        return ring_edges(self.detector)

    @property
    def lateral_edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Edges in mm of the bins in x and in y, (n_x + 1,) and (n_y + 1,)."""
        return lateral_edges(self.detector)

    @property
    def _layer_depths(self) -> NDArray[np.float64]:
        return np.array([layer.depth for layer in self.detector.layers])

    def _over_layers(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean over layers of values (N, n_layers), weighted with their energies."""
        return _divide((values.astype(np.float64) * self.layer_energies).sum(axis=1), self.visible_energy)

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
    n, n_layers = len(showers), detector.n_layers
    flat = np.ascontiguousarray(showers.energies, dtype=np.float32).reshape(-1)
    place = np.flatnonzero((flat >= np.float32(cut)) & (flat > 0))
    energy = flat[place].astype(np.float64)
    shower, cell = np.divmod(place, detector.n_cells)
    slot = shower * n_layers + detector.cell_layers[cell]
    x, y = from_axis(detector, showers.incidents, shower, cell)

    def total(index: NDArray[np.integer], size: int, weights: NDArray[np.float64] | None = None) -> Any:
        return np.bincount(index, weights, minlength=n * size).reshape(n, size).astype(np.float64)

    def binned(bins: NDArray[np.integer], size: int) -> Floats:
        return np.asarray(total(shower * size + bins, size, energy), dtype=np.float32)

    layer_energies = total(slot, n_layers, energy)
    moments = {}
    for name, position in (("x", x), ("y", y)):
        mean = _divide(total(slot, n_layers, energy * position), layer_energies)
        square = _divide(total(slot, n_layers, energy * position**2), layer_energies)
        moments[f"centre_{name}"] = mean.astype(np.float32)
        moments[f"width_{name}"] = np.sqrt(np.clip(square - mean**2, 0, None)).astype(np.float32)
    edges_x, edges_y = lateral_edges(detector)
    rings = ring_edges(detector)
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
        columns=binned(bin_across(x, edges_x), len(edges_x) - 1),
        rows=binned(bin_across(y, edges_y), len(edges_y) - 1),
        rings=binned(np.digitize(np.hypot(x, y), rings[1:-1]), len(rings) - 1),
        spectrum=total(shower * n_bins + spectrum_bin, n_bins).astype(np.float32),
        maximum=maximum.astype(np.float32),
        neighbours=neighbours(flat, place, cut, detector.neighbours),
        **moments,
    )


def from_axis(
    detector: Detector, incidents: Incidents, shower: NDArray[np.integer], cell: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how far cells lie from the axes of their showers in x and in y, in mm.

    Args:
        detector: The detector.
        incidents: Of N showers.
        shower: The shower of each hit, (n_hits,).
        cell: Its cell, (n_hits,).
    """
    layer = detector.cell_layers[cell]
    x, y = (
        detector.positions[cell, axis] - crossing[shower, layer]
        for axis, crossing in enumerate(incidents.axis(detector.z))
    )
    return x, y


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[np.float64]:
    result = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
