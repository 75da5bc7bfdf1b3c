"""The approach `library`."""

from __future__ import annotations

from typing import Literal, cast

from caloforge.detectors import Detector
from caloforge.models.contract import Batch, FittedApproach, FittedConfig
from caloforge.models.fields import Count
from caloforge.models.library.generator import LibraryGenerator
from caloforge.showers import CONDITIONS, Condition


class LibraryConfig(FittedConfig):
    """Hyper-parameters.

    Attributes:
        showers: Showers that it stores at most.
        neighbours: Nearest stored incidents that one is chosen from.
    """

    approach: Literal["library"] = "library"
    showers: Count = 10_000
    neighbours: Count = 4


class Library(FittedApproach[LibraryConfig]):
    """A library of frozen showers, for any readout and all conditions."""

    name = "library"
    config_type = LibraryConfig

    def __init__(self, detector: Detector, config: LibraryConfig) -> None:
        super().__init__(detector, config)
        generator = LibraryGenerator(detector, config.pdgs, config.conditions, config.neighbours)
        self.networks = {"generator": generator}

    @classmethod
    def check_readout(cls, detector: Detector) -> None:
        """Any readout will do: cells are looked up by their number."""

    @classmethod
    def supported_conditions(cls, detector: Detector) -> tuple[Condition, ...]:
        """All of them."""
        del detector
        return CONDITIONS

    def prepare(self, sample: Batch) -> None:
        """Store the showers of the sample.

        Raises:
            InputError: If a particle has fewer showers than are chosen from.
        """
        cast(LibraryGenerator, self.generator).store(sample)
