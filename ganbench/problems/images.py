"""Image problems that need no download."""

from __future__ import annotations

import functools
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Batch, Label, Problem, SampleTable, places_of_groups, stream
from ganbench.registry import register

HELD_OUT = 500

MOST_REFERENCE = 10_000
"""Training images that generators are measured against: estimates hardly change with more."""


class UnlabelledImages(Problem):
    """A finite set of images, held as bytes: training images as the real ones, held-out images as the oracle."""

    capabilities = frozenset({"image"})
    feature_spaces: tuple[str, ...] = ("conv", "pixels")

    def __init__(
        self,
        name: str,
        train: Tensor,
        held_out: Tensor,
        value_range: tuple[float, float],
        levels: int = 255,
        samples: int = 0,
    ) -> None:
        """Take images [n, C, H, W] twice, float32 within value_range, in an order that says nothing.

        Images may be uint8 instead, in `levels` equal steps from one end of the range to the other. samples: train on
        so many of them alone (0: all); what is measured against stays the same. UserError for more than there are.
        """
        if not 0 <= samples <= len(train):
            raise UserError(f"The problem '{name}' takes 1 to {len(train)} samples, or 0 for all, got {samples}.")
        self.name = name
        self.value_range = value_range
        low, high = value_range
        self._known, self._held_out = (
            SampleTable(images, low=low, width=(high - low) / levels) for images in (train, held_out)
        )
        self.table = replace(self._known, rows=train[: samples or None])
        self.shape = tuple(train.shape[1:])

    @property
    def images(self) -> Tensor:
        """All training images [N, C, H, W] as numbers."""
        return self._table.samples(torch.arange(len(self._table.rows)))

    @property
    def held_out_images(self) -> Tensor:
        """All held-out images [N, C, H, W] as numbers."""
        return self._held_out.samples(torch.arange(len(self._held_out.rows)))

    @property
    def _table(self) -> SampleTable:
        assert self.table is not None
        return self.table

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, C, H, W] training images with replacement from the generator's stream."""
        return self._table.samples(self.places(n, generator))

    def places(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self._table.rows), (n,), generator=generator)

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return n distinct training images [n, C, H, W]; n None, or not below their number: all, or the first 10 000.

        They are those of the whole set, of whose samples the training may know some alone.
        """
        rows = min(len(self._known.rows), MOST_REFERENCE)
        return self._known.samples(_subset(rows, n, stream("reference", seed)))

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return n distinct held-out images [n, C, H, W]; all of them where n is not below their number."""
        return self._held_out.samples(self._held_out_places(n, seed))

    def _held_out_places(self, n: int, seed: int) -> Tensor:
        return _subset(len(self._held_out.rows), n, stream("oracle", seed))


class LabelledImages(UnlabelledImages):
    """A finite set of images with the class of each, which it does not give."""

    capabilities = frozenset({"image", "classes", "unequal_groups"})
    feature_spaces = ("conv", "pixels", "classifier")

    def __init__(
        self,
        name: str,
        train: tuple[Tensor, Tensor],
        held_out: tuple[Tensor, Tensor],
        value_range: tuple[float, float],
        levels: int = 255,
        samples: int = 0,
    ) -> None:
        """Take (images [n, C, H, W] as `UnlabelledImages` does, labels [n] int64) twice."""
        super().__init__(name, train[0], held_out[0], value_range, levels, samples)
        self.labels, self.held_out_labels = train[1][:MOST_REFERENCE], held_out[1]
        self._known_labels, self.table_labels = train[1], train[1][: samples or None]

    def group_weights(self) -> Tensor:
        """Return the shares of the classes [classes] in the training images."""
        return self.table_labels.bincount(minlength=self._classes).double() / len(self._table.rows)

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, C, H, W] training images with replacement, each class [classes] with its weight; they sum to 1."""
        return self._table.samples(self.places_in_groups(weights, n, generator))

    def places_in_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return places_of_groups(self.table_labels, weights, n, generator)

    def labelled(self) -> tuple[SampleTable, Tensor]:
        return self._known, self._known_labels

    def held_out(self) -> tuple[SampleTable, Tensor]:
        """Return all held-out images with their labels [N]."""
        return self._held_out, self.held_out_labels

    def labelled_oracle(self) -> tuple[Tensor, Tensor]:
        places = torch.arange(min(len(self.held_out_labels), MOST_REFERENCE))
        return self._held_out.samples(places), self.held_out_labels[places]

    @property
    def _classes(self) -> int:
        assert self.labels is not None
        return int(self.labels.max()) + 1


class ImagesWithLabels(LabelledImages):
    """Labelled images that give the label of each."""

    capabilities = LabelledImages.capabilities | {"label"}

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.table = replace(self._table, given=self.table_labels)
        self.gives = Label(self._classes)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places(n, generator))

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places_in_groups(weights, n, generator))

    def oracle(self, n: int, seed: int = 0) -> Batch:
        places = self._held_out_places(n, seed)
        return Batch(self._held_out.samples(places), self.held_out_labels[places])


def _subset(rows: int, n: int | None, generator: torch.Generator) -> Tensor:
    """Return n distinct places among so many rows, or all in their order."""
    if n is None or n >= rows:
        return torch.arange(rows)
    return torch.randperm(rows, generator=generator)[:n]


def long_tailed(labels: Tensor, ratio: float) -> Tensor:
    """Return the places of those samples that make classes long-tailed, of labels [n], in their order.

    Of class k of K stays the share ratio^(-k / (K - 1)), its first samples, so that equal classes become geometric ones
    of which the first is `ratio` times as large as the last (Cui et al. 2019), and none is empty.
    """
    classes = int(labels.max()) + 1
    shares = ratio ** (-torch.arange(classes, dtype=torch.float64) / max(classes - 1, 1))
    kept = (shares * labels.bincount(minlength=classes)).round().clamp(min=1)
    rank = (torch.nn.functional.one_hot(labels, classes).cumsum(0) - 1).gather(1, labels[:, None])[:, 0]
    return torch.nonzero(rank < kept[labels])[:, 0]


Form = TypeVar("Form", bound=LabelledImages)
Labelled = tuple[Tensor, Tensor]

MOST_RATIO = 1000

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


def _digits_file_at(**hypers: Any) -> Path:
    package = find_spec("sklearn")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"


LATER = ("tail", "samples")
"""What digits can be asked for since there have been studies of them."""


@register("problem", provides={"image", "classes", "unequal_groups"}, sources=_digits_file_at, later=LATER)
def digits(*, tail: float = 1.0, samples: int = 0) -> LabelledImages:
    """Handwritten digits, 8 x 8 grey pixels in [-1, 1]: 1297 to train on, 500 held out (UCI, scikit-learn)."""
    return _of_digits(LabelledImages, "digits", tail, samples)


@register(
    "problem", gives="label", provides={"image", "classes", "unequal_groups", "label"}, sources=_digits_file_at,
    later=LATER,
)  # fmt: skip
def digits_labelled(*, tail: float = 1.0, samples: int = 0) -> ImagesWithLabels:
    """Handwritten digits as in `digits`, the digit of each image given as its label."""
    return _of_digits(ImagesWithLabels, "digits_labelled", tail, samples)


def _of_digits(form: type[Form], name: str, tail: float, samples: int) -> Form:
    train, held_out = tailed(name, _digits(), tail)
    own = form(name, train, held_out, (-1.0, 1.0), LEVELS, samples=samples)
    own.equal_classes = tail == 1
    return own


def tailed(name: str, parts: tuple[Labelled, Labelled], ratio: float) -> tuple[Labelled, Labelled]:
    """Return training and held-out images with labels, their classes `long_tailed`; ratio 1: as they are."""
    if not 1 <= ratio <= MOST_RATIO:
        raise UserError(f"The problem '{name}' takes a tail from 1, none, to {MOST_RATIO}, got {ratio}.")
    if ratio == 1:
        return parts
    train, held_out = ((images[kept], labels[kept]) for images, labels in parts
                       for kept in [long_tailed(labels, ratio)])  # fmt: skip
    return train, held_out
