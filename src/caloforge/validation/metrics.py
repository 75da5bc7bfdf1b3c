"""Distances between two samples in one observable, with errors, the floor and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from caloforge.errors import require
from caloforge.physics import (
    DetailedObservables,
    PooledValues,
    Trend,
    chi2_histograms,
    chi2_means,
    separation_power,
)
from caloforge.validation.floor import Resampling, halves_scale
from caloforge.validation.histograms import Contents, Histogram, bin_edges, paired, profile_edges
from caloforge.validation.quantities import QUANTITIES, Quantity
from caloforge.validation.verdict import P_LIMIT, judge, pull

SEPARATION_LIMIT = 0.01
SHIFT_LIMIT = 0.1
SPREAD_LIMIT = 0.05
"""Above these a significant difference is `wrong`, below it is `visible`: separation power above the floor,
shift in standard deviations, relative change of the spread."""

_MIN_FILLED = 25
_CHI2_HALVES = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A distance with its bootstrap error, and the same between two reference samples of these sizes."""

    value: float
    error: float
    floor: float
    floor_error: float


@dataclass(frozen=True)
class Comparison:
    """One observable of both samples.

    Attributes:
        observable: Name of the observable.
        selection: Which showers: `all`, a particle, or a range of incident energy.
        separation: Separation power, 0 (equal) to 1 (disjoint); the mean over columns.
        wasserstein: Wasserstein-1 distance in standard deviations of the reference at the same incident
            energy (of profiles: in rms of the profile); the mean over columns.
        chi2: Chi-square, summed over columns; of profiles, of the mean share of a shower's sum per bin, with
            the covariance of the bins.
        ndf: Its degrees of freedom.
        chi2_floor: Chi-square / ndf between halves of the reference.
        p_value: Of chi-square; of the worst column, times the number of columns.
        shift: Mean minus the reference's at the same incident energy, in its standard deviations; of the
            column where it is most significant.
        shift_error: Its statistical error.
        shift_column: That column.
        spread: Standard deviation divided by the reference's; of single numbers per shower only.
        spread_error: Its statistical error.
        p_worst: Smallest p-value of chi-square, shift and spread, times the number of tests.
        per_column: Separation power of every column.
    """

    observable: str
    selection: str
    separation: Measure
    wasserstein: Measure
    chi2: float
    ndf: int
    chi2_floor: float
    p_value: float
    shift: float
    shift_error: float
    shift_column: str
    spread: float
    spread_error: float
    p_worst: float
    per_column: tuple[float, ...] = field(default=(), repr=False)

    @property
    def value(self) -> float:
        """Separation power."""
        return self.separation.value

    @property
    def error(self) -> float:
        """Bootstrap error of the separation power."""
        return self.separation.error

    @property
    def floor(self) -> float:
        """Separation power between two reference samples of these sizes."""
        return self.separation.floor

    @property
    def floor_error(self) -> float:
        """Standard deviation of the floor."""
        return self.separation.floor_error

    @property
    def excess(self) -> float:
        """Separation power above the floor."""
        return self.value - self.floor

    @property
    def significance(self) -> float:
        """Excess in standard deviations."""
        return pull(self.excess, self.error, self.floor_error)

    @property
    def verdict(self) -> str:
        """`within floor`: p above 0.00005 in all tests; else `visible` or, beyond the limits, `wrong`."""
        large = (
            self.excess > SEPARATION_LIMIT
            or abs(self.shift) > SHIFT_LIMIT
            or abs(self.spread - 1) > SPREAD_LIMIT
        )
        return judge(self.p_worst < P_LIMIT, large)


def compare(
    quantity: Quantity,
    generated: DetailedObservables,
    reference: DetailedObservables,
    resampling: Resampling,
    selection: str = "all",
) -> tuple[Comparison, tuple[Histogram, ...]]:
    """Compare one observable of two samples.

    Args:
        quantity: The observable.
        generated: One sample.
        reference: The other.
        resampling: Bootstrap weights, halves and Monte Carlo weights of both.
        selection: What the samples are called.
    """
    samples = (generated, reference)
    weights = (resampling.generated_weights, resampling.reference_weights)
    raw = [quantity.values(o).astype(np.float64).reshape(len(o), -1) for o in samples]
    if quantity.kind == "profile":
        edges = profile_edges(quantity, reference)[None]
        binned = [Contents(w, matrix=values) for values, w in zip(raw, weights, strict=True)]
        residuals = [_shares(values) for values in raw]
        wasserstein = _profile_distances(binned[0], binned[1], resampling)
        chi2, ndf = chi2_means(residuals[0], residuals[1], *weights)
        floor = _chi2_floor_means(residuals[1], weights[1], resampling.halves)
        p_value = _p_chi2(chi2, ndf)
        columns: list[tuple[float, int]] = [(chi2, ndf)]
    else:
        edges = np.stack([bin_edges(column) for column in raw[1].T])
        binned = [Contents.of_values(values, edges, w) for values, w in zip(raw, weights, strict=True)]
        residuals = _standardised(raw, samples)
        wasserstein = _value_distances(residuals[0], residuals[1], resampling)
        columns = _chi2_columns(*(part for c in binned for part in (c.total(), c.total(2))))
        floor = _chi2_floor(binned[1], resampling.halves)
        p_value = min(1.0, len(columns) * min(_p_chi2(*one) for one in columns))
    fake, true = binned
    shift, shift_error, number, p_shift = _shift(quantity, residuals, weights)
    shift_column = "" if number is None else quantity.column_name(number, reference.detector)
    spread, spread_error, p_spread = _spread(quantity, residuals, weights)
    values = separation_power(fake.total(), true.total())
    boot = separation_power(fake.filled(resampling.generated), true.filled(resampling.reference))
    halves = separation_power(true.filled(resampling.halves), true.filled(1 - resampling.halves))
    scale = halves_scale(resampling.effective_generated, resampling.effective_reference)
    comparison = Comparison(
        quantity.name,
        selection,
        _measure(values.mean(), boot.mean(axis=-1), halves.mean(axis=-1) * scale),
        wasserstein,
        sum(one for one, _ in columns),
        sum(number for _, number in columns),
        floor,
        p_value,
        shift,
        shift_error,
        shift_column,
        spread,
        spread_error,
        min(1.0, 3 * min(p_value, p_shift, p_spread)),
        tuple(values.tolist()) if quantity.kind == "columns" else (),
    )
    return comparison, paired(quantity, edges, fake, true)


def _shares(contents: Floats) -> Floats:
    """Return the contents of each shower divided by their sum: the shape alone."""
    total = contents.sum(axis=1, keepdims=True)
    found: Floats = np.divide(contents, total, out=np.zeros_like(contents), where=total > 0)
    return found


def _measure(value: float | np.floating, bootstrap: Floats, floors: Floats) -> Measure:
    return Measure(
        float(value), float(bootstrap.std(ddof=1)), float(floors.mean()), float(floors.std(ddof=1))
    )


def _standardised(
    raw: list[Floats], samples: tuple[DetailedObservables, DetailedObservables]
) -> list[Floats]:
    """Take the dependence on the incident energy out: values in standard deviations from the mean.

    The reference's mean and mean square deviation are fitted against log energy, per particle.
    """
    residuals = [np.zeros_like(values) for values in raw]
    _, reference = samples
    for pdg in np.unique(reference.incidents.pdg):
        chosen = [o.incidents.pdg == pdg for o in samples]
        logs = [np.log(o.incidents.energy[c]) for o, c in zip(samples, chosen, strict=True)]
        true = raw[1][chosen[1]]
        mean = Trend(logs[1], true, order=3)
        square = (true - mean(logs[1])) ** 2
        typical = square.mean(axis=0)
        variance = Trend(logs[1], square)
        for number in (0, 1):
            spread = np.sqrt(np.maximum(variance(logs[number]), 0.1 * typical))
            difference = raw[number][chosen[number]] - mean(logs[number])
            residuals[number][chosen[number]] = np.divide(
                difference, spread, out=np.sign(difference), where=spread > 0
            )
    return residuals


def _value_distances(fake: Floats, true: Floats, r: Resampling) -> Measure:
    found: list[tuple[Floats, Floats, Floats]] = []
    for one, two in zip(fake.T, true.T, strict=True):
        pooled, own = PooledValues(one, two), PooledValues(two, two)
        w1, w2 = r.generated_weights, r.reference_weights
        found.append(
            (
                pooled.wasserstein(w1[None], w2[None]),
                pooled.wasserstein(r.generated * w1, r.reference * w2),
                own.wasserstein(r.halves * w2, (1 - r.halves) * w2),
            )
        )
    value, boot, halves = (np.mean([column[part] for column in found], axis=0) for part in range(3))
    scale = math.sqrt(halves_scale(r.effective_generated, r.effective_reference))
    return _measure(value[0], boot, halves * scale)


def _profile_distances(fake: Contents, true: Contents, r: Resampling) -> Measure:
    place = np.arange(true.n_bins)
    shape = true.total()[0] / max(true.total().sum(), 1e-300)
    rms = math.sqrt(max(float(shape @ (place - shape @ place) ** 2), 1e-12))

    def distance(one: Floats, two: Floats) -> Floats:
        parts = [h[:, 0] / np.maximum(h[:, 0].sum(axis=-1, keepdims=True), 1e-300) for h in (one, two)]
        return np.asarray(np.abs((parts[0] - parts[1]).cumsum(axis=-1)).sum(axis=-1) / rms)

    scale = math.sqrt(halves_scale(r.effective_generated, r.effective_reference))
    return _measure(
        distance(fake.total()[None], true.total()[None])[0],
        distance(fake.filled(r.generated), true.filled(r.reference)),
        distance(true.filled(r.halves), true.filled(1 - r.halves)) * scale,
    )


def _chi2_columns(w1: Floats, v1: Floats, w2: Floats, v2: Floats) -> list[tuple[float, int]]:
    return [chi2_histograms(*parts) for parts in zip(w1, v1, w2, v2, strict=True)]


def _chi2_floor(true: Contents, halves: Floats) -> float:
    chosen = halves[:_CHI2_HALVES]
    parts = [true.filled(times, power) for times in (chosen, 1 - chosen) for power in (1, 2)]
    columns = [one for several in zip(*parts, strict=True) for one in _chi2_columns(*several)]
    return sum(chi2 for chi2, _ in columns) / max(sum(ndf for _, ndf in columns), 1)


def _chi2_floor_means(values: Floats, weights: Floats, halves: Floats) -> float:
    found = []
    for half in halves[:_CHI2_HALVES] > 0:
        chi2, ndf = chi2_means(values[half], values[~half], weights[half], weights[~half])
        found.append(chi2 / max(ndf, 1))
    return float(np.mean(found))


def _p_chi2(chi2: float, ndf: int) -> float:
    if ndf == 0:
        return 1.0
    return float(require("scipy.special", "report").chdtrc(ndf, chi2))


def _p_normal(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def _shift(
    quantity: Quantity, residuals: list[Floats], weights: tuple[Floats, Floats]
) -> tuple[float, float, int | None, float]:
    """Return the most significant shift of a mean: value, error, column (of several) and p-value."""
    parts = [_mean_and_error(v, w) for v, w in zip(residuals, weights, strict=True)]
    difference = parts[0][0] - parts[1][0]
    error = np.hypot(parts[0][1], parts[1][1])
    if quantity.kind == "profile":  # the shape of a profile is the business of chi2
        return 0.0, 0.0, None, 1.0
    enough = [(np.abs(v - np.median(v, axis=0)) > 1e-9).sum(axis=0) >= _MIN_FILLED for v in residuals]
    usable = (enough[0] | enough[1]) & (error > 0)
    z = np.where(usable, np.divide(difference, error, out=np.zeros_like(error), where=error > 0), 0.0)
    number = int(np.argmax(np.abs(z)))
    p = min(1.0, len(z) * _p_normal(float(z[number])))
    column = number if quantity.kind == "columns" else None
    return float(difference[number]), float(error[number]), column, p


def _mean_and_error(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    w = weights / weights.sum()
    mean = w @ values
    return mean, np.sqrt(w**2 @ (values - mean) ** 2)


def _spread(
    quantity: Quantity, residuals: list[Floats], weights: tuple[Floats, Floats]
) -> tuple[float, float, float]:
    """Return the ratio of the standard deviations, its error (with the measured kurtosis) and p-value."""
    if quantity.kind != "shower":
        return 1.0, 0.0, 1.0
    deviations, errors = [], []
    for values, weight in zip(residuals, weights, strict=True):
        w = weight / weight.sum()
        centred = values[:, 0] - w @ values[:, 0]
        variance = float(w @ centred**2)
        kurtosis = float(w @ centred**4) / variance**2 if variance > 1e-24 else 3.0
        deviations.append(math.sqrt(variance))
        errors.append(math.sqrt(max(kurtosis - 1, 2.0) * float(w @ w) / 4))
    if min(deviations) < 1e-9:
        same = max(deviations) < 1e-9
        return (1.0, 0.0, 1.0) if same else (math.inf if deviations[1] < 1e-9 else 0.0, 0.0, 0.0)
    log_ratio = math.log(deviations[0] / deviations[1])
    error = math.hypot(*errors)
    return math.exp(log_ratio), math.exp(log_ratio) * error, _p_normal(log_ratio / error)


__all__ = ["QUANTITIES", "Comparison", "Measure", "compare"]
