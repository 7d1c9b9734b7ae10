"""Image problems that need no download."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Label, Problem, SampleTable, places_of_groups, stream
from ganbench.registry import register

HELD_OUT = 500


class LabelledImages(Problem):
    """A finite set of labelled images: training images as the real ones, held-out images as the oracle."""

    capabilities = frozenset({"image", "classes", "unequal_groups"})
    feature_spaces = ("conv", "pixels", "classifier")

    def __init__(
        self,
        name: str,
        train: tuple[Tensor, Tensor],
        held_out: tuple[Tensor, Tensor],
        value_range: tuple[float, float],
        levels: int = 255,
    ) -> None:
        """Take (images [n, C, H, W] float32 within value_range, labels [n] int64) twice.

        Images may be uint8 instead, in `levels` equal steps from one end of the range to the other.
        """
        self.name = name
        self.value_range = value_range
        low, high = value_range
        tables = [SampleTable(images, low=low, width=(high - low) / levels) for images, _ in (train, held_out)]
        self.table, self.labels = tables[0], train[1]
        self.held_out_images, self.held_out_labels = tables[1].samples(torch.arange(len(held_out[0]))), held_out[1]
        self.shape = tuple(self.table.rows.shape[1:])

    @functools.cached_property
    def images(self) -> Tensor:
        """All training images [N, C, H, W]."""
        return self._table.samples(torch.arange(len(self._table.rows)))

    @property
    def _table(self) -> SampleTable:
        assert self.table is not None
        return self.table

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, C, H, W] training images with replacement from the generator's stream."""
        return self._table.samples(self.places(n, generator))

    def places(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self._table.rows), (n,), generator=generator)

    def group_weights(self) -> Tensor:
        """Return the shares of the classes [classes] in the training images."""
        return self._class_sizes() / len(self._table.rows)

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, C, H, W] training images with replacement, each class [classes] with its weight; they sum to 1."""
        return self._table.samples(self.places_in_groups(weights, n, generator))

    def places_in_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        assert self.labels is not None
        return places_of_groups(self.labels, weights, n, generator)

    def _class_sizes(self) -> Tensor:
        assert self.labels is not None
        return self.labels.bincount().double()

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return all training images (n None, or not below their number), or n distinct ones [n, C, H, W]."""
        rows = len(self._table.rows)
        return self._table.samples(_subset(torch.arange(rows), n, stream("reference", seed)))

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return n distinct held-out images [n, C, H, W]; all of them where n is not below their number."""
        return _subset(self.held_out_images, n, stream("oracle", seed))


class ImagesWithLabels(LabelledImages):
    """Labelled images that give the label of each."""

    capabilities = LabelledImages.capabilities | {"label"}

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        assert self.labels is not None
        self.table = replace(self._table, given=self.labels)
        self.gives = Label(int(self.labels.max()) + 1)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places(n, generator))

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places_in_groups(weights, n, generator))

    def oracle(self, n: int, seed: int = 0) -> Batch:
        images, labels = (
            _subset(held, n, stream("oracle", seed)) for held in (self.held_out_images, self.held_out_labels)
        )
        return Batch(images, labels)


def _subset(images: Tensor, n: int | None, generator: torch.Generator) -> Tensor:
    if n is None or n >= len(images):
        return images.clone()
    return images[torch.randperm(len(images), generator=generator)[:n]]


LEVELS = 16  # of the grey of a digit, from 0


@functools.cache
def _digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    # takes a second, and only whoever asks for digits needs it
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images = torch.from_numpy(data.images).to(torch.uint8)[:, None]
    labels = torch.from_numpy(data.target).long()
    # the split shuffles, so that the first n of either part are a fair sample of it
    train, held_out = train_test_split(range(len(labels)), test_size=HELD_OUT, stratify=data.target, random_state=0)
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def _digits_file() -> Path:
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


@register("problem", provides={"image", "classes", "unequal_groups"}, sources=_digits_file)
def digits() -> LabelledImages:
    """Handwritten digits, 8 x 8 grey pixels in [-1, 1]: 1297 to train on, 500 held out (UCI, scikit-learn)."""
    train, held_out = _digits()
    return LabelledImages("digits", train, held_out, (-1.0, 1.0), LEVELS)


@register(
    "problem", gives="label", provides={"image", "classes", "unequal_groups", "label"}, sources=_digits_file
)  # fmt: skip
def digits_labelled() -> ImagesWithLabels:
    """Handwritten digits as in `digits`, the digit of each image given as its label."""
    train, held_out = _digits()
    return ImagesWithLabels("digits_labelled", train, held_out, (-1.0, 1.0), LEVELS)
