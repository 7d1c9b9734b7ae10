"""Images that are rendered from known factors, as many as are asked for: exact modes, and shares of every factor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganbench.problems.known import whole_number
from ganbench.problems.mixtures import Mixture
from ganbench.problems.shapes import GREY, NOISE
from ganbench.registry import register

FINER = 4  # points along a side of a pixel, by which it is known how much of it is covered


class Rendered(Mixture):
    """Images of all combinations of some factors, each as likely, under weak pixel noise.

    Every image without noise is a mode, so that it is known exactly how far a sample is from all of them, and which
    value of every factor the nearest one has.
    """

    capabilities = Mixture.capabilities | {"image", "factors"}
    value_range = (-1.0, 1.0)

    def __init__(self, name: str, images: Tensor, factors: Tensor, samples: int) -> None:
        """Take images [K, C, H, W] in [0, 1], and the value of each factor in each [K, factors] int64 from 0."""
        super().__init__(name, GREY * (2 * images.flatten(1) - 1), NOISE, raw=True)
        self.modes = replace(self.modes, factors=factors)
        self.shape = tuple(images.shape[1:])
        self.keep(samples)

    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        images, mode = super().fresh(n, generator, weights)
        return images.clamp_(*self.value_range).unflatten(1, self.shape), mode


def combinations(*values: Sequence[Any]) -> Tensor:
    """Return all combinations of the factors' values by their numbers, [K, factors]."""
    return torch.tensor(list(itertools.product(*(range(len(each)) for each in values))))


SHAPES = ("disc", "square", "triangle", "cross")
COLOURS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0))
PLACES = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
RADII = (0.13, 0.22)
RIM = 0.6  # where the rim of a shape begins, in radii


@cache
def scenes(
    side: int, places: Sequence[tuple[float, float]] = PLACES, radii: Sequence[float] = RADII, *, hollow: bool = False
) -> tuple[Tensor, Tensor]:
    """Return images [K, 3, side, side] in [0, 1] of one shape each, and its shape, colour, place and size [K, 4].

    hollow: of each shape the rim alone.
    """
    factors = combinations(SHAPES, COLOURS, places, radii)
    points = (torch.arange(FINER * side, dtype=torch.float64) + 0.5) / (FINER * side)
    masks = {}
    for shape, place, radius in itertools.product(range(len(SHAPES)), range(len(places)), range(len(radii))):
        y, x = ((points - at) / radii[radius] for at in places[place])
        y, x = y[:, None], x[None, :]
        inside = _inside(SHAPES[shape], y, x)
        if hollow:
            inside &= ~_inside(SHAPES[shape], y / RIM, x / RIM)
        masks[shape, place, radius] = (
            inside.double().unflatten(0, (side, FINER)).unflatten(2, (side, FINER)).mean((1, 3))
        )
    covered = torch.stack([masks[shape, place, radius] for shape, _, place, radius in factors.tolist()])
    colours = torch.tensor(COLOURS, dtype=torch.float64)[factors[:, 1]]
    return covered[:, None] * colours[:, :, None, None], factors


def _covered(points: Tensor) -> Tensor:
    """Return the share of each pixel's points [FINER side, FINER side], as [side, side]."""
    side = len(points) // FINER
    return points.unflatten(0, (side, FINER)).unflatten(2, (side, FINER)).mean((1, 3))


def _inside(shape: str, y: Tensor, x: Tensor) -> Tensor:
    """Tell of points, counted in radii from the middle, which a shape covers."""
    if shape == "disc":
        return y.square() + x.square() <= 1
    if shape == "square":
        return (y.abs() <= 0.9) & (x.abs() <= 0.9)
    if shape == "triangle":
        return (y <= 0.9) & (y >= 2 * x.abs() - 0.9)
    return ((y.abs() <= 0.3) | (x.abs() <= 0.3)) & (y.abs() <= 1) & (x.abs() <= 1)


CHARACTERS = "0123456789"
TEXT_FONTS = ("DejaVu*.ttf", "STIXGeneral*.ttf", "cmr10.ttf", "cmb10.ttf", "cmss10.ttf", "cmtt10.ttf", "cmmi10.ttf")
APART = 1.0
"""How far apart the same character is in two fonts that count as two, in pixels that are black in one alone."""


def fonts(**hypers: Any) -> list[Path]:
    """Return the fonts of text that come with matplotlib; its display fonts have no letters."""
    # takes a moment, and only whoever asks for glyphs needs it
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [file for name in TEXT_FONTS for file in sorted(folder.glob(name)) if "Display" not in file.name]


@cache
def characters(side: int) -> tuple[Tensor, Tensor]:
    """Return images [10 x fonts, 1, side, side] in [0, 1] of the ten digits, and the digit and font of each.

    A font counts where each of its digits differs from that of every font before it.
    """
    kept: list[Tensor] = []
    for font in fonts():
        own = torch.stack([_glyph(font, character, side) for character in CHARACTERS])
        if all((own - other).square().sum((1, 2)).min() >= APART for other in kept):
            kept.append(own)
    images = torch.stack(kept, dim=1).flatten(0, 1)[:, None]
    return images, combinations(CHARACTERS, kept)


def _glyph(font: Path, character: str, side: int) -> Tensor:
    """Return a character [side, side] in [0, 1], white on black, in the middle."""
    # as above
    from PIL import Image, ImageDraw, ImageFont

    fine = FINER * side
    image = Image.new("L", (fine, fine))
    # digits are about .73 of a font's size
    face = ImageFont.truetype(str(font), round(1.1 * fine))
    ImageDraw.Draw(image).text((fine / 2, fine / 2), character, fill=255, font=face, anchor="mm")
    return _covered(torch.from_numpy(np.asarray(image).copy()).double() / 255)


@register("problem", provides={"image", "modes", "factors"})
def shapes(*, side: int = 16, samples: int = 0) -> Rendered:
    """Coloured images of one shape each: 4 shapes, 4 colours, 4 places, 2 sizes; a lost attribute is seen as such."""
    whole_number("shapes", "side", side, 8, 64)
    return Rendered("shapes", *scenes(side), samples)


@register("problem", provides={"image", "modes", "factors"}, sources=fonts)
def glyphs(*, side: int = 16, samples: int = 0) -> Rendered:
    """Grey images of the ten digits in the fonts of text that come with matplotlib: a lost font is seen as such."""
    whole_number("glyphs", "side", side, 8, 64)
    return Rendered("glyphs", *characters(side), samples)
