"""How many cells are hit in each layer and how much energy they hold: totals first, then halves of halves.

The totals of the shower (`_totals`) are shared out between its front and its back half, those between their halves,
and so on down to single layers. Each split draws the hits of the front part, a whole number, and then its part of the
energy (`_shares`), given the incident, the totals, and what the neighbouring pieces hold that are drawn already. So
hits and energies of the layers add up to the totals, and the response is right by itself. One small network serves
all splits; a joint density of all layers overfits the same data, and layers drawn one after the other get their sum
wrong (docs/lab.md, 1 to 3 and 33 to 36). Within a level, pieces with even numbers are split first, then those
between them, so that a few steps do. Training is maximum likelihood, all splits at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._shares import Shares, share_noise
from caloforge.models._totals import HIT_OFFSET, TOTALS_NOISE, Totals

NOISE_PER_SPLIT = 4
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

    mean: Tensor
    spread: Tensor

    def __init__(
        self, n_layers: int, context: int, threshold: float, hidden: int = 96, mixtures: int = 6
    ) -> None:
        super().__init__()
        self.n_layers, self.threshold = n_layers, threshold
        self.steps = plan_splits(n_layers)
        self.n_splits = sum(map(len, self.steps))
        self.totals = Totals(context, threshold)
        n_told = context + 2 + PLACES + 2 * (2 * SEEN + 1) + 3
        self.place = nn.Parameter(0.3 * torch.randn(self.n_splits, PLACES))
        self.shares = Shares(2, n_told, threshold, hidden, mixtures, with_single=True)
        # scales of log hits and log energy above threshold of a piece
        self.register_buffer("mean", torch.zeros(2))
        self.register_buffer("spread", torch.ones(2))

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that the layers of a shower take."""
        return TOTALS_NOISE + NOISE_PER_SPLIT * self.n_splits

    def fit_scales(self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            hits: (n_showers, n_layers) cells above threshold.
            energy: (n_showers, n_layers) in MeV.
        """
        self.totals.fit_scales(context, incident_energy, hits.sum(1), energy.sum(1))
        full = hits > 0
        spare = (energy - self.threshold * hits).clamp(min=0)
        for k, logs in enumerate(((hits + HIT_OFFSET).log(), (spare + self.threshold).log())):
            self.mean[k] = logs[full].mean()
            self.spread[k] = logs[full].std().clamp(min=0.1)
        alone = spare[hits == 1]
        if len(alone):
            self.shares.single.copy_(alone.median().clamp(min=0.1 * self.threshold))

    def loss(
        self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor, random: torch.Generator
    ) -> Tensor:
        """Negative log-likelihood per shower (total hits dequantised), shape (n_showers,).

        Arguments as in `fit_scales`; `random` is the source of the noise that makes total hits continuous.
        """
        sum_hits, sum_energy = hits.sum(1), energy.sum(1)
        uniform = torch.rand(sum_hits.shape, generator=random, device=hits.device)
        encoded = self.totals.encode(context, incident_energy, sum_hits + uniform, sum_energy)
        spare = (energy - self.threshold * hits).clamp(min=0)
        running = [functional.pad(values, (1, 0)).cumsum(1) for values in (hits, spare)]
        splits = [split for step in self.steps for split in step]
        pieces = [self._pieces(values, splits, lambda edge: edge) for values in running]
        told = self._told(context, encoded, self.place, *pieces)
        starts, middles, ends = (
            torch.tensor([edge(split) for split in splits], device=hits.device)
            for edge in (
                lambda split: split.edges[SEEN],
                lambda split: split.middle,
                lambda split: split.edges[SEEN + 1],
            )
        )
        parts = [
            torch.stack(
                [values[:, middles] - values[:, starts], values[:, ends] - values[:, middles]], 2
            ).flatten(0, 1)
            for values in running
        ]
        of_splits = self.shares.loss(told.flatten(0, 1), parts[0], parts[1] + self.threshold * parts[0])
        return self.totals.loss(context, encoded) + of_splits.unflatten(0, (-1, self.n_splits)).sum(1)

    def sample(self, context: Tensor, incident_energy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the hits and energies of all layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            noise: (n_showers, noise_size), standard normal.

        Returns:
            Hits and energies in MeV, both (n_showers, n_layers).
        """
        for_totals, for_splits = noise.split([TOTALS_NOISE, NOISE_PER_SPLIT * self.n_splits], 1)
        encoded, sum_hits, sum_energy = self.totals.sample(context, incident_energy, for_totals)
        sum_spare = (sum_energy - self.threshold * sum_hits).clamp(min=0)
        random = share_noise(for_splits.unflatten(1, (self.n_splits, NOISE_PER_SPLIT)))
        nothing = torch.zeros_like(sum_hits)
        running = [torch.cat([nothing, values], 1) for values in (sum_hits, sum_spare)]
        column = {0: 0, self.n_layers: 1}
        done = 0
        for step in self.steps:
            rows = slice(done, done + len(step))
            pieces = [self._pieces(values, step, lambda edge: column[edge]) for values in running]
            told = self._told(context, encoded, self.place[rows], *pieces).flatten(0, 1)
            of_piece = [values[..., SEEN].reshape(-1, 1) for values in pieces]
            own = tuple(values[:, rows].flatten(0, 1) for values in random)
            shared = self.shares.sample(told, *of_piece, None, own)
            starts = torch.tensor([column[split.edges[SEEN]] for split in step])
            running = [
                torch.cat([values, values[:, starts] + part[:, 0].unflatten(0, (-1, len(step)))], 1)
                for values, part in zip(running, shared, strict=True)
            ]
            for split in step:
                column[split.middle] = len(column)
            done += len(step)
        order = torch.tensor([column[edge] for edge in range(self.n_layers + 1)])
        hits, spare = (values[:, order[1:]] - values[:, order[:-1]] for values in running)
        return hits, hits * self.threshold + spare.clamp(min=0) * hits.clamp(max=1)

    def _pieces(self, running: Tensor, splits: list[Split], column) -> Tensor:  # type: ignore[no-untyped-def]
        """What the pieces that splits see hold, (n_showers, n_splits, 2 * SEEN + 1), from running sums at edges."""
        first, last = (
            torch.tensor(
                [[column(edge) for edge in split.edges[k : len(split.edges) - 1 + k]] for split in splits]
            )
            for k in (0, 1)
        )
        shape = first.shape
        last, first = (running.index_select(1, edges.flatten().to(running.device)) for edges in (last, first))
        return (last - first).clamp(min=0).unflatten(1, shape)

    def _told(self, context: Tensor, encoded: Tensor, place: Tensor, hits: Tensor, spare: Tensor) -> Tensor:
        """What the network of splits is told, (n_showers, n_splits, n_told)."""
        logs = torch.cat(
            [
                ((hits + HIT_OFFSET).log() - self.mean[0]) / self.spread[0],
                ((spare + self.threshold).log() - self.mean[1]) / self.spread[1],
            ],
            2,
        )
        few = (hits[..., SEEN - 1 : SEEN + 2] + 0.5).rsqrt()
        steady = torch.cat([context, encoded], 1)[:, None].expand(-1, place.shape[0], -1)
        return torch.cat([steady, place.expand(steady.shape[0], -1, -1), logs, few], 2)
