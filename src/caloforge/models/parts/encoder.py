"""Incidents as network input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from caloforge.detectors import Readout

ELECTRON_MASS = 0.51099895
"""MeV (CODATA 2018)."""
PROTON_MASS, NEUTRON_MASS = 938.272, 939.565
PION_MASS, NEUTRAL_PION_MASS, KAON_MASS, NEUTRAL_KAON_MASS, MUON_MASS = (
    139.570,
    134.977,
    493.677,
    497.611,
    105.658,
)
"""MeV (Particle Data Group 2024)."""

RELEASED = {
    -11: 2 * ELECTRON_MASS,
    111: NEUTRAL_PION_MASS,
    211: PION_MASS,
    -211: PION_MASS,
    321: KAON_MASS,
    -321: KAON_MASS,
    130: NEUTRAL_KAON_MASS,
    13: MUON_MASS,
    -13: MUON_MASS,
    -2212: 2 * PROTON_MASS,
    -2112: 2 * NEUTRON_MASS,
}
"""Energy in MeV beyond the kinetic one that a particle can leave in matter, by PDG id: by annihilation or decay."""


class ConditionEncoder(nn.Module):
    """Encodes what a model is conditioned on.

    The numbers are: the logarithm of the kinetic energy, from -1 to 1 over the training showers; +-1 for each particle;
    with `direction` the slopes dx/dz and dy/dz, and with `position` the impact point, divided by the largest of the
    training showers.

    Args:
        pdgs: PDG ids that the model knows.
        conditions: What it is conditioned on; energy and particle always are encoded.
    """

    pdg: Tensor
    energy: Tensor
    slope: Tensor
    place: Tensor

    def __init__(self, pdgs: Sequence[int], conditions: Sequence[str] = ("particle", "energy")) -> None:
        super().__init__()
        self.conditions = tuple(conditions)
        self.n_particles = len(pdgs)
        self.register_buffer("pdg", torch.tensor(pdgs, dtype=torch.float32), persistent=False)
        self.register_buffer("energy", torch.tensor([9.2, 2.3]))  # middle and half range of the logarithm
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("place", torch.ones(()))

    @property
    def size(self) -> int:
        """Number of numbers that encode an incident."""
        return (
            1 + self.n_particles + 2 * ("direction" in self.conditions) + 2 * ("position" in self.conditions)
        )

    def fit(self, incident: Tensor) -> None:
        """Fit the scales to the incidents of training showers, (n, 6)."""
        logs = incident[:, 1].log()
        low, high = logs.min(), logs.max()
        self.energy.copy_(torch.stack([(low + high) / 2, ((high - low) / 2).clamp(min=0.1)]))
        self.slope.copy_(slopes(incident).abs().max().clamp(min=1e-3))
        self.place.copy_(incident[:, 4:6].abs().max().clamp(min=1e-3))

    def forward(self, incident: Tensor) -> Tensor:
        """Encode incidents (n, 6) as (n, size)."""
        parts = [self.log_energy(incident), self.particle(incident)]
        if "direction" in self.conditions:
            parts.append(slopes(incident) / self.slope)
        if "position" in self.conditions:
            parts.append(incident[:, 4:6] / self.place)
        return torch.cat(parts, 1)

    def log_energy(self, incident: Tensor) -> Tensor:
        """Logarithm of the kinetic energy, from -1 to 1, (n, 1)."""
        return (incident[:, 1:2].log() - self.energy[0]) / self.energy[1]

    def particle(self, incident: Tensor) -> Tensor:
        """1 for the particle of the incident, -1 for others, (n, n_particles)."""
        return 2.0 * (incident[:, 0:1] == self.pdg).to(incident.dtype) - 1.0


def slopes(incident: Tensor) -> Tensor:
    """Slopes dx/dz and dy/dz of incidents (n, 6), (n, 2)."""
    theta, phi = incident[:, 2:3], incident[:, 3:4]
    return torch.tan(theta) * torch.cat([torch.cos(phi), torch.sin(phi)], 1)


def largest_visible_energy(incident: Tensor, readout: Readout) -> Tensor:
    """Largest visible energy in MeV of incidents (n, 6), (n,): what they can leave in matter, calibrated."""
    return available_energy(incident) * readout.calibration


def available_energy(incident: Tensor) -> Tensor:
    """Largest energy in MeV that incidents (n, 6) can leave in matter, (n,): the kinetic one and what is released."""
    pdg, energy = incident[:, 0], incident[:, 1]
    for known, released in RELEASED.items():
        energy = energy + released * (pdg == known).to(energy.dtype)
    return energy
