"""Measure what the levels and classifiers of the validation cost, in CPU time on one thread and in memory.

Usage:

    OMP_NUM_THREADS=1 python tools/validation_times.py GENERATED.h5 REFERENCE.h5 [-n 10000] [--resnet]

CPU time hardly depends on what else a machine does; on an idle one the wall time is about the same.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from caloforge.validation import evaluate, read_sample, write_report
from caloforge.validation.classifier import Learner, classify
from caloforge.validation.networks import CellMLP, CellResNet, HighLevelMLP
from caloforge.validation.trees import BoostedTrees


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generated")
    parser.add_argument("reference")
    parser.add_argument("-n", type=int, default=10_000, help="showers of either sample")
    parser.add_argument("--resnet", action="store_true", help="the 3D ResNet too, which takes long")
    arguments = parser.parse_args()
    print("| step | CPU time [s] | peak memory so far [GB] |\n|---|---|---|")
    n = arguments.n

    one, two = (
        timed(f"reading {path}", read_sample, path, path)
        for path in (arguments.generated, arguments.reference)
    )
    one, two = (sample.select(np.arange(min(n, len(sample)))) for sample in (one, two))
    found = timed("`--fast`, all but reading and figures", partial(evaluate, level="fast"), one, two)
    with tempfile.TemporaryDirectory() as folder:
        timed("report with all figures", write_report, found, folder)
    learners: list[Learner] = [BoostedTrees(), HighLevelMLP(), CellMLP()]
    for learner in learners + ([CellResNet()] if arguments.resnet else []):
        name = f"{learner.name} on {learner.features}, one seed and its floor"
        result = timed(name, classify, "key", learner, one, two, [0])
        print(f"|   AUC {result.auc:.3f} ± {result.error:.3f}, floor {result.floor:.3f} | | |", flush=True)


def timed(name: str, work: Callable[..., Any], *arguments: Any) -> Any:
    began = time.process_time()
    result = work(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| {name} | {time.process_time() - began:.0f} | {peak:.1f} |", flush=True)
    return result


if __name__ == "__main__":
    main()
