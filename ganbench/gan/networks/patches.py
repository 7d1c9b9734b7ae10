"""Discriminators that judge an image in many places: PatchGAN (Isola 2017) and the U-Net (Schoenfeld 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.gan.blocks import Down, Up
from ganbench.gan.networks.images import EITHER, SEVERAL, Planes, counts, grid
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.residual import Context, Falling, Falls, Layers, Residual, orthogonal, told
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

NEEDS = {"image": "a convolutional network needs images"}


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", "hidden_features", SEVERAL, EITHER},
    paper={"normalization": "batch", "g_normalization": "batch"},
)
def patchgan(spec: NetworkSpec, *, width: int = 8, halvings: int = 0) -> Pair:
    """PatchGAN: 4 x 4 convolutions that judge overlapping patches, `halvings` of the side (Isola 2017, app. 6.1.2).

    The paper: width 64 and 3 halvings, for patches of 70 x 70 pixels; 0: as many as leave 4 pixels, at most 3. In front
    of it a residual G, whose channels double from `width`. Labels stand beside latents and images.
    """
    own, planes = grid("patchgan", spec.shape), spec.given.classes if spec.given else 0
    halvings = halvings or min(own.stages, 3)
    counts("patchgan", width=width, halvings=halvings)
    doubled = [width * 2**stage for stage in range(own.stages + 1)]
    layers = Layers(spec.g_weight, spec.g_norm)
    generator = Residual(spec, own, layers, doubled[::-1], Context(spec.latent_dim + planes, 0))
    critic = judging(spec, own.channels + planes, width, halvings)
    return told(generator, planes), Planes(critic, planes) if planes else critic


def judging(spec: NetworkSpec, channels: int, width: int, halvings: int) -> nn.Sequential:
    """Return the D of `patchgan` for images of so many channels."""
    widths = [width * 2 ** min(stage, 3) for stage in range(halvings + 1)]
    d: list[nn.Module] = [spec.d_weight(patched(channels, width, 2)), nn.LeakyReLU(0.2)]
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        stride = 2 if place + 1 < halvings else 1
        d += [spec.d_norm(patched(inputs, outputs, stride)), nn.LeakyReLU(0.2)]
    return nn.Sequential(*d, spec.d_weight(patched(widths[-1], 1, 1)), nn.Flatten())


def patched(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    """Return a convolution of 4 x 4 pixels that starts as in Isola 2017, sec. 6.2."""
    layer = nn.Conv2d(inputs, outputs, 4, stride, 1)
    nn.init.normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class UNet(nn.Module):
    """D: falling blocks with a logit of their end, blocks back up beside what fell, with a logit a pixel.

    Logits [batch, 2 x pixels]: that of the whole image as often as there are pixels, so that the mean over all weighs
    both alike, as the paper's sum does.
    """

    def __init__(self, spec: NetworkSpec, layers: Layers, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip([channels, *widths[:-1]], widths, strict=True))
        self.falls = nn.ModuleList(
            Falling(layers, *pair, Falls(image=not place, wide=True, shrinks=False)) for place, pair in enumerate(pairs)
        )
        rises = list(zip(widths[::-1], widths[-2::-1], strict=False))
        # what rises stands beside what fell at the same side
        self.rises = nn.ModuleList(
            Falling(layers, inputs + outputs, outputs, Falls(shrinks=False, wide=True)) for inputs, outputs in rises
        )
        self.whole = spec.d_weight(nn.Linear(widths[-1], 1))
        self.each = layers.conv(widths[0], 1, 1)
        self.up, self.down = Up(), Down()

    def forward(self, x: Tensor) -> Tensor:
        sides: list[Tensor] = []
        for place, fall in enumerate(self.falls):
            x = fall(self.down(x) if place else x)
            sides.append(x)
        whole = self.whole(x.relu().flatten(2).sum(-1))
        for rise, beside in zip(self.rises, sides[-2::-1], strict=True):
            x = rise(torch.cat([self.up(x), beside], dim=1))
        each = self.each(x.relu()).flatten(1)
        return torch.cat([whole.expand_as(each), each], dim=1)


@register(
    "network",
    needs=NEEDS,
    provides={"feature_maps", SEVERAL, EITHER},
    paper={"normalization": "spectral", "g_normalization": "batch"},
)
def unet_gan(spec: NetworkSpec, *, width: int = 8) -> Pair:
    """U-Net GAN: D judges the image as a whole and each of its pixels, by a decoder beside it (Schoenfeld 2020).

    Residual blocks from `width` channels at the image's side, doubled at each halving; G is as D's way back, without
    what stands beside. Labels stand beside latents and images.
    """
    counts("unet_gan", width=width)
    own, planes = grid("unet_gan", spec.shape), spec.given.classes if spec.given else 0
    doubled = [width * 2**stage for stage in range(own.stages + 1)]
    g_layers = Layers(spec.g_weight, spec.g_norm, orthogonal)
    generator = Residual(spec, own, g_layers, doubled[::-1], Context(spec.latent_dim + planes, 0))
    critic = UNet(spec, Layers(spec.d_weight, spec.d_norm, orthogonal), own.channels + planes, doubled)
    return told(generator, planes), Planes(critic, planes) if planes else critic
