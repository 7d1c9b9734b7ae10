"""What ganbench trains of ringgan: each function hands a part of the library over, under the function's name."""

import math

import ringgan

from ganbench import register


@register("network")
def perceptrons(spec, *, width: int = 32):
    """The two perceptrons of ringgan, of `width` units."""
    size = math.prod(spec.shape)
    return ringgan.Generator(spec.latent_dim, size, width), ringgan.Discriminator(size, width)


@register("loss")
def softplus_pair(real_logits, fake_logits):
    """The losses of ringgan's two players."""
    return ringgan.discriminator_loss(real_logits, fake_logits), ringgan.generator_loss(fake_logits)
