"""Three images in the channels of one, each drawn for itself: the thousand modes of stacked digits (Metz 2017)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ganbench.problems.base import Batch, SampleTable, stream
from ganbench.problems.files import FASHION, MNIST, found, of_files, packaged
from ganbench.problems.images import LabelledImages, digits
from ganbench.problems.known import KnownLaw
from ganbench.problems.readers import Looks
from ganbench.registry import register

CHANNELS = 3


class Stacked(KnownLaw):
    """Images whose three channels are images of another problem; a class is one combination of theirs.

    The reference is drawn from that problem's training images, the oracle from those that it holds out.
    """

    capabilities = frozenset({"image", "classes", "stack"})
    feature_spaces = ("conv", "pixels", "classifier")

    def __init__(self, name: str, single: LabelledImages, samples: int) -> None:
        channels, *place = single.shape
        assert channels == 1
        self.name, self.shape, self.single = name, (CHANNELS, *place), single
        self.value_range, self.notes = single.value_range, single.notes
        self._classes = int(single.held_out_labels.max()) + 1
        self._train, self._held_out = single.labelled(), single.held_out()
        self.labels = self.fresh(10_000, stream("reference", 0))[1]
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._drawn(*self._train, n, generator)

    def oracle(self, n: int, seed: int = 0) -> Batch:
        return Batch(self._drawn(*self._held_out, n, stream("oracle", seed))[0])

    def _drawn(self, table: SampleTable, labels: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        places = torch.randint(len(table.rows), (n, CHANNELS), generator=generator)
        weight = self._classes ** torch.arange(CHANNELS - 1, -1, -1)
        return table.samples(places).flatten(1, 2), (labels[places] * weight).sum(1)


PROVIDES = {"image", "classes", "stack"}


@register("problem", provides=PROVIDES)
def stacked_digits(*, samples: int = 0) -> Stacked:
    """Digits of 8 x 8 pixels in three channels, a thousand modes: the stacked MNIST of Metz 2017 on the UCI digits."""
    return Stacked("stacked_digits", digits(), samples)


@register("problem", provides=PROVIDES, external=True, sources=packaged("stacked_mnist", MNIST), later="root")
def stacked_mnist(*, size: int = 28, samples: int = 0, root: str = "") -> Stacked:
    """MNIST's digits in three channels, a thousand modes (Metz 2017, Unrolled GANs); GANBENCH_DATA/mnist."""
    return _stacked("stacked_mnist", found("stacked_mnist", MNIST, root), size, samples)


@register("problem", provides=PROVIDES, external=True, sources=packaged("stacked_fashion", FASHION), later="root")
def stacked_fashion(*, size: int = 28, samples: int = 0, root: str = "") -> Stacked:
    """Fashion-MNIST's clothes in three channels, a thousand modes; the files of `fashion`."""
    return _stacked("stacked_fashion", found("stacked_fashion", FASHION, root), size, samples)


def _stacked(name: str, path: Path, size: int, samples: int) -> Stacked:
    single = of_files(name, path, Looks(size))
    assert isinstance(single, LabelledImages)
    return Stacked(name, single, samples)
