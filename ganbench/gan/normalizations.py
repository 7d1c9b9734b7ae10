"""Normalizations of a network's layers, in G and in D.

A normalization is `(layer, *, hypers) -> module`: it takes a linear or convolution layer of one GAN and returns what
stands in its place. One that acts on weights (`acts_on="weights"`) is asked for at every layer, one that acts on
activations at the layers where the network's paper has it (never at an output).

What a normalization declares that it keeps, optional for a user's own, is what `ganbench.contracts` holds it to:

- `keeps=("batch", "pixels")`: its outputs have mean 0 and variance 1 over these axes at the start, of "batch",
  "channels", "group" (the channels of each of the groups that the hyper-parameter `groups` counts) and "pixels".
- `keeps="spectral norm 1"`: the largest singular value of the weight in force is 1 once its iteration has converged.
- `keeps="row lengths"`: the length of each output's weights in force is not that of the trained weights.
- `keeps="the layer"`: the layer itself comes back.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from ganbench.ranges import AtLeastOne
from ganbench.registry import register

PER_SAMPLE = {"independent_samples"}


def output_features(layer: nn.Module) -> int:
    """Return the number of features or channels that a linear or convolution layer puts out."""
    features: int = getattr(layer, "out_features", 0) or getattr(layer, "out_channels", 0)
    return features


def is_convolution(layer: nn.Module) -> bool:
    """Tell whether a layer works on feature maps."""
    return hasattr(layer, "out_channels")


def without_bias(layer: nn.Module) -> nn.Module:
    """Drop a layer's bias where the norm behind it subtracts it again: rounding would be its only gradient."""
    layer.register_parameter("bias", None)
    return layer


def raw_weight(layer: nn.Module) -> Tensor:
    """Return a layer's own weight."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight


def as_matrix(weight: Tensor, layer: nn.Module) -> Tensor:
    """Return a weight [..., *layer.weight.shape] as matrices [..., out, in], one a run."""
    dims = raw_weight(layer).dim()
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(-dims, 1 - dims)
    return weight.flatten(1 - dims) if dims > 1 else weight


class Reweighted(nn.Module):
    """A layer whose weight passes through `weight_map`, a module on matrices [..., out, in], before each use."""

    def __init__(self, layer: nn.Module, weight_map: nn.Module) -> None:
        super().__init__()
        self.layer, self.weight_map = layer, weight_map

    def weight(self, weight: Tensor, weight_map: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the weight in force for a raw weight [..., *shape], in the same shape."""
        mapped = weight_map(as_matrix(weight, self.layer))
        if not isinstance(self.layer, nn.ConvTranspose2d):
            return mapped.reshape(weight.shape)
        dims = raw_weight(self.layer).dim()
        return mapped.reshape(weight.transpose(-dims, 1 - dims).shape).transpose(-dims, 1 - dims)

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.layer, {"weight": self.weight(raw_weight(self.layer), self.weight_map)}, (x,))


class SpectralMap(nn.Module):
    """W / sigma(W), sigma by one step of power iteration a forward pass in training."""

    u: Tensor

    def __init__(self, matrix: Tensor, warmup: int = 15) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn(matrix.shape[0]), dim=-1).to(matrix))
        for _ in range(warmup):
            self.u = self._iterate(matrix)[1]

    def _iterate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        v = normalize((self.u.unsqueeze(-2) @ matrix).squeeze(-2), dim=-1)
        return v, normalize((matrix @ v.unsqueeze(-1)).squeeze(-1), dim=-1)

    def forward(self, matrix: Tensor) -> Tensor:
        v, u = self._iterate(matrix.detach())
        if self.training:
            self.u.copy_(u)
        sigma = (u.unsqueeze(-2) @ matrix @ v.unsqueeze(-1)).squeeze(-1)
        return matrix / sigma.unsqueeze(-1)


class WeightMap(nn.Module):
    """g W / |W| with one norm and one learned gain an output feature."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.gain = nn.Parameter(matrix.detach().norm(dim=-1))

    def forward(self, matrix: Tensor) -> Tensor:
        return matrix * (self.gain / matrix.norm(dim=-1)).unsqueeze(-1)


class PixelNorm(nn.Module):
    """x / rms(x), the root mean square over the features of each sample, at each pixel of a feature map."""

    def forward(self, x: Tensor, features: int = 1) -> Tensor:
        """Map x with its features along the given axis; axes before it are runs and batch."""
        return x * (x.square().mean(features, keepdim=True) + 1e-8).rsqrt()


def _reweighted(layer: nn.Module, kind: type[nn.Module]) -> nn.Module:
    return Reweighted(layer, kind(as_matrix(raw_weight(layer).detach(), layer)))


@register("normalization", acts_on="activations", keeps="the layer", provides=PER_SAMPLE | {"plain"})
def none(layer: nn.Module) -> nn.Module:
    """No normalization."""
    return layer


@register("normalization", acts_on="activations", keeps=("batch", "pixels"))
def batch(layer: nn.Module) -> nn.Module:
    """Batch normalization with the batch's own statistics, in training and in measuring (Ioffe 2015)."""
    kind = nn.BatchNorm2d if is_convolution(layer) else nn.BatchNorm1d
    return nn.Sequential(without_bias(layer), kind(output_features(layer), track_running_stats=False))


@register("normalization", acts_on="activations", keeps=("channels", "pixels"), provides=PER_SAMPLE)
def layer(layer: nn.Module) -> nn.Module:
    """Layer normalization over all features of a sample, gain and bias a channel (Ba 2016)."""
    return nn.Sequential(layer, nn.GroupNorm(1, output_features(layer)))


@register(
    "normalization",
    acts_on="activations",
    keeps=("pixels",),
    provides=PER_SAMPLE,
    needs={"feature_maps": "instance normalization takes its statistics over the pixels of a feature map"},
)
def instance(layer: nn.Module) -> nn.Module:
    """Instance normalization over the pixels of each channel of a sample (Ulyanov 2016)."""
    features = output_features(layer)
    return nn.Sequential(without_bias(layer), nn.GroupNorm(features, features))


@register("normalization", acts_on="activations", keeps=("group", "pixels"), provides=PER_SAMPLE)
def group(layer: nn.Module, *, groups: AtLeastOne = 4) -> nn.Module:
    """Group normalization over groups of channels of a sample (Wu 2018)."""
    return nn.Sequential(layer, nn.GroupNorm(groups, output_features(layer)))


@register("normalization", acts_on="activations", keeps="root mean square 1", provides=PER_SAMPLE)
def pixel(layer: nn.Module) -> nn.Module:
    """Pixelwise feature vector normalization to root mean square 1, without gain or bias (Karras 2018, sec. 4.2).

    Like the other normalizations it stands before the activation; the paper's generator has it behind.
    """
    return nn.Sequential(layer, PixelNorm())


@register("normalization", acts_on="weights", keeps="spectral norm 1", provides=PER_SAMPLE)
def spectral(layer: nn.Module) -> nn.Module:
    """Spectral normalization: each weight over its largest singular value, by power iteration (Miyato 2018)."""
    return _reweighted(layer, SpectralMap)


@register("normalization", acts_on="weights", keeps="row lengths", provides=PER_SAMPLE)
def weight(layer: nn.Module) -> nn.Module:
    """Weight normalization: direction and length of each output's weights apart (Salimans & Kingma 2016)."""
    return _reweighted(layer, WeightMap)
