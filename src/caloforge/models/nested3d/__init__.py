"""Nested 3D: from totals to halves to layers, and from every fourth layer to the cells between, by maximum likelihood.

Cells that know their neighbours, taught by likelihood, cannot be told from Geant4's; drawn one layer after the other
they are slow. Given what a layer holds, though, layers four apart fluctuate independently. So here all scales are
nested: the totals of a shower are shared out to halves of halves down to layers (`parts.layer_model`), narrowness and
place of its core are drawn (`core`), then every fourth layer at once, those in the middle, and the others (`cells`),
and inside a layer every second row and column. Energies are worked out only for cells that are hit. Multi-scale orders
were proposed for images by Reed et al. (arXiv:1703.03664). The window of each layer follows the shower axis (`frame`).
"""

from caloforge.models.nested3d.approach import Nested3D
from caloforge.models.nested3d.config import Nested3DConfig

__all__ = ["Nested3D", "Nested3DConfig"]
