"""How many cells are hit in each layer and how much energy they hold: totals first, then halves of halves.

The totals of the shower (`totals`) are shared out between its front and its back half, those between their halves,
and so on down to single layers. Each split draws the hits of the front part, a whole number, and then its part of the
energy (`halving`), given the incident, the totals, and what the neighbouring pieces hold that are drawn already. So
hits and energies of the layers add up to the totals, and the response is right by itself. One small network serves
all splits, which it tells apart by their depths in radiation lengths; a joint density of all layers overfits the same
data, and layers drawn one after the other get their sum wrong (docs/lab.md, 1 to 3 and 33 to 37). Within a level,
pieces with even numbers are split first, then those between them, so that a few steps do. Training is maximum
likelihood, all splits at once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.detectors import Detector
from caloforge.models.parts.depths import OfDepths, layer_edges
from caloforge.models.parts.halving import HIT_OFFSET, NOISE_PER_SPLIT, Halving, split_noise
from caloforge.models.parts.splits import SEEN, Split, plan_splits
from caloforge.models.parts.totals import TOTALS_NOISE, Totals

PLACES = 12
"""Learnt numbers that tell the splits apart."""
EXCESS_OFFSET = 0.15
"""Typical hits: keeps the logarithm of an energy above threshold finite."""


class LayerModel(nn.Module):
    """Model of hits and energy per layer. Energies are in units of a typical hit.

    Args:
        detector: Whose layers.
        n_context: Size of the encoded incident.
        n_particles: Number of particles among it, see `Totals`.
        threshold: Of the detector, in units of a typical hit.
        hidden: Width of the networks.
        mixtures: Components of the mixtures of a split.
    """

    offsets: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        detector: Detector,
        n_context: int,
        n_particles: int,
        threshold: float,
        hidden: int = 96,
        mixtures: int = 6,
    ) -> None:
        super().__init__()
        self.n_layers, self.threshold = detector.n_layers, threshold
        self.steps = plan_splits(self.n_layers)
        self.splits = [split for step in self.steps for split in step]
        self.totals = Totals(n_context, n_particles, threshold)
        self.n_steady = n_context + 2
        self.n_pieces = 2 * SEEN + 1
        if self.splits:
            edges = layer_edges(detector)
            cuts = [(split.edges[SEEN], split.middle, split.edges[SEEN + 1]) for split in self.splits]
            self.place = OfDepths(edges[torch.tensor(cuts)], PLACES)
            self.halving = Halving(self.n_steady + PLACES + 2 * self.n_pieces, hidden, mixtures)
        self.register_buffer("offsets", torch.tensor([HIT_OFFSET, EXCESS_OFFSET]), persistent=False)
        # scales of log hits and log energy above threshold of a piece
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("spread", torch.ones(2))

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that the layers of a shower take."""
        return TOTALS_NOISE + NOISE_PER_SPLIT * len(self.splits)

    def fit_scales(self, context: Tensor, limit: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            limit: (n_showers,) largest visible energy.
            hits: (n_showers, n_layers) cells above threshold.
            energy: (n_showers, n_layers).
        """
        self.totals.fit_scales(context, limit, hits.sum(1), energy.sum(1))
        both = self._both(hits, energy)
        logs = (both + self.offsets).log()[hits > 0]
        if len(logs) > 1:
            self.mean.copy_(logs.mean(0))
            self.spread.copy_(logs.std(0).clamp(min=0.1))
        alone = both[..., 1][hits == 1]
        if self.splits and len(alone):
            self.halving.single.copy_(alone.median().clamp(min=0.1 * self.threshold))

    def loss(self, context: Tensor, limit: Tensor, hits: Tensor, energy: Tensor, uniform: Tensor) -> Tensor:
        """Negative log-likelihood per shower (total hits dequantised), shape (n_showers,).

        Arguments as in `fit_scales`; `uniform` (n_showers,) makes total hits continuous.
        """
        sum_hits = hits.sum(1)
        encoded = self.totals.encode(context, limit, sum_hits + uniform, energy.sum(1))
        of_totals = self.totals.loss(context, encoded)
        if not self.splits:
            return of_totals
        running = functional.pad(self._both(hits, energy), (0, 0, 1, 0)).cumsum(1)
        column = {edge: edge for edge in range(self.n_layers + 1)}
        pieces = self._pieces(running, self.splits, column)
        first = self._steady(context, encoded).flatten(0, 1) + self._of_pieces(pieces)
        edges = torch.tensor(
            [(s.edges[SEEN], s.middle, s.edges[SEEN + 1]) for s in self.splits], device=hits.device
        )
        start, middle, end = (running[:, which] for which in edges.unbind(1))
        parts = torch.stack([middle - start, end - middle], 3).clamp(min=0).flatten(0, 1)
        of_splits = self.halving.loss(first, parts[:, 0], parts[:, 1]).reshape(-1, len(self.splits))
        return of_totals + of_splits.sum(1)

    def sample(self, context: Tensor, limit: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the hits and energies of all layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            limit: (n_showers,) largest visible energy.
            noise: (n_showers, noise_size), standard normal.

        Returns:
            Hits and energies, both (n_showers, n_layers).
        """
        for_totals, for_splits = noise.split([TOTALS_NOISE, NOISE_PER_SPLIT * len(self.splits)], 1)
        encoded, sum_hits, sum_energy = self.totals.sample(context, limit, for_totals)
        excess = (sum_energy - self.threshold * sum_hits).clamp(min=0) * sum_hits.clamp(max=1)
        total = torch.cat([sum_hits, excess], 1)
        running = torch.stack([torch.zeros_like(total), total], 1)
        if self.splits:
            running = self._halve(context, encoded, running, for_splits)
        hits, excess = (running[:, 1:] - running[:, :-1]).unbind(2)
        return hits, hits * self.threshold + excess.clamp(min=0) * hits.clamp(max=1)

    def _halve(self, context: Tensor, encoded: Tensor, running: Tensor, noise: Tensor) -> Tensor:
        """Share totals out to layers: running sums of hits and energy above threshold, (n, n_layers + 1, 2)."""
        sizes = [len(step) for step in self.steps]
        random = split_noise(noise.unflatten(1, (len(self.splits), NOISE_PER_SPLIT))).split(sizes, 1)
        steady = self._steady(context, encoded).split(sizes, 1)
        column = {0: 0, self.n_layers: 1}
        for number, step in enumerate(self.steps):
            pieces = self._pieces(running, step, column)
            hits, excess = pieces[:, 2 * SEEN : 2 * SEEN + 2].split(1, 1)
            first = steady[number].reshape(pieces.shape[0], -1) + self._of_pieces(pieces)
            part = self.halving.sample(
                first, hits, excess, random[number].reshape(pieces.shape[0], NOISE_PER_SPLIT)
            )
            starts = torch.tensor([column[split.edges[SEEN]] for split in step], device=noise.device)
            middle = running.index_select(1, starts) + part.reshape(-1, len(step), 2)
            running = torch.cat([running, middle], 1)
            for split in step:
                column[split.middle] = len(column)
        order = torch.tensor([column[edge] for edge in range(self.n_layers + 1)], device=noise.device)
        return running.index_select(1, order)

    def _both(self, hits: Tensor, energy: Tensor) -> Tensor:
        """Hits, and energy above threshold, (n_showers, n_layers, 2)."""
        return torch.stack([hits, (energy - self.threshold * hits).clamp(min=0)], 2)

    def _pieces(self, running: Tensor, splits: list[Split], column: dict[int, int]) -> Tensor:
        """Hits and energy of each piece that splits see, (n_showers * n_splits, 2 * n_pieces)."""
        edges = torch.tensor(
            [[column[edge] for edge in split.edges] for split in splits], device=running.device
        )
        first, last = edges[:, :-1].flatten(), edges[:, 1:].flatten()
        pieces = running.index_select(1, last) - running.index_select(1, first)
        return pieces.clamp(min=0).reshape(-1, 2 * self.n_pieces)

    def _of_pieces(self, pieces: Tensor) -> Tensor:
        """What the first layer of the network gets from the pieces: `first` of normalised logarithms."""
        weight = self.halving.first.weight[:, self.n_steady + PLACES :] / self.spread.repeat(self.n_pieces)
        shift = self.mean.repeat(self.n_pieces) @ weight.T
        logs = (pieces + self.offsets.repeat(self.n_pieces)).log()
        return logs @ weight.T - shift

    def _steady(self, context: Tensor, encoded: Tensor) -> Tensor:
        """What the first layer of the network gets from incident, totals and place, (n_showers, n_splits, hidden)."""
        of_incident, of_place, _ = self.halving.first.weight.split(
            [self.n_steady, PLACES, 2 * self.n_pieces], 1
        )
        places = self.place() @ of_place.T + self.halving.first.bias
        steady: Tensor = (torch.cat([context, encoded], 1) @ of_incident.T)[:, None] + places
        return steady
