"""What networks for images share: resampling, gains by label or style, attention, equalised and modulated layers.

Plain modules for one GAN, on feature maps [batch, channels, side, side]; none draws random numbers in its forward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor, nn

from ganbench.errors import UserError
from ganbench.gan.normalizations import Reweighted


class Passed(nn.Module):
    """Stands for a layer where what is normalized is none's output, such as a sum: so many channels as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        return x


class Up(nn.Module):
    """Twice the side, each pixel four times."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest")


class Down(nn.Module):
    """Half the side, each pixel the mean of four."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


class Bilinear(nn.Module):
    """The side times a factor, by interpolation between pixels' centres; no aliasing at a half."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)


class Blur(nn.Module):
    """Convolution of each channel with (1, 2, 1) / 4 along both axes, images reflected at their borders (Zhang 2019).

    A constant image stays what it is.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", taps[:, None] * taps / 16)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, 3, 3)
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=channels)


class SumPool(nn.Module):
    """The sum over all pixels, [batch, channels]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).sum(-1)


class Added(nn.Module):
    """What a body makes of its input, added to it (He et al. 2016)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Together(nn.Module):
    """Bodies that all see the same, one beside the other: what they say [batch, n] is joined along the last axis."""

    def __init__(self, bodies: Sequence[nn.Module]) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(bodies)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([body(x) for body in self.bodies], -1)


class Bounded(nn.Module):
    """The hyperbolic tangent, where a problem declares the range of its pixels, else nothing."""

    def __init__(self, bounded: bool) -> None:
        super().__init__()
        self.bounded = bounded

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() if self.bounded else x


# ------------------------------------------------------------------------------------------ gains of a context


def without_gain(norm: nn.Module) -> nn.Module:
    """Return a normalization without gains and biases of its own, for whoever gives others."""
    for part in norm.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm) and part.affine:
            part.affine = False
            part.register_parameter("weight", None)
            part.register_parameter("bias", None)
    return norm


class Gained(nn.Module):
    """A normalization behind which a context c gives gain and bias of a channel: (1 + g(c)) norm(x) + b(c).

    gains: from what is given with each sample to [batch, 2 x channels], None where the normalization has its own. Of
    labels: conditional batch norm (de Vries 2017; Miyato & Koyama 2018). Of styles: AdaIN (Huang 2017; Karras 2019).
    """

    def __init__(self, norm: nn.Module, gains: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm if gains is None else without_gain(norm)
        self.gains = gains

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self.gains is None:
            out: Tensor = self.norm(x)
            return out
        gain, bias = self.gains(context)[..., None, None].chunk(2, dim=1)
        return self.norm(x) * (1 + gain) + bias


def rows(classes: int, size: int) -> nn.Embedding:
    """Return a row [size] for each class, of zeros."""
    table = nn.Embedding(classes, size)
    nn.init.zeros_(table.weight)
    return table


class ConditionalBatchNorm(Gained):
    """Batch norm with the batch's own statistics whose gains and biases are the label's."""

    def __init__(self, channels: int, classes: int) -> None:
        norm = nn.BatchNorm2d(channels, affine=False, track_running_stats=False)
        super().__init__(norm, rows(classes, 2 * channels))


# ------------------------------------------------------------------------------------------ attention


class Attention(nn.Module):
    """Self-attention over pixels, x + gamma o(x), gamma 0 at the start (Zhang 2019, SAGAN, eqs. 1 to 3).

    As published with the code: queries and keys have an eighth of the channels, values half, and keys and values are
    pooled to half the side. layer: what each 1 x 1 convolution is made into.
    """

    def __init__(self, channels: int, layer: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        few, half = max(1, channels // 8), max(1, channels // 2)
        sizes = ((channels, few), (channels, few), (channels, half), (half, channels))
        self.query, self.key, self.value, self.out = (layer(nn.Conv2d(*size, 1, bias=False)) for size in sizes)
        self.gamma = nn.Parameter(torch.zeros(()))

    def weights(self, x: Tensor) -> Tensor:
        """Return what each pixel takes of each place [batch, pixels, places]; over places it sums to 1."""
        queries, keys = self.query(x).flatten(2), F.max_pool2d(self.key(x), 2).flatten(2)
        return (queries.mT @ keys).softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        values = F.max_pool2d(self.value(x), 2).flatten(2)
        seen = (values @ self.weights(x).mT).unflatten(2, x.shape[2:])
        out: Tensor = x + self.gamma * self.out(seen)
        return out


# ------------------------------------------------------------------------------------------ equalised layers


class EqualLinear(nn.Linear):
    """A linear layer of weights c w, w ~ N(0, 1) at the start, c = gain / sqrt(inputs) (Karras 2018, sec. 4.1).

    rate: a factor on how fast it learns: w starts as N(0, 1 / rate^2), and c and the bias are times `rate`.
    """

    def __init__(
        self, inputs: int, outputs: int, *, gain: float = 1.0, rate: float = 1.0, start: float = 0.0, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.scale, self.rate = gain * rate / math.sqrt(inputs), rate
        with torch.no_grad():
            self.weight.normal_().div_(rate)
            if bias:
                self.bias.fill_(start / rate)

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.rate
        return F.linear(x, self.weight * self.scale, bias)


class EqualConv2d(nn.Conv2d):
    """A convolution of weights c w, w ~ N(0, 1) at the start, c = gain / sqrt(inputs x kernel^2); its side stays."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, gain: float = 1.0, bias: bool = True) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
        self.scale = gain / math.sqrt(inputs * kernel**2)
        with torch.no_grad():
            self.weight.normal_()
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class ModulatedConv(nn.Module):
    """A convolution whose inputs a style scales and whose outputs it brings back to length 1 (Karras 2020, sec. 2.2).

    In its scaled form: inputs times s, outputs over |s w|, which equals a convolution with weights of each sample's own
    (eqs. 1 and 3). layer: what the convolution is made into; a normalization of weights other than this package's is
    refused, since the length of the weight in force is needed.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style: int,
        layer: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        *,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.conv, self.demodulate = layer(EqualConv2d(inputs, outputs, kernel, bias=False)), demodulate
        self.style = EqualLinear(style, inputs, start=1.0)
        if not isinstance(self.conv, EqualConv2d | Reweighted):
            raise UserError("Modulated convolutions take the normalizations of weights that this package ships.")

    def _weight(self) -> Tensor:
        if isinstance(self.conv, EqualConv2d):
            return self.conv.weight * self.conv.scale
        assert isinstance(self.conv, Reweighted)
        layer: Any = self.conv.layer
        return self.conv.weight(layer.weight, self.conv.weight_map) * float(layer.scale)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, weight = self.style(style), self._weight()
        out = F.conv2d(x * scale[..., None, None], weight, padding=weight.shape[-1] // 2)
        if not self.demodulate:
            return out
        lengths = scale.square() @ weight.square().sum((2, 3)).mT
        return out * (lengths + 1e-8).rsqrt()[..., None, None]
