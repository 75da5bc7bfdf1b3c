"""The parts of the fit that are done once: spots, tracks, energy scattered back, radial profile."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from caloforge.models.contract import Batch
from caloforge.models.parametrised.generator import ParametrisedGenerator
from caloforge.models.parametrised.longitudinal import Array, Shapes
from caloforge.models.parametrised.radial import DEEPEST, RADIAL_TERMS, radial_basis, radii_and_odds
from caloforge.models.parametrised.spots import quantile_table
from caloforge.models.parametrised.summary import CHUNK, Summary, back_of, starts

FEWEST = 20
"""Showers of a particle, cells or tracks that a fit needs."""
SPOTS = 1000
"""Quantiles of the energy of spots."""
RARE = 0.03
"""Cells that are hit less often are hit by single spots."""


def fit_spots(generator: ParametrisedGenerator, sample: Batch) -> None:
    """Take the energies of spots from cells that are hit so rarely that two spots hardly meet."""
    cells = sample.showers.flatten(1)
    occupancy = torch.stack([(part > 0).sum(0) for part in cells.split(CHUNK)]).sum(0) / len(cells)
    order = occupancy.argsort()
    rare = order[: max(int((occupancy < RARE).sum()), len(order) // 10)]
    energies = torch.cat([part[:, rare][part[:, rare] > 0] for part in cells.split(CHUNK)])
    if len(energies) < FEWEST:
        energies = cells[cells > 0]
    spot = np.quantile(energies.double().numpy(), (np.arange(SPOTS) + 0.5) / SPOTS)
    generator.spot_mean.fill_(spot.mean())
    generator.spot_size.fill_((spot**2).mean() / spot.mean())
    generator.table.copy_(torch.from_numpy(quantile_table(spot)))


def fit_tracks(generator: ParametrisedGenerator, sample: Batch) -> None:
    """Take the energy of a track from the central cells of the first layer, where most electrons have not showered.

    If there are no electrons, or they have showered, it is a third of a spot.
    """
    electrons = generator.pdgs[generator.converts == 0]
    chosen = torch.isin(sample.incident[:, 0], electrons)
    centre = (generator.lateral.class_of == 0).nonzero()[:, 0]
    energies = sample.showers.flatten(2)[chosen, 0][:, centre].sum(1).double().numpy()
    energies = energies[energies > 0]
    spot = float(generator.spot_mean)
    most = 2 * np.quantile(energies, 0.2) if len(energies) >= FEWEST else np.inf
    energies = energies[energies <= most] if most < 2 * spot else np.array([spot / 3])
    steps = np.linspace(1, 0, len(generator.track))
    generator.track.copy_(torch.from_numpy(np.quantile(energies, steps)))


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
