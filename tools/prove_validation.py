"""Prove the validation: two halves of a Geant4 sample at the floor, and known faults found.

Usage:

    python tools/prove_validation.py SHOWERS.h5 [-o docs/validation/proof.md] [--level fast] [-n 20000] [--detector D]

The second half is the reference; the first is compared with it as it is, and with each fault put into it; where angles
and impact points vary, faults of these too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from caloforge.detectors import Detector, load
from caloforge.errors import InputError
from caloforge.showers import Showers, read_showers
from caloforge.validation import Evaluation, Sample, evaluate, read_sample
from caloforge.validation.faults import known_faults
from caloforge.validation.requirements import values
from caloforge.validation.verdict import WITHIN

NOT_FOUND = "**not found**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("showers")
    parser.add_argument("-o", "--output", help="file; stdout if not given")
    parser.add_argument("--level", default="fast")
    parser.add_argument("-n", type=int, default=20_000, help="showers of both halves together")
    parser.add_argument("--detector", help="where the file does not say, or says it as a version before did")
    arguments = parser.parse_args()
    detector = load(arguments.detector) if arguments.detector else None
    lines: list[str] = []
    for line in proof(arguments.showers, arguments.n // 2, arguments.level, detector):
        lines.append(line)
        print(line, file=sys.stderr if arguments.output else sys.stdout, flush=True)
    if arguments.output:
        Path(arguments.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


def proof(path: str, half: int, level: str, detector: Detector | None = None) -> Iterator[str]:
    """Yield the lines of the page."""
    began, cpu = time.monotonic(), time.process_time()
    good = read_showers(path, 0, half, detector)
    reference = read_sample(read_showers(path, half, 2 * half, detector), "second half")
    observables = reference.observables
    yield "# Proof\n"
    yield (
        f"Written by one run of `tools/prove_validation.py` at level `{level}`: the two halves of a Geant4 "
        f"sample of `{observables.detector.name}` ({reference.spectrum.describe()}), {half} showers each, first as "
        "they are, then with a known fault put into the first one.\n"
    )
    yield from reference_lines(evaluate(good, reference, level=level))
    yield "\n## Known faults\n"
    yield "The third column names what should see the fault; bold is what the report names first.\n"
    yield "| fault | verdict | should be seen by | the report says | AUC, trees |\n|---|---|---|---|---|"
    layer = int(observables.layer_energies.mean(axis=0).argmax())
    faults = known_faults(observables.threshold, layer, reference.spectrum)
    found = 0
    for fault in faults:
        sample = read_sample(fault.make(good, np.random.default_rng(1)), "first half")
        e = evaluate(sample, reference, level=level)
        found += bool({f.observable for f in e.findings} & set(fault.seen_by))
        yield fault_line(fault.name, fault.seen_by, e)
    refused = refusal(good, reference)
    yield f"| incident energies above 10 GeV only | refused | input check | {refused} | |"
    yield (
        f"\n{found} of {len(faults)} faults are found by an observable that should see them, and the spectrum "
        f"is {'refused' if refused != NOT_FOUND else 'not refused'}. The run took "
        f"{(time.monotonic() - began) / 60:.0f} minutes ({(time.process_time() - cpu) / 60:.0f} of CPU, one "
        "thread, on a machine of 2 cores (x86-64) that also ran other work)."
    )


def reference_lines(e: Evaluation) -> Iterator[str]:
    odd = {name: verdict for name, verdict in e.verdicts.items() if verdict != WITHIN}
    bins = (*e.bins, *e.angles, *e.positions)
    tests = len(e.comparisons) + 2 * len(bins) + len(e.classifiers) + len(e.checks)
    tests += sum(not s.skipped for s in e.scores)
    yield f"## Reference against reference\n\nAll in all: **{e.verdict}**.\n"
    yield (
        f"Of {len(e.verdicts)} checks (of {tests} tests: the same for all showers, by particle and by energy), "
        f"{len(odd)} are not within the floor{': ' if odd else ''}{odd or ''}.\n"
    )
    yield "| observable | separation power | floor | Wasserstein | floor | chi2/ndf | p | shift | spread |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for c in e.separations:
        w = c.wasserstein
        shift = f"{c.shift:+.3f} ± {c.shift_error:.3f}" if c.shift_error else ""
        spread = f"{c.spread:.3f} ± {c.spread_error:.3f}" if c.spread_error else ""
        yield (
            f"| {c.observable} | {c.value:.2g} ± {c.error:.1g} | {c.floor:.2g} ± {c.floor_error:.1g} "
            f"| {w.value:.2g} ± {w.error:.1g} | {w.floor:.2g} ± {w.floor_error:.1g} "
            f"| {c.chi2 / max(c.ndf, 1):.2f} | {c.p_value:.2g} | {shift} | {spread} |"
        )
    yield "\n| number | value | floor | verdict |\n|---|---|---|---|"
    for one in e.classifiers:
        row = f"{one.auc:.3f} ± {one.error:.3f} | {one.floor:.3f} ± {one.floor_error:.3f}"
        yield f"| AUC, {one.name} on {one.features} | {row} | {one.verdict} |"
    for s in e.scores:
        if not s.skipped:
            row = f"{s.value:.4g} ± {s.error:.1g} | {s.floor:.4g} ± {s.floor_error:.1g}"
            yield f"| {s.name} | {row} | {s.verdict} |"
    for c in e.checks:
        yield f"| {c.name} | {c.value:.4g} | {c.floor:.4g} | {c.verdict} |"
    yield f"| physics score | {e.score.total:.4f} | {e.score_floor:.4f} ± {e.score_floor_error:.4f} | |"


def fault_line(name: str, seen_by: tuple[str, ...], e: Evaluation) -> str:
    by_name = {f.observable: f for f in e.findings}
    mark = "" if set(seen_by) & set(by_name) else f"{NOT_FOUND}: "
    first = "; ".join(
        f"**{f.observable}** ({f.text})" if number == 0 else f.observable
        for number, f in enumerate(e.findings[:4])
    )
    needed = "; ".join(f"{one}: {by_name[one].verdict}" if one in by_name else f"{one}: -" for one in seen_by)
    auc = values(e)["auc_trees"]
    return f"| {name} | {e.verdict} | {mark}{needed} | {first} | {'' if auc is None else f'{auc:.3f}'} |"


def refusal(good: Showers, reference: Sample) -> str:
    try:
        evaluate(good[good.incidents.energy > 1e4], reference, level="fast", classifier=False)
    except InputError as error:
        return str(error)
    return NOT_FOUND


if __name__ == "__main__":
    main()
