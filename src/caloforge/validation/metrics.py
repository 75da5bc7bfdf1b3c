"""Separation powers of observables, with bootstrap errors and the floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from caloforge.physics import SPECTRUM_EDGES, Observables, profiles, separation_power
from caloforge.validation.floor import Resampling, halves_scale

N_BINS = 50
"""Inner bins of an observable of single showers, between the 0.1 % and 99.9 % quantiles of the reference; one
bin on either side takes what lies beyond."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Quantity:
    """An observable that is compared as a histogram.

    Attributes:
        name: In tables and in `metrics.json`.
        label: Axis label with unit.
        kind: `shower`: one number per shower; `layer`: one per shower and layer, compared layer by layer;
            `profile`: contents of a histogram per shower, summed over showers.
        values: (N,), (N, n_layers) or (N, n_bins).
    """

    name: str
    label: str
    kind: Literal["shower", "layer", "profile"]
    values: Callable[[Observables], Array]


def _log(values: Array, lowest: float) -> Array:
    return np.log10(np.maximum(values.astype(np.float64), lowest))


QUANTITIES = (
    Quantity("response", "visible / incident energy", "shower", lambda o: o.response),
    Quantity("depth", "mean depth [$X_0$]", "shower", lambda o: o.depth_x0),
    Quantity("length", "spread of the depth [$X_0$]", "shower", lambda o: o.length_x0),
    Quantity("width", "mean lateral width [mm]", "shower", lambda o: o.width),
    Quantity("hits", "cells hit", "shower", lambda o: o.hits),
    Quantity("maximum cell", "log10(maximum cell / MeV)", "shower", lambda o: _log(o.maximum, 1e-3)),
    Quantity(
        "layer energies",
        "log10(layer energy / MeV)",
        "layer",
        lambda o: _log(o.layer_energies, o.threshold / 3 or 1e-3),
    ),
    Quantity("layer hits", "cells hit in the layer", "layer", lambda o: o.layer_hits),
    Quantity("layer centres x", "centre in x [mm]", "layer", lambda o: o.centre_x),
    Quantity("layer centres y", "centre in y [mm]", "layer", lambda o: o.centre_y),
    Quantity("layer widths x", "width in x [mm]", "layer", lambda o: o.width_x),
    Quantity("layer widths y", "width in y [mm]", "layer", lambda o: o.width_y),
    Quantity("cell spectrum", "cell energy [MeV]", "profile", lambda o: o.spectrum),
    Quantity("longitudinal profile", "layer", "profile", lambda o: o.layer_energies),
    Quantity("lateral profile x", "x [mm]", "profile", lambda o: o.columns),
    Quantity("lateral profile y", "y [mm]", "profile", lambda o: o.rows),
    Quantity("radial profile", "distance from the axis [mm]", "profile", lambda o: o.rings),
)
"""What is compared, in the order of the report."""


@dataclass(frozen=True)
class Separation:
    """The separation power of one observable and its floor.

    Attributes:
        observable: Name of the observable.
        value: Separation power, 0 (equal) to 1 (disjoint); for `layer` observables the mean over layers.
        error: Bootstrap standard deviation over both samples.
        floor: The same between two reference samples of these sizes (see `floor`).
        floor_error: Its standard deviation.
        per_layer: For `layer` observables, the value of every layer.
    """

    observable: str
    value: float
    error: float
    floor: float
    floor_error: float
    per_layer: tuple[float, ...] = ()

    @property
    def excess(self) -> float:
        """What is above the floor."""
        return self.value - self.floor

    @property
    def significance(self) -> float:
        """Excess in standard deviations."""
        return self.excess / max(float(np.hypot(self.error, self.floor_error)), 1e-12)

    @property
    def verdict(self) -> str:
        """`good`: within 3 errors of the floor, or 0.001; `fair`: less than 0.01 above; `poor` otherwise."""
        if self.significance < 3 or self.excess < 0.001:
            return "good"
        return "fair" if self.excess < 0.01 else "poor"


@dataclass(frozen=True)
class Histogram:
    """Both samples in the bins of one observable, for the figures.

    Attributes:
        quantity: The observable.
        layer: The layer, for observables of layers.
        edges: (n_bins + 1,); of observables of single showers, the outer bins are underflow and overflow.
        generated: Mean contents per shower, (n_bins,).
        reference: Likewise.
        generated_error: Standard errors.
        reference_error: Likewise.
    """

    quantity: Quantity
    layer: int | None
    edges: NDArray[np.float64]
    generated: NDArray[np.float64]
    reference: NDArray[np.float64]
    generated_error: NDArray[np.float64]
    reference_error: NDArray[np.float64]


def compare(
    quantity: Quantity, generated: Observables, reference: Observables, resampling: Resampling
) -> tuple[Separation, tuple[Histogram, ...]]:
    """Compare one observable of two samples."""
    one, two = quantity.values(generated), quantity.values(reference)
    if quantity.kind == "profile":
        edges = _profile_edges(quantity, reference)[None]
        binned = [_Contents(values.astype(np.float64)) for values in (one, two)]
    else:
        columns = [values.reshape(len(values), -1).astype(np.float64) for values in (one, two)]
        edges = np.stack([_edges(column) for column in columns[1].T])
        binned = [_Contents.of_values(values, edges) for values in columns]
    fake, true = binned
    values = separation_power(fake.total(), true.total())
    boot = separation_power(fake.resampled(resampling.generated), true.resampled(resampling.reference)).mean(
        axis=-1
    )
    first = true.resampled(resampling.halves)
    second = true.resampled(1 - resampling.halves)
    floors = separation_power(first, second).mean(axis=-1) * halves_scale(len(generated), len(reference))
    separation = Separation(
        quantity.name,
        float(values.mean()),
        float(boot.std(ddof=1)),
        float(floors.mean()),
        float(floors.std(ddof=1)),
        tuple(values.tolist()) if quantity.kind == "layer" else (),
    )
    return separation, _histograms(quantity, edges, fake, true)


class _Contents:
    """Histogram contents of every shower, so that resampled histograms are quick to make."""

    def __init__(
        self, matrix: NDArray[np.float64] | None, index: NDArray[np.intp] | None = None, n_bins: int = 0
    ):
        self.matrix, self.index, self.n_bins = matrix, index, n_bins

    @staticmethod
    def of_values(values: NDArray[np.float64], edges: NDArray[np.float64]) -> _Contents:
        n_bins = edges.shape[1] - 1
        index = np.empty(values.shape, dtype=np.intp)
        for column, own in enumerate(edges):
            found = np.searchsorted(own, values[:, column], side="right") - 1
            index[:, column] = np.clip(found, 0, n_bins - 1) + column * n_bins
        return _Contents(None, index, n_bins)

    def resampled(self, weights: Array) -> NDArray[np.float64]:
        """Contents for weights (n_samples, N) of the showers: (n_samples, n_columns, n_bins)."""
        if self.matrix is not None:
            return np.asarray(weights @ self.matrix)[:, None, :]
        assert self.index is not None
        n_columns = self.index.shape[1]
        flat = self.index.reshape(-1)
        counts = [
            np.bincount(flat, np.repeat(one, n_columns), minlength=n_columns * self.n_bins) for one in weights
        ]
        stacked = np.stack(counts).astype(np.float64)
        return stacked.reshape(len(weights), n_columns, self.n_bins)

    def total(self) -> NDArray[np.float64]:
        """Contents of all showers, (n_columns, n_bins)."""
        return np.asarray(self.resampled(np.ones((1, self.n)))[0])

    @property
    def n(self) -> int:
        source = self.index if self.matrix is None else self.matrix
        assert source is not None
        return len(source)

    def mean_and_error(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean contents per shower and their standard errors, (n_columns, n_bins) each."""
        if self.matrix is not None:
            return self.matrix.mean(axis=0)[None], (self.matrix.std(axis=0) / np.sqrt(self.n))[None]
        mean = self.total() / self.n
        return mean, np.sqrt(mean * (1 - mean) / self.n)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.quantile(values, [0.001, 0.999])
    if np.all(values == np.round(values)):
        low, step = np.floor(low) - 0.5, np.ceil((high - low + 1) / N_BINS)
    elif high > low:
        step = (high - low) / N_BINS
    else:
        low, step = low - 0.5, 1 / N_BINS
    return np.asarray(low + step * np.arange(-1, N_BINS + 2))


def _profile_edges(quantity: Quantity, reference: Observables) -> NDArray[np.float64]:
    if quantity.name == "cell spectrum":
        return SPECTRUM_EDGES
    names = ("longitudinal profile", "lateral profile x", "lateral profile y", "radial profile")
    return profiles(reference)[names.index(quantity.name)].edges


def _histograms(
    quantity: Quantity, edges: NDArray[np.float64], fake: _Contents, true: _Contents
) -> tuple[Histogram, ...]:
    (one, one_error), (two, two_error) = fake.mean_and_error(), true.mean_and_error()
    return tuple(
        Histogram(
            quantity,
            layer if quantity.kind == "layer" else None,
            edges[layer],
            one[layer],
            two[layer],
            one_error[layer],
            two_error[layer],
        )
        for layer in range(len(edges))
    )
