"""Networks: pairs of plain modules for one GAN.

A network is `(spec, *, hypers) -> (generator, discriminator)`. The generator maps latents `[batch, latent_dim]` to
samples `[batch, *shape]`, the discriminator samples to logits `[batch]` or `[batch, 1]`. A network asks `spec` for
its normalized layers; what it is made of is its own affair, `nn.Sequential`s of known layers train fastest.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

Normalize = Callable[[nn.Module], nn.Module]


@dataclass(frozen=True)
class NetworkSpec:
    """What a network is built for: data shape, pixel range, latent size, and the layers' normalizations.

    `g_norm` and `d_norm` wrap a layer that the paper normalizes, `g_weight` and `d_weight` a layer where only a
    normalization of weights applies (outputs, a critic's first convolution).
    """

    shape: tuple[int, ...]
    value_range: tuple[float, float] | None
    latent_dim: int
    g_norm: Normalize
    g_weight: Normalize
    d_norm: Normalize
    d_weight: Normalize


from ganbench.gan.networks import dcgan, games, mlp  # noqa: E402

__all__ = ["NetworkSpec", "dcgan", "games", "mlp"]
