"""How many cells are hit in each layer and how much energy they hold: totals first, then halves of halves.

The totals of the shower (`_totals`) are shared out between its front and its back half, those between their halves,
and so on down to single layers. Each split draws the hits of the front part, a whole number, and then its part of the
energy (`_halving`), given the incident, the totals, and what the neighbouring pieces hold that are drawn already. So
hits and energies of the layers add up to the totals, and the response is right by itself. One small network serves
all splits; a joint density of all layers overfits the same data, and layers drawn one after the other get their sum
wrong (docs/lab.md, 1 to 3 and 33 to 37). Within a level, pieces with even numbers are split first, then those
between them, so that a few steps do. Training is maximum likelihood, all splits at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._halving import NOISE_PER_SPLIT, Halving, split_noise
from caloforge.models._totals import HIT_OFFSET, TOTALS_NOISE, Totals

GAMMA = 22
REFERENCE_ENERGY = 10_000.0  # MeV, the middle of 1 to 100 GeV on a log scale
SEEN = 2
"""Pieces on either side that a split sees."""
PLACES = 12
"""Learnt numbers that tell the splits apart."""


def encode_incident(incident: Tensor, particles: tuple[int, ...]) -> Tensor:
    """Encode incidents as network input.

    Args:
        incident: (n_showers, 6): pdg, kinetic energy in MeV, theta, phi, x, y.
        particles: PDG ids that the model knows.

    Returns:
        (n_showers, 1 + n_particles): log10 of the energy in units of 10 GeV, and +-1 per particle.
    """
    log_energy = (incident[:, 1:2] / REFERENCE_ENERGY).log10()
    known = torch.tensor(particles, dtype=incident.dtype, device=incident.device)
    return torch.cat([log_energy, 2.0 * (incident[:, 0:1] == known).to(incident.dtype) - 1.0], dim=1)


def mean_excess(hits: Tensor, energy: Tensor, threshold: float) -> Tensor:
    """Mean energy of a hit above the threshold in MeV (0 for empty layers), of the shape of the inputs."""
    return (energy - hits * threshold).clamp(min=0) / hits.clamp(min=1)


@dataclass(frozen=True)
class Split:
    """A piece of layers that is cut in two.

    Attributes:
        edges: First layers of what is seen: `SEEN` pieces before, the piece, `SEEN` pieces after, and the end of
            the last one; pieces that are not there are empty.
        middle: First layer of the back part.
    """

    edges: tuple[int, ...]
    middle: int


def plan_splits(n_layers: int) -> list[list[Split]]:
    """Plan how layers are halved.

    Args:
        n_layers: Number of layers.

    Returns:
        The splits of each step; those of a step know nothing of each other.

    >>> [[split.middle for split in step] for step in plan_splits(5)]
    [[3], [2], [4], [1]]
    """
    edges = [0, n_layers]
    steps = []
    while len(edges) <= n_layers:
        large = [k for k in range(len(edges) - 1) if edges[k + 1] - edges[k] > 1]
        pieces = [(edges[k], edges[k + 1]) for k in large]
        for parity in (0, 1):
            chosen = [piece for k, piece in zip(large, pieces, strict=True) if k % 2 == parity]
            if chosen:
                steps.append([_split(edges, *piece) for piece in chosen])
                edges = sorted({*edges, *(split.middle for split in steps[-1])})
    return steps


def _split(edges: list[int], first: int, end: int) -> Split:
    before, after = [edge for edge in edges if edge < first], [edge for edge in edges if edge > end]
    front = [edges[0]] * SEEN + before
    back = after + [edges[-1]] * SEEN
    return Split((*front[-SEEN:], first, end, *back[:SEEN]), first + (end - first + 1) // 2)


class LayerModel(nn.Module):
    """Model of hits and energy per layer.

    Args:
        n_layers: Number of layers.
        context: Size of the encoded incident.
        threshold: Of the detector, in MeV.
        hidden: Width of the networks.
        mixtures: Components of the mixtures of a split.
    """

    offsets: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(
        self, n_layers: int, context: int, threshold: float, hidden: int = 96, mixtures: int = 6
    ) -> None:
        super().__init__()
        self.n_layers, self.threshold = n_layers, threshold
        self.steps = plan_splits(n_layers)
        self.splits = [split for step in self.steps for split in step]
        self.totals = Totals(context, threshold)
        self.n_steady = context + 2
        self.place = nn.Parameter(0.3 * torch.randn(len(self.splits), PLACES))
        n_pieces = 2 * SEEN + 1
        self.halving = Halving(self.n_steady + PLACES + 2 * n_pieces, hidden, mixtures)
        self.register_buffer("offsets", torch.tensor([HIT_OFFSET, threshold]), persistent=False)
        # scales of log hits and log energy above threshold of a piece
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("spread", torch.ones(2))

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that the layers of a shower take."""
        return TOTALS_NOISE + NOISE_PER_SPLIT * len(self.splits)

    def fit_scales(self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            hits: (n_showers, n_layers) cells above threshold.
            energy: (n_showers, n_layers) in MeV.
        """
        self.totals.fit_scales(context, incident_energy, hits.sum(1), energy.sum(1))
        both = self._both(hits, energy)
        logs = (both + self.offsets).log()[hits > 0]
        self.mean.copy_(logs.mean(0))
        self.spread.copy_(logs.std(0).clamp(min=0.1))
        alone = both[..., 1][hits == 1]
        if len(alone):
            self.halving.single.copy_(alone.median().clamp(min=0.1 * self.threshold))

    def loss(
        self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor, random: torch.Generator
    ) -> Tensor:
        """Negative log-likelihood per shower (total hits dequantised), shape (n_showers,).

        Arguments as in `fit_scales`; `random` is the source of the noise that makes total hits continuous.
        """
        sum_hits = hits.sum(1)
        uniform = torch.rand(sum_hits.shape, generator=random, device=hits.device)
        encoded = self.totals.encode(context, incident_energy, sum_hits + uniform, energy.sum(1))
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
        return self.totals.loss(context, encoded) + of_splits.sum(1)

    def sample(self, context: Tensor, incident_energy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the hits and energies of all layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            noise: (n_showers, noise_size), standard normal.

        Returns:
            Hits and energies in MeV, both (n_showers, n_layers).
        """
        for_totals, for_splits = noise.split([TOTALS_NOISE, NOISE_PER_SPLIT * len(self.splits)], 1)
        encoded, sum_hits, sum_energy = self.totals.sample(context, incident_energy, for_totals)
        spare = (sum_energy - self.threshold * sum_hits).clamp(min=0) * sum_hits.clamp(max=1)
        total = torch.cat([sum_hits, spare], 1)
        sizes = [len(step) for step in self.steps]
        random = split_noise(for_splits.unflatten(1, (len(self.splits), NOISE_PER_SPLIT))).split(sizes, 1)
        steady = self._steady(context, encoded).split(sizes, 1)
        running = torch.stack([torch.zeros_like(total), total], 1)
        column = {0: 0, self.n_layers: 1}
        for number, step in enumerate(self.steps):
            pieces = self._pieces(running, step, column)
            hits, spare = pieces[:, 2 * SEEN : 2 * SEEN + 2].split(1, 1)
            first = steady[number].reshape(pieces.shape[0], -1) + self._of_pieces(pieces)
            part = self.halving.sample(
                first, hits, spare, random[number].reshape(pieces.shape[0], NOISE_PER_SPLIT)
            )
            starts = torch.tensor([column[split.edges[SEEN]] for split in step], device=noise.device)
            middle = running.index_select(1, starts) + part.reshape(-1, len(step), 2)
            running = torch.cat([running, middle], 1)
            for split in step:
                column[split.middle] = len(column)
        order = torch.tensor([column[edge] for edge in range(self.n_layers + 1)], device=noise.device)
        running = running.index_select(1, order)
        hits, spare = (running[:, 1:] - running[:, :-1]).unbind(2)
        return hits, hits * self.threshold + spare.clamp(min=0) * hits.clamp(max=1)

    def _both(self, hits: Tensor, energy: Tensor) -> Tensor:
        """Hits, and energy above threshold, (n_showers, n_layers, 2)."""
        return torch.stack([hits, (energy - self.threshold * hits).clamp(min=0)], 2)

    def _pieces(self, running: Tensor, splits: list[Split], column: dict[int, int]) -> Tensor:
        """Hits and energy of each piece that splits see, (n_showers * n_splits, 2 * (2 * SEEN + 1))."""
        edges = torch.tensor(
            [[column[edge] for edge in split.edges] for split in splits], device=running.device
        )
        first, last = edges[:, :-1].flatten(), edges[:, 1:].flatten()
        pieces = running.index_select(1, last) - running.index_select(1, first)
        return pieces.clamp(min=0).reshape(-1, 2 * (2 * SEEN + 1))

    def _of_pieces(self, pieces: Tensor) -> Tensor:
        """What the first layer of the network gets from the pieces: `first` of normalised logarithms."""
        n_pieces = 2 * SEEN + 1
        weight = self.halving.first.weight[:, self.n_steady + PLACES :] / self.spread.repeat(n_pieces)
        shift = self.mean.repeat(n_pieces) @ weight.T
        logs = (pieces + self.offsets.repeat(n_pieces)).log()
        return logs @ weight.T - shift

    def _steady(self, context: Tensor, encoded: Tensor) -> Tensor:
        """What the first layer of the network gets from incident, totals and place, (n_showers, n_splits, hidden)."""
        of_incident, of_place, _ = self.halving.first.weight.split(
            [self.n_steady, PLACES, 2 * (2 * SEEN + 1)], 1
        )
        places = self.place @ of_place.T + self.halving.first.bias
        steady: Tensor = (torch.cat([context, encoded], 1) @ of_incident.T)[:, None] + places
        return steady
