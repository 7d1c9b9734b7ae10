"""R3GAN of Huang 2024, small: residual blocks without any normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganbench.errors import UserError
from ganbench.gan.blocks import Bilinear, Bounded, Passed
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import EITHER, counts, grid
from ganbench.gan.networks.layers import Normalize, Pair
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

LEAKY_GAIN = math.sqrt(2 / (1 + 0.2**2))


def drawn(layer: nn.Linear | nn.Conv2d, gain: float) -> nn.Module:
    """Return a layer with weights N(0, gain^2 / inputs) and no bias (He 2015)."""
    inputs = layer.weight[0].numel()
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs)) if gain else nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Biased(nn.Module):
    """A bias a channel, LeakyReLU 0.2 and its gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x + self.bias, 0.2) * LEAKY_GAIN


class Bottleneck(nn.Module):
    """x + a wider inside: 1 x 1, grouped 3 x 3, 1 x 1 that starts at 0; gains by the number of blocks (Fixup)."""

    def __init__(self, weigh: Normalize, norm: Normalize, sizes: Sequence[int], gain: float) -> None:
        super().__init__()
        channels, wide, groups = sizes
        self.enter = weigh(drawn(nn.Conv2d(channels, wide, 1, bias=False), gain))
        self.inner = weigh(drawn(nn.Conv2d(wide, wide, 3, padding=1, groups=groups, bias=False), gain))
        self.leave = weigh(drawn(nn.Conv2d(wide, channels, 1, bias=False), 0.0))
        self.norms = nn.ModuleList(norm(Passed(wide)) for _ in range(2))
        self.biased = nn.ModuleList(Biased(wide) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.biased[0](self.norms[0](self.enter(x)))
        out: Tensor = x + self.leave(self.biased[1](self.norms[1](self.inner(inner))))
        return out


class Basis(nn.Module):
    """G's smallest map: one that is learned, each of its channels times a number of the latents."""

    def __init__(self, latents: int, channels: int, side: int, weigh: Normalize) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.randn(channels, side, side))
        self.numbers = weigh(drawn(nn.Linear(latents, channels, bias=False), 1.0))

    def forward(self, z: Tensor) -> Tensor:
        numbers: Tensor = self.numbers(z)
        return self.map * numbers[..., None, None]


def _stage(weigh: Normalize, norm: Normalize, width: int, blocks: int, group: int, gain: float) -> list[nn.Module]:
    wide = 2 * width
    sizes = (width, wide, wide // group if group else 1)
    return [Bottleneck(weigh, norm, sizes, gain) for _ in range(blocks)]


def _moved(weigh: Normalize, inputs: int, outputs: int, factor: float) -> list[nn.Module]:
    """Return the way to another side and width: fewest numbers are convolved."""
    change = [] if inputs == outputs else [weigh(drawn(nn.Conv2d(inputs, outputs, 1, bias=False), 1.0))]
    return [*change, Bilinear(factor)] if factor > 1 else [Bilinear(factor), *change]


@register(
    "network",
    needs={"image": "a convolutional network needs images"},
    provides={"feature_maps", "batch_features", EITHER},
)
def r3gan(spec: NetworkSpec, *, width: int = 8, blocks: int = 1, group: int = 0) -> Pair:
    """R3GAN: `blocks` inverted bottlenecks a side, no normalization, biases at activations alone (Huang 2024).

    `width` channels at the image's side, doubled at each halving up to 8 times (the paper: 2 blocks); 3 x 3
    convolutions in groups of `group` channels (the paper: 16), 0 for one group, which is faster on a CPU. Trained by
    `loss=relativistic_pairing regularizer=r1r2`. Labels stand beside latents and project D's features.
    """
    counts("r3gan", width=width, blocks=blocks)
    own, classes = grid("r3gan", spec.shape), spec.given.classes if spec.given else 0
    widths = [width * 2 ** min(stage, 3) for stage in range(own.stages + 1)]
    if group < 0 or (group and 2 * width % group):
        raise UserError(f"The key 'network.r3gan.group' must divide twice the width {width}, or be 0, got {group}.")
    # three layers a block, of which the last starts at 0
    gain = LEAKY_GAIN * (blocks * len(widths)) ** (-1 / 4)
    top = widths[-1]
    g: list[nn.Module] = [Basis(spec.latent_dim + classes, top, own.base, spec.g_weight)]
    g += _stage(spec.g_weight, spec.g_norm, top, blocks, group, gain)
    for outputs, inputs in reversed(list(pairwise(widths))):
        g += _moved(spec.g_weight, inputs, outputs, 2)
        g += _stage(spec.g_weight, spec.g_norm, outputs, blocks, group, gain)
    g += [spec.g_weight(drawn(nn.Conv2d(width, own.channels, 1, bias=False), 1.0))]
    generator = nn.Sequential(*g, Bounded(spec.value_range is not None))

    d: list[nn.Module] = [spec.d_weight(drawn(nn.Conv2d(own.channels, width, 1, bias=False), 1.0))]
    d += _stage(spec.d_weight, spec.d_norm, width, blocks, group, gain)
    for inputs, outputs in pairwise(widths):
        d += _moved(spec.d_weight, inputs, outputs, 0.5)
        d += _stage(spec.d_weight, spec.d_norm, outputs, blocks, group, gain)
    d += [spec.d_weight(drawn(nn.Conv2d(top, top, own.base, groups=top, bias=False), 1.0)), nn.Flatten()]
    last = spec.d_last(top, lambda inputs: drawn(nn.Linear(inputs, 1, bias=False), 1.0))
    if not classes:
        return generator, nn.Sequential(*d, last)
    return Concatenated(generator, classes), Projected(nn.Sequential(*d), last, top, classes)
