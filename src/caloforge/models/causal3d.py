"""Causal 3D: layers first, then cells front to back and in four passes per layer, all by maximum likelihood.

What limits single-pass generators is that neighbouring cells are drawn at once: a classifier sees that they know
nothing of each other. Here each cell knows the layers before it and the cells of its own layer in earlier passes
(`_causal_cells`), as PixelCNN (van den Oord et al., arXiv:1601.06759) does for images and L2LFlows
(Diefenbacher et al., arXiv:2302.11594) from layer to layer; passes over sub-lattices keep the number of steps small.
Hits and energy of all layers come first (`_layers.LayerModel`), so that the response is right by itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from caloforge.detectors import Detector
from caloforge.models._by_likelihood import ByLikelihood, LayersThenCells, LikelihoodConfig
from caloforge.models._causal_cells import CausalCells
from caloforge.models._fields import Count, Part, Window


class Causal3DConfig(LikelihoodConfig):
    """Hyper-parameters, beside those of `LikelihoodConfig`.

    Attributes:
        window: Rows and columns around the axis that are drawn in four passes.
        width: Of the network of a cell there.
        depth: Number of its hidden layers after the first.
        hidden: Width of the network over layers.
        features: Numbers that the networks of cells get to know about each layer.
        mixtures: Normals in the energy of a hit.
        most_around: Hits outside the window that a layer can have at most (the fewer, the faster).
        most_in_pass: Hits that one of the four passes can have at most, likewise.
        clumping: How alike the random numbers of neighbouring cells outside the window are (0 to 1). No likelihood
            knows it: it is set so that such cells have as many neighbours that are hit as Geant4's.
    """

    approach: Literal["causal3d"] = "causal3d"
    window: Window = 13
    width: Count = 24
    depth: Annotated[int, Field(ge=0)] = 2
    hidden: Count = 64
    features: Count = 16
    mixtures: Annotated[int, Field(ge=2)] = 4
    most_around: Count = 36
    most_in_pass: Count = 30
    clumping: Part = 0.3


class Causal3DGenerator(LayersThenCells):
    """Draws layers, then cells (`CausalCells`)."""

    cells: CausalCells

    def make_cells(self, detector: Detector, context: int, config: LikelihoodConfig) -> CausalCells:
        """Make the networks of the cells."""
        assert isinstance(config, Causal3DConfig)
        return CausalCells(
            detector,
            context,
            window=config.window,
            width=config.width,
            depth=config.depth,
            hidden=config.hidden,
            features=config.features,
            mixtures=config.mixtures,
            most_around=config.most_around,
            most_in_pass=config.most_in_pass,
            clumping=config.clumping,
        )


class Causal3D(ByLikelihood[Causal3DConfig]):
    """The approach `causal3d`."""

    name = "causal3d"
    config_type = Causal3DConfig

    def __init__(self, detector: Detector, config: Causal3DConfig) -> None:
        super().__init__(detector, config)
        self.networks = {"generator": Causal3DGenerator(detector, config)}
