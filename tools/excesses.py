"""How much of a model's differences from Geant4 lies beyond two standard errors, from `metrics.json`.

Usage:

    python tools/excesses.py docs/results/NAME/metrics.json ...
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LEAST_SHOWERS = 1000
"""Bins of fewer showers of Geant4 say too little."""
CENTROIDS = ("centroid along phi", "centroid across phi")
ERRORS = 2.0
WRONG = "observables that are wrong"


def excesses(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the largest excess of each kind (0: within two standard errors), and how many checks are wrong."""
    response = metrics["response"]
    bins = [
        entry
        for kind in ("bins", "decades", "angles", "positions")
        for entry in response.get(kind, [])
        if entry["reference"]["showers"] >= LEAST_SHOWERS and entry["bias_error"] is not None
    ]
    everywhere = [entry for entry in metrics["observables"] if entry["selection"] == "all"]
    centroids = [entry for entry in everywhere if entry["observable"] in CENTROIDS]
    spreads = [entry for entry in everywhere if entry["spread_error"]]
    return {
        "bias of the response": _largest((b["bias"], b["bias_error"]) for b in bins),
        "resolution ratio": _largest((b["resolution_ratio"] - 1, b["resolution_ratio_error"]) for b in bins),
        "mean of the centroid": _largest((c["shift"], c["shift_error"]) for c in centroids),
        "spread of the centroid": _largest((c["spread"] - 1, c["spread_error"]) for c in centroids),
        "spread of any observable": _largest((s["spread"] - 1, s["spread_error"]) for s in spreads),
        WRONG: float(sum(entry["verdict"] == "wrong" for entry in everywhere)),
    }


def _largest(differences: Iterable[tuple[float, float | None]]) -> float:
    return max((max(0.0, abs(value) - ERRORS * (error or 0.0)) for value, error in differences), default=0.0)


def main() -> None:
    """Print the excesses of each file."""
    for path in map(Path, sys.argv[1:]):
        print(path.parent.name)
        for title, value in excesses(json.loads(path.read_text())).items():
            print(f"    {title:<26} {value:.4f}")


if __name__ == "__main__":
    main()
