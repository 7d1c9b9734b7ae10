"""Multilayer perceptrons, the networks of the mixture problems."""

import math
from functools import partial

from torch import nn

from ganbench.gan.networks.layers import PLAYERS_LATER, Body, apart, bodies
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import NOTHING_GIVEN, register


@register(
    "network",
    needs={NOTHING_GIVEN: "it takes nothing given: conditional_mlp takes labels, pictured_mlp pictures"},
    provides={"batch_features", "hidden_features"},
    later=PLAYERS_LATER,
)
def mlp(
    spec: NetworkSpec,
    *,
    width: int = 32,
    depth: int = 2,
    g_width: int = 0,
    d_width: int = 0,
    g_depth: int = 0,
    d_depth: int = 0,
    g_activation: str = "relu",
    d_activation: str = "leaky_relu",
    pieces: int = 5,
    init: str = "default",
    init_scale: float = 1.0,
) -> tuple[nn.Module, nn.Module]:
    """Two perceptrons with `depth` hidden layers of `width` units, ReLU in G and LeakyReLU 0.2 in D.

    `g_width`, `d_width`, `g_depth` and `d_depth` are those of one player, 0 the one that both share. Activations are
    relu, leaky_relu, tanh and maxout (Goodfellow 2013), whose units have `pieces` linear pieces. `init` draws the
    initial weights of all layers: default, normal, he, orthogonal (`ganbench.gan.networks.layers`); `init_scale` is a
    factor on them.
    """
    g, d = bodies("mlp", (width, depth), (g_width, g_depth, g_activation), (d_width, d_depth, d_activation), pieces)
    return apart(partial(_perceptrons, spec.started("mlp", init, init_scale)), g, d)


def _perceptrons(spec: NetworkSpec, g: Body, d: Body) -> tuple[nn.Module, nn.Module]:
    size = math.prod(spec.shape)
    generator: list[nn.Module] = []
    discriminator: list[nn.Module] = [nn.Flatten()] if len(spec.shape) > 1 else []
    for index in range(max(g.depth, d.depth)):
        if index < g.depth:
            generator += g.layer(spec.g_norm, g.width if index else spec.latent_dim)
        if index < d.depth:
            discriminator += d.layer(spec.d_norm, d.width if index else size)
    generator.append(spec.g_weight(nn.Linear(g.width, size)))
    discriminator.append(spec.d_last(d.width))
    if spec.value_range:
        generator.append(nn.Tanh())
    if len(spec.shape) > 1:
        generator.append(nn.Unflatten(1, spec.shape))
    return nn.Sequential(*generator), nn.Sequential(*discriminator)
