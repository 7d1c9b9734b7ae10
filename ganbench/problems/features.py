"""The spaces in which samples are compared: as they are, and of images pixels, fixed random convolutions, a classifier.

A feature space is `(problem) -> map`, the map from samples [n, *shape] to features [n, d]. One that provides "modes"
has the problem's modes where they are; the map of one that provides "classes" has a method `head`, from its features to
class probabilities [..., n, classes]. A classifier's features are nearly blind to pixel noise and random convolutions
are not, so that convolutions come first and the classifier stands beside them.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor

from ganbench import registry
from ganbench.errors import UserError
from ganbench.problems.base import Problem, stream
from ganbench.registry import Plugin, register

Extractor = Callable[[Tensor], Tensor]

CHUNK = 512  # samples at a time: what stays in the processor's cache is three times as fast as larger chunks
SPATIAL = 7  # channels of a map that sFID looks at
SIDE = 8  # the first convolution brings every image to about this side, so that large images cost little more

IMAGES = {"image": "needs a problem of images"}


class FeatureSpace:
    """A feature space of one problem: maps samples [..., n, *shape] to features [..., n, d] on the samples' device.

    class_head: the map from features [..., n, d] to class probabilities [..., n, classes], where it provides classes.
    """

    def __init__(self, plugin: Plugin, problem: Problem) -> None:
        self.name, self.provides = plugin.name, plugin.provides
        self._map, self._dims = plugin(problem), len(problem.shape)
        self.class_head: Extractor | None = getattr(self._map, "head", None) if "classes" in self.provides else None

    @torch.no_grad()
    def __call__(self, samples: Tensor) -> Tensor:
        leading = samples.shape[: samples.dim() - self._dims]
        features = torch.cat([self._features(part) for part in samples.flatten(0, len(leading) - 1).split(CHUNK)])
        return features.unflatten(0, leading)

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
def classifier(problem: Problem) -> Classifier:
    """The hidden layer of a small classifier that is trained on the problem's own labels; hardly sees pixel noise."""
    return Classifier(_classifier(problem))


class Classifier:
    """A trained perceptron as a map to its last hidden layer, with its head."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights = weights

    def __call__(self, images: Tensor) -> Tensor:
        return _hidden(images.float(), self.weights)

    def head(self, features: Tensor) -> Tensor:
        """Return class probabilities [..., n, classes] of features [..., n, d], on their device."""
        weight, bias = self.weights[-2:]
        return torch.softmax(features.to(weight) @ weight.T + bias, dim=-1).to(features.device)


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


_classifiers: dict[str, list[Tensor]] = {}


def _classifier(problem: Problem) -> list[Tensor]:
    if problem.labels is None:
        raise UserError(f"The problem '{problem.name}' has no labels, so that it has no classifier features.")
    images = problem.reference()
    content = hashlib.sha256(f"{torch.__version__}\n{inspect.getsource(_train)}".encode())
    for tensor in (images, problem.labels):
        content.update(tensor.numpy().tobytes())
    version = content.hexdigest()[:20]
    if version not in _classifiers:
        file = _cache_directory() / f"classifier-{problem.name}-{version}.pt"
        weights = _load(file)
        if weights is None:
            weights = _train(images, problem.labels)
            _save(weights, file)
        _classifiers[version] = weights
    return _classifiers[version]


def _hidden(images: Tensor, weights: list[Tensor]) -> Tensor:
    hidden = images.flatten(1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        hidden = F.silu(F.linear(hidden, weight.to(images.device), bias.to(images.device)))
    return hidden


def _train(images: Tensor, labels: Tensor, width: int = 128, features: int = 32, steps: int = 400) -> list[Tensor]:
    """Train a small perceptron on [n, *shape] and labels [n] from random numbers of its own; about half a second."""
    generator = stream("classifier", 0)
    sizes = [images[0].numel(), width, features, int(labels.max()) + 1]
    weights: list[Tensor] = []
    with torch.inference_mode(False), torch.enable_grad():
        for fan_in, out in itertools.pairwise(sizes):
            weight = torch.randn(out, fan_in, generator=generator, dtype=torch.float32) * (2 / fan_in) ** 0.5
            weights += [weight.requires_grad_(), torch.zeros(out, requires_grad=True)]
        optimizer = torch.optim.AdamW(weights, lr=3e-3, weight_decay=0.1)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
            batch = torch.randint(len(images), (128,), generator=generator)
            noisy = images[batch] + 0.2 * torch.randn(images[batch].shape, generator=generator)
            logits = F.linear(_hidden(noisy, weights), *weights[-2:])
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[batch]).backward()
            optimizer.step()
    return [weight.detach() for weight in weights]


def _cache_directory() -> Path:
    if own := os.environ.get("GANBENCH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganbench"


def _load(file: Path) -> list[Tensor] | None:
    # whatever is wrong with a cached file, training again is cheap and always right
    try:
        weights = torch.load(file, weights_only=True, map_location="cpu")
        good = isinstance(weights, list) and len(weights) == 6 and all(bool(w.isfinite().all()) for w in weights)
    except Exception:
        return None
    return weights if good else None


def _save(weights: list[Tensor], file: Path) -> None:
    # a directory that cannot be written costs the next process half a second, not this one its life
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            torch.save(weights, part)
        os.replace(part.name, file)
    except OSError:
        pass
