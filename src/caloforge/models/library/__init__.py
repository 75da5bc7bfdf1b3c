"""A library of frozen showers: showers of Geant4, stored and used again.

Each shower drawn is a stored one of the same particle and of nearly the same energy, direction and impact point, scaled
in energy, and turned or mirrored by a symmetry of the readout that leaves all stored incidents as they are; ATLAS does
so for low-energy showers (Barberio et al., J. Phys. Conf. Ser. 160 (2009) 012082).

A baseline that networks are compared with, not a model to ship: nearly perfect wherever it has showers, but it draws
no new ones. A million showers from ten thousand repeat each a hundred times, and with directions and impact points
that vary the nearest stored incident is far away unless the library grows.

Nothing is trained: `prepare` stores the hits of its sample as a list of cells and one of energies.
"""

from caloforge.models.library.approach import Library, LibraryConfig
from caloforge.models.library.generator import LibraryGenerator

__all__ = ["Library", "LibraryConfig", "LibraryGenerator"]
