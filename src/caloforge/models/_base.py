"""The contract of an approach: networks, objective and defaults of one way to model showers.

One file in this room is one approach. `training` drives it through `Approach`; `export` takes its generator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from caloforge.detectors import Detector
from caloforge.models._fields import Count


class ApproachConfig(BaseModel):
    """Hyper-parameters of an approach: the `[model]` table of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    approach: str


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
            Energies in MeV, (n_showers, n_layers, n_rows, n_columns) float32, not negative.
        """


@dataclass(frozen=True)
class Batch:
    """What one training step sees.

    Attributes:
        incident: (n_showers, 6) float32, as the generator takes it.
        showers: (n_showers, n_layers, n_rows, n_columns) float32 MeV, the detector's threshold applied.
    """

    incident: Tensor
    showers: Tensor

    def __len__(self) -> int:
        return len(self.incident)


@dataclass(frozen=True)
class Step:
    """What the training loop lends to one training step.

    Attributes:
        networks: The approach's networks by name, set up for device and ranks: call these, not the originals.
        optimizers: The optimisers by name.
        backward: Call it with a loss instead of `loss.backward()`.
        random: Source of random numbers, on the device of the batch.
        progress: Part of the training that is done, from 0 to 1.
    """

    networks: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    backward: Callable[[Tensor], None]
    random: torch.Generator
    progress: float


ConfigT = TypeVar("ConfigT", bound=ApproachConfig)


class Approach(ABC, Generic[ConfigT]):
    """One way to model showers.

    Attributes:
        name: Name of the approach, as recipes write it.
        config_type: Its hyper-parameters.
        fitted: `prepare` does all there is to do: no optimisers, no training steps (see `FittedApproach`).
        networks: All trained networks by name; `networks["generator"]` is the `Generator`.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[ApproachConfig]]
    fitted: ClassVar[bool] = False
    networks: Mapping[str, nn.Module]

    def __init__(self, detector: Detector, config: ConfigT) -> None:
        self.detector = detector
        self.config = config

    @property
    def generator(self) -> Generator:
        """The network that draws showers."""
        generator = self.networks["generator"]
        assert isinstance(generator, Generator)
        return generator

    @property
    def prepare_showers(self) -> int:
        """Number of training showers that `prepare` sees at most; they are dense in memory."""
        return 5000

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
