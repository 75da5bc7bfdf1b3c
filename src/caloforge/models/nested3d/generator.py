"""The generator of `nested3d`: layers, then the core, then cells."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from caloforge.detectors import CartesianReadout, Detector
from caloforge.models.contract import Generator
from caloforge.models.nested3d.cells import Cells
from caloforge.models.nested3d.common import about_layers, residuals, squares
from caloforge.models.nested3d.config import Nested3DConfig
from caloforge.models.nested3d.core import Core
from caloforge.models.nested3d.frame import Frame, Place
from caloforge.models.parts.encoder import ConditionEncoder, largest_visible_energy
from caloforge.models.parts.layer_model import LayerModel


class Nested3DGenerator(Generator):
    """Draws layers, then cells.

    Args:
        detector: Whose showers.
        config: Hyper-parameters, none of them open.
    """

    def __init__(self, detector: Detector, config: Nested3DConfig) -> None:
        super().__init__()
        self.unit = cast(float, config.unit)
        self.readout = detector.readout
        threshold = detector.threshold / self.unit
        self.encoder = ConditionEncoder(config.pdgs)
        self.frame: Frame | None = None
        n_context = self.encoder.size
        if isinstance(detector.readout, CartesianReadout):
            self.frame = Frame(detector, self.encoder, config.conditions)
            n_context += self.frame.n_invariants
        self.layers = LayerModel(detector, n_context, len(config.pdgs), threshold, config.layer_width)
        n_basis = self.layers.totals.trend.shape[0]
        n_frame = self.frame.n_features if self.frame is not None else 0
        self.cells = Cells(detector, n_context, self.frame, config, threshold)
        self.core = Core(n_context + 2 + n_frame, n_basis, self.cells.n_parts)
        self.noise_sizes = [self.layers.noise_size, self.core.noise_size, self.cells.noise_size]
        self.noise_size = sum(self.noise_sizes)

    def context(self, incident: Tensor) -> Tensor:
        """Encode incidents (n, 6), (n, n_context)."""
        parts = [self.encoder(incident)]
        if self.frame is not None:
            parts.append(self.frame.invariants(incident))
        return torch.cat(parts, 1)

    def limit(self, incident: Tensor) -> Tensor:
        """Largest visible energy in units of a typical hit, (n,)."""
        return largest_visible_energy(incident, self.readout) / self.unit

    def totals(self, context: Tensor, limit: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        """Encode hits and energy of the shower, whose layers are given, (n, 2)."""
        return self.layers.totals.encode(context, limit, hits.sum(1), energy.sum(1)).clamp(-6.0, 6.0)

    def places(self, incident: Tensor) -> tuple[Place | None, Tensor, Tensor]:
        """Where axes cross layers, how networks see that, (n, n_layers, ...), and at a typical depth, (n, ...)."""
        if self.frame is None:
            return None, incident.new_zeros(incident.shape[0], self.cells.n_layers, 0), incident[:, :0]
        place = self.frame(incident)
        return place, self.frame.features(incident, place), self.frame.reference_features(incident)

    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers; see `Generator`."""
        context, limit = self.context(incident), self.limit(incident)
        for_layers, for_core, for_cells = noise.split(self.noise_sizes, dim=1)
        hits, energy = self.layers.sample(context, limit, for_layers)
        place, of_frame, of_reference = self.places(incident)
        basis = self.layers.totals.basis(context)
        inputs = torch.cat([context, self.totals(context, limit, hits, energy), of_reference], 1)
        of_core = self.core.sample(inputs, basis, for_core)
        features = self.cells.features(context, hits, energy, of_frame, of_core)
        return self.cells.sample(features, hits, energy, place, for_cells, self.unit)

    def likelihood(
        self, incident: Tensor, showers: Tensor, uniform: Tensor, normal: Tensor, chosen: Tensor
    ) -> tuple[Tensor, ...]:
        """Negative log-likelihood of showers.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, n_layers, ...) in MeV.
            uniform: (n_showers, 2) from 0 to 1: makes whole numbers of hits continuous, shifts quadratures.
            normal: (n_showers, n_parts + 2), standard normal: the noise of what is told of cores.
            chosen: Indices of the showers whose cells count.

        Returns:
            Of the layers, of the core, of the shares of groups, of the hits and of the energies of cells: means
            over showers, the first over all, the others over the chosen ones.
        """
        cells = showers.flatten(2) / self.unit
        context, limit = self.context(incident), self.limit(incident)
        hits, energy = cells.sign().sum(2), cells.sum(2)
        of_layers = self.layers.loss(context, limit, hits, energy, uniform[:, 0]).mean()

        incident, context, limit, hits, energy, some, shift, noise = (
            values[chosen]
            for values in (incident, context, limit, hits, energy, cells, uniform[:, 1] - 0.5, normal)
        )
        place, of_frame, of_reference = self.places(incident)
        around, window = self.cells.around_and_window(some, place)
        parts, centroid = self.cells.core(some, window, place)
        basis = self.layers.totals.basis(context)
        inputs = torch.cat([context, self.totals(context, limit, hits, energy), of_reference], 1)
        log_energy = context[:, :1]
        observed = self.core.observe(log_energy, basis, parts, centroid, noise)
        of_core = (self.core.loss(inputs, *observed) * (hits.sum(1) > 0)).mean()
        of_core_seen = self.core.features(basis, *observed)
        features = self.cells.features(context, hits, energy, of_frame, of_core_seen)
        return of_layers, of_core, *self.cells.losses(features, some, around, window, place, shift)

    @torch.no_grad()
    def fit_scales(self, incident: Tensor, showers: Tensor, positions: Tensor) -> None:
        """Fit all scales to training showers.

        Args:
            incident: (n_showers, 6).
            showers: (n_showers, n_layers, ...) in MeV.
            positions: Centres of the cells of a layer in x and y in mm, (n_cells of a layer, 2).
        """
        self.encoder.fit(incident)
        cells = showers.flatten(2) / self.unit
        hits, energy = (cells > 0).sum(2).to(cells.dtype), cells.sum(2)
        if self.frame is not None:
            centres = (cells @ positions) / energy.clamp(min=1e-9)[..., None]
            self.frame.fit(incident, centres, energy)
        context, limit = self.context(incident), self.limit(incident)
        self.layers.fit_scales(context, limit, hits, energy)
        filled = hits.sum(1) > 0
        incident, context, cells, hits, energy = (
            values[filled] for values in (incident, context, cells, hits, energy)
        )
        place, of_frame, _ = self.places(incident)
        window = self.cells.window_of(cells, place)
        basis = self.layers.totals.basis(context)
        parts, centroid = self.cells.core(cells, window, place)
        in_layers = basis[:, None].expand(-1, hits.shape[1], -1)
        known = torch.cat([in_layers, about_layers(hits, energy), of_frame], 2)
        values, weights = self.cells.core_of_layers(energy, window)
        fluctuations = squares(residuals(values, hits > 0, known), weights)
        self.core.fit_scales(basis, parts, centroid, context[:, :1], fluctuations)
