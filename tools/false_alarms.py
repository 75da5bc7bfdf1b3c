"""Count what the validation finds between independent Geant4 samples, where there is nothing to find.

Usage:

    python tools/false_alarms.py SHOWERS.h5 OTHER.h5 [OTHER.h5 ...] [-o docs/validation/false-alarms.md]

The other files are compared with each other, and their showers, taken together and cut at random into samples of
several sizes, with samples of the first file. No shower is used twice at one size.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from caloforge.physics import DetailedObservables
from caloforge.validation import Evaluation, Sample, evaluate, read_sample
from caloforge.validation.cells import SparseCells
from caloforge.validation.verdict import FALSE_ALARMS, NOT_TESTED, P_LIMIT, TESTS, WITHIN

SIZES = (1000, 2000, 5000, 10_000)
MOST_PAIRS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("showers")
    parser.add_argument("others", nargs="+")
    parser.add_argument("-o", "--output", help="file; stdout if not given")
    arguments = parser.parse_args()
    lines: list[str] = []
    for line in page(arguments.showers, arguments.others):
        lines.append(line)
        print(line, file=sys.stderr if arguments.output else sys.stdout, flush=True)
    if arguments.output:
        Path(arguments.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


def page(showers: str, others: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the page."""
    began = time.monotonic()
    one, *several = (read_sample(path, Path(path).name) for path in (showers, *others))
    two = joined(several)
    commands = "; ".join(f"{s.name}: {len(s)} showers, `{s.provenance.get('command', '-')}`" for s in several)
    yield "# False alarms\n"
    yield (
        f"What the validation finds between independent samples of Geant4 for `{one.observables.detector.name}`: "
        "everything it finds here is a false alarm. Written by `tools/false_alarms.py` (level `fast`). The limits "
        f"are no fit to these samples: a report holds some {TESTS} tests of observables, so p below "
        f"{FALSE_ALARMS:g} / {TESTS} = {P_LIMIT:g} is expected in {100 * FALSE_ALARMS:g} % of the reports.\n"
    )
    yield f"{one.name} has {len(one)} showers; the others, made with other seeds: {commands}.\n"
    yield "| samples | pairs | tests | not within the floor | smallest p of an observable |"
    yield "|---|---|---|---|---|"
    total: Counter[str] = Counter()
    for a, b in combinations(several, 2):
        yield row(f"{a.name} with {b.name}: {len(a)} + {len(b)}", [evaluate(a, b, level="fast")], total)
    for size in SIZES:
        pairs = min(MOST_PAIRS, len(one) // size, len(two) // size)
        rng = np.random.default_rng(size)
        orders = [rng.permutation(len(sample))[: pairs * size].reshape(pairs, size) for sample in (one, two)]
        found = [
            evaluate(two.select(np.sort(rows)), one.select(np.sort(mine)), number, level="fast")
            for number, (mine, rows) in enumerate(zip(*orders, strict=True))
        ]
        yield row(f"{size} of the others + {size} of {one.name}", found, total)
    yield (
        f"\nAltogether {total['tests']} tests in {total['reports']} reports. Not within the floor: {total['alarms']} "
        f"tests, in {total['loud']} of the reports. The run took {(time.monotonic() - began) / 60:.0f} minutes."
    )


def joined(samples: Sequence[Sample]) -> Sample:
    """Return all showers of several samples."""
    return replace(
        samples[0],
        name=" and ".join(s.name for s in samples),
        observables=DetailedObservables.concatenate([s.observables for s in samples]),
        cells=SparseCells.concatenate([s.cells for s in samples]),
        weights=np.concatenate([s.weights for s in samples]),
    )


def row(name: str, found: Sequence[Evaluation], total: Counter[str]) -> str:
    alarms = [alarms_of(e) for e in found]
    tests = sum(n for n, _ in alarms)
    names = [name for _, several in alarms for name in several]
    total.update(
        tests=tests, reports=len(found), alarms=len(names), loud=sum(bool(several) for _, several in alarms)
    )
    least = min(c.p_worst for e in found for c in e.comparisons)
    return f"| {name} | {len(found)} | {tests} | {len(names)}{': ' if names else ''}{', '.join(names)} | {least:.2g} |"


def alarms_of(e: Evaluation) -> tuple[int, list[str]]:
    """Return the number of tests of a report, and the names of those that are not within the floor."""
    verdicts = [(f"{c.observable} ({c.selection})", c.verdict) for c in e.comparisons]
    for b in (*e.bins, *e.angles, *e.positions):
        where = f"({b.name}, {b.variable} from {b.low:.4g} {b.unit})"
        verdicts += [(f"response bias {where}", b.verdict), (f"resolution {where}", b.resolution_verdict)]
    verdicts += [(x.name, x.verdict) for several in (e.scores, e.classifiers, e.checks) for x in several]
    tested = [(name, verdict) for name, verdict in verdicts if verdict != NOT_TESTED]
    return len(tested), [name for name, verdict in tested if verdict != WITHIN]


if __name__ == "__main__":
    main()
