"""The network that draws parametrised showers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from caloforge.detectors import Detector
from caloforge.models.contract import Generator
from caloforge.models.parametrised.longitudinal import CONVERSION_LENGTH, REFERENCE_ENERGY, profile
from caloforge.models.parametrised.radial import (
    DEEPEST,
    RADIAL_TERMS,
    RadialProfile,
    radial_basis,
    radii_and_odds,
)
from caloforge.models.parametrised.spots import COLUMNS, ROWS, draw_cells

GAMMA = 22
MOST_TRACKS = 2
"""Tracks that pass a layer at most: those of a pair."""
TRACK_STEPS = 256
"""Steps between quantiles of the energy of a track."""


def gamma_factor(shape: Tensor, normal: Tensor) -> Tensor:
    """Turn normal numbers into gamma distributed ones of mean 1 and variance 1 / shape (Wilson and Hilferty, 1931)."""
    ninth = 1 / (9 * shape.clamp(min=0.3))
    return (1 - ninth + ninth.sqrt() * normal).clamp(min=0.05) ** 3


def redistribute(energies: Tensor, factors: Tensor) -> Tensor:
    """Multiply the energies of layers by factors and restore their sum, both (n_showers, n_layers)."""
    moved = energies * factors
    return moved * (energies.sum(1, keepdim=True) / moved.sum(1, keepdim=True).clamp(min=1e-6))


def upper_tail(normal: Tensor) -> Tensor:
    """Probability that a standard normal number exceeds these."""
    return 0.5 - 0.5 * torch.erf(normal * (1 / math.sqrt(2)))


class ParametrisedGenerator(Generator):
    """Draws parametrised showers.

    Args:
        detector: Whose showers.
        pdgs: PDG ids of the particles.
    """

    pdgs: Tensor
    converts: Tensor
    tracks: Tensor
    centre: Tensor
    depth: Tensor
    means: Tensor
    slopes: Tensor
    spreads: Tensor
    layer_weights: Tensor
    backscatter: Tensor
    backscatter_radius: Tensor
    radial: Tensor
    halo_radius: Tensor
    log_range: Tensor
    clusters: Tensor
    core_clusters: Tensor
    smoothness: Tensor
    core_link: Tensor
    smoothing: Tensor
    spot_mean: Tensor
    spot_size: Tensor
    track: Tensor
    table: Tensor

    def __init__(self, detector: Detector, pdgs: Sequence[int]) -> None:
        super().__init__()
        self.shape, self.threshold = detector.shape, detector.threshold
        n_layers, n_particles = self.shape[0], len(pdgs)
        self.n_cells = self.shape[1] * self.shape[2]
        self.noise_sizes = [1, 3, n_layers, n_layers, MOST_TRACKS * n_layers, n_layers * self.n_cells]
        self.noise_size = sum(self.noise_sizes)
        self.lateral = RadialProfile(detector)
        cell = min(self.lateral.size)

        def fixed(name: str, values: Tensor) -> None:
            self.register_buffer(name, values, persistent=False)

        fixed("pdgs", torch.tensor(pdgs, dtype=torch.float32))
        fixed("converts", torch.tensor([float(pdg == GAMMA) for pdg in pdgs]))
        tracks = [MOST_TRACKS if pdg == GAMMA else 1 for pdg in pdgs]
        fixed("tracks", torch.tensor(tracks, dtype=torch.float32))
        counts = self.lateral.counts
        fixed("centre", (torch.arange(len(counts)) == 0) / counts[0])  # where the axis passes
        fixed("depth", torch.tensor([layer.depth for layer in detector.layers], dtype=torch.float32))
        # ln T, ln (alpha - 1), ln response: see `longitudinal.Correlated`
        self.register_buffer("means", torch.zeros(n_particles, 3, 3))
        self.register_buffer("slopes", torch.zeros(n_particles, 3, 2, 2))
        self.register_buffer("spreads", torch.full((n_particles, 3, 3), -2.0))
        # ln of what layers show of the profile (quadratic in ln E), of energy scattered back per E (linear)
        self.register_buffer("layer_weights", torch.zeros(n_particles, 3, n_layers))
        self.register_buffer("backscatter", torch.tensor([[-20.0], [0.0]]).repeat(1, n_layers))
        self.register_buffer("backscatter_radius", torch.tensor(3 * cell))
        # ln core radius, ln (tail radius / core radius - 1), log-odds of core and of halo: see `radial_basis`
        self.register_buffer("radial", torch.zeros(4, RADIAL_TERMS))
        self.register_buffer("halo_radius", torch.tensor(8 * cell))
        self.register_buffer("log_range", torch.tensor([-20.0, 20.0]))  # of ln (E / 10 GeV) that was fitted
        # ln of relative variances in units of one spot: linear in ln E
        self.register_buffer("clusters", torch.tensor([-1.0, 0.0]))
        self.register_buffer("core_clusters", torch.tensor([-1.0, 0.0]))
        # of neighbouring layers' fluctuations, and of them with that of the core (see `fit`)
        self.register_buffer("smoothness", torch.zeros(()))
        self.register_buffer("core_link", torch.zeros(()))
        self.register_buffer("smoothing", torch.eye(n_layers))
        self.register_buffer("spot_mean", torch.ones(()))  # MeV
        self.register_buffer("spot_size", torch.ones(()))  # MeV: mean square / mean
        self.register_buffer("track", torch.zeros(TRACK_STEPS + 1))  # quantiles, MeV
        self.register_buffer("table", torch.zeros(ROWS, COLUMNS + 1))

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`. Unknown particles get showers of the first known one."""
        conversion, shape, of_layers, of_core, of_tracks, of_cells = noise.split(self.noise_sizes, dim=1)
        kind = (incident[:, :1] == self.pdgs).int().argmax(1)
        log_energy = (incident[:, 1:2] / REFERENCE_ENERGY).log()
        log_energy = torch.minimum(torch.maximum(log_energy, self.log_range[0]), self.log_range[1])
        start = (
            -CONVERSION_LENGTH * upper_tail(conversion).clamp(min=1e-7).log() * self.converts[kind][:, None]
        )
        values = self.draw_shapes(kind, log_energy, shape)
        visible, back = self.layer_energies(incident[:, 1:2], kind, log_energy, start, values)
        tau = (self.depth - start) / values[:, :1].exp()
        passing = ((tau > 0) & (tau < 1)).to(visible.dtype) * self.tracks[kind][:, None]
        spread = (visible - passing * self.track.mean()).clamp(min=0)
        of_layers = of_layers @ self.smoothing
        of_core = (1 - self.core_link**2).sqrt() * of_core - self.core_link * of_layers
        size = (self.clusters[0] + self.clusters[1] * log_energy).exp() * self.spot_size
        spread = redistribute(spread, gamma_factor(spread / size, of_layers))
        core_size = (self.core_clusters[0] + self.core_clusters[1] * log_energy).exp() * self.spot_size
        core_shift = 2 * (core_size / (spread + core_size)).sqrt() * of_core
        energy = spread[..., None] * self.radial_parts(tau.clamp(0.0, DEEPEST), log_energy, core_shift)
        energy = energy + back[..., None] * self.single_parts(self.backscatter_radius)
        exceed = upper_tail(of_cells).unflatten(1, (self.shape[0], self.n_cells))
        drawn = draw_cells(energy / self.spot_mean, self.lateral.class_of, self.table, exceed)
        drawn = drawn + self.draw_tracks(passing, of_tracks)[..., None] * self.centre[self.lateral.class_of]
        drawn = torch.where(drawn >= self.threshold, drawn, torch.zeros_like(drawn))
        return drawn.reshape(-1, *self.shape)

    def draw_tracks(self, passing: Tensor, noise: Tensor) -> Tensor:
        """Draw the energy in MeV that the particles that begin the shower leave in each layer, (n_showers, n_layers).

        Args:
            passing: Their number, (n_showers, n_layers).
            noise: Standard normal, (n_showers, MOST_TRACKS * n_layers).
        """
        place = TRACK_STEPS * upper_tail(noise).clamp(0.0, 1 - 1e-6)
        below = place.floor()
        low, high = self.track[below.long()], self.track[below.long() + 1]
        energies = (low + (high - low) * (place - below)).unflatten(1, (MOST_TRACKS, self.shape[0]))
        there = passing[:, None] > torch.arange(MOST_TRACKS, device=noise.device)[:, None]
        return torch.where(there, energies, torch.zeros_like(energies)).sum(1)

    def draw_shapes(self, kind: Tensor, log_energy: Tensor, noise: Tensor) -> Tensor:
        """Draw ln T, ln (alpha - 1) and ln response.

        Args:
            kind: Number of the particle, (n_showers,).
            log_energy: ln of E / 10 GeV, (n_showers, 1).
            noise: Standard normal, (n_showers, 3).

        Returns:
            (n_showers, 3).
        """
        quadratic = torch.cat([torch.ones_like(log_energy), log_energy, log_energy**2], 1)
        mean = (self.means[kind] * quadratic[:, None]).sum(-1)
        slope = (self.slopes[kind] * quadratic[:, None, None, :2]).sum(-1)
        spread = (self.spreads[kind] * quadratic[:, None]).sum(-1).clamp(-6.0, 0.5).exp()
        first, second, third = noise.split(1, 1)
        pulls = torch.cat(
            [
                spread[:, :1] * first,
                spread[:, 1:2] * second + slope[:, 1, :1] * first,
                spread[:, 2:] * third + slope[:, 2, :1] * first + slope[:, 2, 1:] * second,
            ],
            1,
        )
        return (mean + pulls).clamp(-8.0, 5.0)

    def layer_energies(
        self, energy: Tensor, kind: Tensor, log_energy: Tensor, start: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean energies of the layers in MeV: of the shower itself and scattered back, both (n_showers, n_layers).

        Args:
            energy: Of the incident in MeV, (n_showers, 1).
            kind: As in `draw_shapes`.
            log_energy: As in `draw_shapes`.
            start: Where t is counted from, in radiation lengths, (n_showers, 1).
            values: From `draw_shapes`.
        """
        log_maximum, log_alpha, log_response = values.split(1, 1)
        shown = profile(self.depth - start, log_maximum.exp(), log_alpha.exp() + 1)
        weights = self.layer_weights[kind]
        shown = shown * (weights[:, 0] + weights[:, 1] * log_energy + weights[:, 2] * log_energy**2).exp()
        back = energy * (self.backscatter[0] + self.backscatter[1] * log_energy).exp()
        return energy * log_response.exp() * shown, back

    def radial_parts(self, tau: Tensor, log_energy: Tensor, core_shift: Tensor | float = 0.0) -> Tensor:
        """Part of a layer's energy in one cell of each class.

        Args:
            tau: Depth in units of T, (n_showers, n_layers).
            log_energy: (n_showers, 1).
            core_shift: Added to the log-odds of the core, (n_showers, n_layers).

        Returns:
            (n_showers, n_layers, n_classes).
        """
        core, tail, odds, halo = radii_and_odds(radial_basis(tau, log_energy) @ self.radial.T)
        parts: Tensor = self.lateral(core, tail, torch.sigmoid(odds + core_shift))
        return parts + torch.sigmoid(halo)[..., None] * (self.single_parts(self.halo_radius) - parts)

    def single_parts(self, radius: Tensor) -> Tensor:
        """Part of the energy in one cell of each class for one radius in mm everywhere, (n_classes,)."""
        parts: Tensor = self.lateral(radius, radius, torch.ones_like(radius))
        return parts
