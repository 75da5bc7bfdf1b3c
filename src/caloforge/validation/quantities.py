"""The observables that are compared, and how each is turned into numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector
from caloforge.physics import (
    HOTTEST,
    DetailedObservables,
    asymmetries,
    containment_radius,
    layer_fractions,
    maximum_fraction,
    maximum_layer,
    moments,
    start_layer,
)

Array = NDArray[Any]
Values = Callable[[DetailedObservables], Array]


@dataclass(frozen=True)
class Quantity:
    """An observable that is compared as a histogram.

    Attributes:
        name: In tables and in `metrics.json`.
        label: Axis label with unit.
        kind: `shower`: one number per shower; `columns`: several, compared one by one; `profile`: contents
            of a histogram per shower, summed over showers.
        values: (N,), (N, n_columns) or (N, n_bins).
        column: What a column is called; `layer` for one per layer, `direction` for one per direction of the readout,
            or the names of all.
    """

    name: str
    label: str
    kind: Literal["shower", "columns", "profile"]
    values: Values
    column: str | tuple[str, ...] = "layer"

    def column_name(self, number: int, detector: Detector) -> str:
        """Return what a column is called."""
        if isinstance(self.column, tuple):
            return self.column[number]
        if self.column == "direction":
            return f"along {detector.readout.directions[number]}"
        return f"{self.column} {number}"


def _log(values: Array, lowest: float) -> Array:
    return np.log10(np.maximum(values.astype(np.float64), lowest))


def _containment(share: float) -> Values:
    return lambda o: containment_radius(o, share)


def _moment(axis: str, order: int) -> Values:
    return lambda o: moments(o)[axis][:, order - 1]


def _asymmetry(number: int) -> Values:
    return lambda o: asymmetries(o)[:, number]


def _hottest_share(o: DetailedObservables) -> Array:
    visible = np.maximum(o.visible_energy, 1e-12)
    return o.hottest / visible[:, None]


_RANKS = tuple(f"rank {number + 1}" for number in range(HOTTEST))

QUANTITIES = (
    Quantity("response", "visible / incident energy", "shower", lambda o: o.response),
    Quantity("depth", "mean depth [$X_0$]", "shower", lambda o: o.depth_x0),
    Quantity("length", "spread of the depth [$X_0$]", "shower", lambda o: o.length_x0),
    Quantity("start layer", "first layer with 1 % of the energy", "shower", start_layer),
    Quantity("maximum layer", "layer of the shower maximum", "shower", maximum_layer),
    Quantity("shower maximum", "share of the energy at the maximum", "shower", maximum_fraction),
    Quantity("width", "mean lateral width [mm]", "shower", lambda o: o.width),
    Quantity("containment 68 %", "radius of 68 % of the energy [mm]", "shower", _containment(0.68)),
    Quantity("containment 90 %", "radius of 90 % of the energy [mm]", "shower", _containment(0.90)),
    Quantity("containment 95 %", "radius of 95 % of the energy [mm]", "shower", _containment(0.95)),
    Quantity("moment 1 x", "mean x from the axis [mm]", "shower", _moment("x", 1)),
    Quantity("moment 1 y", "mean y from the axis [mm]", "shower", _moment("y", 1)),
    Quantity(
        "centroid along phi",
        r"centroid $-$ axis along $\varphi$ [mm]",
        "shower",
        lambda o: o.centroid_along_phi[:, 0],
    ),
    Quantity(
        "centroid across phi",
        r"centroid $-$ axis across $\varphi$ [mm]",
        "shower",
        lambda o: o.centroid_along_phi[:, 1],
    ),
    Quantity("moment 1 z", "mean z [mm]", "shower", _moment("z", 1)),
    Quantity("moment 2 x", "spread in x [mm]", "shower", _moment("x", 2)),
    Quantity("moment 2 y", "spread in y [mm]", "shower", _moment("y", 2)),
    Quantity("moment 2 z", "spread in z [mm]", "shower", _moment("z", 2)),
    Quantity("asymmetry x", "right - left / sum", "shower", _asymmetry(0)),
    Quantity("asymmetry y", "up - down / sum", "shower", _asymmetry(1)),
    Quantity("asymmetry xy", "spread in x - in y / sum", "shower", _asymmetry(2)),
    Quantity("hits", "cells hit", "shower", lambda o: o.hits),
    Quantity("maximum cell", "log10(maximum cell / MeV)", "shower", lambda o: _log(o.maximum, 1e-3)),
    Quantity(
        "layer energies",
        "log10(layer energy / MeV)",
        "columns",
        lambda o: _log(o.layer_energies, o.threshold / 3 or 1e-3),
    ),
    Quantity("layer fractions", "layer / incident energy", "columns", layer_fractions),
    Quantity("layer hits", "cells hit in the layer", "columns", lambda o: o.layer_hits),
    Quantity("layer centres x", "centre in x from the axis [mm]", "columns", lambda o: o.centre_x),
    Quantity("layer centres y", "centre in y from the axis [mm]", "columns", lambda o: o.centre_y),
    Quantity("layer widths x", "width in x [mm]", "columns", lambda o: o.width_x),
    Quantity("layer widths y", "width in y [mm]", "columns", lambda o: o.width_y),
    Quantity("hottest cells", "cell / visible energy", "columns", _hottest_share, _RANKS),
    Quantity("hottest layers", "layer of the cell", "columns", lambda o: o.hottest_layer, _RANKS),
    Quantity("hottest radii", "distance from the axis [mm]", "columns", lambda o: o.hottest_radius, _RANKS),
    Quantity(
        "neighbours",
        r"$\Sigma\,(e_i e_{i+1})^{1/2}$ / visible energy",
        "columns",
        lambda o: o.neighbours,
        "direction",
    ),
    Quantity(
        "next neighbours",
        r"$\Sigma\,(e_i e_{i+2})^{1/2}$ / visible energy",
        "columns",
        lambda o: o.next_neighbours,
        "direction",
    ),
    Quantity(
        "hit neighbours", "hit cells whose next is hit", "columns", lambda o: o.hit_neighbours, "direction"
    ),
    Quantity("cell spectrum", "cell energy [MeV]", "profile", lambda o: o.spectrum),
    Quantity("longitudinal profile", "layer", "profile", lambda o: o.layer_energies),
    Quantity("lateral profile x", "x from the axis [mm]", "profile", lambda o: o.columns),
    Quantity("lateral profile y", "y from the axis [mm]", "profile", lambda o: o.rows),
    Quantity("radial profile", "distance from the axis [mm]", "profile", lambda o: o.rings),
)
"""What is compared, in the order of the report."""


def slug(name: str) -> str:
    """Return a name as it is written in `--require`.

    >>> slug("containment 68 %")
    'containment_68'
    """
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
