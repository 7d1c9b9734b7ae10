"""Residual pairs: SN-ResNet, WGAN-GP's, with self-attention, BigGAN.

All of their blocks normalize what comes into them: a normalization of activations stands before the activations, on
sums and layers, one of weights at every layer. Channels double from the image to the smallest map, but for images of up
to 32 pixels in `sn_resnet` and `sagan`, which have one width as in their papers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.gan.blocks import Attention, Bounded, Down, Gained, Passed, SumPool, Up, rows
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import Grid, Planes
from ganbench.gan.networks.layers import Normalize
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.gan.normalizations import Reweighted, spectral

PROVIDES = {"feature_maps", "batch_features"}
Widths = Sequence[int]
Start = Callable[[Tensor, float], Tensor]
"""Draws the weights of a layer, with a gain, in place."""


def xavier(weight: Tensor, gain: float) -> Tensor:
    """Draw uniform weights of variance 2 gain^2 / (inputs + outputs) (Glorot 2010)."""
    return nn.init.xavier_uniform_(weight, gain)


def orthogonal(weight: Tensor, gain: float) -> Tensor:
    """Draw orthogonal rows, whatever the gain (Saxe 2014; Brock 2019)."""
    return nn.init.orthogonal_(weight)


def started(layer: nn.Linear | nn.Conv2d, start: Start, gain: float) -> nn.Module:
    """Return a layer with the weights that it starts from, and no bias."""
    start(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class Layers:
    """How a player's layers are made: `weigh` for those with weights, `norm` where activations are normalized."""

    weigh: Normalize
    norm: Normalize
    start: Start = xavier

    def conv(self, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> nn.Module:
        """Return a convolution that keeps the side; 1 x 1 ones, which are shortcuts, start without He's gain."""
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        return self.weigh(started(layer, self.start, 1.0 if kernel == 1 else math.sqrt(2)))

    def linear(self, inputs: int, outputs: int, *, bias: bool = True) -> nn.Module:
        """Return a linear layer."""
        return self.weigh(started(nn.Linear(inputs, outputs, bias=bias), self.start, 1.0))

    def normed(self, channels: int, gains: nn.Module | None = None) -> Gained:
        """Return what stands before an activation on so many channels, with the gains of a context or its own."""
        return Gained(self.norm(Passed(channels)), gains)


Gains = Callable[[int], nn.Module | None]
"""What gives gains and biases of so many channels: a module on a context, or nothing."""


class Rising(nn.Module):
    """A block of G: twice normalized, activated and convolved, twice the side, beside a shortcut."""

    def __init__(self, layers: Layers, inputs: int, outputs: int, gains: Gains, *, first_bias: bool = True) -> None:
        super().__init__()
        self.norms = nn.ModuleList(layers.normed(channels, gains(channels)) for channels in (inputs, outputs))
        self.first = layers.conv(inputs, outputs, bias=first_bias)
        self.second, self.shortcut = layers.conv(outputs, outputs), layers.conv(inputs, outputs, 1)
        self.up = Up()

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        before, between = self.norms
        inner = self.first(self.up(before(x, context).relu()))
        out: Tensor = self.second(between(inner, context).relu()) + self.shortcut(self.up(x))
        return out


class Falling(nn.Module):
    """A block of D: twice normalized, activated and convolved, half the side if it shrinks, beside a shortcut.

    The first block of a D looks at the image: nothing is normalized or activated before its first convolution. Where
    neither channels nor side change, the shortcut is the identity.
    """

    def __init__(self, layers: Layers, inputs: int, outputs: int, how: Falls) -> None:
        super().__init__()
        hidden = outputs if how.wide else inputs
        self.before = None if how.image else layers.normed(inputs)
        self.between = layers.normed(hidden)
        self.first, self.second = layers.conv(inputs, hidden, bias=how.first_bias), layers.conv(hidden, outputs)
        self.shortcut = layers.conv(inputs, outputs, 1) if how.shrinks or inputs != outputs else nn.Identity()
        self.down = Down() if how.shrinks else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.before is None else self.before(x, None).relu()
        inner = self.second(self.between(self.first(inner), None).relu())
        # a 1 x 1 convolution and a mean over pixels may change places: the smaller map is cheaper
        out: Tensor = self.down(inner) + self.shortcut(self.down(x))
        return out


@dataclass(frozen=True)
class Falls:
    """What a block of D is: whether it shrinks, looks at the image, has its outputs' width inside, a first bias."""

    shrinks: bool = True
    image: bool = False
    wide: bool = False
    first_bias: bool = True


class Residual(nn.Module):
    """G: a linear layer to the smallest map, rising blocks with attention behind some, normalization, 3 x 3 to image.

    z [batch, latents], label [batch] or None. Where `chunked`, latents come in as many parts as there are blocks and
    one more: the first goes in, every other with the label's row to one block's gains (Brock 2019, app. B).
    """

    def __init__(
        self, spec: NetworkSpec, own: Grid, layers: Layers, widths: Widths, context: Context, *,
        attention: int | None = None, first_bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.context, self.base = context, own.base
        self.enter = layers.linear(context.enters, widths[0] * own.base**2)
        pairs = pairwise(widths)
        self.blocks = nn.ModuleList(
            Rising(layers, *pair, context.gains(layers), first_bias=first_bias) for pair in pairs
        )
        self.seeing = nn.ModuleDict(
            {str(place): Attention(outputs, layers.weigh) for place, outputs in enumerate(widths[1:])
             if attention == own.base * 2 ** (place + 1)}
        )  # fmt: skip
        # without the label, as in the papers' code
        self.last = layers.normed(widths[-1])
        self.leave, self.bounded = layers.conv(widths[-1], own.channels), Bounded(spec.value_range is not None)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        enters, contexts = self.context(z, label, len(self.blocks), training=self.training)
        x = self.enter(enters).unflatten(1, (-1, self.base, self.base))
        for place, (block, own) in enumerate(zip(self.blocks, contexts, strict=True)):
            x = block(x, own)
            if str(place) in self.seeing:
                x = self.seeing[str(place)](x)
        out: Tensor = self.bounded(self.leave(self.last(x, None).relu()))
        return out


class Context(nn.Module):
    """What G's blocks are told beside their map: the label where there are classes, else nothing."""

    def __init__(self, latents: int, classes: int) -> None:
        super().__init__()
        self.enters, self.classes = latents, classes

    def gains(self, layers: Layers) -> Gains:
        """Return what makes a block's gains."""
        return lambda channels: rows(self.classes, 2 * channels) if self.classes else None

    def forward(
        self, z: Tensor, label: Tensor | None, blocks: int, *, training: bool
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Return what enters [batch, latents], and what each block is told."""
        return z, [label] * blocks


class Chunks(Context):
    """The parts of z, and behind each the label's row in a table that all blocks share (Brock 2019, BigGAN).

    truncation: latents beyond +- so many standard deviations are drawn anew, in measuring alone: as a map of z, by the
    quantiles of the truncated normal distribution. 0: none.
    """

    def __init__(self, latents: int, classes: int, blocks: int, row: int, truncation: float) -> None:
        super().__init__(latents, classes)
        part = latents // (blocks + 1)
        self.sizes = [latents - part * blocks, *[part] * blocks]
        self.enters, self.size = self.sizes[0], part + (row if classes else 0)
        self.rows = nn.Embedding(classes, row) if classes else None
        self.truncation = truncation

    def gains(self, layers: Layers) -> Gains:
        return lambda channels: layers.linear(self.size, 2 * channels, bias=False)

    def forward(
        self, z: Tensor, label: Tensor | None, blocks: int, *, training: bool
    ) -> tuple[Tensor, list[Tensor | None]]:
        enters, *parts = (z if training else truncated(z, self.truncation)).split(self.sizes, dim=-1)
        if self.rows is None:
            return enters, [*parts]
        row = self.rows(label)
        return enters, [torch.cat([part, row], dim=-1) for part in parts]


def truncated(z: Tensor, limit: float) -> Tensor:
    """Return N(0, 1) numbers as those that are drawn anew beyond +- limit: a monotone map of each; 0: as they are."""
    if not limit:
        return z
    beyond = math.erfc(limit / math.sqrt(2)) / 2
    # one half of the distribution, which float32 tells apart from 0
    tail = beyond + (1 - 2 * beyond) * torch.special.ndtr(-z.abs())
    return -torch.special.ndtri(tail.clamp(max=0.5)) * z.sign()


def falling(layers: Layers, spec: NetworkSpec, blocks: Sequence[tuple[int, int, Falls]], labels: tuple[int, int], *,
            attention: int | None = None, head: Sequence[nn.Module] = (), pooled: bool = True, pixels: int = 1,
            ) -> nn.Module:  # fmt: skip
    """Return D: blocks, with attention behind one of them by its place, and the end of D on sums over pixels.

    labels: classes that project, or planes beside images. pooled: whether an activation and the sum over pixels come
    before the last layer; else all `pixels` of the last map do.
    """
    classes, planes = labels
    body = list(head)
    for place, (inputs, outputs, how) in enumerate(blocks):
        body.append(Falling(layers, inputs, outputs, how))
        if place == attention:
            body.append(Attention(outputs, layers.weigh))
    features = blocks[-1][1] * (1 if pooled else pixels)
    body += [nn.ReLU(), SumPool()] if pooled else [nn.Flatten()]
    last = spec.d_last(features, lambda inputs: started(nn.Linear(inputs, 1), layers.start, 1.0))
    if classes:
        critic = Projected(nn.Sequential(*body), last, features, classes)
        layers.start(critic.embedding.weight, 1.0)
        return critic
    whole = nn.Sequential(*body, last)
    return Planes(whole, planes) if planes else whole


def doubly(weigh: Normalize, *, also: bool) -> Normalize:
    """Return what normalizes weights: by spectral norm too, where no normalization of weights is there already."""

    def both(layer: nn.Module) -> nn.Module:
        layer = weigh(layer)
        return layer if isinstance(layer, Reweighted) else spectral(layer)

    return both if also else weigh


def told(generator: nn.Module, beside: int) -> nn.Module:
    """Return G as it takes labels: as it is, or with labels beside latents where there are so many classes of these."""
    return Concatenated(generator, beside) if beside else generator
