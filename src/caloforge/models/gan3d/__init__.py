"""A modern conditional 3D GAN: 3D convolutions of noise share out what each layer holds, against an adversary.

The idea of the original (Vallecorsa, Carminati, Khattak, EPJ Web Conf. 214 (2019) 02010) is kept: 3D convolutions and
an adversary. What is new:

- A small autoregressive model (`caloforge.models.parts.layer_model`) draws hits and energy of every layer by maximum
  likelihood; the cells of a layer then share out exactly that many hits and that energy. The adversary has only the
  shapes of showers to judge.
- Cells start from a product of features of the layer and of the place; 3D convolutions of noise around the axis add
  what neighbouring cells, also of neighbouring layers, have in common (`generator`).
- The hits of a layer are the cells with the highest scores, and the energy of a hit grows from the threshold with
  its score above the cut, so that showers are sparse and yet differentiable.
- The adversary is the relativistic pairing GAN with zero-centred gradient penalties on real and drawn showers (R3GAN,
  Huang et al., arXiv:2501.05441): each real shower is compared with one drawn for the same incident and the same
  layers. It sees cells, and the shape of each layer (`discriminator`).
- An energy score (`scores`), which needs no adversary and never diverges, brings the generator near in the beginning.
"""

from caloforge.models.gan3d.approach import Gan3D
from caloforge.models.gan3d.config import Gan3DConfig
from caloforge.models.gan3d.discriminator import Gan3DDiscriminator
from caloforge.models.gan3d.generator import Gan3DGenerator

__all__ = ["Gan3D", "Gan3DConfig", "Gan3DDiscriminator", "Gan3DGenerator"]
