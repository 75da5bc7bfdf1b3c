"""The hyper-parameters of `nested3d`, and how those are chosen that a recipe leaves open."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from caloforge.detectors import CartesianReadout, Detector
from caloforge.errors import InputError
from caloforge.models.contract import ApproachConfig, Batch, incidents_of
from caloforge.models.fields import Count, Rate, Weight, Window

CONTAINED = 0.9
"""Part of the energy that the window holds at least, if it is chosen."""
SMALLEST, LARGEST = 5, 15
"""Rows and columns of a window that is chosen."""
CROWDED = 0.12
"""Part of the cells of a ring that is hit in the busiest layer of energetic showers, above which the ring belongs to
the window: hits around it are placed one by one, which does for few of them."""
ENERGETIC = 0.8
"""Quantile of the incident energy from which on showers are energetic."""
HEADROOM = 1.3
"""By how much more hits are planned for than the sample has at most."""


class Nested3DConfig(ApproachConfig):
    """Hyper-parameters; those that are None are chosen from detector and training showers.

    Attributes:
        unit: Energy of a typical hit in MeV, the unit of all energies inside.
        window: Rows and columns around the axis that are drawn in passes (cartesian readouts).
        reach: Rows and columns on either side of the axis in which hits outside the window are placed.
        most_around: Hits outside the window that a layer can have at most.
        pool: Hits outside the windows of a shower for which there are random numbers.
        edges: Whether windows, or hits around them, may reach beyond the readout.
        width: Channels of the networks of cells in the window (multiples of 16 are fastest).
        depth: Number of their hidden layers after the first.
        energy_width: Width of the networks of the energies of hits there.
        share_width: Width of the networks that share out the energy of a layer among groups of cells.
        hidden: Width of the network over layers.
        features: Numbers that it tells about each layer.
        mixtures: Normals in the energy of a hit.
        shapes: Round transverse shapes of the hits outside the window.
        directional: Shapes that point somewhere, each in eight directions.
        layer_width: Width of the networks that split hits and energies between layers.
        cell_batch: Showers of a global batch that the cells learn from, at most; the layer model takes all.
        layer_rate: Learning rate of the layer model (AdamW).
        cell_rate: Learning rate of the cells (Adam).
        share_decay: Weight decay (AdamW) of the networks that share out hits and energy among groups of cells: they are
            wide for what they learn from, and would come to know the training showers by heart.
    """

    approach: Literal["nested3d"] = "nested3d"
    unit: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    window: Window | None = None
    reach: Annotated[int, Field(ge=0)] | None = None
    most_around: Annotated[int, Field(ge=0)] | None = None
    pool: Count | None = None
    edges: bool | None = None
    width: Count = 16
    depth: Annotated[int, Field(ge=0)] = 1
    energy_width: Count = 32
    share_width: Count = 64
    hidden: Count = 48
    features: Count = 16
    mixtures: Annotated[int, Field(ge=2)] = 4
    shapes: Annotated[int, Field(ge=1)] = 6
    directional: Annotated[int, Field(ge=0)] = 2
    layer_width: Count = 96
    cell_batch: Count = 32
    layer_rate: Rate = 2e-3
    cell_rate: Rate = 3e-3
    share_decay: Weight = 0.3

    @property
    def moving(self) -> bool:
        """Whether the shower axis differs from shower to shower."""
        return bool({"direction", "position"} & set(self.conditions))


def choose_sizes(config: Nested3DConfig, detector: Detector, sample: Batch) -> Nested3DConfig:
    """Choose what the hyper-parameters leave open.

    Args:
        config: With particles and conditions.
        detector: The detector.
        sample: Some training showers.
    """
    cells = sample.showers.flatten(1).cpu().numpy()
    hits = cells[cells > 0]
    chosen: dict[str, object] = {}
    if config.unit is None:
        chosen["unit"] = float(f"{np.median(hits) if len(hits) else detector.mip_energy.mean():.3g}")
    if isinstance(detector.readout, CartesianReadout):
        chosen |= _around_sizes(config, detector, sample, cells)
    else:
        chosen |= {"reach": 0, "most_around": 0, "pool": 1, "edges": False}
    open_ones = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    return config.model_copy(update=open_ones)


def _around_sizes(
    config: Nested3DConfig, detector: Detector, sample: Batch, cells: np.ndarray
) -> dict[str, object]:
    readout = detector.readout
    assert isinstance(readout, CartesianReadout)
    incidents = incidents_of(sample)
    shower, cell = np.nonzero(cells)
    layer = detector.cell_layers[cell]
    steps, middles = [], []
    for axis, positions, size, n in zip(
        incidents.axis(detector.z),
        (detector.positions[:, 0], detector.positions[:, 1]),
        readout.pitch,
        readout.cells[::-1],
        strict=True,
    ):
        middle = np.floor(axis / size + (n - 1) / 2 + 0.5)
        middles.append((middle, n))
        steps.append(np.abs(np.rint(positions[cell] / size + (n - 1) / 2) - middle[shower, layer]))
    distance = np.maximum(*steps).astype(int)
    energy = cells[shower, cell].astype(np.float64)
    inside = np.bincount(distance, energy).cumsum() / max(energy.sum(), 1e-9) if len(distance) else np.ones(1)
    half = int(np.argmax(inside >= CONTAINED)) if len(distance) else 0
    energetic = incidents.energy >= np.quantile(incidents.energy, ENERGETIC)
    half = max(half, _crowded(distance, shower, layer, energetic, detector.n_layers))
    window = config.window or int(np.clip(2 * half + 1, SMALLEST, LARGEST))
    outside = distance > window // 2
    reach = int(distance.max()) if outside.any() else 0
    if config.reach is not None:
        reach = config.reach
    counts = np.bincount(shower[outside] * detector.n_layers + layer[outside], minlength=1)
    most = int(np.ceil(HEADROOM * counts.max())) if outside.any() else 0
    per_shower = np.bincount(shower[outside], minlength=1)
    pool = int(np.ceil(HEADROOM * per_shower.max())) if outside.any() else 1
    n_rows, n_columns = readout.cells
    possible = n_rows * n_columns
    half = max(window // 2, reach)
    beyond = any((middle < half).any() or (middle + half >= n).any() for middle, n in middles)
    edges = bool(config.moving or beyond)
    if edges and config.edges is False:
        raise InputError(
            f"model.edges = false, but windows, or hits up to {reach} cells from the axis, may lie beyond the "
            f"readout of detector {detector.name!r}: leave model.edges out"
        )
    return {
        "window": window,
        "reach": reach,
        "most_around": min(most, possible),
        "pool": max(pool, 1),
        "edges": edges,
    }


def _crowded(
    distance: np.ndarray, shower: np.ndarray, layer: np.ndarray, energetic: np.ndarray, n_layers: int
) -> int:
    """Return the last ring around the axis that is crowded with hits in the busiest layer of energetic showers.

    Args:
        distance: Rows or columns of each hit from the axis, the larger, (n_hits,).
        shower: Its shower, (n_hits,).
        layer: Its layer, (n_hits,).
        energetic: Which showers are energetic, (n_showers,).
        n_layers: Number of layers.
    """
    chosen = energetic[shower]
    if not chosen.any():
        return 0
    size = int(distance.max()) + 1
    counts = np.bincount(layer[chosen] * size + distance[chosen], minlength=n_layers * size)
    per_layer = counts.reshape(n_layers, size).max(0) / energetic.sum()
    occupancy = per_layer / np.maximum(8 * np.arange(size), 1)
    return int(np.flatnonzero(occupancy > CROWDED).max(initial=0))
