"""The spaces in which samples are compared: as they are; images by convolutions or a classifier; waves by spectra.

A feature space is `(problem) -> map`, the map from samples [n, *shape] to features [n, d]. One that provides "modes"
has the problem's modes where they are; the map of one that provides "classes" has a method `head`, from its features to
class probabilities [..., n, classes]. A classifier's features are nearly blind to pixel noise and random convolutions
are not, so that convolutions come first and the classifier stands beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems import classifiers
from ganbench.problems import pretrained as pretrained  # what is registered there is found here
from ganbench.problems.base import Problem, stream
from ganbench.problems.waveforms import FLOOR, power
from ganbench.problems.waveforms import spectrogram as log_energies
from ganbench.registry import Plugin, register

Extractor = Callable[[Tensor], Tensor]

CHUNK = 512  # samples at a time: what stays in the processor's cache is three times as fast as larger chunks
SPATIAL = 7  # channels of a map that sFID looks at
SIDE = 8  # the first convolution brings every image to about this side, so that large images cost little more

IMAGES = {"image": "needs a problem of images"}
WAVES = {"waveform": "needs a problem of waveforms"}


class FeatureSpace:
    """A feature space of one problem: maps samples [..., n, *shape] to features [..., n, d] on the samples' device.

    class_head: the map from features [..., n, d] to class probabilities [..., n, classes], where it provides classes.
    note: what its map says of itself, in a sentence, for whoever reads its columns; empty where it says nothing.
    is_expensive: that it is measured at the end, and where a run is at its best so far, alone.
    """

    def __init__(self, plugin: Plugin, problem: Problem) -> None:
        self.name, self.is_expensive = plugin.name, plugin.declared("cost") == "expensive"
        self._map, self._dims = plugin(problem), len(problem.shape)
        self.provides: frozenset[str] = plugin.provides - getattr(self._map, "lacks", frozenset())
        self.class_head: Extractor | None = getattr(self._map, "head", None) if "classes" in self.provides else None
        self.note: str = getattr(self._map, "note", "")

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        leading = samples.shape[: samples.dim() - self._dims]
        features = torch.cat([self._features(part) for part in samples.flatten(0, len(leading) - 1).split(CHUNK)])
        return features.unflatten(0, leading)

    def of_reference(self, samples: Tensor) -> Tensor:
        """Return features of real samples [n, *shape], kept on disk where the map has a `key` for what decides them."""
        key = getattr(self._map, "key", "")
        if not key:
            return self(samples)
        content = hashlib.sha256(f"{key} {list(samples.shape)}".encode())
        content.update(samples.cpu().numpy().tobytes())
        file = classifiers.cache_directory() / f"features-{self.name}-{content.hexdigest()[:20]}.pt"
        kept = classifiers.load(file, 1)
        if kept is None or len(kept[0]) != len(samples):
            kept = [self(samples).cpu()]
            classifiers.save(kept, file)
        return kept[0].to(samples.device)

    def _features(self, samples: Tensor) -> Tensor:
        features = self._map(samples)
        if not isinstance(features, Tensor) or features.dim() != 2 or len(features) != len(samples):
            got = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise UserError(
                f"The feature space '{self.name}' was given {len(samples)} samples and gave {got}; it must return "
                "features [n, d]."
            )
        return features


def extractor(problem: Problem, space: str) -> FeatureSpace:
    """Return a feature space of a problem; UserError where there is none of the name, or it cannot map the samples."""
    return FeatureSpace(registry.get("feature_space", space), problem)


def spaces(problem: Problem, asked: Sequence[str] = ()) -> dict[str, FeatureSpace]:
    """Return the feature spaces to measure a problem in: its own, the main one first, then those of `asked` that fit.

    A problem without one of its own has samples that are not worth measuring.
    """
    own = problem.feature_spaces
    fitting = [name for name in asked if registry.get("feature_space", name).needs.keys() <= problem.capabilities]
    return {name: extractor(problem, name) for name in dict.fromkeys((*own, *fitting))} if own else {}


# ------------------------------------------------------------------------------------------ the spaces


@register("feature_space", provides={"modes"})
def data(problem: Problem) -> Extractor:
    """The samples as they are, flattened."""
    return _flattened


@register("feature_space", needs=IMAGES)
def pixels(problem: Problem) -> Extractor:
    """The pixels of images: sees every noise, and shifts as if they were other images."""
    return _flattened


@register("feature_space", needs=IMAGES)
def conv(problem: Problem) -> Extractor:
    """Fixed random convolutions: 64 features, 16 channels of each quadrant, that see strokes, places and noise."""
    weights = _convolutions(problem.shape, "conv")
    # four quadrants of 16 channels: 64 features that still know roughly where a stroke is
    return lambda images: F.adaptive_avg_pool2d(_conv_maps(images.float(), weights), 2).flatten(1)


@register("feature_space", needs=IMAGES)
def conv_maps(problem: Problem) -> Extractor:
    """The first 7 channels of these convolutions' last maps, place by place, in which Frechet is sFID (Nash 2021)."""
    weights = _convolutions(problem.shape, "conv_maps")
    return lambda images: _conv_maps(images.float(), weights)[:, :SPATIAL].flatten(1)


@register("feature_space", needs={"classes": "needs a problem with classes"}, provides={"classes"})
def classifier(problem: Problem) -> classifiers.Classifier:
    """The hidden layer of a small classifier that is trained on the problem's own labels; hardly sees pixel noise.

    Convolutional, but for fewer than 5000 images of less than 12 pixels a side, which have a perceptron.
    """
    return classifiers.of(problem)


RINGS = 4


@register("feature_space", needs=IMAGES)
def spectrum(problem: Problem) -> Extractor:
    """Power of images in four rings of frequencies, and that of period 2, where strides leave a checkerboard."""
    height, width = problem.shape[1:]
    down, along = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None, :]
    # frequencies of half a cycle a pixel are the highest along an axis
    ring = (2 * torch.maximum(down.abs(), along.abs()) * RINGS).ceil().clamp(1, RINGS).long() - 1
    ring[0, 0] = RINGS  # the mean grey belongs to none
    masks = torch.nn.functional.one_hot(ring.flatten(), RINGS + 1)[:, :RINGS].float()
    highest = [(height // 2, 0), (0, width // 2), (height // 2, width // 2)]
    checkers = torch.zeros(height, width).index_put(tuple(torch.tensor(highest).T), torch.tensor(1.0)).flatten()
    weights = torch.cat([masks, checkers[:, None]], dim=1) / (height * width) ** 2

    def power(images: Tensor) -> Tensor:
        return torch.fft.fft2(images.float()).abs().square().mean(1).flatten(1) @ weights.to(images.device)

    return power


@register("feature_space", needs=WAVES)
def spectrogram(problem: Problem) -> Extractor:
    """Log energies of waveforms in bands and frames, as they are given: blind to phases, and within a band."""
    return lambda waves: log_energies(waves.double()).flatten(1).float()


QUARTERS = 4


@register("feature_space", needs=WAVES)
def bins(problem: Problem) -> Extractor:
    """Log energies of waveforms, at every frequency of a frame, in quarters of their time: blind to phases alone."""

    def energies(waves: Tensor) -> Tensor:
        # squares of large numbers are beyond float32, their logarithms are not
        quarters = power(waves.double()).unflatten(-2, (QUARTERS, -1)).mean(-2)
        return (quarters + FLOOR).log10().flatten(1).float()

    return energies


def _flattened(samples: Tensor) -> Tensor:
    return samples.flatten(1)


def _convolutions(shape: Sequence[int], space: str) -> list[Tensor]:
    if len(shape) != 3:
        raise UserError(
            f"The feature space '{space}' needs images [channels, height, width], got the shape {list(shape)}."
        )
    stride = max(1, min(shape[1:]) // SIDE)
    generator = stream("random convolutions", 0)

    def layer(out: int, fan_in: int, kernel: int) -> list[Tensor]:
        weight = torch.randn(out, fan_in, kernel, kernel, generator=generator, dtype=torch.float32)
        return [weight * (2 / (fan_in * kernel**2)) ** 0.5, torch.randn(out, generator=generator) / 2]

    return layer(16, shape[0], 2 * stride + 1) + layer(16, 16, 3)


def _conv_maps(images: Tensor, weights: list[Tensor]) -> Tensor:
    first, first_bias, second, second_bias = (weight.to(images.device) for weight in weights)
    stride = first.shape[-1] // 2
    hidden = F.conv2d(images, first, first_bias, stride=stride, padding=stride).relu_()
    return F.conv2d(hidden, second, second_bias, stride=2, padding=1).relu_()
