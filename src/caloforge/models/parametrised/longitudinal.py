"""The longitudinal profile of electromagnetic showers: a gamma distribution with fluctuating shape.

dE/dt ~ t^(alpha - 1) exp(-beta t), t in radiation lengths, with its maximum at T = (alpha - 1) / beta (Longo and
Sestili, NIM 128 (1975) 283). Grindhammer, Rudowicz and Peters (NIM A290 (1990) 469; hep-ex/0001020): ln T and ln alpha
of single showers are normal and correlated, with parameters that depend on ln E. Here the logarithm of the response
joins them, and photons convert first, at an exponential depth from which t is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

REFERENCE_ENERGY = 10_000.0
"""MeV; energies enter as ln of their ratio to it."""
CONVERSION_LENGTH = 9 / 7
"""Mean depth of the conversion of a photon of high energy, in radiation lengths (Tsai 1974)."""


def log_gamma(x: Tensor) -> Tensor:
    """Logarithm of the gamma function for x >= 1, by Stirling's series at x + 3, for runtimes that have none.

    >>> log_gamma(torch.tensor([1.0, 5.0])).exp().round(decimals=3)
    tensor([ 1., 24.])
    """
    y = x + 3
    series = (y - 0.5) * y.log() - y + 0.5 * math.log(2 * math.pi) + 1 / (12 * y) - 1 / (360 * y**3)
    return series - (x * (x + 1) * (x + 2)).log()


def profile(depth: Tensor, maximum: Tensor, alpha: Tensor) -> Tensor:
    """Density of the gamma distribution per radiation length, 0 before the start.

    Args:
        depth: t in radiation lengths, (...).
        maximum: T in radiation lengths, (...).
        alpha: Above 1, (...).
    """
    beta = (alpha - 1) / maximum
    t = depth.clamp(min=1e-4)
    density = (alpha * beta.log() + (alpha - 1) * t.log() - beta * t - log_gamma(alpha)).exp()
    return torch.where(depth > 0, density, torch.zeros_like(density))


@dataclass(frozen=True)
class Shapes:
    """Estimated shapes of single showers: ln T, ln (alpha - 1) and ln response, each (n_showers,)."""

    log_maximum: Array
    log_alpha: Array
    log_response: Array

    @property
    def matrix(self) -> Array:
        """(n_showers, 3)."""
        return np.stack([self.log_maximum, self.log_alpha, self.log_response], 1)


def estimate(
    energies: Array, incident_energy: Array, depth: Array, weights: Array, spots: Array, steps: int = 12
) -> Shapes:
    """Fit a gamma profile to each shower, by maximum likelihood with a weak pull to the mean shower.

    It is an exponential family in t and ln t, so Newton's method finds the only maximum.

    Args:
        energies: Of the layers in MeV, (n_showers, n_layers).
        incident_energy: In MeV, (n_showers,).
        depth: t of the layers from where the shower starts, (n_showers, n_layers).
        weights: What layers show of the profile, (n_showers, n_layers).
        spots: Effective number of spots of each shower, (n_showers,).
        steps: Of Newton's method.
    """
    behind = depth > 0
    t = np.where(behind, depth, 1.0)
    log_t = np.log(t)
    used = np.where(behind, energies, 0.0) + 1e-12
    total = used.sum(1)
    log_weight = np.where(behind, np.log(weights), -np.inf)
    means = [(used * value).sum(1) / total for value in (log_t, t)]
    share = spots / (spots + 3)
    log_energy = np.log(incident_energy)
    means = [share * mean + (1 - share) * _typical(mean, log_energy) for mean in means]
    power, rate = np.full(len(total), 2.5), np.full(len(total), 0.5)
    for _ in range(steps):
        log_p = power[:, None] * log_t - rate[:, None] * t + log_weight
        p = np.exp(log_p - log_p.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        a, b = (p * log_t).sum(1), (p * t).sum(1)
        aa, bb = (p * log_t**2).sum(1) - a * a + 1e-4, (p * t * t).sum(1) - b * b + 1e-4
        ab = (p * log_t * t).sum(1) - a * b
        da, db = means[0] - a, b - means[1]
        determinant = aa * bb - ab * ab + 1e-9
        step_a = (bb * da + ab * db) / determinant
        step_b = (aa * db + ab * da) / determinant
        limit = np.minimum(1.0, 1.0 / np.maximum(np.maximum(np.abs(step_a), 2 * np.abs(step_b)), 1e-9))
        power = np.clip(power + limit * step_a, 0.15, 40.0)
        rate = np.clip(rate + limit * step_b, 0.05, 10.0)
    maximum = torch.from_numpy(power / rate)[:, None]
    shown = profile(torch.from_numpy(depth), maximum, torch.from_numpy(power + 1)[:, None]).numpy() * weights
    response = energies.sum(1) / (incident_energy * shown.sum(1))
    return Shapes(np.log(power / rate), np.log(power), np.log(np.clip(response, 1e-6, None)))


def _typical(values: Array, log_energy: Array) -> Array:
    """A quadratic in the logarithm of energy through values, at each of them, (n_showers,)."""
    basis = basis_of(log_energy, 2)
    return np.asarray(basis @ np.linalg.lstsq(basis, values, rcond=None)[0])


def starting_depth(first: NDArray[np.int64], depth: Array, length: float) -> Array:
    """Most likely place of a conversion, given the first layer that sees the shower: its mean in the layer's gap.

    Args:
        first: Index of that layer, (n_showers,).
        depth: Of the layers in radiation lengths, (n_layers,).
        length: Mean depth of conversions in radiation lengths.

    Returns:
        (n_showers,) in radiation lengths.
    """
    before = np.concatenate([[0.0], depth[:-1]])[first]
    gap = depth[first] - before
    return np.asarray(before + length - gap / np.expm1(gap / length))


def basis_of(log_energy: Array, degree: int) -> Array:
    """Powers of a logarithm of energy, (n_showers, degree + 1)."""
    return np.stack([log_energy**k for k in range(degree + 1)], 1)


@dataclass(frozen=True)
class Correlated:
    """A normal distribution of three numbers given ln E, one after the other, so that it is always positive definite.

    Attributes:
        means: Quadratic in ln E: (3, 3), a row per number.
        slopes: Of number i on the pulls of those before, linear in ln E: (3, 2, 2).
        spreads: Logarithms of the standard deviations given those before, quadratic in ln E: (3, 3).
    """

    means: Array
    slopes: Array
    spreads: Array

    def moved(self, by: Correlated, minus: Correlated, rate: float = 1.0) -> Correlated:
        """Return these parameters plus `rate` times the difference of two others."""
        return Correlated(
            *(
                getattr(self, name) + rate * (getattr(by, name) - getattr(minus, name))
                for name in ("means", "slopes", "spreads")
            )
        )


def fit_correlated(values: Array, log_energy: Array) -> Correlated:
    """Fit it to showers by moments.

    Args:
        values: (n_showers, 3).
        log_energy: ln of the incident energy in units of 10 GeV, (n_showers,).
    """
    quadratic, linear = basis_of(log_energy, 2), basis_of(log_energy, 1)
    means, slopes, spreads = np.zeros((3, 3)), np.zeros((3, 2, 2)), np.zeros((3, 3))
    pulls: list[Array] = []
    for i in range(3):
        means[i] = np.linalg.lstsq(quadratic, values[:, i], rcond=None)[0]
        rest = values[:, i] - quadratic @ means[i]
        if pulls:
            columns = np.concatenate([pull[:, None] * linear for pull in pulls], 1)
            fitted = np.linalg.lstsq(columns, rest, rcond=None)[0]
            slopes[i, :i] = fitted.reshape(i, 2)
            rest = rest - columns @ fitted
        spreads[i] = _log_spread(rest, quadratic)
        pulls.append(rest / np.exp(quadratic @ spreads[i]))
    return Correlated(means, slopes, spreads)


def _log_spread(rest: Array, basis: Array) -> Array:
    """Maximum likelihood of ln sigma = basis @ result for normal numbers; outliers count as five sigma."""
    result = np.zeros(basis.shape[1])
    result[0] = np.log(rest.std() + 1e-6)
    for _ in range(15):
        squared = np.minimum((rest / np.exp(basis @ result)) ** 2, 25.0)
        gradient = basis.T @ (squared - 1)
        result += np.linalg.solve(
            2 * basis.T @ (basis * squared[:, None]) + 1e-6 * np.eye(len(result)), gradient
        )
    return result
