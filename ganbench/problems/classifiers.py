"""Small classifiers of a problem's own classes, trained once and kept on disk by the content of the data."""

from __future__ import annotations

import hashlib
import inspect
import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Problem, SampleTable, places_of_groups, stream

FEW, SMALL = 5000, 12
"""So few images of so few pixels a side have a perceptron; all others convolutions."""

SIDE = 14  # pixels of a side that convolutions see, about
PLACES = 3  # a side of their last maps: where something is tells classes apart
CHUNK = 512

Weights = list[Tensor]


class Classifier:
    """A trained classifier as a map from images [n, *shape] to its last hidden layer [n, d], with its head.

    accuracy: its share of right answers on held-out images, None where the problem has none with labels.
    """

    def __init__(self, weights: Weights, hidden: Callable[[Tensor, Weights], Tensor], accuracy: float | None) -> None:
        self.weights, self._layers, self.accuracy = weights, hidden, accuracy

    def __call__(self, images: Tensor) -> Tensor:
        return self._layers(images.float(), self.weights)

    def to(self, device: torch.device) -> Classifier:
        """Return it on a device."""
        return Classifier([weight.to(device) for weight in self.weights], self._layers, self.accuracy)

    def head(self, features: Tensor) -> Tensor:
        """Return class probabilities [..., n, classes] of features [..., n, d], on their device."""
        weight, bias = self.weights[-2:]
        return torch.softmax(features.to(weight) @ weight.T + bias, dim=-1).to(features.device)

    @property
    def note(self) -> str:
        """What it is good for, in a sentence; empty where that is not known."""
        return "" if self.accuracy is None else f"The classifier is right about {self.accuracy:.1%} of held-out images."


class ChannelClassifier(Classifier):
    """A classifier of the images in each channel alone, whose classes are the combinations of theirs."""

    def __init__(self, single: Classifier, channels: int) -> None:
        super().__init__(single.weights, single._layers, single.accuracy)
        self.single, self.channels = single, channels

    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.single(images[:, place : place + 1]) for place in range(self.channels)], dim=1)

    def to(self, device: torch.device) -> ChannelClassifier:
        """Return it on a device."""
        return ChannelClassifier(self.single.to(device), self.channels)

    def head(self, features: Tensor) -> Tensor:
        """Return the probabilities [..., n, classes^channels] of all combinations, the first channel's foremost."""
        first, *others = (self.single.head(part) for part in features.chunk(self.channels, dim=-1))
        for other in others:
            first = (first[..., :, None] * other[..., None, :]).flatten(-2)
        return first


_classifiers: dict[str, Weights] = {}


def of(problem: Problem) -> Classifier:
    """Return the classifier of a problem's classes; UserError where it has none."""
    if problem.single is not None:
        return ChannelClassifier(of(problem.single), problem.shape[0])
    if problem.labels is None:
        raise UserError(f"The problem '{problem.name}' has no labels, so that it has no classifier features.")
    (table, labels), held_out = problem.labelled(), problem.labelled_oracle()
    if len(problem.shape) == 3 and (min(problem.shape[1:]) >= SMALL or len(table.rows) >= FEW):

        def train() -> Weights:
            own = _train_convolutions(table, labels)
            return [*own, torch.tensor(UNKNOWN if held_out is None else _accuracy(held_out, own, _convolved))]

        source = inspect.getsource(_train_convolutions) + inspect.getsource(_convolved)
        *own, accuracy = _trained(problem.name, source, [table.rows, labels, *(held_out or ())], train, 11)
        return Classifier(own, _convolved, None if held_out is None else accuracy.item())
    images = problem.reference()
    own = _trained(problem.name, inspect.getsource(_train), [images, labels], lambda: _train(images, labels), 6)
    return Classifier(own, _hidden, None if held_out is None else _accuracy(held_out, own, _hidden))


UNKNOWN = -1.0  # how right a classifier is of whose problem no held-out classes are known


def _trained(name: str, source: str, data: list[Tensor], train: Callable[[], Weights], count: int) -> Weights:
    """Return so many tensors from memory, from disk, or made now by this source; the data are in the file's name."""
    content = hashlib.sha256(f"{torch.__version__}\n{source}".encode())
    for tensor in data:
        content.update(tensor.numpy().tobytes())
    version = content.hexdigest()[:20]
    if version not in _classifiers:
        file = cache_directory() / f"classifier-{name}-{version}.pt"
        weights = load(file, count)
        if weights is None:
            weights = train()
            save(weights, file)
        _classifiers[version] = weights
    return _classifiers[version]


@torch.no_grad()
def _accuracy(held_out: tuple[Tensor, Tensor], weights: Weights, hidden: Callable[[Tensor, Weights], Tensor]) -> float:
    images, labels = held_out
    answers = [F.linear(hidden(part.float(), weights), *weights[-2:]).argmax(1) for part in images.split(CHUNK)]
    return (torch.cat(answers) == labels).double().mean().item()


def _hidden(images: Tensor, weights: Weights) -> Tensor:
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


def _convolved(images: Tensor, weights: Weights) -> Tensor:
    # of a large image the classes are told as well by a smaller one
    reduce = max(1, min(images.shape[-2:]) // SIDE)
    hidden = F.avg_pool2d(images, reduce) if reduce > 1 else images
    *convolutions, (last, last_bias) = zip(weights[:-2:2], weights[1:-2:2], strict=True)
    for weight, bias in convolutions:
        hidden = F.silu(F.conv2d(hidden, weight.to(images.device), bias.to(images.device), padding=1))
        if min(hidden.shape[-2:]) >= 2 * PLACES:
            hidden = F.max_pool2d(hidden, 2)
    hidden = F.adaptive_avg_pool2d(hidden, PLACES).flatten(1)
    return F.silu(F.linear(hidden, last.to(images.device), last_bias.to(images.device)))


def _train_convolutions(table: SampleTable, labels: Tensor, batch: int = 128) -> Weights:
    """Train three convolutions and a hidden layer on samples with labels [N] from random numbers of its own.

    Twelve times over the samples, but 200 steps at least and 900 at most, which take about ten seconds of a processor.
    """
    steps = min(max(12 * len(table.rows) // batch, 200), 900)
    generator = stream("convolutional classifier", 0)
    channels, classes = table.rows.shape[1], int(labels.max()) + 1
    shapes = [(16, channels, 3, 3), (32, 16, 3, 3), (48, 32, 3, 3), (64, 48 * PLACES**2), (classes, 64)]
    even = torch.full((classes,), 1 / classes, dtype=torch.float64)  # else rare classes are never told
    weights: Weights = []
    with torch.inference_mode(False), torch.enable_grad():
        for shape in shapes:
            fan_in = torch.Size(shape[1:]).numel()
            weight = torch.randn(shape, generator=generator, dtype=torch.float32) * (2 / fan_in) ** 0.5
            weights += [weight.requires_grad_(), torch.zeros(shape[0], requires_grad=True)]
        optimizer = torch.optim.AdamW(weights, lr=4e-3, weight_decay=0.05)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / steps)
            places = places_of_groups(labels, even, batch, generator)
            images = table.samples(places)
            noisy = images + 0.1 * torch.randn(images.shape, generator=generator)
            logits = F.linear(_convolved(noisy, weights), *weights[-2:])
            optimizer.zero_grad()
            F.cross_entropy(logits, labels[places]).backward()
            optimizer.step()
    return [weight.detach() for weight in weights]


def cache_directory() -> Path:
    """Return where what takes time to compute is kept: GANBENCH_CACHE, or the user's cache."""
    if own := os.environ.get("GANBENCH_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganbench"


def load(file: Path, count: int) -> Weights | None:
    """Return so many finite tensors of a file, or None where it does not hold them."""
    # whatever is wrong with a cached file, training again is cheap and always right
    try:
        weights = torch.load(file, weights_only=True, map_location="cpu")
        good = isinstance(weights, list) and len(weights) == count and all(bool(w.isfinite().all()) for w in weights)
    except Exception:
        return None
    return weights if good else None


def save(weights: Weights, file: Path) -> None:
    """Keep tensors in a file, wholly or not at all."""
    # a directory that cannot be written costs the next process half a second, not this one its life
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as part:
            torch.save(weights, part)
        os.replace(part.name, file)
    except OSError:
        pass
