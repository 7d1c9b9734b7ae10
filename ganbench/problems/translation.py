"""Translation: problems that give a picture and ask for another one, of which everything that is right is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ganbench.errors import UserError
from ganbench.problems.base import Batch, Given, Picture, Truth
from ganbench.problems.images import LEVELS, LabelledImages, _digits, _digits_file_at
from ganbench.problems.known import whole_number
from ganbench.problems.rendered import COLOURS, Rendered, scenes
from ganbench.problems.shapes import GREY
from ganbench.registry import register

PAIRED = {"image", "picture", "pairs", "truth"}
"""What problems provide that give a picture with each sample, and know what is right for it."""


def nearest(x: Tensor, known: Tensor) -> Tensor:
    """Return the place of the nearest of some rows [K, ...] for each of x [n, ...], [n]."""
    return torch.cdist(x.double().flatten(1), known.to(x.device).double().flatten(1)).argmin(1)


# ------------------------------------------------------------------------------------- outlines to coloured shapes


MIDDLE, SIZES = ((0.5, 0.5),), (0.28, 0.42)
"""Where the shapes of `outlines` stand, and their radii, in sides of the image."""


class Outlines(Rendered):
    """A shape in the middle of each image, given its outline: which colour it has is free, and all else is not.

    An outline is one of 8, without noise, so that many fakes of each are seen; each has one answer a colour.
    """

    capabilities = Rendered.capabilities | PAIRED | {"choices", "several"}
    feature_spaces = ("data", "pixels")

    def __init__(self, side: int, samples: int) -> None:
        images, factors = scenes(side, MIDDLE, SIZES)
        pictures = scenes(side, MIDDLE, SIZES, hollow=True)[0].amax(1, keepdim=True)
        # of shape, colour, place and size: the colour last, since it is what an outline leaves open
        order = torch.arange(len(factors)).view(*(factors.amax(0) + 1).tolist()).movedim(1, -1).flatten(0, -2)
        self._outline = torch.empty(len(factors), dtype=torch.int64)
        self._outline[order.flatten()] = torch.arange(len(order)).repeat_interleave(len(COLOURS))
        self._pictures = (GREY * (2 * pictures[order[:, 0]] - 1)).float()
        self.gives = Picture(tuple(self._pictures.shape[1:]))
        super().__init__("outlines", images, factors, samples)
        answers = self.modes.centres[order].unflatten(2, self.shape)
        self.truth = Truth(
            answers=lambda given: answers.to(given.device)[nearest(given, self._pictures)],
            content=lambda x: self._outline.to(x.device)[nearest(x, self.modes.centres)],
            kinds=len(order),
        )

    def given_with(self, group: Tensor | None) -> Given:
        assert group is not None
        return self._pictures[self._outline[group]]


@register("problem", gives="picture", provides=PAIRED | {"modes", "factors", "choices", "several"})
def outlines(*, side: int = 8, samples: int = 0) -> Outlines:
    """Coloured shapes, each given its grey outline: 4 shapes in 2 sizes, of which each may have 4 colours."""
    whole_number("outlines", "side", side, 8, 64)
    return Outlines(side, samples)


# -------------------------------------------------------------------------------------------------- more pixels


FACTORS = (2, 4)


class FromPictures(LabelledImages):
    """Images that are given with a picture which a map makes of each; no two images have the same one."""

    capabilities = LabelledImages.capabilities | PAIRED

    def __init__(self, name: str, parts: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], levels: int,
                 picture_of: Callable[[Tensor], Tensor], *, is_kept: bool) -> None:  # fmt: skip
        """Take images as `LabelledImages` does, and the map from [n, C, H, W] to pictures [n, c, h, w].

        is_kept: that a sample which is right has its picture by the same map.
        """
        super().__init__(name, *parts, (-1.0, 1.0), levels)
        self.equal_classes = True
        self._pictures = picture_of(self.images)
        self._held_out_pictures = picture_of(self.held_out_images)
        self.table = replace(self._table, given=self._pictures)
        self.gives = Picture(tuple(self._pictures.shape[1:]))
        self.truth = Truth(self._answers, self._content, self._classes, picture_of if is_kept else None)
        if is_kept:
            self.capabilities = self.capabilities | {"reversible"}

    def _answers(self, given: Tensor) -> Tensor:
        known = torch.cat([self._pictures, self._held_out_pictures])
        images = torch.cat([self.images, self.held_out_images]).to(given.device)
        return images[nearest(given, known)][:, None]

    def _content(self, x: Tensor) -> Tensor:
        """Return the class [n] of the training image whose pixels are nearest."""
        return self.table_labels.to(x.device)[nearest(x, self.images)]

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places(n, generator))

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        return self._table.batch(self.places_in_groups(weights, n, generator))

    def oracle(self, n: int, seed: int = 0) -> Batch:
        places = self._held_out_places(n, seed)
        return Batch(self._held_out.samples(places), self._held_out_pictures[places])

    def measured_given(self, n: int) -> Given:
        """Return pictures of held-out images: those of training images may be known by heart."""
        return self.oracle(n).given


@register(
    "problem", gives="picture", provides=PAIRED | {"classes", "unequal_groups", "reversible"}, sources=_digits_file_at
)
def upscaled_digits(*, factor: int = 2) -> FromPictures:
    """Handwritten digits as in `digits`, each given with a half or a quarter of its side: the means of 2 x 2 pixels."""
    if factor not in FACTORS:
        raise UserError(f"The problem 'upscaled_digits' takes 2 or 4 as 'factor', got {factor}.")
    return FromPictures("upscaled_digits", _digits(), LEVELS, lambda x: avg_pool2d(x, factor), is_kept=True)


@register(
    "problem", gives="picture", provides=PAIRED | {"classes", "unequal_groups", "reversible"}, sources=_digits_file_at
)
def enlarged_digits() -> FromPictures:
    """Handwritten digits, each given with four pixels: `upscaled_digits` of factor 4, for suites that have both."""
    return FromPictures("enlarged_digits", _digits(), LEVELS, lambda x: avg_pool2d(x, 4), is_kept=True)
