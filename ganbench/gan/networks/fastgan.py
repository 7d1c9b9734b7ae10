"""FastGAN of Liu 2021, small: skip-layer excitation in G, residual halving in D."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, glu, leaky_relu

from ganbench.gan.blocks import Bounded, Down, Up
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks.images import EITHER, Grid, counts, grid
from ganbench.gan.networks.layers import Normalize, Pair
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.registry import register

FARTHEST = 4
"""Doublings between a map and the one that it excites, as from 8 to 128 pixels in the paper."""


class Excitation(nn.Module):
    """Skip-layer excitation: channels of a high map times numbers that a low one gives (Liu 2021, eq. 1).

    high x sigmoid(conv1x1(lrelu(conv(pool(low))))): low is pooled to `base` x `base` pixels (the paper: 4), which a
    convolution of that size makes one.
    """

    def __init__(self, weigh: Normalize, low: int, high: int, base: int) -> None:
        super().__init__()
        self.base = base
        self.squeeze, self.excite = weigh(nn.Conv2d(low, high, base)), weigh(nn.Conv2d(high, high, 1))

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        seen = avg_pool2d(low, low.shape[-1] // self.base)
        out: Tensor = high * self.excite(leaky_relu(self.squeeze(seen), 0.2)).sigmoid()
        return out


class Gated(nn.Module):
    """A layer of twice the channels, one half of which gates the other (GLU, Dauphin 2017)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.layer(x), 1)


class Exciting(nn.Module):
    """G: the smallest map, then twice the side and one convolution a stage, excited by a map from before."""

    def __init__(self, spec: NetworkSpec, own: Grid, widths: list[int], latents: int) -> None:
        super().__init__()
        self.gap = min(FARTHEST, own.stages)
        self.enter = Gated(spec.g_norm(nn.ConvTranspose2d(latents, 2 * widths[0], own.base)))
        self.blocks = nn.ModuleList(
            nn.Sequential(Up(), Gated(spec.g_norm(nn.Conv2d(inputs, 2 * outputs, 3, padding=1))))
            for inputs, outputs in pairwise(widths)
        )
        pairs = zip(widths, widths[self.gap :], strict=False)
        self.excited = nn.ModuleList(Excitation(spec.g_weight, *pair, own.base) for pair in pairs)
        self.leave = spec.g_weight(nn.Conv2d(widths[-1], own.channels, 3, padding=1))
        self.bounded = Bounded(spec.value_range is not None)

    def forward(self, z: Tensor) -> Tensor:
        maps = [self.enter(z[..., None, None])]
        for block in self.blocks:
            x, far = block(maps[-1]), len(maps) - self.gap
            maps.append(self.excited[far](maps[far], x) if far >= 0 else x)
        out: Tensor = self.bounded(self.leave(maps[-1]))
        return out


class Halved(nn.Module):
    """Half the side twice, by a strided convolution with one behind it and by a mean; their mean (Liu 2021, fig. 4)."""

    def __init__(self, norm: Normalize, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), norm(nn.Conv2d(outputs, outputs, 3, 1, 1))
        self.down, self.direct = Down(), norm(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        inner = leaky_relu(self.second(leaky_relu(self.first(x), 0.2)), 0.2)
        return (inner + leaky_relu(self.direct(self.down(x)), 0.2)) / 2


@register(
    "network",
    needs={"image": "a convolutional network needs images"},
    provides={"feature_maps", "batch_features", EITHER},
    paper={"normalization": "spectral", "g_normalization": "batch"},
)
def fastgan(spec: NetworkSpec, *, width: int = 8) -> Pair:
    """FastGAN: one gated convolution a side in G, its maps excited by far smaller ones; residual D (Liu 2021).

    `width` channels at the image's side, doubled at each halving up to 16 times (the paper: 32 at 256 pixels). The
    paper's D reconstructs real images, too: `term=reconstruction`. Labels stand beside latents and project D's
    features.
    """
    counts("fastgan", width=width)
    own, classes = grid("fastgan", spec.shape), spec.given.classes if spec.given else 0
    widths = [min(width * 2**stage, 16 * width) for stage in range(own.stages + 1)]
    generator: nn.Module = Exciting(spec, own, widths[::-1], spec.latent_dim + classes)
    body: list[nn.Module] = [spec.d_weight(nn.Conv2d(own.channels, width, 3, padding=1)), nn.LeakyReLU(0.2)]
    body += [Halved(spec.d_norm, *pair) for pair in pairwise(widths)]
    body.append(nn.Flatten())
    features = widths[-1] * own.base**2
    last = spec.d_last(features)
    if not classes:
        return generator, nn.Sequential(*body, last)
    return Concatenated(generator, classes), Projected(nn.Sequential(*body), last, features, classes)
