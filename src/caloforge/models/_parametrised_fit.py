"""Fitting the parametrised shower to showers of Geant4, by moments.

What is seen of a shower (its layers) is blurred by sampling fluctuations, so estimates of its shape scatter more than
the shapes do. Therefore the fit iterates: showers are drawn, the same is estimated for them as for those given, and
the parameters move by the difference (indirect inference: Gourieroux, Monfort and Renault, J. Appl. Econometrics 8
(1993) S85).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models._base import Batch
from caloforge.models._layers import REFERENCE_ENERGY
from caloforge.models._longitudinal import (
    Correlated,
    Shapes,
    basis_of,
    estimate,
    fit_correlated,
    profile,
    starting_depth,
)
from caloforge.models._spots import quantile_table
from caloforge.models.parametrised import (
    CONVERSION_LENGTH,
    DEEPEST,
    RADIAL_TERMS,
    ParametrisedGenerator,
    radial_basis,
    radii_and_odds,
)
from caloforge.showers import particle_name

Array = NDArray[np.float64]

FEWEST = 20
"""Showers of a particle that a fit needs."""
CHUNK = 500
SPOTS = 1000
"""Quantiles of the energy of spots."""
RARE = 0.03
"""Cells that are hit less often are hit by single spots."""


@dataclass(frozen=True)
class Summary:
    """What the fit sees of showers.

    Attributes:
        kind: Number of the particle, (n_showers,).
        energy: Of the incident in MeV, (n_showers,).
        classes: Energy of each layer by class of cells in MeV, (n_showers, n_layers, n_classes) float32.
        first: First layer that sees the shower, (n_showers,).
    """

    kind: NDArray[np.int64]
    energy: Array
    classes: NDArray[np.float32]
    first: NDArray[np.int64]

    @property
    def layers(self) -> Array:
        """Energies of the layers in MeV, (n_showers, n_layers)."""
        return np.asarray(self.classes.sum(2, dtype=np.float64))

    @property
    def log_energy(self) -> Array:
        """Logarithm of E / 10 GeV, (n_showers,)."""
        return np.asarray(np.log(self.energy / REFERENCE_ENERGY))


def fit(
    generator: ParametrisedGenerator, sample: Batch, detector: Detector, *, iterations: int, drawn: int
) -> None:
    """Fit a generator to showers.

    Args:
        generator: Its buffers are set.
        sample: The showers.
        detector: Their detector.
        iterations: Of drawing and comparing.
        drawn: Showers drawn in each.

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
    for kind, found in enumerate(_by_particle(generator, data, shapes)):
        _put(generator, kind, found)
    _set_layer_weights(generator, data, None, rate=1.0)
    fit_radial(generator, data, estimate_shapes(generator, data))
    random = torch.Generator().manual_seed(0)
    incident = sample.incident[torch.arange(drawn) % len(sample)]
    for number in range(iterations):
        made = _draw(generator, incident, random)
        rate = 1.0 if number < iterations / 2 else 0.4
        _move(generator, data, made, rate)


def _of_known_particles(generator: ParametrisedGenerator, sample: Batch) -> Batch:
    keep = torch.isin(sample.incident[:, 0], generator.known) & (sample.showers.flatten(1).sum(1) > 0)
    for pdg in generator.known.tolist():
        n = int((keep & (sample.incident[:, 0] == pdg)).sum())
        if n < FEWEST:
            raise InputError(
                f"the fit gets {n} showers of {particle_name(int(pdg))} that are not empty, at least {FEWEST} are "
                "needed: give more data, or take the particle out of model.particles"
            )
    return Batch(sample.incident[keep], sample.showers[keep])


def fit_spots(generator: ParametrisedGenerator, sample: Batch) -> None:
    """Take the energies of spots from cells that are hit so rarely that two spots hardly meet."""
    cells = sample.showers.flatten(1)
    occupancy = torch.stack([(part > 0).sum(0) for part in cells.split(CHUNK)]).sum(0) / len(cells)
    order = occupancy.argsort()
    rare = order[: max(int((occupancy < RARE).sum()), len(order) // 10)]
    found = torch.cat([part[:, rare][part[:, rare] > 0] for part in cells.split(CHUNK)])
    if len(found) < FEWEST:
        found = cells[cells > 0]
    spot = np.quantile(found.double().numpy(), (np.arange(SPOTS) + 0.5) / SPOTS)
    generator.spot_mean.fill_(spot.mean())
    generator.spot_size.fill_((spot**2).mean() / spot.mean())
    generator.table.copy_(torch.from_numpy(quantile_table(spot)))


def fit_tracks(generator: ParametrisedGenerator, sample: Batch) -> None:
    """Take the energy of a track from the central cell of the first layer, where most electrons have not showered.

    If there are no electrons, or they have showered, it is a third of a spot.
    """
    electrons = generator.known[generator.converts == 0]
    chosen = torch.isin(sample.incident[:, 0], electrons)
    centre = int((generator.lateral.class_of == 0).nonzero()[0])
    energies = sample.showers.flatten(2)[chosen, 0, centre].double().numpy()
    energies = energies[energies > 0]
    spot = float(generator.spot_mean)
    most = 2 * np.quantile(energies, 0.2) if len(energies) >= FEWEST else np.inf
    energies = energies[energies <= most] if most < 2 * spot else np.array([spot / 3])
    steps = np.linspace(1, 0, len(generator.track))
    generator.track.copy_(torch.from_numpy(np.quantile(energies, steps)))


def summarise(generator: ParametrisedGenerator, incident: Tensor, showers: Tensor) -> Summary:
    """Sum showers up."""
    n_classes = len(generator.lateral.counts)
    to_classes = torch.nn.functional.one_hot(generator.lateral.class_of, n_classes).float()
    flat = showers.flatten(2)
    classes = torch.cat([part @ to_classes for part in flat.split(CHUNK)])
    size = torch.tensor(generator.lateral.size)
    near = generator.lateral.centres.le(1.01 * size).all(1)  # the central cell and its neighbours
    middle = (classes * near).sum(2)
    after = torch.cat([middle[:, 1:], middle[:, -1:]], 1)
    mean = generator.spot_mean
    seen = (middle > 0.3 * mean) & (after > 0.5 * mean)
    first = torch.where(seen.any(1), seen.int().argmax(1), classes.sum(2).argmax(1))
    kind = (incident[:, :1] == generator.known).int().argmax(1)
    return Summary(kind.numpy(), incident[:, 1].double().numpy(), classes.numpy(), first.numpy())


def starts(generator: ParametrisedGenerator, data: Summary) -> Array:
    """Where t is counted from in each shower, (n_showers,) in radiation lengths."""
    at = starting_depth(data.first, generator.depth.double().numpy(), CONVERSION_LENGTH)
    return np.asarray(at * generator.converts.double().numpy()[data.kind])


def back_of(generator: ParametrisedGenerator, data: Summary) -> Array:
    """Mean energy scattered back into each layer in MeV, (n_showers, n_layers)."""
    level, slope = generator.backscatter.double().numpy()
    return np.asarray(data.energy[:, None] * np.exp(level + slope * data.log_energy[:, None]))


def weights_of(generator: ParametrisedGenerator, data: Summary) -> Array:
    """What layers show of the profile, (n_showers, n_layers)."""
    weights = generator.layer_weights.double().numpy()[data.kind]
    return np.asarray(np.exp(np.einsum("nk,nkl->nl", basis_of(data.log_energy, 2), weights)))


def fit_backscatter(generator: ParametrisedGenerator, data: Summary) -> None:
    """Fit the energy in layers before photons convert, and its lateral profile."""
    if not generator.converts.any():
        return
    energies, n_layers = data.layers, data.layers.shape[1]
    photon = generator.converts.numpy()[data.kind] > 0
    classes = np.zeros(len(generator.lateral.counts))
    level, slope = generator.backscatter
    for layer in range(n_layers):
        early = photon & (data.first > layer + 1)
        if early.sum() < 100 or energies[early, layer].sum() <= 0:
            break
        y, incident = data.log_energy[early], data.energy[early]
        edges = np.quantile(y, [0, 1 / 3, 2 / 3, 1])
        points = [
            (y[chosen].mean(), np.log((energies[early, layer][chosen].sum() + 1e-3) / incident[chosen].sum()))
            for low, high in pairwise(edges)
            if (chosen := (y >= low) & (y <= high)).any()
        ]
        places, logs = np.array(points).T
        line = np.polyfit(places, logs, 1)
        slope[layer], level[layer] = float(np.clip(line[0], -1.0, 1.0)), float(line[1])
        classes += data.classes[early, layer].sum(0)
    if classes.sum() > 0:
        tried = torch.linspace(0.0, 3.0, 60).exp() * min(generator.lateral.size) / 2
        likelihood = []
        for radius in tried:
            generator.backscatter_radius.copy_(radius)
            parts = generator.single_parts(generator.backscatter_radius).log()
            likelihood.append(float((torch.from_numpy(classes) * parts).sum()))
        generator.backscatter_radius.copy_(tried[int(np.argmax(likelihood))])


def estimate_shapes(generator: ParametrisedGenerator, data: Summary) -> Shapes:
    """Estimate the shape of each shower."""
    depth = generator.depth.double().numpy()[None] - starts(generator, data)[:, None]
    energies = np.clip(data.layers - back_of(generator, data), 0, None)
    spots = data.layers.sum(1) / float(generator.spot_size)
    return estimate(energies, data.energy, depth, weights_of(generator, data), spots)


def expected(generator: ParametrisedGenerator, data: Summary, shapes: Shapes) -> Array:
    """Energies of the layers by the estimated shapes in MeV, (n_showers, n_layers)."""
    depth = generator.depth.double()[None] - torch.from_numpy(starts(generator, data))[:, None]
    log_maximum, log_alpha, log_response = torch.from_numpy(shapes.matrix).split(1, 1)
    shown = (log_response.exp() * profile(depth, log_maximum.exp(), log_alpha.exp() + 1)).numpy()
    return np.asarray(data.energy[:, None] * shown * weights_of(generator, data) + back_of(generator, data))


def fit_radial(generator: ParametrisedGenerator, data: Summary, shapes: Shapes, steps: int = 400) -> None:
    """Fit the radial profile: maximum likelihood of where energy is, in bins of depth and energy."""
    depth = generator.depth.double().numpy()[None] - starts(generator, data)[:, None]
    tau = np.clip(depth / np.exp(shapes.log_maximum)[:, None], 0, DEEPEST)
    y = np.broadcast_to(data.log_energy[:, None], tau.shape)
    edges = np.quantile(data.log_energy, np.linspace(0, 1, 7))
    e_bin = np.clip(np.searchsorted(edges, data.log_energy, side="right") - 1, 0, 5)
    t_bin = np.minimum((24 * tau / DEEPEST).astype(int), 23)
    number = (e_bin[:, None] * 24 + t_bin).reshape(-1)
    behind = (depth > 0).reshape(-1).astype(float)

    def binned(values: Array) -> Tensor:
        return torch.from_numpy(np.bincount(number, values.reshape(-1) * behind, minlength=144))

    layers = data.layers
    total = binned(layers)
    keep = total > 0
    chosen = np.flatnonzero(behind)
    by_class = torch.zeros(144, data.classes.shape[2], dtype=torch.float64)
    flat = torch.from_numpy(data.classes.reshape(-1, data.classes.shape[2])[chosen])
    by_class.index_add_(0, torch.from_numpy(number[chosen]), flat.double())
    mean_tau = (binned(tau * layers) / total.clamp(min=1e-9))[keep].float()
    mean_y = (binned(y * layers) / total.clamp(min=1e-9))[keep].float()
    back = (binned(back_of(generator, data)) / total.clamp(min=1e-9))[keep].clamp(0, 0.95).float()
    wanted = by_class[keep].float()
    scale = float(wanted.sum())
    cell = min(generator.lateral.size)
    radial = torch.zeros(4, RADIAL_TERMS)
    radial[:, 0] = torch.tensor([np.log(0.5 * cell), np.log(3.0), 1.0, -4.0])
    halo_radius = torch.tensor(float(np.log(8 * cell)))
    optimizer = torch.optim.Adam([radial.requires_grad_(), halo_radius.requires_grad_()], 0.03)
    scattered = generator.single_parts(generator.backscatter_radius)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.03 * (1 - step / steps)
        core, tail, odds, halo = radii_and_odds(
            (radial_basis(mean_tau[:, None], mean_y[:, None]) @ radial.T)[:, 0]
        )
        parts = generator.lateral(core, tail, torch.sigmoid(odds))
        wide = generator.single_parts(halo_radius.clamp(0.0, 6.0).exp())
        parts = parts + torch.sigmoid(halo)[:, None] * (wide - parts)
        mixed = (1 - back[:, None]) * parts + back[:, None] * scattered
        loss = -(wanted * mixed.log()).sum() / scale + 1e-5 * radial.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    generator.radial.copy_(radial.detach())
    generator.halo_radius.copy_(halo_radius.detach().clamp(0.0, 6.0).exp())


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
        for kind in range(len(generator.known))
    ]


def _put(generator: ParametrisedGenerator, kind: int, found: Correlated) -> None:
    for name in ("means", "slopes", "spreads"):
        getattr(generator, name)[kind] = torch.from_numpy(getattr(found, name)).float()


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
    n_particles = len(generator.known)
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
        found = np.linalg.solve(basis.T @ basis + ridge, basis.T @ np.array(ratios))
        moved = generator.layer_weights[kind] + rate * torch.from_numpy(found).float()
        limits = torch.tensor([[3.0], [0.7], [0.15]])
        generator.layer_weights[kind] = torch.minimum(torch.maximum(moved, -limits), limits)
