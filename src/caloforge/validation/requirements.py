"""The numbers by which a report can be gated, and requirements on them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from caloforge.errors import InputError, did_you_mean
from caloforge.validation.evaluation import Evaluation
from caloforge.validation.levels import MLP_CELLS, MLP_HIGH, RESNET, TREES
from caloforge.validation.quantities import QUANTITIES, slug
from caloforge.validation.verdict import VISIBLE, WRONG

_CLASSIFIERS = (TREES, MLP_HIGH, MLP_CELLS, RESNET)
SCORES = (
    "response_bias_mean",
    "resolution_ratio_mean",
    "layer_correlation",
    "gan3d_score",
    "fpd",
    "kpd",
    "precision",
    "recall",
    "density",
    "coverage",
    "diversity",
    "diversity_spectrum",
    "memorised",
)
"""Keys of the numbers for the whole of two samples."""

_CHECKS = ("copies", "empty", "distinct", "threshold")
_PER_OBSERVABLE = ("separation", "wasserstein", "chi2", "shift", "spread")

_TERM = re.compile(r"^\s*([a-z0-9_]+)\s*(<=|>=|<|>)\s*([-+0-9.eE]+)\s*$")


def known_names() -> tuple[str, ...]:
    """Return the names of all numbers that `values` gives."""
    return (
        "auc_high",
        "auc_low",
        *_CLASSIFIERS,
        *(name.replace("auc", "jsd") for name in _CLASSIFIERS),
        "response_bias",
        "resolution_bias",
        "response_bias_theta",
        "resolution_bias_theta",
        "response_bias_position",
        "resolution_bias_position",
        *SCORES,
        *_CHECKS,
        "physics_score",
        "separation_max",
        *(f"{part}_{slug(q.name)}" for part in _PER_OBSERVABLE for q in QUANTITIES),
        "visible",
        "wrong",
    )


def values(e: Evaluation) -> dict[str, float | None]:
    """Return the numbers by which a report can be gated, None where there is no result.

    `auc_high` and `auc_low` are the largest AUC on high-level features and on cells; `response_bias` and
    `resolution_bias` the largest |bias| and |resolution ratio - 1| over particles and decades of energy (with
    `_theta` and `_position`, over bins of theta and of the impact point);
    `separation_max` is the largest separation power; `visible` and `wrong` count verdicts.
    """
    found: dict[str, float | None] = dict.fromkeys(known_names())
    for tested in e.classifiers:
        found[tested.key] = tested.auc
        found[tested.key.replace("auc", "jsd")] = tested.jsd
    found["auc_high"] = _largest(found[TREES], found[MLP_HIGH])
    found["auc_low"] = _largest(found[MLP_CELLS], found[RESNET])
    for where, bins in (("", e.decades), ("_theta", e.angles), ("_position", e.positions)):
        found[f"response_bias{where}"] = _largest(*(abs(b.bias) for b in bins))
        found[f"resolution_bias{where}"] = _largest(*(abs(b.resolution_ratio - 1) for b in bins))
    found |= {s.key: s.value for s in e.scores if s.key in found}
    found |= {check.key: check.value for check in e.checks}
    found["physics_score"] = e.score.total
    found["separation_max"] = _largest(*(c.value for c in e.separations))
    for c in e.separations:
        name = slug(c.observable)
        found[f"separation_{name}"] = c.value
        found[f"wasserstein_{name}"] = c.wasserstein.value
        found[f"chi2_{name}"] = c.chi2 / max(c.ndf, 1)
        found[f"shift_{name}"] = abs(c.shift)
        found[f"spread_{name}"] = c.spread
    verdicts = list(e.verdicts.values())
    found["visible"], found["wrong"] = float(verdicts.count(VISIBLE)), float(verdicts.count(WRONG))
    return {name: None if value is None or math.isnan(value) else value for name, value in found.items()}


def _largest(*numbers: float | None) -> float | None:
    known = [number for number in numbers if number is not None and not math.isnan(number)]
    return max(known) if known else None


@dataclass(frozen=True)
class Requirement:
    """A limit on one number, such as `auc_high < 0.6`."""

    name: str
    relation: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.limit:g}"

    def holds(self, found: dict[str, float | None]) -> bool:
        """Return whether the number is there and within the limit."""
        value = found[self.name]
        if value is None:
            return False
        return {
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">": value > self.limit,
            ">=": value >= self.limit,
        }[self.relation]


def parse_requirements(text: str) -> tuple[Requirement, ...]:
    """Read requirements as written on the command line.

    >>> [str(one) for one in parse_requirements("auc_high<0.6, response_bias < 0.01")]
    ['auc_high<0.6', 'response_bias<0.01']

    Raises:
        InputError: If they cannot be read, or name a number that does not exist.
    """
    found = []
    for term in text.split(","):
        match = _TERM.match(term)
        try:
            limit = float(match[3]) if match else math.nan
        except ValueError:
            limit = math.nan
        if match is None or math.isnan(limit):
            raise InputError(
                f"{term.strip()!r} is no requirement; write for instance 'auc_high<0.6,fpd<0.001'"
            )
        if match[1] not in known_names():
            raise InputError(f"no number is called {match[1]!r}{_hint(match[1])}")
        found.append(Requirement(match[1], match[2], limit))
    return tuple(found)


def _hint(name: str) -> str:
    hint = did_you_mean(name, known_names())
    if "did you mean" in hint:
        return hint
    return "; the key 'values' of metrics.json lists what there is"
