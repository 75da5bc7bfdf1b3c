"""How many cells are hit in each layer and how much energy they hold: drawn layer by layer, front to back.

The distribution of (hits, energy) of a layer is a pair of Gaussian mixtures in log(hits) and log(mean excess energy
of a hit above threshold), given the incident and summaries of the layers before. One small network serves all
layers, so that it learns from 25 times as many examples as a joint density of all layers would (a coupling spline
flow on the same data overfits: see docs/lab.md). Training is teacher-forced maximum likelihood, all layers at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from caloforge.models._mixtures import NARROWEST, WIDEST, choose, log_density, running_sum

HIT_OFFSET = 0.3  # keeps log(hits + offset) finite for empty layers without a far tail
NOISE_PER_LAYER = 4
GAMMA = 22
REFERENCE_ENERGY = 10_000.0  # MeV, the middle of 1 to 100 GeV on a log scale


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


class LayerModel(nn.Module):
    """Autoregressive mixture model of hits and energy per layer.

    Args:
        n_layers: Number of layers.
        context: Size of the encoded incident.
        max_hits: Number of cells of a layer: no layer can have more hits.
        threshold: Of the detector, in MeV.
        hidden: Width of the network.
        mixtures: Number of Gaussians.
    """

    mean: Tensor
    spread: Tensor
    response: Tensor
    trend: Tensor
    running: Tensor

    def __init__(
        self,
        n_layers: int,
        context: int,
        max_hits: int,
        threshold: float,
        hidden: int = 96,
        mixtures: int = 5,
    ) -> None:
        super().__init__()
        self.n_layers, self.max_hits, self.threshold, self.mixtures = n_layers, max_hits, threshold, mixtures
        self.n_basis = 4 * (context - 1)
        self.place = nn.Parameter(0.1 * torch.randn(n_layers, 12))
        self.from_context = nn.Linear(context + 12, hidden)
        self.from_history = nn.Linear(15, hidden, bias=False)
        self.trunk = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.hits_head = nn.Linear(hidden, 3 * mixtures)
        self.energy_from_hits = nn.Linear(hidden + 2, hidden)
        self.energy_from_history = nn.Linear(15, hidden, bias=False)
        self.energy_from_context = nn.Linear(context + 12, hidden, bias=False)
        self.energy_head = nn.Linear(hidden, 3 * mixtures)
        for head in (self.hits_head, self.energy_head):
            nn.init.normal_(head.weight, std=0.05)
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                head.bias[mixtures : 2 * mixtures] = torch.linspace(-1, 1, mixtures)
        # scales of log hits, log excess, log energy, then of the visible energy per incident energy
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("spread", torch.ones(3))
        self.register_buffer("response", torch.ones(()))
        self.register_buffer("running", running_sum(mixtures), persistent=False)
        self.register_buffer("trend", torch.zeros(2, self.n_basis, n_layers))

    def fit_scales(self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> None:
        """Fit the normalisations to training showers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            hits: (n_showers, n_layers) cells above threshold.
            energy: (n_showers, n_layers) in MeV.
        """
        full = hits > 0
        quantities = self._logs(hits, energy)
        for i, values in enumerate(quantities):
            chosen = values[full]
            self.mean[i] = chosen.mean()
            self.spread[i] = chosen.std().clamp(min=0.1)
        self.response.copy_((energy.sum(1) / incident_energy).mean())
        basis = self._basis(context)
        ridge = 1e-3 * torch.eye(self.n_basis)
        for layer in range(self.n_layers):
            weight = full[:, layer : layer + 1].to(basis.dtype)
            for i, rows in enumerate((basis, basis * weight)):
                self.trend[i, :, layer] = torch.linalg.solve(
                    rows.T @ basis + ridge, rows.T @ quantities[i][:, layer]
                )

    def loss(
        self, context: Tensor, incident_energy: Tensor, hits: Tensor, energy: Tensor, random: torch.Generator
    ) -> Tensor:
        """Negative log-likelihood per shower (hits dequantised), shape (n_showers,); arguments as in `fit_scales`."""
        history = self._history(incident_energy, hits, energy)
        fixed = torch.cat(
            [context[:, None].expand(-1, self.n_layers, -1), self.place.expand(hits.shape[0], -1, -1)], -1
        )
        trend = self._basis(context) @ self.trend
        uniform = torch.rand(hits.shape, generator=random, device=hits.device)
        log_hits = (hits + uniform + HIT_OFFSET).log()
        log_excess = self._logs(hits, energy)[1]
        state = self.trunk(self.from_context(fixed) + self.from_history(history))
        of_hits = self._log_density(self.hits_head(state), log_hits - trend[0])
        mixture = self._energy_mixture(
            self.energy_from_context(fixed) + self.energy_from_history(history), state, hits[..., None]
        )
        of_energy = self._log_density(mixture, log_excess - trend[1])
        return -(of_hits + of_energy * (hits > 0)).sum(1)

    def sample(self, context: Tensor, incident_energy: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw the hits and energies of all layers.

        Args:
            context: (n_showers, n_context) encoded incidents.
            incident_energy: (n_showers,) in MeV.
            noise: (n_showers, 4 * n_layers), standard normal.

        Returns:
            Hits and energies in MeV, both (n_showers, n_layers).
        """
        noise = noise.unflatten(1, (self.n_layers, NOISE_PER_LAYER))
        uniform = (0.5 * (1 + torch.erf(noise[..., 0::2] / math.sqrt(2)))).flatten(1).split(1, 1)
        normal = noise[..., 1::2].flatten(1).split(1, 1)
        fixed = torch.cat(
            [context[:, None].expand(-1, self.n_layers, -1), self.place.expand(noise.shape[0], -1, -1)], -1
        )
        matrix, constant = self._on_plain_logs()
        hidden = self.from_history.out_features
        from_context, energy_from_context = (
            (known(fixed) + shift).flatten(1).split(hidden, 1)
            for known, shift in (
                (self.from_context, constant[:hidden]),
                (self.energy_from_context, constant[hidden:]),
            )
        )
        hits_trend, excess_trend = (
            (self._basis(context) @ part).split(1, 1) for part in self.trend.unbind(0)
        )
        response = 1 / (incident_energy[:, None] * self.response)
        total_hits = total_energy = moment = largest = torch.zeros_like(response)
        recent = [self.mean.expand(noise.shape[0], -1)] * 3
        offsets = torch.tensor([self.threshold, HIT_OFFSET, 1e-3, self.threshold])
        of_layer = torch.tensor([1e-4, self.threshold])
        lowest = self.mean - 4 * self.spread
        ceiling = math.log(self.max_hits + HIT_OFFSET + 0.5)
        all_hits, all_energies = [], []
        for layer in range(self.n_layers):
            part = total_energy * response
            logs = (torch.cat([total_energy, total_hits, part, largest], 1) + offsets).log()
            history = torch.cat([*recent, logs, part, moment / (total_energy + 1e-3)], 1) @ matrix
            state = self.trunk(from_context[layer] + history[:, :hidden])
            log_hits = self._draw(self.hits_head(state), uniform[2 * layer], normal[2 * layer])
            log_hits = log_hits + hits_trend[layer]
            hits = (log_hits.clamp(-5.0, ceiling).exp() - HIT_OFFSET).floor().clamp(min=0)
            mixture = self._energy_mixture(energy_from_context[layer] + history[:, hidden:], state, hits)
            log_excess = self._draw(mixture, uniform[2 * layer + 1], normal[2 * layer + 1])
            log_excess = log_excess + excess_trend[layer]
            excess = log_excess.clamp(-10.0, 6.0).exp() * hits.clamp(max=1)
            energy = hits * (self.threshold + excess)
            logs = torch.cat([hits + HIT_OFFSET, torch.cat([excess, energy], 1) + of_layer], 1).log()
            recent = [torch.maximum(logs, lowest), *recent[:2]]
            total_hits, total_energy = total_hits + hits, total_energy + energy
            moment, largest = moment + layer * energy, torch.maximum(largest, energy)
            all_hits.append(hits)
            all_energies.append(energy)
        return torch.cat(all_hits, 1), torch.cat(all_energies, 1)

    def _on_plain_logs(self) -> tuple[Tensor, Tensor]:
        """Weights of both networks over histories of logarithms that are not normalised: fewer operations a layer.

        Returns:
            (15, 2 * hidden) for three times the logarithms of hits, excess and energy of a layer, those of energy,
            hits, part and largest energy in `_summary`, the part, and moment / energy; and what to add, (2 * hidden,).
        """
        weight = torch.cat([self.from_history.weight, self.energy_from_history.weight]).T
        recent = weight[:9] / self.spread.repeat(3)[:, None]
        energy, hits, largest = (weight[k : k + 1] / self.spread[i] for k, i in ((9, 2), (10, 0), (14, 2)))
        matrix = torch.cat(
            [recent, energy, hits, weight[12:13], largest, weight[11:12], 2 / self.n_layers * weight[13:14]]
        )
        constant = -(self.mean.repeat(3) @ recent) - self.mean[2] * (energy + largest) - self.mean[0] * hits
        return matrix, constant[0]

    def _logs(self, hits: Tensor, energy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        excess = mean_excess(hits, energy, self.threshold)
        return (hits + HIT_OFFSET).log(), (excess + 1e-4).log(), (energy + self.threshold).log()

    def _normalised(self, hits: Tensor, energy: Tensor) -> Tensor:
        logs = torch.cat(self._logs(hits, energy), -1)  # hits and energy: (..., 1)
        return ((logs - self.mean) / self.spread).clamp(min=-4.0)

    def _history(self, incident_energy: Tensor, hits: Tensor, energy: Tensor) -> Tensor:
        # the same numbers as in `sample`, for all layers at once: (n_showers, n_layers, 15)
        def before(values: Tensor) -> Tensor:
            return functional.pad(values, (1, 0))[:, : self.n_layers, None]

        logs = self._normalised(hits[..., None], energy[..., None])
        recent = [functional.pad(logs, (0, 0, k, 0))[:, : self.n_layers] for k in (1, 2, 3)]
        depth = torch.arange(self.n_layers, dtype=energy.dtype, device=energy.device)
        summary = self._summary(
            incident_energy[:, None, None],
            before(hits.cumsum(1)),
            before(energy.cumsum(1)),
            before((depth * energy).cumsum(1)),
            before(energy.cummax(1).values),
        )
        return torch.cat([*recent, summary], -1)

    def _summary(
        self, incident_energy: Tensor, hits: Tensor, energy: Tensor, moment: Tensor, largest: Tensor
    ) -> Tensor:
        part = energy / (incident_energy * self.response)
        return torch.cat(
            [
                ((energy + self.threshold).log() - self.mean[2]) / self.spread[2],
                ((hits + HIT_OFFSET).log() - self.mean[0]) / self.spread[0],
                part,
                (part + 1e-3).log(),
                2 * moment / ((energy + 1e-3) * self.n_layers),
                ((largest + self.threshold).log() - self.mean[2]) / self.spread[2],
            ],
            -1,
        )

    def _basis(self, context: Tensor) -> Tensor:
        log_energy, kind = context[:, :1], (context[:, 1:] + 1) / 2
        powers = torch.cat([torch.ones_like(log_energy), log_energy, log_energy**2, log_energy**3], 1)
        return (kind[:, :, None] * powers[:, None, :]).flatten(1)

    def _energy_mixture(self, known: Tensor, state: Tensor, hits: Tensor) -> Tensor:
        log_hits = ((hits + HIT_OFFSET).log() - self.mean[0]) / self.spread[0]
        told = torch.cat([state, log_hits, (hits + 0.5).rsqrt()], -1)  # hits: (..., 1)
        hidden = functional.silu(known + self.energy_from_hits(told))
        mixture: Tensor = self.energy_head(hidden)
        return mixture

    def _log_density(self, mixture: Tensor, value: Tensor) -> Tensor:
        weight, mean, log_sigma = mixture.split(self.mixtures, dim=-1)
        return log_density(weight, mean, log_sigma, value)

    def _draw(self, mixture: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        weight, mean, log_sigma = mixture.split(self.mixtures, dim=-1)
        chosen = choose(weight, uniform, self.running)
        drawn = mean + log_sigma.clamp(NARROWEST, WIDEST).exp() * normal
        chosen_one: Tensor = (drawn * chosen).sum(-1, keepdim=True)
        return chosen_one
