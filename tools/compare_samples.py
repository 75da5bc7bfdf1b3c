"""Compare two samples of showers of one detector: do they follow the same distribution?

Usage:

    python tools/compare_samples.py SAMPLE.h5 REFERENCE.h5 [FIGURE.png] [--detector NAME]

`--detector` is for files whose own detector is of before the table [physics].

For each observable it prints chi2/ndf of the difference of the means per shower (per layer, ring, bin) and a
p-value from permutations of the showers between the samples, which knows the correlations. Response and
resolution are printed with their statistical errors per particle and energy range. The detector's threshold
is applied to both. What follows from the energies of the incidents (a cubic in ln E per particle) is taken
out before the means are compared, and the reference is weighted to the sample's energies in the figure.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caloforge.detectors import Detector, load
from caloforge.showers import ShowerFile, Showers, particle_name

BATCH = 1000
PERMUTATIONS = 2000
RINGS = 12  # of the width of a cell
FEWEST = 30  # showers for which a resolution is worth printing
ENERGY_EDGES = np.array([1.0, 3.0, 10.0, 30.0, 100.0])  # GeV
CELL_EDGES = np.geomspace(0.015, 150.0, 25)  # MeV

Array = NDArray[np.float64]


def observables(showers: Showers) -> dict[str, Array]:
    """One row per shower for each observable."""
    assert showers.detector is not None
    detector = showers.detector
    above = showers.with_threshold()
    cells = above.flat.astype(np.float64)
    energy = showers.incidents.energy.astype(np.float64)[:, None]
    layers = above.layer_energies / energy
    visible = layers.sum(axis=1, keepdims=True)
    (x, y), (dx, dy) = detector.positions[:, :2].T, detector.readout.pitch
    columns, rows = binned(cells, x, dx) / energy, binned(cells, y, dy) / energy
    radial = binned(cells, np.hypot(x, y), dx)[:, :RINGS] / energy
    depth = (layers @ detector.z)[:, None] / visible
    width = np.sqrt(np.maximum((layers @ detector.z**2)[:, None] / visible - depth**2, 0))
    hits = binned((cells > 0).astype(np.float64), detector.cell_layers.astype(float), 1.0)
    spectrum = np.stack([np.histogram(one[one > 0], CELL_EDGES)[0] for one in cells])
    return {
        "response": visible,
        "longitudinal profile": layers,
        "lateral profile x": columns,
        "lateral profile y": rows,
        "radial profile": radial,
        "depth": depth,
        "longitudinal width": width,
        "hits": hits.sum(axis=1, keepdims=True).astype(float),
        "hits per layer": hits.astype(float),
        "cell spectrum": spectrum.astype(float),
    }


def binned(cells: Array, position: Array, width: float) -> Array:
    """Sum cells whose positions in mm round to the same multiple of a width, (n_showers, n_bins)."""
    number = np.round((position - position.min()) / width).astype(int)
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.unique(number))
    return np.asarray(np.add.reduceat(cells[:, order], first, axis=1))


def read(path: str, detector: Detector | None) -> tuple[dict[str, Array], NDArray[np.int32], Array]:
    """Observables, PDG ids and energies in GeV of a file."""
    parts, pdg, energy = [], [], []
    with ShowerFile(path, detector) as file:
        for first in range(0, len(file), BATCH):
            showers = file.read(first, min(first + BATCH, len(file)))
            parts.append(observables(showers))
            pdg.append(showers.incidents.pdg)
            energy.append(showers.incidents.energy / 1e3)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined, np.concatenate(pdg), np.concatenate(energy)


def without_energy(values: Array, pdg: NDArray[np.int32], energy: Array) -> Array:
    """Subtract from each column its mean dependence on the incident energy, per particle."""
    left = np.empty_like(values)
    for particle in np.unique(pdg):
        mine = pdg == particle
        terms = np.vander(np.log(energy[mine]), 4)
        left[mine] = values[mine] - terms @ np.linalg.lstsq(terms, values[mine], rcond=None)[0]
    return left


def energy_weights(energy: Array, reference: Array) -> Array:
    """Weights that give the reference the energies of the sample, mean 1."""
    edges = np.geomspace(min(energy.min(), reference.min()), 1.001 * max(energy.max(), reference.max()), 17)
    wanted = np.histogram(energy, edges)[0] / len(energy)
    there = np.histogram(reference, edges)[0] / len(reference)
    return np.asarray((wanted / np.maximum(there, 1e-9))[np.digitize(reference, edges) - 1])


def compare(sample: Array, reference: Array, rng: np.random.Generator) -> tuple[float, int, float]:
    """Return chi2/ndf of the means, ndf and the permutation p-value."""
    pooled = np.concatenate([sample, reference])
    deviation = pooled.std(axis=0)
    used = deviation > 0
    scaled = (pooled[:, used] - pooled[:, used].mean(axis=0)) / deviation[used]
    n, rest = len(sample), len(reference)
    total = scaled.sum(axis=0)

    def chi2(chosen: NDArray[np.integer]) -> float:
        part = scaled[chosen].sum(axis=0)
        difference = part / n - (total - part) / rest
        return float((difference**2).sum() / (1 / n + 1 / rest))

    seen = chi2(np.arange(n))
    drawn = [chi2(rng.choice(len(pooled), n, replace=False)) for _ in range(PERMUTATIONS)]
    p_value = (1 + sum(value >= seen for value in drawn)) / (1 + PERMUTATIONS)
    return seen / used.sum(), int(used.sum()), p_value


def resolution(response: Array, energy: Array) -> tuple[float, float, float, float]:
    """Mean response in percent and relative width in percent after a linear trend in ln E, with errors."""
    trend = np.polyfit(np.log(energy), response, 1)
    relative = response / np.polyval(trend, np.log(energy))
    n, width = len(response), relative.std()
    kurtosis = ((relative - relative.mean()) ** 4).mean() / width**4
    return (
        100 * response.mean(),
        100 * response.std() / np.sqrt(n),
        100 * width,
        100 * width * np.sqrt(max(kurtosis - 1, 0)) / (2 * np.sqrt(n)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Do two samples of showers follow the same distribution?")
    parser.add_argument("sample")
    parser.add_argument("reference")
    parser.add_argument("figure", nargs="?", type=Path)
    parser.add_argument("--detector")
    chosen = parser.parse_args()
    detector = load(chosen.detector) if chosen.detector else None
    sample, pdg, energy = read(chosen.sample, detector)
    reference, reference_pdg, reference_energy = read(chosen.reference, detector)
    rng = np.random.default_rng(1)
    print("| observable | chi2/ndf | ndf | p |\n|---|---|---|---|")
    all_pdg, all_energy = np.concatenate([pdg, reference_pdg]), np.concatenate([energy, reference_energy])
    for name in sample:
        left = without_energy(np.concatenate([sample[name], reference[name]]), all_pdg, all_energy)
        chi2, ndf, p_value = compare(left[: len(pdg)], left[len(pdg) :], rng)
        print(f"| {name} | {chi2:.2f} | {ndf} | {p_value:.3f} |")
    print(
        "\n| | GeV | response sample | reference | resolution sample | reference |\n|---|---|---|---|---|---|"
    )
    for particle in np.unique(pdg):
        for low, high in pairwise(ENERGY_EDGES):
            mine = (pdg == particle) & (energy >= low) & (energy < high)
            theirs = (reference_pdg == particle) & (reference_energy >= low) & (reference_energy < high)
            if min(mine.sum(), theirs.sum()) < FEWEST:
                continue
            a = resolution(sample["response"][mine, 0], energy[mine])
            b = resolution(reference["response"][theirs, 0], reference_energy[theirs])
            print(
                f"| {particle_name(int(particle))} | {low:g}-{high:g} | {a[0]:.3f} ± {a[1]:.3f} % | "
                f"{b[0]:.3f} ± {b[1]:.3f} % | {a[2]:.2f} ± {a[3]:.2f} % | {b[2]:.2f} ± {b[3]:.2f} % |"
            )
    if chosen.figure:
        draw(sample, reference, energy_weights(energy, reference_energy), chosen.figure)


def draw(sample: dict[str, Array], reference: dict[str, Array], weights: Array, path: Path) -> None:
    """Draw the mean profiles with a ratio below each."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "longitudinal profile": ("layer", "energy per layer / incident energy", "linear"),
        "lateral profile x": ("column", "energy per column / incident energy", "log"),
        "hits per layer": ("layer", "hits per layer", "linear"),
        "cell spectrum": ("cell energy [MeV]", "cells per shower", "log"),
    }
    figure, axes = plt.subplots(
        2, 4, figsize=(18, 5.5), sharex="col", height_ratios=[3, 1], layout="constrained"
    )
    for (name, (x_label, y_label, scale)), (top, bottom) in zip(panels.items(), axes.T, strict=True):
        mine, theirs = sample[name], reference[name]
        edges = CELL_EDGES if name == "cell spectrum" else np.arange(mine.shape[1] + 1) - 0.5
        mean = (weights[:, None] * theirs).mean(axis=0)
        error = theirs.std(axis=0) / np.sqrt(len(theirs))
        band = mine.std(axis=0) / np.sqrt(len(mine))
        safe = np.where(mean > 0, mean, 1)
        centre = np.sqrt(edges[:-1] * edges[1:]) if name == "cell spectrum" else (edges[:-1] + edges[1:]) / 2
        top.stairs(mean, edges, fill=True, color="0.8", label=f"reference, {len(theirs)} showers")
        top.stairs(mine.mean(axis=0), edges, color="C0", label=f"caloforge simulate, {len(mine)} showers")
        bottom.stairs(1 + error / safe, edges, baseline=1 - error / safe, fill=True, color="0.8")
        bottom.errorbar(centre, mine.mean(axis=0) / safe, band / safe, fmt=".", color="C0")
        bottom.axhline(1, color="0.4", linewidth=0.8)
        top.set_yscale(scale)
        top.set_ylabel(y_label)
        bottom.set(xlabel=x_label, ylabel="ratio", ylim=(0.9, 1.1))
        if name == "cell spectrum":
            bottom.set_xscale("log")
    axes[0, 0].legend(loc="lower center", fontsize="small")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
