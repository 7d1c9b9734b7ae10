"""A library of GANs as small as one can be: two networks and a loss. It knows nothing of ganbench."""

from ringgan.losses import discriminator_loss, generator_loss
from ringgan.networks import Discriminator, Generator

__all__ = ["Discriminator", "Generator", "discriminator_loss", "generator_loss"]
