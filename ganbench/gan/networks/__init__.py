"""Networks: pairs of plain modules for one GAN.

A network is `(spec, *, hypers) -> (generator, discriminator)`. The generator maps latents `[batch, latent_dim]` to
samples `[batch, *shape]`, the discriminator samples to logits `[batch]` or `[batch, 1]`. A network asks `spec` for
its normalized layers; what it is made of is its own affair, `nn.Sequential`s of known layers train fastest.
"""

from ganbench.gan.networks import (
    biggan,
    conditional,
    dcgan,
    fastgan,
    games,
    mlp,
    patches,
    pix2pix,
    progressive,
    r3gan,
    resnet,
    stargan,
    stylegan,
    unpaired,
    vocoder,
)  # fmt: skip
from ganbench.gan.networks.layers import Normalize
from ganbench.gan.networks.spec import NetworkSpec

__all__ = [
    "NetworkSpec",
    "Normalize",
    "biggan",
    "conditional",
    "dcgan",
    "fastgan",
    "games",
    "mlp",
    "patches",
    "pix2pix",
    "progressive",
    "r3gan",
    "resnet",
    "stargan",
    "stylegan",
    "unpaired",
    "vocoder",
]
