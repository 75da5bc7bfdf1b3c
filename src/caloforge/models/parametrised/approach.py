"""The approach `parametrised`."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field

from caloforge.detectors import Detector
from caloforge.errors import DetectorError
from caloforge.models.contract import Batch, FittedApproach, FittedConfig
from caloforge.models.fields import Count
from caloforge.models.parametrised.fit import fit
from caloforge.models.parametrised.generator import ParametrisedGenerator

FEWEST_LAYERS = 3
"""Layers that a longitudinal profile can be fitted to."""


class ParametrisedConfig(FittedConfig):
    """Hyper-parameters.

    Attributes:
        showers: Showers that it is fitted to at most.
        drawn: Showers that are drawn in each iteration of the fit.
        iterations: Of comparing showers drawn with those given.
        seed: Of the showers that the fit draws.
    """

    approach: Literal["parametrised"] = "parametrised"
    showers: Count = 17_000
    drawn: Count = 8000
    iterations: Annotated[int, Field(ge=0)] = 8
    seed: Annotated[int, Field(ge=0)] = 1


class Parametrised(FittedApproach[ParametrisedConfig]):
    """Parametrised showers, for cartesian readouts and incidents along the normal at the centre."""

    name = "parametrised"
    config_type = ParametrisedConfig

    def __init__(self, detector: Detector, config: ParametrisedConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": ParametrisedGenerator(detector, config.pdgs)}

    @classmethod
    def check_readout(cls, detector: Detector) -> None:
        """Raise if the readout is not cartesian, or has too few layers for a longitudinal profile."""
        super().check_readout(detector)
        if detector.n_layers < FEWEST_LAYERS:
            raise DetectorError(
                f"approach 'parametrised' fits a longitudinal profile to at least {FEWEST_LAYERS} layers, but "
                f"detector {detector.name!r} has {detector.n_layers}: use another approach"
            )

    def prepare(self, sample: Batch) -> None:
        """Fit all parameters.

        Raises:
            InputError: If a particle has too few showers.
        """
        config, generator = self.config, cast(ParametrisedGenerator, self.generator)
        fit(generator, sample, iterations=config.iterations, drawn=config.drawn, seed=config.seed)
