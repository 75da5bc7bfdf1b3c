"""`metrics.json`: everything that a comparison found, as plain numbers and texts."""

from __future__ import annotations

import math
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

import caloforge
from caloforge.physics import ResolutionFit, ResponseBin
from caloforge.showers import particle_name
from caloforge.units import GeV
from caloforge.validation.bias import Bias
from caloforge.validation.classifier import Classifier
from caloforge.validation.evaluation import Evaluation, Fit
from caloforge.validation.histograms import Histogram
from caloforge.validation.inputs import Sample, particle_counts
from caloforge.validation.metrics import Comparison
from caloforge.validation.requirements import Requirement, values
from caloforge.validation.scores import Score

SCHEMA = "caloforge.validation/3"
"""Version of the layout of `metrics.json`, described in `docs/validation/metrics-json.md`."""

_LIBRARIES = ("numpy", "h5py", "scipy", "scikit-learn", "torch")


def metrics(evaluation: Evaluation, requirements: tuple[Requirement, ...] = ()) -> dict[str, Any]:
    """Return the content of `metrics.json`: plain numbers, texts, lists; null where there is no number."""
    e = evaluation
    numbers = values(e)
    found = {
        "schema": SCHEMA,
        "package": f"caloforge {caloforge.__version__}",
        "versions": versions(),
        "seed": e.seed,
        "level": e.level,
        "detector": e.detector.name,
        "shape": list(e.detector.shape),
        "threshold_mev": e.reference.observables.threshold,
        "samples": {
            "generated": _sample(e.generated),
            "reference": _sample(e.reference),
            "training": None if e.training is None else _sample(e.training),
        },
        "verdict": e.verdict,
        "verdicts": e.verdicts,
        "findings": [asdict(f) for f in e.findings],
        "values": numbers,
        "requirements": [
            {"requirement": str(one), "value": numbers[one.name], "met": one.holds(numbers)}
            for one in requirements
        ],
        "physics_score": {
            "value": e.score.total,
            "floor": e.score_floor,
            "floor_error": e.score_floor_error,
            "parts": e.score.parts,
        },
        "selections": list(e.selections),
        "observables": [_comparison(c) for c in e.comparisons],
        "classifiers": [_classifier(c) for c in e.classifiers],
        "scores": [_score(s) for s in e.scores],
        "checks": [asdict(c) for c in e.checks],
        "tell_tales": [asdict(t) for t in e.tell_tales],
        "response": {
            "bins": [_bias(b) for b in e.bins],
            "decades": [_bias(b) for b in e.decades],
            "angles": [_bias(b) for b in e.angles],
            "positions": [_bias(b) for b in e.positions],
            "fits": [_fit(f) for f in e.fits],
        },
        "histograms": [_histogram(h) for h in e.histograms if h.column is None],
    }
    plain = _plain(found)
    assert isinstance(plain, dict)
    return plain


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _sample(sample: Sample) -> dict[str, Any]:
    energy = sample.observables.incidents.energy
    return {
        "name": sample.name,
        "kind": sample.kind,
        "sha256": sample.sha256,
        "showers": len(sample),
        "weighted": sample.weighted,
        "particles": particle_counts(sample),
        "energy_min_gev": float(energy.min()) / GeV,
        "energy_max_gev": float(energy.max()) / GeV,
        "spectrum": sample.spectrum.describe(),
        "spectrum_declared": sample.declared is not None,
        "provenance": sample.provenance,
    }


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "observable": c.observable,
        "selection": c.selection,
        "verdict": c.verdict,
        "separation": asdict(c.separation) | {"excess": c.excess, "significance": c.significance},
        "wasserstein": asdict(c.wasserstein),
        "chi2": c.chi2,
        "ndf": c.ndf,
        "chi2_ndf_floor": c.chi2_floor,
        "p_value": c.p_value,
        "shift": c.shift,
        "shift_error": c.shift_error,
        "shift_column": c.shift_column,
        "spread": c.spread,
        "spread_error": c.spread_error,
        "p_worst": c.p_worst,
        "per_column": list(c.per_column),
    }


def _classifier(c: Classifier) -> dict[str, Any]:
    return asdict(c) | {"seeds": list(c.seeds), "seconds": None, "verdict": c.verdict}


def _score(s: Score) -> dict[str, Any]:
    return asdict(s) | {"excess": s.excess, "significance": s.significance, "verdict": s.verdict}


def _bias(b: Bias) -> dict[str, Any]:
    return {
        "particle": particle_name(b.reference.pdg),
        "variable": b.variable,
        "low": b.low,
        "high": b.high,
        "unit": b.unit,
        **({"low_gev": b.low, "high_gev": b.high} if b.variable == "energy" else {}),
        "bias": b.bias,
        "bias_error": b.bias_error,
        "bias_verdict": b.verdict,
        "resolution_ratio": b.resolution_ratio,
        "resolution_ratio_error": b.resolution_ratio_error,
        "resolution_verdict": b.resolution_verdict,
        "generated": _response(b.generated),
        "reference": _response(b.reference),
    }


def _response(b: ResponseBin) -> dict[str, Any]:
    return {
        "showers": b.n,
        "response": b.response,
        "response_error": b.response_error,
        "resolution": b.resolution,
        "resolution_error": b.resolution_error,
    }


def _fit(f: Fit) -> dict[str, Any]:
    def one(fit: ResolutionFit | None) -> dict[str, Any] | None:
        return None if fit is None else asdict(fit)

    return {
        "particle": f.particle,
        "generated": one(f.generated),
        "reference": one(f.reference),
        "generated_linearity": f.generated_linearity,
        "reference_linearity": f.reference_linearity,
    }


def _histogram(h: Histogram) -> dict[str, Any]:
    parts = ("edges", "generated", "generated_error", "reference", "reference_error")
    return {
        "observable": h.quantity.name,
        "label": h.quantity.label,
        "kind": h.quantity.kind,
        **{name: [float(f"{value:.5g}") for value in getattr(h, name)] for name in parts},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
