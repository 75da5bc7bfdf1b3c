"""Nested 3D: from totals to halves to layers, and from every fourth layer to the cells between, by maximum likelihood.

`causal3d` showed that cells which know their neighbours, taught by likelihood, cannot be told from Geant4's; but it
draws 25 layers of five passes one after the other, some 13 000 small operations. Given what a layer holds, though,
layers four apart fluctuate independently. So here all scales are nested: the totals of a shower are shared out to
halves of halves (`_layers`), every fourth layer is drawn at once, then those between (`_nested_cells`), and inside a
layer every second row and column. Energies are worked out only for cells that are hit. Multi-scale orders were
proposed for images by Reed et al. (arXiv:1703.03664).
"""

from __future__ import annotations

from typing import Annotated, Literal, cast

import torch
from pydantic import Field

from caloforge.detectors import Detector
from caloforge.errors import InputError
from caloforge.models._base import Batch
from caloforge.models._by_likelihood import ByLikelihood, LayersThenCells, LikelihoodConfig
from caloforge.models._fields import Count, Window
from caloforge.models._nested_cells import NestedCells


class Nested3DConfig(LikelihoodConfig):
    """Hyper-parameters, beside those of `LikelihoodConfig`.

    Attributes:
        window: Rows and columns around the axis that are drawn in four passes.
        width: Channels of the networks of cells there (multiples of 16 are fastest).
        depth: Number of their hidden layers after the first.
        energy_width: Width of the networks of the energies of hits there.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits outside the window that a layer can have at most (the fewer, the faster).
        shapes: Transverse shapes of the hits outside the window.
    """

    approach: Literal["nested3d"] = "nested3d"
    window: Window = 9
    width: Count = 16
    depth: Annotated[int, Field(ge=0)] = 1
    energy_width: Count = 32
    hidden: Count = 48
    features: Count = 16
    mixtures: Annotated[int, Field(ge=2)] = 4
    most_around: Count = 56
    shapes: Annotated[int, Field(ge=2)] = 8
    cell_batch: Count = 32


class Nested3DGenerator(LayersThenCells):
    """Draws layers, then cells (`NestedCells`)."""

    cells: NestedCells

    def make_cells(self, detector: Detector, context: int, config: LikelihoodConfig) -> NestedCells:
        """Make the networks of the cells."""
        assert isinstance(config, Nested3DConfig)
        return NestedCells(
            detector,
            context,
            window=config.window,
            width=config.width,
            depth=config.depth,
            energy_width=config.energy_width,
            hidden=config.hidden,
            features=config.features,
            mixtures=config.mixtures,
            most_around=config.most_around,
            shapes=config.shapes,
        )


class Nested3D(ByLikelihood[Nested3DConfig]):
    """The approach `nested3d`."""

    name = "nested3d"
    config_type = Nested3DConfig

    def __init__(self, detector: Detector, config: Nested3DConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": Nested3DGenerator(detector, config)}

    def prepare(self, sample: Batch) -> None:
        """Fit the scales of the layer model.

        Raises:
            InputError: If layers have more hits outside the window than `most_around`.
        """
        super().prepare(sample)
        cells = cast(Nested3DGenerator, self.generator).cells
        around = sample.showers.flatten(2)[:, :, torch.tensor(cells.lattice.around)]
        most = int((around > 0).sum(2).max())
        if most > cells.most_around:
            raise InputError(
                f"a layer has {most} hits outside the window: set model.most_around to at least {int(1.2 * most)}, "
                "or model.window larger"
            )
