"""A pair for pictures that are given: a U-Net that makes another of each, and patches that are judged beside it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.gan.blocks import Bounded
from ganbench.gan.conditioning import Pictured, Untold
from ganbench.gan.networks.images import SEVERAL, counts, grid
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.patches import judging, patched
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.problems.base import Picture
from ganbench.registry import register

INNERMOST = 2
"""The side of the innermost map: from there the paper goes on to one pixel, where a batch norm has few numbers."""


class Skipping(nn.Module):
    """Falling convolutions, and rising ones each of which also sees what fell at its side (Isola 2017, sec. 3.2.1)."""

    def __init__(self, falls: Sequence[nn.Module], rises: Sequence[nn.Module], last: nn.Module) -> None:
        super().__init__()
        self.falls, self.rises, self.last = nn.ModuleList(falls), nn.ModuleList(rises), last

    def forward(self, x: Tensor) -> Tensor:
        sides: list[Tensor] = []
        for fall in self.falls:
            x = fall(x)
            sides.append(x)
        for rise, beside in zip(self.rises, sides[-2::-1], strict=True):
            x = torch.cat([rise(x), beside], dim=1)
        out: Tensor = self.last(x)
        return out


@register(
    "network",
    needs={"image": "a convolutional network needs images", "picture": "it needs a problem that gives pictures"},
    provides={"feature_maps", "hidden_features", SEVERAL},
    paper={"normalization": "batch", "g_normalization": "batch"},
)
def pix2pix(spec: NetworkSpec, *, width: int = 8, halvings: int = 0, told: bool = True) -> Pair:
    """Pix2Pix: a U-Net G of the picture that is given, and a D that judges patches beside it (Isola 2017, app. 6.1).

    4 x 4 convolutions; channels double from `width` (paper: 64) to at most eight times it. Latents stand as planes
    beside the picture (Zhu 2017, BicycleGAN), where the paper has dropout. halvings: as in `patchgan`. told: whether D
    sees the picture (False: the paper's GAN beside its cGAN, sec. 4.2).
    """
    picture = spec.given
    own = grid("pix2pix", spec.shape)
    if not isinstance(picture, Picture) or own.side % picture.shape[-1]:
        raise UserError("The network 'pix2pix' needs pictures whose side is the images', or a part of it.")
    halvings = halvings or min(own.stages, 3)
    counts("pix2pix", width=width, halvings=halvings)
    generator = _unet(spec, picture.shape[0] + spec.latent_dim, own.side, width)
    beside = picture.shape[0] if told else 0
    critic = judging(spec, own.channels + beside, width, halvings)
    return Pictured(generator, own.side), Pictured(critic, own.side) if told else Untold(critic)


def _unet(spec: NetworkSpec, channels: int, side: int, width: int) -> nn.Module:
    widths: list[int] = []
    while side % 2 == 0 and side > INNERMOST:
        side, widths = side // 2, [*widths, width * 2 ** min(len(widths), 3)]
    falls: list[nn.Module] = [nn.Sequential(spec.g_weight(patched(channels, width, 2)), nn.LeakyReLU(0.2))]
    falls += [nn.Sequential(spec.g_norm(patched(a, b, 2)), nn.LeakyReLU(0.2)) for a, b in pairwise(widths)]
    # a rise sees the one before it and what fell beside that
    seen = [widths[-1], *(2 * each for each in widths[-2::-1])]
    rises = [nn.Sequential(spec.g_norm(_rising(a, b)), nn.ReLU()) for a, b in zip(seen, widths[-2::-1], strict=False)]
    last = nn.Sequential(spec.g_weight(_rising(seen[-1], spec.shape[0])), Bounded(spec.value_range is not None))
    return Skipping(falls, rises, last)


def _rising(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    layer = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
    nn.init.normal_(layer.weight, std=0.02)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
