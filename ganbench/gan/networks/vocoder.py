"""A pair for waveforms that are given with a spectrogram: G raises frames to samples, D hears periods and scales."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.gan.blocks import Added, Bounded, Together
from ganbench.gan.conditioning import Framed, Heard, Untold
from ganbench.gan.networks.images import SEVERAL, counts
from ganbench.gan.networks.layers import Pair
from ganbench.gan.networks.spec import NetworkSpec
from ganbench.problems.base import Picture
from ganbench.registry import register

ENDS, KERNEL, JUDGED = 7, 3, 5
"""Samples that a convolution sees at both ends of G, within its blocks, and along a period or a scale in D."""
FALLS = 3
"""Strided convolutions of each critic; channels double at every one."""
SLOPE = 0.1
"""Of leaky activations, here as in the papers."""


class Periods(nn.Module):
    """Waveforms [batch, c, 1, n] by their places in a period, [batch, c, period, n / period] (Kong 2020, sec. 2.3).

    So each row has the samples that are whole periods apart. What lacks in the last period is the waveform's end,
    mirrored. Axes are the other way round than in the paper: along the last one convolutions are several times faster.
    """

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = period

    def forward(self, x: Tensor) -> Tensor:
        lacking = -x.shape[-1] % self.period
        if lacking:
            x = torch.cat([x, x[..., -1 - lacking : -1].flip(-1)], -1)
        return x.flatten(-2).unflatten(-1, (-1, self.period)).mT


@register(
    "network",
    needs={"waveform": "it makes waveforms", "picture": "it needs a problem that gives spectrograms"},
    provides={"feature_maps", "hidden_features", SEVERAL},
    paper={"normalization": "weight", "g_normalization": "weight"},
)
def vocoder(
    spec: NetworkSpec, *, width: int = 16, blocks: int = 2, d_width: int = 4, periods: str = "2+3+5", scales: int = 2,
    told: bool = True,
) -> Pair:  # fmt: skip
    """Vocoder: G raises frames to samples, critics hear periods and scales (HiFi-GAN, Kong 2020; MelGAN, Kumar 2019).

    G: transposed convolutions by 8, the last by less; channels halve from `width` (paper: 512), and behind each are
    `blocks` residual blocks of dilations 1, 3, 9 (Kumar 2019; HiFi-GAN has several kernels side by side). Latents, of
    which the papers have none, stand in every frame beside the bands. D: a critic a period (paper: 2+3+5+7+11), and
    one a scale, each of half as many samples as the last (paper: 3). told: whether D hears the spectrogram beside the
    waveform; False: the papers'.
    """
    (length,), (bands, frames) = spec.shape, _frames(spec)
    counts("vocoder", width=width, blocks=blocks, d_width=d_width)
    rows = _whole_numbers(periods)
    if scales < 0 or not (rows or scales):
        raise UserError(f"The network 'vocoder' needs periods, or at least 1 of 'scales', got {scales}.")
    generator = Framed(_raising(spec, bands, frames, (width, blocks)))
    told = told and bands > 0
    critics = [_critic(spec, [Periods(period)], 1 + bands * told, d_width) for period in rows]
    critics += [_critic(spec, [_halved() for _ in range(scale)], 1 + bands * told, d_width) for scale in range(scales)]
    if told:
        return generator, Heard(Together(critics))
    alone = nn.Sequential(nn.Unflatten(1, (1, 1, length)), Together(critics))
    return generator, Untold(alone) if spec.given else alone


def _frames(spec: NetworkSpec) -> tuple[int, int]:
    """Return the bands and frames of the spectrogram that is given; none, of one frame, where D is not told any."""
    if spec.given is None:
        return 0, 1
    if not isinstance(spec.given, Picture) or spec.given.shape[0] != 1 or len(spec.shape) != 1:
        raise UserError("The network 'vocoder' needs waveforms of one axis, each given with one spectrogram.")
    _, bands, frames = spec.given.shape
    if spec.shape[0] % frames or not math.log2(spec.shape[0] // frames).is_integer():
        raise UserError(
            f"The network 'vocoder' needs 2, 4, 8, ... samples a frame, got {spec.shape[0]} in {frames} frames."
        )
    return bands, frames


def _whole_numbers(text: str) -> list[int]:
    """Return the numbers of a text such as 2+3+5, none of an empty one; UserError for what is no number above 0."""
    parts = text.split("+") if text else []
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UserError(f"The key 'network.vocoder.periods' takes numbers above 0, joined by +, got '{text}'.")
    return [int(part) for part in parts]


def _raising(spec: NetworkSpec, bands: int, frames: int, sizes: tuple[int, int]) -> nn.Sequential:
    """Return what makes waveforms of latents and bands [batch, c, 1, frames]; sizes: its width and its blocks."""
    (length,), (channels, blocks) = spec.shape, sizes
    layers = [spec.g_norm(_along(spec.latent_dim + bands, channels, ENDS))]
    for factor in _factors(length // frames):
        fewer = max(channels // 2, 1)
        rising = nn.ConvTranspose2d(channels, fewer, (1, 2 * factor), (1, factor), (0, factor // 2))
        layers += [nn.LeakyReLU(SLOPE), spec.g_norm(rising)]
        layers += [_block(spec, fewer, 3**place) for place in range(blocks)]
        channels = fewer
    last = spec.g_weight(_along(channels, 1, ENDS))
    return nn.Sequential(*layers, nn.LeakyReLU(SLOPE), last, nn.Flatten(), Bounded(spec.value_range is not None))


def _factors(times: int) -> list[int]:
    """Return the factors, 8 and a smaller one at the end, by which a power of 2 is reached."""
    stages = int(math.log2(times))
    return [8] * (stages // 3) + [2 ** (stages % 3)] * (stages % 3 > 0)


def _block(spec: NetworkSpec, channels: int, dilation: int) -> Added:
    first, second = (spec.g_norm(_along(channels, channels, KERNEL, dilation=own)) for own in (dilation, 1))
    return Added(nn.Sequential(nn.LeakyReLU(SLOPE), first, nn.LeakyReLU(SLOPE), second))


def _along(inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution along the last axis, which stays as long, or is as many times shorter as a stride."""
    return nn.Conv2d(inputs, outputs, (1, kernel), (1, stride), (0, dilation * (kernel // 2)), (1, dilation))


def _halved() -> nn.AvgPool2d:
    return nn.AvgPool2d((1, 4), (1, 2), (0, 1), count_include_pad=False)


def _critic(spec: NetworkSpec, front: list[nn.Module], channels: int, width: int) -> nn.Sequential:
    widths = [width * 2**place for place in range(FALLS)]
    layers: list[nn.Module] = [*front, spec.d_weight(_along(channels, width, JUDGED, stride=3)), nn.LeakyReLU(SLOPE)]
    for inputs, outputs in pairwise(widths):
        layers += [spec.d_norm(_along(inputs, outputs, JUDGED, stride=3)), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, spec.d_weight(_along(widths[-1], 1, KERNEL)), nn.Flatten())
