"""Adaptation: labelled pictures of one kind are given, and unlabelled samples of another kind are what is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Given, Picture, Problem, Source, Truth, stream
from ganbench.problems.images import LEVELS, _digits, _digits_file_at
from ganbench.problems.rendered import characters, fonts
from ganbench.problems.translation import nearest
from ganbench.registry import register

ADAPTING = {"image", "classes", "picture", "source", "truth"}
"""What problems provide that give pictures with classes, of which samples have the same ones."""


class Adapting(Problem):
    """Samples that are drawn without a word on their class, each given with a picture of some class.

    The two have nothing to do with each other. What is right for a picture is any sample of its class, and the training
    samples are those that are known; their classes are told to measures alone.
    """

    capabilities = frozenset(ADAPTING)
    value_range = (-1.0, 1.0)
    feature_spaces = ("conv", "pixels", "classifier")
    equal_classes = True

    def __init__(
        self, name: str, source: Source, train: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor]
    ) -> None:
        """Take pictures with classes, and samples [n, C, H, W] in [-1, 1] with their classes [n] twice."""
        self.name, self._source = name, source
        self._x, self.labels = train
        self._held_out = held_out
        self.shape = tuple(self._x.shape[1:])
        self.gives = Picture(tuple(source.pictures.shape[1:]))
        few = int(self.labels.bincount().min())
        self._right = torch.stack([self._x[self.labels == kind][:few] for kind in range(source.kinds)])
        self._known = self._x.double()
        self.truth = Truth(self._answers, self._content, source.kinds, source=source)

    def _answers(self, given: Tensor) -> Tensor:
        """Return training samples of the class of each picture, as many as the smallest class has."""
        return self._right.to(given.device)[self._source.to(given.device)(given)]

    def _content(self, x: Tensor) -> Tensor:
        """Return the class [n] of the training sample whose pixels are nearest."""
        assert self.labels is not None
        return self.labels.to(x.device)[nearest(x, self._known)]

    def _given(self, n: int, generator: torch.Generator) -> Tensor:
        pictures = self._source.pictures
        return pictures[torch.randint(len(pictures), (n,), generator=generator)]

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw samples, and pictures that have nothing to do with them."""
        x = self._x[torch.randint(len(self._x), (n,), generator=generator)]
        return Batch(x, self._given(n, generator))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.draw(n, generator).x

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return n distinct training samples; n None, or not below their number: all, in the order of `labels`."""
        if n is None or n >= len(self._x):
            return self._x.clone()
        return self._x[torch.randperm(len(self._x), generator=stream("reference", seed))[:n]]

    def oracle(self, n: int, seed: int = 0) -> Batch:
        """Return n distinct held-out samples, all of them where n is larger, each given with a picture of its class."""
        generator, (images, labels) = stream("oracle", seed), self._held_out
        places = torch.randperm(len(images), generator=generator)[:n]
        own = self._source.classes == labels[places, None]
        return Batch(
            images[places], self._source.pictures[torch.multinomial(own.double(), 1, generator=generator)[:, 0]]
        )

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        return self.oracle(n, seed).x

    def measured_given(self, n: int) -> Given:
        """Return pictures in turn, so that each is given as often as the others; no more than there are oracles of."""
        count = min(n, len(self._held_out[0]))
        return self._source.pictures[torch.arange(count) % len(self._source.pictures)]

    def labelled_oracle(self) -> tuple[Tensor, Tensor]:
        images, labels = self._held_out
        return images.clone(), labels


def _files(**hypers: Any) -> list[Path]:
    return [_digits_file_at(), *fonts()]


@register("problem", gives="picture", provides=ADAPTING, sources=_files)
def glyph_digits() -> Adapting:
    """Handwritten digits without labels, given printed ones with theirs, 8 x 8 (as PixelDA, Bousmalis et al. 2017).

    The printed ones are the ten digits in the fonts of text that come with matplotlib.
    """
    images, factors = characters(8)
    source = Source((2 * images - 1).float(), factors[:, 0])
    train, held_out = ((2 / LEVELS * x - 1, labels) for x, labels in _digits())
    return Adapting("glyph_digits", source, train, held_out)
