"""Draw fidelity against speed of all models of a detector from what validation and benchmark measured.

Usage:

    python tools/make_front.py docs/results docs/images/front.png [DETECTOR]

The detector is clic-ecal if not given.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

CLASSIFIERS = {"auc_trees": "boosted trees, high-level features", "auc_mlp_cells": "MLP on cells"}


def points(folder: Path, key: str, detector: str) -> dict[str, tuple[float, float, float, float, float]]:
    """By model of the detector: ms per shower at batch 128, AUC, its error, floor, error of the floor."""
    found = {}
    for path in sorted(folder.glob("*/metrics.json")):
        entries = {entry["key"]: entry for entry in json.loads(path.read_text())["classifiers"]}
        benchmark = json.loads(path.with_name("benchmark.json").read_text())
        if benchmark["detector"] != detector:
            continue
        milliseconds = next(e["timing"]["mean"] for e in benchmark["models"] if e["batch"] == 128)
        entry = entries.get(key)
        if entry and entry["auc"] is not None:
            found[path.parent.name] = (
                milliseconds,
                *(entry[name] for name in ("auc", "error", "floor", "floor_error")),
            )
    return found


def main() -> None:
    folder, output = map(Path, sys.argv[1:3])
    detector = sys.argv[3] if len(sys.argv) > 3 else "clic-ecal"
    mpl.use("Agg")
    figure, axes = plt.subplots(1, len(CLASSIFIERS), figsize=(11, 5), layout="constrained", sharey=True)
    for ax, (key, title) in zip(axes, CLASSIFIERS.items(), strict=True):
        found = points(folder, key, detector)
        floor, error = next(iter(found.values()))[3:]
        ax.axhspan(floor - error, floor + error, color="0.8", label="floor: Geant4 against Geant4")
        for number, (name, (milliseconds, auc, own_error, _, _)) in enumerate(found.items()):
            ax.errorbar(milliseconds, auc, own_error, fmt="o", color=f"C{number}", label=name)
        ax.set_xscale("log")
        ax.set_xlabel("time per shower at batch 128 [ms]")
        ax.set_title(title, fontsize="medium")
        ax.grid(alpha=0.3)
    figure.suptitle(detector)
    axes[0].set_ylabel("AUC against Geant4 (0.5 is perfect)")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=110)
    print(output)


if __name__ == "__main__":
    main()
