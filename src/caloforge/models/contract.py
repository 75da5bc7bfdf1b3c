"""The contract of an approach: networks, objective and defaults of one way to model showers.

One package in this room is one approach. `training` drives it through `Approach`; `export` takes its generator. The
life of an approach: `check_readout`, `size` (fills in what the recipe left open), `__init__`, `prepare` (fits scales
into buffers), then `training_step` again and again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from caloforge.detectors import Detector, cartesian
from caloforge.models.conditions import check_central, check_conditions, varying
from caloforge.models.fields import Count, Particles
from caloforge.showers import Condition, Incidents, particle_name, pdg_id


class ApproachConfig(BaseModel):
    """Hyper-parameters of an approach: the `[model]` table of a recipe. Unknown keys are errors.

    Attributes:
        approach: Name of the approach.
        particles: Names of the particles that the model knows; those of the training showers if empty.
        conditions: What the model is conditioned on; what varies in the training showers if empty.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    approach: str
    particles: Particles = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def pdgs(self) -> tuple[int, ...]:
        """PDG ids of the particles."""
        return tuple(map(pdg_id, self.particles))


class Generator(nn.Module, ABC):
    """A network that draws showers; the only part of an approach that is exported.

    It is deterministic in its inputs, holds no random state, and gives each shower independently of the others
    in its batch. Conditions are encoded inside.

    Attributes:
        noise_size: Number Z of standard normal numbers that one shower takes.
    """

    noise_size: int

    @abstractmethod
    def forward(self, incident: Tensor, noise: Tensor) -> Tensor:
        """Draw showers.

        Args:
            incident: (n_showers, 6) float32: pdg, kinetic energy in MeV, theta, phi, x, y.
            noise: (n_showers, noise_size) float32, standard normal.

        Returns:
            Energies in MeV, (n_showers, *detector.shape) float32, not negative.
        """


@dataclass(frozen=True)
class Batch:
    """What one training step sees: this rank's part of the global batch.

    Attributes:
        incident: (n_showers, 6) float32, as the generator takes it.
        showers: (n_showers, *detector.shape) float32 MeV, the detector's threshold applied.
        index: Places of the showers in the global batch, (n_showers,) int64.
        total: Number of showers of the global batch.
    """

    incident: Tensor
    showers: Tensor
    index: Tensor
    total: int

    def __len__(self) -> int:
        return len(self.incident)

    @staticmethod
    def whole(incident: Tensor, showers: Tensor) -> Batch:
        """Make a batch of which this rank has all."""
        return Batch(incident, showers, torch.arange(len(incident)), len(incident))

    def select(self, chosen: Tensor) -> Batch:
        """Return some showers of the batch, by a mask or indices."""
        return Batch(self.incident[chosen], self.showers[chosen], self.index[chosen], self.total)


class StepRandom:
    """Random numbers of one training step, a function of (seed, step, place in the global batch).

    So any number of ranks draws the same numbers for the same showers. Calls within a step go on in one sequence. Other
    kinds of devices draw other numbers.

    Args:
        seed: Of the training.
        step: Number of the step.
        device: Where batches live.
    """

    def __init__(self, seed: int, step: int, device: torch.device | str = "cpu") -> None:
        state = int(np.random.SeedSequence([seed, 5, step]).generate_state(1, np.uint64)[0] >> 1)
        self._source = torch.Generator(device).manual_seed(state)

    def uniform(self, batch: Batch, *shape: int) -> Tensor:
        """Draw uniform numbers from 0 to 1 for each shower, (n_showers, *shape)."""
        drawn = torch.rand((batch.total, *shape), generator=self._source, device=self._source.device)
        return drawn[batch.index]

    def normal(self, batch: Batch, *shape: int) -> Tensor:
        """Draw standard normal numbers for each shower, (n_showers, *shape)."""
        drawn = torch.randn((batch.total, *shape), generator=self._source, device=self._source.device)
        return drawn[batch.index]


@dataclass(frozen=True)
class Step:
    """What the training loop lends to one training step.

    Attributes:
        networks: The approach's networks by name, set up for device and ranks: call these, not the originals.
        optimizers: The optimisers by name.
        backward: Call it with a loss instead of `loss.backward()`. A loss is a mean over the showers of the rank's
            part, so that the mean over ranks is that over the global batch.
        random: Source of random numbers.
        progress: Part of the training that is done, from 0 to 1.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    backward: Callable[[Tensor], None]
    random: StepRandom
    progress: float


ConfigT = TypeVar("ConfigT", bound=ApproachConfig)


class Approach(ABC, Generic[ConfigT]):
    """One way to model showers.

    Attributes:
        name: Name of the approach, as recipes write it.
        config_type: Its hyper-parameters.
        precisions: Precisions of training that it supports, besides 32 bits: `bf16`, `16` (mixed).
        fitted: `prepare` does all there is to do: no optimisers, no training steps (see `FittedApproach`).
        networks: All trained networks by name; `networks["generator"]` is the `Generator`.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[ApproachConfig]]
    precisions: ClassVar[tuple[str, ...]] = ()
    fitted: ClassVar[bool] = False
    networks: Mapping[str, nn.Module]

    def __init__(self, detector: Detector, config: ConfigT) -> None:
        self.check_readout(detector)
        self.detector = detector
        self.config = config

    @classmethod
    def check_readout(cls, detector: Detector) -> None:
        """Raise if the approach does not support the readout of a detector: all but cartesian ones by default.

        Raises:
            DetectorError: Naming approach, detector and what is supported.
        """
        cartesian(detector, f"approach {cls.name!r}")

    @classmethod
    def supported_conditions(cls, detector: Detector) -> tuple[Condition, ...]:
        """What the approach can be conditioned on for a detector."""
        del detector
        return ("particle", "energy")

    @classmethod
    def size(cls, config: ConfigT, detector: Detector, sample: Batch) -> ConfigT:
        """Choose what the hyper-parameters leave open, from detector and training showers.

        The base chooses particles and conditions; approaches add their own. What is chosen is printed and kept in
        the recipe of the run.

        Args:
            config: As in the recipe.
            detector: The detector.
            sample: Some training showers, their incidents as varied as all.

        Returns:
            Hyper-parameters that leave nothing open.

        Raises:
            InputError: If a condition is not supported, or incidents are tilted or beside the centre where the approach
                cannot be conditioned on that.
        """
        chosen = incidents_of(sample)
        supported = cls.supported_conditions(detector)
        check_central(chosen, supported, cls.name)
        check_conditions(config.conditions, supported, cls.name)
        known = config.particles or tuple(particle_name(int(pdg)) for pdg in np.unique(chosen.pdg))
        wanted = config.conditions or tuple(name for name in varying(chosen) if name in supported)
        return config.model_copy(update={"particles": known, "conditions": wanted})

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What the model is conditioned on."""
        return self.config.conditions

    @property
    def generator(self) -> Generator:
        """The network that draws showers."""
        generator = self.networks["generator"]
        assert isinstance(generator, Generator)
        return generator

    @property
    def prepare_showers(self) -> int:
        """Number of training showers that `prepare` sees at most; they are dense in memory."""
        return max(500, min(5000, 150_000_000 // self.detector.n_cells))

    def prepare(self, sample: Batch) -> None:
        """Fit normalisations (kept in buffers) to a sample of the training showers; called once, before step 1.

        Args:
            sample: Up to `prepare_showers` training showers, on the CPU.
        """

    @abstractmethod
    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """Make the optimisers: by name, the name of the network it belongs to and the optimiser.

        The training loop multiplies their learning rates by its schedule.
        """

    @abstractmethod
    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """Update the networks once with a batch and return the losses (detached scalars) by name."""


class FittedConfig(ApproachConfig):
    """Hyper-parameters of a fitted approach.

    Attributes:
        showers: Training showers that it is fitted to at most.
    """

    showers: Count


FittedConfigT = TypeVar("FittedConfigT", bound=FittedConfig)


class FittedApproach(Approach[FittedConfigT]):
    """An approach without gradients: `prepare` fits everything, into buffers.

    The generator has no parameters, there are no optimisers, and a run ends after preparation and one validation.
    Recipes say `training.steps = 0`.
    """

    fitted = True

    @property
    def prepare_showers(self) -> int:
        """As many as its configuration says."""
        return self.config.showers

    @abstractmethod
    def prepare(self, sample: Batch) -> None:
        """Fit everything (kept in buffers) to a sample of the training showers; called once.

        Args:
            sample: Up to `prepare_showers` training showers, on the CPU.

        Raises:
            InputError: If the approach cannot be fitted to them.
        """

    def optimizers(self) -> dict[str, tuple[str, torch.optim.Optimizer]]:
        """None."""
        return {}

    def training_step(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        """There are none; the training loop does not ask for any."""
        raise TypeError(f"approach {self.name!r} is fitted in prepare, it has no training steps")


def incidents_of(batch: Batch) -> Incidents:
    """Return the incidents of a batch as `Incidents`."""
    columns = batch.incident.cpu().numpy()
    pdg = np.rint(columns[:, 0]).astype(np.int32)
    return Incidents(pdg, *(np.ascontiguousarray(columns[:, k]) for k in range(1, 6)))
