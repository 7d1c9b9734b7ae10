"""StyleGAN (Karras 2019) and StyleGAN2 (Karras 2020), small: mapping, styles, noise, mixing, truncation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from ganbench.errors import UserError
from ganbench.gan.blocks import (
    Blur,
    Bounded,
    Down,
    EqualConv2d,
    EqualLinear,
    Gained,
    ModulatedConv,
    Passed,
    Up,
    without_gain,
)  # fmt: skip
from ganbench.gan.conditioning import Projected
from ganbench.gan.networks.images import EITHER, Grid, counts, grid
from ganbench.gan.networks.layers import Normalize, Pair
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.gan.normalizations import PixelNorm
from ganbench.registry import register

RELU_GAIN = math.sqrt(2)
NEEDS = {"image": "a style-based network needs images"}
PROVIDES = {"feature_maps", "batch_features", EITHER}


def lrelu(x: Tensor) -> Tensor:
    """Return the activation of all layers, LeakyReLU 0.2."""
    return leaky_relu(x, 0.2)


class Mapping(nn.Module):
    """z [batch, latents] and a label's row to styles [batch, size]: pixel norm, `depth` layers, a hundredth as fast."""

    def __init__(self, latents: int, classes: int, size: int, depth: int, weigh: Normalize) -> None:
        super().__init__()
        self.rows = nn.Embedding(classes, latents) if classes else None
        sizes = [latents * (2 if classes else 1), *[size] * depth]
        self.layers = nn.ModuleList(
            weigh(EqualLinear(inputs, outputs, gain=RELU_GAIN, rate=0.01)) for inputs, outputs in pairwise(sizes)
        )
        self.norm = PixelNorm()

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        x: Tensor = z if self.rows is None else torch.cat([z, self.rows(label)], dim=-1)
        x = self.norm(x)
        for layer in self.layers:
            x = lrelu(layer(x))
        return x


@dataclass(frozen=True)
class Style:
    """Settings of a style-based G: depth of the mapping, size of styles, chance of mixing, truncation psi, layers."""

    depth: int
    size: int
    mixing: float
    truncation: float
    layers: int


class Styles(nn.Module):
    """The style of each layer: w of z, in training mixed with another's from a layer on, in measuring truncated.

    Of the numbers behind the latents `own` belong to it: latents of the other style, and two that decide by their
    quantiles whether a sample is mixed, and from which layer on. The mean of w is tracked in training, by 0.005 a
    batch; measuring w is mean + psi (w - mean) (Karras 2019, secs. 3.1 and B).
    """

    mean: Tensor

    def __init__(self, latents: int, classes: int, style: Style, weigh: Normalize) -> None:
        super().__init__()
        self.style, self.latents = style, latents
        self.mapping = Mapping(latents, classes, style.size, style.depth, weigh)
        self.own = latents + 2 if style.mixing else 0
        self.register_buffer("mean", torch.zeros(style.size))

    def forward(self, z: Tensor, own: Tensor, label: Tensor | None) -> Tensor:
        """Return styles [batch, layers, size]; z [batch, latents], own [batch, self.own]."""
        w = self.mapping(z, label)
        if not self.training:
            w = self.mean + self.style.truncation * (w - self.mean)
            return w.unsqueeze(1).expand(-1, self.style.layers, -1)
        self.mean.copy_(self.mean + 0.005 * (w.detach().mean(0) - self.mean))
        if not self.own:
            return w.unsqueeze(1).expand(-1, self.style.layers, -1)
        other = self.mapping(own[:, : self.latents], label)
        whether, where = torch.special.ndtr(own[:, self.latents :]).unbind(-1)
        # from layer 1 to the last: a sample that is mixed has both styles
        first = (1 + where * (self.style.layers - 1)).floor().clamp(max=self.style.layers - 1)
        first = torch.where(whether < self.style.mixing, first, self.style.layers)
        late = torch.arange(self.style.layers, device=w.device) >= first.unsqueeze(-1)
        return torch.where(late.unsqueeze(-1), other.unsqueeze(1), w.unsqueeze(1))


class Noisy(nn.Module):
    """Noise [batch, pixels] of one channel, with a strength that is learned from 0, added to all or each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.strength * noise.unflatten(1, (1, *x.shape[2:]))


class Adaptive(nn.Module):
    """A layer of StyleGAN: convolution but for the first, noise, activation, instance norm with a style's gains."""

    def __init__(self, spec: NetworkSpec, inputs: int, outputs: int, style: int, kind: str) -> None:
        super().__init__()
        conv = EqualConv2d(inputs, outputs, 3, gain=RELU_GAIN, bias=False)
        self.conv = nn.Identity() if kind == "first" else spec.g_weight(conv)
        # convolved before the blur, as published with the code
        self.up: nn.Module = Up() if kind == "up" else nn.Identity()
        self.blur: nn.Module = Blur() if kind == "up" else nn.Identity()
        self.noise, self.bias = Noisy(outputs), nn.Parameter(torch.zeros(outputs, 1, 1))
        instance = nn.Sequential(spec.g_norm(Passed(outputs)), nn.GroupNorm(outputs, outputs, affine=False))
        self.norm = Gained(without_gain(instance), EqualLinear(style, 2 * outputs))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.blur(self.conv(self.up(x)))
        return self.norm(lrelu(self.noise(x, noise) + self.bias), style)


class Modulated(nn.Module):
    """A layer of StyleGAN2: modulated convolution, noise of one strength, bias, activation with its gain."""

    def __init__(self, spec: NetworkSpec, inputs: int, outputs: int, style: int, kind: str) -> None:
        super().__init__()
        self.up: nn.Module = Up() if kind == "up" else nn.Identity()
        self.blur: nn.Module = Blur() if kind == "up" else nn.Identity()
        self.conv = ModulatedConv(inputs, outputs, 3, style, spec.g_weight)
        self.noise, self.bias = Noisy(1), nn.Parameter(torch.zeros(outputs, 1, 1))
        self.norm = spec.g_norm(Passed(outputs))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.norm(self.blur(self.conv(self.up(x), style)))
        return lrelu(self.noise(x, noise) + self.bias) * RELU_GAIN


class StyleGenerator(nn.Module):
    """G of styles: a learned smallest map, two layers a side, an image of the last layer, or of all sides (skip).

    Latents [batch, latents + noise], of which the last `noise` numbers are those of the styles and of all layers'
    pixels.
    """

    def __init__(self, spec: NetworkSpec, own: Grid, widths: Sequence[int], style: Style, skip: bool) -> None:
        super().__init__()
        classes = spec.given.classes if spec.given else 0
        self.latents, self.skip = spec.latent_dim, skip
        self.styles = Styles(spec.latent_dim, classes, style, spec.g_weight)
        start = torch.randn(widths[0], own.base, own.base) if skip else torch.ones(widths[0], own.base, own.base)
        self.start = nn.Parameter(start)
        kinds = ["plain"] if skip else ["first", "plain"]
        pairs = [(widths[0], widths[0])] * len(kinds)
        self.sides = [own.base] * len(kinds)
        for place, (inputs, outputs) in enumerate(pairwise(widths)):
            kinds += ["up", "plain"]
            pairs += [(inputs, outputs), (outputs, outputs)]
            self.sides += [own.base * 2 ** (place + 1)] * 2
        layer = Modulated if skip else Adaptive
        self.layers = nn.ModuleList(
            layer(spec, *pair, style.size, kind) for pair, kind in zip(pairs, kinds, strict=True)
        )
        self.images = nn.ModuleList(
            ModulatedConv(width, own.channels, 1, style.size, spec.g_weight, demodulate=False) if skip
            else spec.g_weight(EqualConv2d(width, own.channels, 1)) for width in (widths if skip else widths[-1:])
        )  # fmt: skip
        self.biases = nn.Parameter(torch.zeros(len(widths), own.channels, 1, 1)) if skip else None
        self.up, self.bounded = nn.Sequential(Up(), Blur()), Bounded(spec.value_range is not None)
        self.noise = self.styles.own + sum(side**2 for side in self.sides)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        sizes = [self.latents, self.styles.own, *(side**2 for side in self.sides)]
        z, own, *noise = z.split(sizes, dim=-1)
        styles = self.styles(z, own, label)
        x = self.start.expand(len(z), *self.start.shape)
        image: Tensor | None = None
        for place, layer in enumerate(self.layers):
            x = layer(x, styles[:, place], noise[place])
            if self.skip and place % 2 == 0:
                image = self._added(image, x, place // 2, styles[:, place + 1])
        out: Tensor = self.bounded(self.images[0](x) if image is None else image)
        return out

    def _added(self, image: Tensor | None, x: Tensor, side: int, style: Tensor) -> Tensor:
        """Return the image of the sides so far, at the next one's size."""
        assert self.biases is not None
        own: Tensor = self.images[side](x, style) + self.biases[side]
        return own if image is None else self.up(image) + own


class Halving(nn.Module):
    """A side of D: two convolutions, the second to half the side behind a blur; with a shortcut in StyleGAN2's."""

    def __init__(self, spec: NetworkSpec, inputs: int, outputs: int, skip: bool) -> None:
        super().__init__()
        layer = lambda *size: spec.d_weight(EqualConv2d(*size, gain=RELU_GAIN))  # noqa: E731
        self.first, self.second = layer(inputs, inputs, 3), layer(inputs, outputs, 3)
        self.norms = nn.ModuleList(spec.d_norm(Passed(channels)) for channels in (inputs, outputs))
        self.shortcut = spec.d_weight(EqualConv2d(inputs, outputs, 1, bias=False)) if skip else None
        self.down = nn.Sequential(Blur(), Down())

    def forward(self, x: Tensor) -> Tensor:
        inner = lrelu(self.norms[0](self.first(x)))
        inner = lrelu(self.norms[1](self.second(self.down(inner))))
        if self.shortcut is None:
            return inner
        out: Tensor = (inner + self.shortcut(self.down(x))) / RELU_GAIN
        return out


def style_critic(spec: NetworkSpec, own: Grid, widths: Sequence[int], skip: bool) -> nn.Module:
    """Return D: from the image by a 1 x 1 convolution, halvings, one more convolution, two linear layers.

    widths: from the image's side to the smallest. Labels project its features (Mescheder 2018; Karras 2020).
    """
    width, features = widths[-1], widths[-1] * own.base**2
    body = [spec.d_weight(EqualConv2d(own.channels, widths[0], 1, gain=RELU_GAIN)), nn.LeakyReLU(0.2)]
    body += [Halving(spec, *pair, skip) for pair in pairwise(widths)]
    body += [spec.d_norm(Passed(width)), spec.d_weight(EqualConv2d(width, width, 3, gain=RELU_GAIN)), nn.LeakyReLU(0.2)]
    body += [nn.Flatten(), spec.d_weight(EqualLinear(features, width, gain=RELU_GAIN)), nn.LeakyReLU(0.2)]
    last = spec.d_last(width, lambda inputs: EqualLinear(inputs, 1))
    if spec.given:
        return Projected(nn.Sequential(*body), last, width, spec.given.classes)
    return nn.Sequential(*body, last)


def _pair(name: str, spec: NetworkSpec, width: int, style: dict[str, float], skip: bool) -> Pair:
    depth, size = int(style["depth"]), int(style["style"] or spec.latent_dim)
    counts(name, width=width, depth=depth, style=size)
    for key in ("mixing", "truncation"):
        if not 0 <= style[key] <= 1:
            raise UserError(f"The key 'network.{name}.{key}' must be between 0 and 1, got {style[key]:g}.")
    own = grid(name, spec.shape)
    widths = [min(width * 2**stage, 16 * width) for stage in range(own.stages + 1)]
    # of StyleGAN2's last one is that of the image
    own_style = Style(depth, size, style["mixing"], style["truncation"], 2 * own.stages + 2)
    generator = StyleGenerator(spec, own, widths[::-1], own_style, skip)
    return generator, style_critic(spec, own, widths, skip)


@register("network", needs=NEEDS, provides={*PROVIDES, "hidden_features"})
def stylegan(
    spec: NetworkSpec, *, width: int = 8, depth: int = 8, style: int = 0, mixing: float = 0.9, truncation: float = 1.0
) -> Pair:
    """StyleGAN: mapping of `depth` layers, instance norm with a style's gains, noise, mixing (Karras 2019).

    `width` channels at the image's side, doubled at each halving up to 16 times (the paper: 16 at 1024 pixels, at most
    512); `style` numbers in a style, 0 for as many as latents. Styles of two latents share a share of `mixing` of the
    samples in training; samples that are measured are truncated by `truncation`, psi, 1 for not.
    """
    own = {"depth": depth, "style": style, "mixing": mixing, "truncation": truncation}
    return _pair("stylegan", spec, width, own, skip=False)


@register("network", needs=NEEDS, provides={*PROVIDES, "hidden_features"})
def stylegan2(
    spec: NetworkSpec, *, width: int = 8, depth: int = 8, style: int = 0, mixing: float = 0.9, truncation: float = 1.0
) -> Pair:
    """StyleGAN2: modulated convolutions, images of all sides added up in G, residual blocks in D (Karras 2020).

    Settings as those of `stylegan`. Lazy R1 is `regularizer=lazy_r1`, path lengths `g_regularizer=path_length`.
    """
    own = {"depth": depth, "style": style, "mixing": mixing, "truncation": truncation}
    return _pair("stylegan2", spec, width, own, skip=True)
