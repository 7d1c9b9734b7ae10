"""Multilayer perceptrons, the networks of the mixture problems."""

import math

from torch import nn

from ganbench.errors import UserError
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import NOTHING_GIVEN, register


@register(
    "network",
    needs={NOTHING_GIVEN: "it takes no label: conditional_mlp does"},
    provides={"batch_features", "hidden_features"},
)
def mlp(spec: NetworkSpec, *, width: int = 32, depth: int = 2) -> tuple[nn.Module, nn.Module]:
    """Two perceptrons with `depth` hidden layers of `width` units, ReLU in G and LeakyReLU 0.2 in D."""
    if width < 1 or depth < 1:
        raise UserError(f"The network 'mlp' needs a width and a depth of at least 1, got {width} and {depth}.")
    size = math.prod(spec.shape)
    generator: list[nn.Module] = []
    discriminator: list[nn.Module] = [nn.Flatten()] if len(spec.shape) > 1 else []
    for index in range(depth):
        generator += [spec.g_norm(nn.Linear(width if index else spec.latent_dim, width)), nn.ReLU()]
        discriminator += [spec.d_norm(nn.Linear(width if index else size, width)), nn.LeakyReLU(0.2)]
    generator.append(spec.g_weight(nn.Linear(width, size)))
    discriminator.append(spec.d_last(width))
    if spec.value_range:
        generator.append(nn.Tanh())
    if len(spec.shape) > 1:
        generator.append(nn.Unflatten(1, spec.shape))
    return nn.Sequential(*generator), nn.Sequential(*discriminator)
