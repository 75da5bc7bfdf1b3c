"""What a comparison found, in words: the observables that see a difference, the most telling first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from caloforge.validation.bias import Bias
from caloforge.validation.classifier import Classifier
from caloforge.validation.integrity import Check
from caloforge.validation.metrics import Comparison
from caloforge.validation.scores import Score
from caloforge.validation.verdict import NOT_TESTED, WITHIN, WRONG

_OBSERVABLES = ("response_bias_mean", "resolution_ratio_mean", "layer_correlation")


@dataclass(frozen=True)
class Finding:
    """One difference from Geant4.

    Attributes:
        observable: What sees it.
        verdict: `visible` or `wrong`.
        text: What it is, in words and numbers.
        significance: In standard deviations, the order of the list.
    """

    observable: str
    verdict: str
    text: str
    significance: float


def findings(
    comparisons: Sequence[Comparison],
    scores: Sequence[Score],
    checks: Sequence[Check],
    classifiers: Sequence[Classifier],
    bins: Sequence[Bias],
) -> tuple[Finding, ...]:
    """Return everything that is not within the floor.

    Of response and resolution in bins of energy, angle and place, the worst bin of each is named.

    Faults of the sample come first, then observables by significance, then numbers for the whole of the
    samples and classifiers.
    """
    first = [Finding(c.name, c.verdict, c.finding, math.inf) for c in checks if c.finding]
    seen: dict[str, list[Comparison]] = {}
    for c in comparisons:
        if c.verdict != WITHIN:
            seen.setdefault(c.observable, []).append(c)
    found = [_of_observable(name, several) for name, several in seen.items()]
    found += [one for name in dict.fromkeys(b.variable for b in bins) for one in _of_bins(name, bins)]
    whole: list[Finding] = []
    for s in scores:
        if s.verdict not in {WITHIN, NOT_TESTED}:
            text = f"{s.value:.4g} ± {s.error:.2g}, floor {s.floor:.4g}"
            target = found if s.key.startswith(_OBSERVABLES) else whole
            target.append(Finding(s.name, s.verdict, text, abs(s.significance)))
    for one in classifiers:
        if one.verdict not in {WITHIN, NOT_TESTED}:
            text = f"AUC {one.auc:.3f} ± {one.error:.3f}, floor {one.floor:.3f}"
            whole.append(Finding(f"{one.name}, {one.features}", one.verdict, text, one.significance))
    return tuple(
        first + sorted(found, key=lambda f: -f.significance) + sorted(whole, key=lambda f: -f.significance)
    )


def _of_bins(variable: str, bins: Sequence[Bias]) -> list[Finding]:
    """The bins of a variable in which response and resolution differ most."""
    found = []
    for what, verdict, value, error, reference in (
        ("response", "verdict", "bias", "bias_error", 0.0),
        ("resolution", "resolution_verdict", "resolution_ratio", "resolution_ratio_error", 1.0),
    ):
        several = [b for b in bins if b.variable == variable and getattr(b, verdict) != WITHIN]
        if not several:
            continue

        def significance(
            b: Bias, value: str = value, error: str = error, reference: float = reference
        ) -> float:
            size = getattr(b, error)
            return abs(getattr(b, value) - reference) / size if size > 0 else math.inf

        best = max(several, key=significance)
        where = f"{best.name}, {best.variable} {best.low:.3g} to {best.high:.3g} {best.unit}"
        numbers = f"{getattr(best, value):.3f} ± {getattr(best, error):.3f}"
        text = (f"bias {numbers}" if reference == 0 else f"{numbers} of Geant4's") + f" ({where})"
        if len(several) > 1:
            text += f"; {len(several)} bins of {variable} in all"
        name = f"{what} in bins of {variable}"
        wrong = any(getattr(b, verdict) == WRONG for b in several)
        found.append(Finding(name, WRONG if wrong else getattr(best, verdict), text, significance(best)))
    return found


def _of_observable(name: str, several: Sequence[Comparison]) -> Finding:
    best = max(several, key=strength)
    parts = []
    if best.shift_error > 0 and abs(best.shift) > 3 * best.shift_error:
        direct = best.shift_column.startswith("along")
        where = f" {'' if direct else 'in '}{best.shift_column}" if best.shift_column else ""
        direction = "above" if best.shift > 0 else "below"
        parts.append(
            f"mean {abs(best.shift):.3f} ± {best.shift_error:.3f} standard deviations {direction} "
            f"Geant4's{where}"
        )
    if best.spread_error > 0 and abs(best.spread - 1) > 3 * best.spread_error:
        parts.append(f"spread {best.spread:.3f} ± {best.spread_error:.3f} of Geant4's")
    parts.append(f"chi2/ndf {best.chi2:.0f}/{best.ndf}, separation power {best.value:.2g}")
    where = "" if best.selection == "all" else f" ({best.selection})"
    verdict = WRONG if any(c.verdict == WRONG for c in several) else best.verdict
    return Finding(name, verdict, "; ".join(parts) + where, strength(best))


def strength(c: Comparison) -> float:
    """Return how many standard deviations the most telling test of a comparison shows."""
    shift = abs(c.shift) / c.shift_error if c.shift_error > 0 else 0.0
    spread = abs(c.spread - 1) / c.spread_error if c.spread_error > 0 else 0.0
    chi2 = math.sqrt(2 * c.chi2) - math.sqrt(max(2 * c.ndf - 1, 0))
    return max(shift, min(spread, 1e6), chi2)
