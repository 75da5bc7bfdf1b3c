"""A parametrised shower in the manner of GFlash: longitudinal gamma profile times radial profile, with fluctuations.

Grindhammer, Rudowicz and Peters, NIM A290 (1990) 469, and Grindhammer and Peters, hep-ex/0001020, which Geant4 ships
as `GFlashSamplingShowerParameterisation`. Each shower gets its maximum T, shape alpha and response from a normal
distribution of their logarithms; photons convert first, at an exponential depth of 9/7 radiation lengths (Tsai, Rev.
Mod. Phys. 46 (1974) 815): `longitudinal`. Each layer spreads its energy by two rational functions of the radius,
core and tail, whose radii and weight depend on the depth in units of T and on ln E; a little of it is a wide halo of
constant radius: `radial`. Sampling fluctuations come from spots of energy, a Poisson number of them in each cell:
`spots`. The energy of a layer, shared with its neighbours along, and the part in its core fluctuate a little more,
because spots come in clusters, mostly off the axis. Beyond GFlash: up to the maximum, the electron, or the pair that a
photon became, passes each layer as a track through the central cell; and layers before the shower see energy
scattered back.

Nothing is trained by gradients through showers: `fit` fits a few hundred numbers to moments, in a minute.
"""

from caloforge.models.parametrised.approach import Parametrised, ParametrisedConfig
from caloforge.models.parametrised.generator import ParametrisedGenerator

__all__ = ["Parametrised", "ParametrisedConfig", "ParametrisedGenerator"]
