"""The original 3D GAN of 2018: an auxiliary conditional GAN of 3D convolutions, rebuilt faithfully.

Sources: F. Carminati, G. Khattak, S. Vallecorsa et al., "Three dimensional Generative Adversarial Networks
for fast simulation", J. Phys. Conf. Ser. 1085 (2018) 032016; S. Vallecorsa et al., arXiv:1912.00804; layers,
initialisation and training as in CERN's Keras code, https://github.com/svalleco/3Dgan
(`keras/EcalEnergyGan.py`, `keras/EcalEnergyTrain.py`).

What ports of it got wrong, and how it is here:

- Keras' batch normalisation keeps 0.99 of its moving averages (torch: momentum 0.01); its epsilon is 1e-3.
- Keras' LeakyReLU has a slope of 0.3.
- 'same' padding of an even kernel adds the odd cell at the end (TensorFlow).
- MAPE divides by the true value, and is in percent.
- The sigmoid belongs to the loss, once.
- Keras' `predict` draws the discriminator's fakes with the moving averages; the generator's own step uses
  those of its batch.

The original knew one particle. Here the particle enters in the way of auxiliary GANs (arXiv:1610.09585),
which leaves all layers in their shape: in the generator a learnt vector per particle, near 1 at first,
multiplies the latent vector; in the discriminator a learnt vector per particle, 0 at first, is projected on
the features and added to the real/fake logit (arXiv:1802.05637). The original drew the energies of fakes,
uniformly; here they are the batch's. The sum of cells that fakes should have comes from a fit, as there.

Batch norm takes the statistics of each rank's own part of a batch, as Keras' did under Horovod: several ranks are not
exactly one.
"""

from caloforge.models.gan3d_2018.approach import Gan3D2018, Gan3D2018Config
from caloforge.models.gan3d_2018.networks import Gan3D2018Discriminator, Gan3D2018Generator

__all__ = ["Gan3D2018", "Gan3D2018Config", "Gan3D2018Discriminator", "Gan3D2018Generator"]
