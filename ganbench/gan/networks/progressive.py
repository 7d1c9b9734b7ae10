"""Progressive growing (Karras 2018): every side's image faded in, full size out at every stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganbench.errors import UserError
from ganbench.gan.blocks import Bounded, Down, EqualConv2d, EqualLinear, Passed, Up
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import EITHER, Grid, counts, grid
from ganbench.gan.networks.layers import Normalize, Pair
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.gan.normalizations import PixelNorm
from ganbench.registry import register

RELU_GAIN = math.sqrt(2)


class Growth(nn.Module):
    """How much of each side's image shows at a place in the training, alphas [stages], 0 to 1, in equal parts.

    The smallest side trains alone, then each next one fades in and trains, all of it within the share `until` of the
    training. progress is a buffer that training sets; a continuous function of it.
    """

    progress: Tensor

    def __init__(self, stages: int, until: float) -> None:
        super().__init__()
        self.stages, self.until = stages, until
        self.register_buffer("progress", torch.zeros(()))

    def forward(self) -> Tensor:
        part = self.progress / self.until * (2 * self.stages + 1)
        starts = torch.arange(1, 2 * self.stages, 2, device=part.device)
        return (part - starts).clamp(0, 1)


class Convolved(nn.Module):
    """Convolution, activation, normalization, twice or once; normalized behind the activation, as in the paper."""

    def __init__(self, weigh: Normalize, norm: Normalize, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            weigh(EqualConv2d(inputs, outputs, 3, gain=RELU_GAIN)) for inputs, outputs in pairwise(widths)
        )
        self.norms = nn.ModuleList(norm(Passed(outputs)) for outputs in widths[1:])

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(leaky_relu(layer(x), 0.2))
        return x


class Growing(nn.Module):
    """G: latents of length 1 to the smallest map, convolutions, then twice the side and two convolutions a stage."""

    def __init__(self, spec: NetworkSpec, own: Grid, widths: Sequence[int], latents: int, until: float) -> None:
        super().__init__()
        self.base, self.norm, self.growth = own.base, PixelNorm(), Growth(own.stages, until)
        self.enter = spec.g_weight(EqualLinear(latents, widths[0] * own.base**2, gain=RELU_GAIN / own.base))
        self.entered = spec.g_norm(Passed(widths[0]))
        pairs = [[widths[0]] * 2, *([a, b, b] for a, b in pairwise(widths))]
        self.blocks = nn.ModuleList(Convolved(spec.g_weight, spec.g_norm, pair) for pair in pairs)
        self.images = nn.ModuleList(spec.g_weight(EqualConv2d(width, own.channels, 1)) for width in widths)
        self.up, self.bounded = Up(), Bounded(spec.value_range is not None)

    def forward(self, z: Tensor) -> Tensor:
        x = self.enter(self.norm(z)).unflatten(1, (-1, self.base, self.base))
        x = self.blocks[0](self.entered(leaky_relu(x, 0.2)))
        image, alphas = self.images[0](x), self.growth()
        for place, (block, own) in enumerate(zip(self.blocks[1:], self.images[1:], strict=True)):
            x = block(self.up(x))
            # the next side's image, or the one so far where it does not show yet
            image = torch.lerp(self.up(image), own(x), alphas[place])
        out: Tensor = self.bounded(image)
        return out


class Shrinking(nn.Module):
    """The body of D, features [batch, width] of images: two convolutions and half the side a stage."""

    def __init__(self, spec: NetworkSpec, own: Grid, widths: Sequence[int], until: float) -> None:
        super().__init__()
        self.growth, self.down = Growth(own.stages, until), Down()
        self.images = nn.ModuleList(
            spec.d_weight(EqualConv2d(own.channels, width, 1, gain=RELU_GAIN)) for width in widths
        )
        pairs = pairwise(widths)
        self.blocks = nn.ModuleList(Convolved(spec.d_weight, spec.d_norm, (a, a, b)) for a, b in pairs)
        width = widths[-1]
        self.last = Convolved(spec.d_weight, spec.d_norm, (width, width))
        self.leave = spec.d_weight(EqualLinear(width * own.base**2, width, gain=RELU_GAIN))

    def forward(self, image: Tensor) -> Tensor:
        alphas, seen = self.growth(), [leaky_relu(self.images[0](image), 0.2)]
        x = seen[0]
        for place, (block, own) in enumerate(zip(self.blocks, self.images[1:], strict=True)):
            image = self.down(image)
            x = torch.lerp(leaky_relu(own(image), 0.2), self.down(block(x)), alphas[-1 - place])
        out: Tensor = self.leave(self.last(x).flatten(1))
        return out


@register(
    "network",
    needs={"image": "a convolutional network needs images"},
    provides={"feature_maps", "batch_features", "hidden_features", EITHER},
    paper={"g_normalization": "pixel"},
)
def progressive(spec: NetworkSpec, *, width: int = 8, until: float = 0.7) -> Pair:
    """Progressive growing: one side after the other fades in, in G and D, equalised layers (Karras 2018).

    `width` channels at the image's side, doubled at each halving up to 16 times. All sides are there within the share
    `until` of the training, in equal parts for training and fading. Labels stand beside latents and project D's
    features. The paper's look at the batch is `trick=minibatch_std`.
    """
    counts("progressive", width=width)
    if not 0 < until <= 1:
        raise UserError(f"The key 'network.progressive.until' must be above 0 and at most 1, got {until:g}.")
    own, classes = grid("progressive", spec.shape), spec.given.classes if spec.given else 0
    widths = [min(width * 2**stage, 16 * width) for stage in range(own.stages + 1)]
    generator: nn.Module = Growing(spec, own, widths[::-1], spec.latent_dim + classes, until)
    body = nn.Sequential(Shrinking(spec, own, widths, until), nn.LeakyReLU(0.2))
    last = spec.d_last(widths[-1], lambda inputs: EqualLinear(inputs, 1))
    if not classes:
        return generator, nn.Sequential(*body, last)
    return Concatenated(generator, classes), Projected(body, last, widths[-1], classes)
