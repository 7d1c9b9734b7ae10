"""Pairs for two domains: a translator each way, and a critic for each domain (CycleGAN, Zhu et al. 2017)."""

from __future__ import annotations

import math

from torch import nn

from ganbench.gan.blocks import Added
from ganbench.gan.conditioning import Halves, Translator, Untold
from ganbench.gan.networks.images import SEVERAL, counts
from ganbench.gan.networks.layers import Body, Pair
from ganbench.gan.networks.patches import judging
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

NEEDS = {
    "image": "it translates images",
    "picture": "it needs a problem that gives pictures",
    "unpaired": "it needs a problem of two domains",
}


def bounded(spec: NetworkSpec) -> list[nn.Module]:
    """Return the layer that keeps pixels in the range of samples, where they have one."""
    return [nn.Tanh()] if spec.value_range else []


def _both(translator: nn.Module, back: nn.Module, critics: Pair) -> Pair:
    return Translator(Halves(translator, back)), Untold(Halves(*critics))


@register("network", needs=NEEDS, provides={SEVERAL})
def unpaired_mlp(spec: NetworkSpec, *, width: int = 64, depth: int = 2, linear: bool = False) -> Pair:
    """Perceptrons that translate pictures of two domains each way, and one that judges each domain: the cheapest pair.

    Nothing in them knows that pixels have neighbours, or that what is somewhere belongs there. linear: translators are
    matrices, which have little to choose from (as for languages, Conneau et al. 2018).
    """
    counts("unpaired_mlp", width=width, depth=depth)
    channels, height, both = spec.shape
    shape = channels, height, both // 2
    g, d = Body(width, depth, "relu", 1), Body(width, depth, "leaky_relu", 1)

    def translator() -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for index in range(0 if linear else depth):
            layers += g.layer(spec.g_norm, width if index else math.prod(shape))
        last = nn.Linear(math.prod(shape) if linear else width, math.prod(shape))
        return nn.Sequential(*layers, spec.g_weight(last), *bounded(spec), nn.Unflatten(1, shape))

    def critic() -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for index in range(depth):
            layers += d.layer(spec.d_norm, width if index else math.prod(shape))
        return nn.Sequential(*layers, spec.d_weight(nn.Linear(width, 1)))

    return _both(translator(), translator(), (critic(), critic()))


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", SEVERAL},
    paper={"normalization": "instance", "g_normalization": "instance"},
)
def cyclegan(spec: NetworkSpec, *, width: int = 8, blocks: int = 2, halvings: int = 1) -> Pair:
    """CycleGAN: residual translators each way, and a D of patches for each domain (Zhu 2017, app. 7.2).

    The paper: width 64, 6 or 9 blocks at a quarter of the side, patches of 70 x 70 pixels. Here blocks are at a half of
    it, and `halvings` those of patches.
    """
    counts("cyclegan", width=width, blocks=blocks, halvings=halvings)
    channels = spec.shape[0]

    def translator() -> nn.Module:
        return residual_translator(spec, channels, width, blocks)

    def critic() -> nn.Module:
        return judging(spec, channels, width, halvings)

    return _both(translator(), translator(), (critic(), critic()))


def residual_translator(spec: NetworkSpec, inputs: int, width: int, blocks: int) -> nn.Sequential:
    """Return a translator of so many channels: residual blocks at a half of the side (Zhu 2017, app. 7.2)."""
    inner = 2 * width
    layers: list[nn.Module] = [spec.g_norm(_convolution(inputs, width, 1)), nn.ReLU()]
    layers += [spec.g_norm(_convolution(width, inner, 2)), nn.ReLU()]
    for _ in range(blocks):
        body = [spec.g_norm(_convolution(inner, inner, 1)), nn.ReLU(), spec.g_norm(_convolution(inner, inner, 1))]
        layers.append(Added(nn.Sequential(*body)))
    layers += [spec.g_norm(_started(nn.ConvTranspose2d(inner, width, 3, 2, 1, 1))), nn.ReLU()]
    return nn.Sequential(*layers, spec.g_weight(_convolution(width, spec.shape[0], 1)), *bounded(spec))


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Module:
    return _started(nn.Conv2d(inputs, outputs, 3, stride, 1))


def _started(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    nn.init.normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
