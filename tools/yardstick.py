"""Time shipped models in units of an older one, `clic-ecal` of commit c903d28, in one run: machines differ.

Usage:

    python tools/yardstick.py [NAME ...] > docs/results/yardsticks.json

Each model draws showers of its own spectrum in ONNX Runtime, by `caloforge benchmark NAME --geant4 0`; the yardstick
does so with the code of its commit, taken from git. Rounds alternate, so that all see the same machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

COMMIT = "c903d28"
YARDSTICK = "yardstick"
BATCHES = (1, 128)
ROUNDS = 5
ROOT = Path(__file__).resolve().parents[1]


def milliseconds(source: Path, name: str, options: list[str]) -> dict[str, Any]:
    """Return what `caloforge benchmark` of a source tree says, times in ms per shower."""
    batches = ",".join(map(str, BATCHES))
    words = ["benchmark", name, "--geant4", "0", "--batch", batches, *options, "--json"]
    code = "import sys; from caloforge.cli import main; sys.exit(main())"
    found = subprocess.run(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=source,
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def measure(names: list[str], yardstick: Path) -> dict[str, Any]:
    """Time models and the yardstick in turn; mean and standard error of the rounds."""
    from caloforge.runtime import load

    options = {}
    for name in names:
        with load(name) as model:
            options[name] = model.card.spectrum.options()
    times: dict[str, list[list[float]]] = {name: [] for name in (YARDSTICK, *names)}
    for _ in range(ROUNDS):
        for name, rounds in times.items():
            if name == YARDSTICK:
                given = ["--particle", "e-,gamma", "--energy", "1:100"]
                found = milliseconds(yardstick, "clic-ecal", given)
            else:
                found = milliseconds(ROOT / "src", name, options[name])
            by_batch = {entry["batch"]: entry["timing"]["mean"] for entry in found["models"]}
            rounds.append([by_batch[batch] for batch in BATCHES])
    result: dict[str, Any] = {"machine": found["machine"], "threads": found["threads"], "rounds": ROUNDS}
    result["models"] = {}
    for name, found_rounds in times.items():
        values, unit = np.array(found_rounds), np.array(times[YARDSTICK])
        ratio = values / unit
        result["models"][name] = {
            str(batch): {
                "ms": round(float(values[:, k].mean()), 4),
                "yardsticks": round(float(ratio[:, k].mean()), 3),
                "error": round(float(ratio[:, k].std(ddof=1) / ROUNDS**0.5), 3),
            }
            for k, batch in enumerate(BATCHES)
        }
    return result


def main() -> None:
    """Time the models named, or all that are shipped."""
    from caloforge.runtime import names

    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(tree), COMMIT], cwd=ROOT, check=True
        )
        try:
            found = measure(sys.argv[1:] or list(names()), tree / "src")
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=False)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
