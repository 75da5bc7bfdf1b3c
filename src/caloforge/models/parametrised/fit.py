"""Fitting the parametrised shower to showers of Geant4, by moments.

What is seen of a shower (its layers) is blurred by sampling fluctuations, so estimates of its shape scatter more than
the shapes do. Therefore the fit iterates: showers are drawn, the same is estimated for them as for those given, and
the parameters move by the difference (indirect inference: Gourieroux, Monfort and Renault, J. Appl. Econometrics 8
(1993) S85).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from caloforge.errors import InputError
from caloforge.models.contract import Batch
from caloforge.models.parametrised.generator import ParametrisedGenerator
from caloforge.models.parametrised.initial import FEWEST, fit_backscatter, fit_radial, fit_spots, fit_tracks
from caloforge.models.parametrised.longitudinal import (
    REFERENCE_ENERGY,
    Array,
    Correlated,
    Shapes,
    basis_of,
    fit_correlated,
)
from caloforge.models.parametrised.radial import DEEPEST
from caloforge.models.parametrised.summary import (
    CHUNK,
    Summary,
    estimate_shapes,
    expected,
    starts,
    summarise,
)
from caloforge.showers import particle_name


def fit(generator: ParametrisedGenerator, sample: Batch, *, iterations: int, drawn: int, seed: int) -> None:
    """Fit a generator to showers.

    Args:
        generator: Its buffers are set.
        sample: The showers.
        iterations: Of drawing and comparing.
        drawn: Showers drawn in each.
        seed: Of the showers drawn.

    Raises:
        InputError: If a particle has too few showers, or they are empty.
    """
    sample = _of_known_particles(generator, sample)
    log_energy = (sample.incident[:, 1] / REFERENCE_ENERGY).log()
    generator.log_range.copy_(torch.stack([log_energy.min(), log_energy.max()]))
    fit_spots(generator, sample)
    fit_tracks(generator, sample)
    data = summarise(generator, sample.incident, sample.showers)
    fit_backscatter(generator, data)
    shapes = estimate_shapes(generator, data)
    for kind, fitted in enumerate(_by_particle(generator, data, shapes)):
        _put(generator, kind, fitted)
    _set_layer_weights(generator, data, None, rate=1.0)
    fit_radial(generator, data, estimate_shapes(generator, data))
    random = torch.Generator().manual_seed(seed)
    incident = sample.incident[torch.arange(drawn) % len(sample)]
    for number in range(iterations):
        made = _draw(generator, incident, random)
        rate = 1.0 if number < iterations / 2 else 0.4
        _move(generator, data, made, rate)


def _of_known_particles(generator: ParametrisedGenerator, sample: Batch) -> Batch:
    keep = torch.isin(sample.incident[:, 0], generator.pdgs) & (sample.showers.flatten(1).sum(1) > 0)
    for pdg in generator.pdgs.tolist():
        n = int((keep & (sample.incident[:, 0] == pdg)).sum())
        if n < FEWEST:
            raise InputError(
                f"the fit gets {n} showers of {particle_name(int(pdg))} that are not empty, at least {FEWEST} are "
                "needed: give more data, or take the particle out of model.particles"
            )
    return sample.select(keep)


@torch.no_grad()
def _draw(generator: ParametrisedGenerator, incident: Tensor, random: torch.Generator) -> Summary:
    parts = []
    for some in incident.split(CHUNK):
        noise = torch.randn(len(some), generator.noise_size, generator=random)
        parts.append(summarise(generator, some, generator(some, noise)))
    return Summary(
        *(
            np.concatenate([getattr(part, n) for part in parts])
            for n in ("kind", "energy", "classes", "first")
        )
    )


def _by_particle(generator: ParametrisedGenerator, data: Summary, shapes: Shapes) -> list[Correlated]:
    return [
        fit_correlated(shapes.matrix[data.kind == kind], data.log_energy[data.kind == kind])
        for kind in range(len(generator.pdgs))
    ]


def _put(generator: ParametrisedGenerator, kind: int, fitted: Correlated) -> None:
    for name in ("means", "slopes", "spreads"):
        getattr(generator, name)[kind] = torch.from_numpy(getattr(fitted, name)).float()


def _get(generator: ParametrisedGenerator, kind: int) -> Correlated:
    return Correlated(*(getattr(generator, n)[kind].double().numpy() for n in ("means", "slopes", "spreads")))


def _move(generator: ParametrisedGenerator, data: Summary, made: Summary, rate: float) -> None:
    """Move all parameters by the difference between showers given and showers made."""
    of_data, of_made = estimate_shapes(generator, data), estimate_shapes(generator, made)
    wanted, got = (_by_particle(generator, s, f) for s, f in ((data, of_data), (made, of_made)))
    for kind, (target, now) in enumerate(zip(wanted, got, strict=True)):
        _put(generator, kind, _get(generator, kind).moved(target, now, rate))
    rests = [_rests(generator, s, f) for s, f in ((data, of_data), (made, of_made))]
    for name, number in (("clusters", 0), ("core_clusters", 1)):
        trend, present = (
            _trend((rest[number] ** 2).mean(1), s.log_energy)
            for rest, s in zip(rests, (data, made), strict=True)
        )
        own = getattr(generator, name)
        own += rate * torch.from_numpy(trend - present).float()
        own.clamp_(-6.0, 2.0)
    lag, link = (
        [correlate(rest) for rest in rests] for correlate in (_lag, lambda r: -_correlation(r[0], r[1]))
    )
    generator.smoothness.add_(rate * (lag[0] - lag[1])).clamp_(0.0, 0.9)
    generator.core_link.add_(rate * (link[0] - link[1])).clamp_(0.0, 0.95)
    generator.smoothing.copy_(smoothing(float(generator.smoothness), generator.shape[0]))
    _set_layer_weights(generator, data, made, rate)


def smoothing(correlation: float, n_layers: int) -> Tensor:
    """Make the matrix that gives independent normal numbers the correlation to the power of their distance.

    >>> mix = smoothing(0.5, 3)
    >>> (mix.T @ mix).tolist()
    [[1.0, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 1.0]]
    """
    place = np.arange(n_layers)
    wanted = correlation ** np.abs(place[:, None] - place).astype(float)
    return torch.from_numpy(np.linalg.cholesky(wanted).T.copy()).float()


def _rests(generator: ParametrisedGenerator, data: Summary, shapes: Shapes) -> tuple[Array, Array]:
    """Residuals of layers and of their central cells in units of their spots' fluctuations, (n_showers, n_layers).

    0 where little is expected.
    """
    spot = float(generator.spot_size)
    mean = expected(generator, data, shapes)
    depth = generator.depth.double().numpy()[None] - starts(generator, data)[:, None]
    tau = np.clip(depth / np.exp(shapes.log_maximum)[:, None], 0, DEEPEST)
    parts = []
    for some in np.array_split(np.arange(len(tau)), max(1, len(tau) // CHUNK)):
        part = generator.radial_parts(
            torch.from_numpy(tau[some]).float(), torch.from_numpy(data.log_energy[some, None]).float()
        )
        parts.append((part[..., 0] * generator.lateral.counts[0]).double().numpy())
    share, layers = np.concatenate(parts), data.layers
    number = np.searchsorted(np.quantile(data.log_energy, np.linspace(0, 1, 7)[1:-1]), data.log_energy)
    for group in np.unique(6 * data.kind + number):  # the mean is not what is asked for
        mine = 6 * data.kind + number == group
        ratio = data.classes[mine, :, 0].sum(0) / np.clip((share * layers)[mine].sum(0), 1e-9, None)
        share[mine] = np.clip(share[mine] * ratio, 1e-3, 1 - 1e-3)
    much = mean > 2 * spot
    of_layers = np.where(much, (layers - mean) / np.sqrt(spot * mean.clip(1e-9)), 0.0)
    variance = spot * share * (1 - share) * layers
    of_core = np.where(much, (data.classes[..., 0] - share * layers) / np.sqrt(variance.clip(1e-9)), 0.0)
    return of_layers.clip(-7, 7), of_core.clip(-7, 7)


def _correlation(first: Array, second: Array) -> float:
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum() + 1e-9))


def _lag(rests: tuple[Array, Array]) -> float:
    """Correlation of neighbouring layers."""
    return _correlation(rests[0][:, 1:], rests[0][:, :-1])


def _trend(excess: Array, log_energy: Array) -> Array:
    """Logarithm of the mean, as a line in ln E: (2,)."""
    order = np.argsort(log_energy)
    parts = np.array_split(order, 4)
    values = [np.log(excess[part].mean() + 1e-2) for part in parts]
    line = np.polyfit([log_energy[part].mean() for part in parts], values, 1)
    return line[::-1].copy()


def _set_layer_weights(
    generator: ParametrisedGenerator, data: Summary, made: Summary | None, rate: float
) -> None:
    """Move what layers show, so that mean layer energies become those given (expected ones where none were made)."""
    n_particles = len(generator.pdgs)
    if made is None:
        shapes = estimate_shapes(generator, data)
        made_layers, other = expected(generator, data, shapes), data
    else:
        made_layers, other = made.layers, made
    for kind in range(n_particles):
        mine, theirs = data.kind == kind, other.kind == kind
        edges = np.quantile(data.log_energy[mine], np.linspace(0, 1, 6))
        ratios, places = [], []
        for low, high in pairwise(edges):
            d = mine & (data.log_energy >= low) & (data.log_energy <= high)
            m = theirs & (other.log_energy >= low) & (other.log_energy <= high)
            floor = 1e-2 * data.layers[d].sum(1).mean() / data.layers.shape[1]
            have = made_layers[m].mean(0) if m.any() else data.layers[d].mean(0)
            ratios.append(np.log((data.layers[d].mean(0) + floor) / (have + floor)))
            places.append(data.log_energy[d].mean())
        basis = basis_of(np.array(places), 2)
        ridge = np.diag([0.0, 0.1, 0.3])
        correction = np.linalg.solve(basis.T @ basis + ridge, basis.T @ np.array(ratios))
        moved = generator.layer_weights[kind] + rate * torch.from_numpy(correction).float()
        limits = torch.tensor([[3.0], [0.7], [0.15]])
        generator.layer_weights[kind] = torch.minimum(torch.maximum(moved, -limits), limits)
