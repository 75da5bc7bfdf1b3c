"""The generator of `nested3d`: layers, then the core, then cells."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from caloforge.detectors import CartesianReadout, Detector
from caloforge.models.contract import Generator
from caloforge.models.nested3d.cells import Cells
from caloforge.models.nested3d.config import Nested3DConfig
from caloforge.models.nested3d.core import Core
from caloforge.models.nested3d.frame import Frame, Place
from caloforge.models.parts.encoder import ConditionEncoder, available_energy
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
        self.calibration = detector.readout.calibration
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
        return available_energy(incident) * (self.calibration / self.unit)

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
        hits, energy, totals = self.layers.sample(context, limit, for_layers)
        place, of_frame, of_reference = self.places(incident)
        basis = self.layers.totals.basis(context)
        of_core = self.core.sample(torch.cat([context, totals, of_reference], 1), basis, for_core)
        features = self.cells.features(context, hits, energy, of_frame, of_core)
        return self.unit * self.cells.sample(features, hits, energy, place, for_cells)

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
        hits, energy = (cells > 0).sum(2).to(cells.dtype), cells.sum(2)
        of_layers = self.layers.loss(context, limit, hits, energy, uniform[:, 0]).mean()

        incident, context, limit, hits, energy, some, shift, noise = (
            values[chosen]
            for values in (incident, context, limit, hits, energy, cells, uniform[:, 1] - 0.5, normal)
        )
        place, of_frame, of_reference = self.places(incident)
        _, window = self.cells.around_and_window(some, place)
        parts, centroid = self.cells.core(some, window, place)
        totals = self.layers.totals.encode(context, limit, hits.sum(1), energy.sum(1)).clamp(-6.0, 6.0)
        basis = self.layers.totals.basis(context)
        inputs = torch.cat([context, totals, of_reference], 1)
        observed = self.core.observe(basis, parts, centroid, noise)
        of_core = (self.core.loss(inputs, *observed) * (hits.sum(1) > 0)).mean()
        features = self.cells.features(context, hits, energy, of_frame, self.core.features(basis, *observed))
        return of_layers, of_core, *self.cells.losses(features, some, place, shift)

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
        place, _, _ = self.places(incident)
        _, window = self.cells.around_and_window(cells, place)
        filled = hits.sum(1) > 0
        basis = self.layers.totals.basis(context)
        parts, centroid = self.cells.core(cells, window, place)
        self.core.fit_scales(basis[filled], parts[filled], centroid[filled])
