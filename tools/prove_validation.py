"""Prove the validation: two halves of a Geant4 sample at the floor, and known faults found.

Usage:

    python tools/prove_validation.py SHOWERS.h5 [--level fast] [-n 20000] > docs/validation/proof.md

The second half is the reference; the first is compared with it as it is, and with each fault put into it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from caloforge.errors import InputError
from caloforge.showers import Showers, read_showers
from caloforge.validation import Evaluation, evaluate, read_sample
from caloforge.validation.faults import known_faults
from caloforge.validation.requirements import values
from caloforge.validation.verdict import WITHIN

LAYER = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("showers")
    parser.add_argument("--level", default="fast")
    parser.add_argument("-n", type=int, default=20_000, help="showers of both halves together")
    arguments = parser.parse_args()
    half = arguments.n // 2
    good = read_showers(arguments.showers, 0, half)
    other = read_showers(arguments.showers, half, 2 * half)
    reference = read_sample(other, "second half")
    print("# Proof\n")
    print(
        f"Written by `tools/prove_validation.py` at level `{arguments.level}`: the two halves of a Geant4 "
        f"sample of `{reference.observables.detector.name}`, {half} showers each, first as they are, then "
        "with a known fault put into the first one.\n"
    )
    began = time.monotonic()
    result = evaluate(good, reference, level=arguments.level)
    print_reference(result, time.monotonic() - began)
    print("\n## Known faults\n")
    print("The third column names what must see the fault; bold is what the report names first.\n")
    print("| fault | verdict | must be seen by | the report says | AUC, trees |\n|---|---|---|---|---|")
    for fault in known_faults(reference.observables.threshold, LAYER):
        broken = fault.make(good, np.random.default_rng(1))
        print_fault(fault.name, fault.seen_by, evaluate(broken, reference, level=arguments.level))
    print(f"| incident energies above 10 GeV only | refused | input check | {refusal(good, other)} | |")


def print_reference(e: Evaluation, seconds: float) -> None:
    print(f"## Reference against reference\n\nAll in all: **{e.verdict}** ({seconds:.0f} s).\n")
    odd = {name: verdict for name, verdict in e.verdicts.items() if verdict != WITHIN}
    print(
        f"Of {len(e.verdicts)} checks, {len(odd)} are not within the floor{': ' if odd else ''}{odd or ''}.\n"
    )
    print("| observable | separation power | floor | Wasserstein | floor | chi2/ndf | p | shift | spread |")
    print("|---|---|---|---|---|---|---|---|---|")
    for c in e.separations:
        w = c.wasserstein
        shift = f"{c.shift:+.3f} ± {c.shift_error:.3f}" if c.shift_error else ""
        spread = f"{c.spread:.3f} ± {c.spread_error:.3f}" if c.spread_error else ""
        print(
            f"| {c.observable} | {c.value:.2g} ± {c.error:.1g} | {c.floor:.2g} ± {c.floor_error:.1g} "
            f"| {w.value:.2g} ± {w.error:.1g} | {w.floor:.2g} ± {w.floor_error:.1g} "
            f"| {c.chi2 / max(c.ndf, 1):.2f} | {c.p_value:.2g} | {shift} | {spread} |"
        )
    print("\n| number | value | floor | verdict |\n|---|---|---|---|")
    for one in e.classifiers:
        row = f"{one.auc:.3f} ± {one.error:.3f} | {one.floor:.3f} ± {one.floor_error:.3f}"
        print(f"| AUC, {one.name} on {one.features} | {row} | {one.verdict} |")
    for s in e.scores:
        if not s.skipped:
            row = f"{s.value:.4g} ± {s.error:.1g} | {s.floor:.4g} ± {s.floor_error:.1g}"
            print(f"| {s.name} | {row} | {s.verdict} |")
    print(f"| physics score | {e.score.total:.4f} | {e.score_floor:.4f} ± {e.score_floor_error:.4f} | |")


def print_fault(name: str, seen_by: tuple[str, ...], e: Evaluation) -> None:
    by_name = {f.observable: f for f in e.findings}
    seen = [one for one in seen_by if one in by_name]
    mark = "" if seen else "**not found**: "
    first = "; ".join(
        f"**{f.observable}** ({f.text})" if number == 0 else f.observable
        for number, f in enumerate(e.findings[:4])
    )
    needed = "; ".join(f"{one}: {by_name[one].verdict}" if one in by_name else f"{one}: -" for one in seen_by)
    auc = values(e)["auc_trees"]
    print(
        f"| {name} | {e.verdict} | {mark}{needed} | {first} | {auc if auc is None else f'{auc:.3f}'} |",
        flush=True,
    )


def refusal(good: Showers, reference: Showers) -> str:
    try:
        evaluate(good[good.incidents.energy > 1e4], reference, level="fast", classifier=False)
    except InputError as error:
        return str(error)
    return "**not found**"


if __name__ == "__main__":
    main()
