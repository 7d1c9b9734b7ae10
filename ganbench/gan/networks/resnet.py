"""Residual pairs of Miyato 2018 (SN-GAN), Gulrajani 2017 (WGAN-GP) and Zhang 2019 (SAGAN)."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from ganbench.gan.networks.images import EITHER, Grid, classes_of, counts, grid
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.residual import PROVIDES, Context, Falls, Layers, Residual, doubly, falling, told
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

IMAGE = {"image": "a residual network needs images"}
SMALL = 32
"""Up to this side SN-ResNet has one width (its table for CIFAR-10), beyond it doubles channels (for ImageNet)."""

Blocks = list[tuple[int, int, Falls]]


def _widths(own: Grid, width: int) -> tuple[list[int], Blocks]:
    """Return G's widths from the smallest map on, and D's blocks from the image on."""
    image = Falls(image=True, wide=True)
    if own.side <= SMALL:
        kept = (width, width, Falls(shrinks=False))
        return [2 * width] * (own.stages + 1), [(own.channels, width, image), (width, width, Falls()), kept, kept]
    doubled = [width * 2**stage for stage in range(own.stages)]
    blocks: Blocks = [(own.channels, width, image)]
    blocks += [(inputs, outputs, Falls(wide=False)) for inputs, outputs in pairwise(doubled)]
    return [doubled[-1], *reversed(doubled)], [*blocks, (doubled[-1], doubled[-1], Falls(shrinks=False))]


def _build(name: str, spec: NetworkSpec, width: int, how: str, *, attention: int, g_spectral: bool) -> Pair:
    counts(name, width=width)
    own, (classes, planes) = grid(name, spec.shape), classes_of(name, spec, how)
    widths, blocks = _widths(own, width)
    weigh = doubly(spec.g_weight, also=g_spectral)
    context = Context(spec.latent_dim + planes, classes)
    generator = Residual(spec, own, Layers(weigh, spec.g_norm), widths, context, attention=attention)
    first = (own.channels + planes, *blocks[0][1:])
    critic = falling(
        Layers(spec.d_weight, spec.d_norm), spec, [first, *blocks[1:]], (classes, planes),
        attention=0 if attention else None,
    )  # fmt: skip
    return told(generator, planes), critic


@register(
    "network",
    needs=IMAGE,
    provides={*PROVIDES, "hidden_features", EITHER},
    paper={"normalization": "spectral", "g_normalization": "batch"},
)
def sn_resnet(spec: NetworkSpec, *, width: int = 8, how: str = "projection") -> tuple[nn.Module, nn.Module]:
    """SN-ResNet: residual blocks, spectral norm in D, batch norm in G, sums over pixels (Miyato 2018, app. B).

    Up to 32 pixels `width` channels in D and twice as many in G (the paper: 128); beyond, `width` beside the image,
    twice as many at each halving (the paper: 64). Labels give G's gains and biases and project D's features (Miyato &
    Koyama 2018); `how` concatenation has them beside latents and images.
    """
    return _build("sn_resnet", spec, width, how, attention=0, g_spectral=False)


@register(
    "network",
    needs=IMAGE,
    provides={*PROVIDES, "hidden_features", EITHER},
    paper={"normalization": "spectral", "g_normalization": "batch"},
)
def sagan(
    spec: NetworkSpec, *, width: int = 8, how: str = "projection", g_spectral: bool = True
) -> tuple[nn.Module, nn.Module]:
    """SAGAN: the residual pair of `sn_resnet` with self-attention at half the image's side in G and D (Zhang 2019).

    `g_spectral` normalizes the weights of G, whatever its normalization of activations.
    """
    side = grid("sagan", spec.shape).halvings[1]
    return _build("sagan", spec, width, how, attention=side, g_spectral=g_spectral)


@register(
    "network",
    needs=IMAGE,
    provides={*PROVIDES, EITHER},
    paper={"normalization": "layer", "g_normalization": "batch"},
)
def wgan_gp_resnet(spec: NetworkSpec, *, width: int = 8, how: str = "projection") -> tuple[nn.Module, nn.Module]:
    """WGAN-GP's ResNet: layer norm in D, batch norm in G, linear end on the last map (Gulrajani 2017, app. F).

    As published with the code for 64 pixels: `width` channels beside the image (the paper: 64), doubled at each halving
    but the last. Labels as in `sn_resnet`.
    """
    counts("wgan_gp_resnet", width=width)
    own, (classes, planes) = grid("wgan_gp_resnet", spec.shape), classes_of("wgan_gp_resnet", spec, how)
    doubled = [width * 2 ** min(stage, max(1, own.stages - 1)) for stage in range(own.stages + 1)]
    context = Context(spec.latent_dim + planes, classes)
    g_layers, d_layers = Layers(spec.g_weight, spec.g_norm), Layers(spec.d_weight, spec.d_norm)
    generator = Residual(spec, own, g_layers, doubled[::-1], context, first_bias=False)
    falls = Falls(first_bias=False)
    blocks = [(inputs, outputs, falls) for inputs, outputs in pairwise(doubled)]
    critic = falling(
        d_layers, spec, blocks, (classes, planes), head=[d_layers.conv(own.channels + planes, width)], pooled=False,
        pixels=own.base**2,
    )  # fmt: skip
    return told(generator, planes), critic
