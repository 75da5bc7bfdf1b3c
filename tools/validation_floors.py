"""Measure what every number of the validation is between independent Geant4 samples, by their size.

Usage:

    python tools/validation_floors.py SHOWERS.h5 > docs/validation/floors.md

For each size, disjoint pairs of samples are cut out of the file and compared; the table gives the mean over
pairs (and the standard deviation where there are several).
"""

from __future__ import annotations

import sys

import numpy as np

from caloforge.validation import evaluate, read_sample
from caloforge.validation.requirements import SCORES, values

SIZES = (500, 1000, 2500)
MOST_PAIRS = 2
NUMBERS = (
    "auc_trees",
    "jsd_trees",
    "response_bias",
    "resolution_bias",
    *(name for name in SCORES if name != "memorised"),
    "physics_score",
    "separation_max",
    "separation_response",
    "separation_hits",
    "separation_layer_fractions",
    "separation_neighbours",
    "separation_cell_spectrum",
    "separation_longitudinal_profile",
    "separation_radial_profile",
    "wasserstein_response",
    "wasserstein_layer_fractions",
    "wasserstein_cell_spectrum",
    "chi2_response",
    "chi2_longitudinal_profile",
    "shift_response",
    "spread_response",
    "visible",
    "wrong",
)


def main() -> None:
    whole = read_sample(sys.argv[1], sys.argv[1])
    order = np.random.default_rng(0).permutation(len(whole))
    columns: dict[int, dict[str, list[float]]] = {}
    for size in SIZES:
        pairs = min(MOST_PAIRS, len(order) // (2 * size))
        found: dict[str, list[float]] = {name: [] for name in NUMBERS}
        for pair in range(pairs):
            start = 2 * size * pair
            rows = [np.sort(order[start + k * size : start + (k + 1) * size]) for k in (0, 1)]
            numbers = values(evaluate(*(whole.select(r) for r in rows), level="fast"))
            for name in NUMBERS:
                value = numbers[name]
                if value is not None:
                    found[name].append(value)
        columns[size] = found
    print("# Floors by sample size\n")
    print(
        "What each number is between two independent Geant4 samples of `clic-ecal` (e- and gamma, 1 to 100 "
        "GeV), as `--require` names it: the mean over two pairs, with its standard deviation. Written "
        "by `tools/validation_floors.py` (level `fast`; other sizes: change `SIZES`). For 10000 + 10000 showers see "
        "the [proof](proof.md).\n"
    )
    print("| number | " + " | ".join(f"{size} + {size}" for size in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for name in NUMBERS:
        print(f"| `{name}` | " + " | ".join(cell(columns[size][name]) for size in SIZES) + " |")


def cell(found: list[float]) -> str:
    if not found:
        return "-"
    if len(found) == 1:
        return f"{found[0]:.3g}"
    return f"{np.mean(found):.3g} ± {np.std(found, ddof=1):.1g}"


if __name__ == "__main__":
    main()
