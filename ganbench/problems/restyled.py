"""Several domains: digits each in one style, one of all styles asked for, and all that is right known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ganbench.errors import UserError, unknown
from ganbench.problems.base import Batch, Given, Picture, Problem, Targets, Truth, request, stream
from ganbench.problems.images import LEVELS, _digits, _digits_file_at
from ganbench.problems.translation import nearest
from ganbench.registry import register

TARGETS = {"image", "picture", "targets", "there_and_back", "truth"}
"""What problems provide that give a picture and one of several domains that it is to be shown in."""

CLASSES, SIDE, CHANNELS = 10, 8, 3
TOGETHER = "+"


@dataclass(frozen=True)
class Style:
    """A way to show digits [n, 1, 8, 8] as pictures [n, 3, 8, 8], and the way back."""

    shown: Callable[[Tensor], Tensor]
    plain: Callable[[Tensor], Tensor]


def _colour(*channels: float) -> Style:
    def shown(digits: Tensor) -> Tensor:
        return (digits + 1) * torch.tensor(channels, dtype=digits.dtype, device=digits.device)[:, None, None] - 1

    return Style(shown, lambda pictures: pictures.amax(1, keepdim=True))


STYLES = {
    "red": _colour(1, 0, 0),
    "green": _colour(0, 1, 0),
    "blue": _colour(0, 0, 1),
    "yellow": _colour(1, 1, 0),
    "grey": _colour(1, 1, 1),
    "inverted": Style(lambda digits: -digits.expand(-1, CHANNELS, -1, -1), lambda pictures: -pictures[:, :1]),
    "turned": Style(
        lambda digits: digits.rot90(1, (-2, -1)).expand(-1, CHANNELS, -1, -1),
        lambda pictures: pictures[:, :1].rot90(-1, (-2, -1)),
    ),
}
"""The styles that there are; inverted and turned ones are grey."""


class Restyled(Problem):
    """Samples are digits in the style that is asked for; given is another digit, in a style of its own.

    What is right is the digit that is given, in the style asked for, which may be its own. A training digit is in one
    style alone, so that no picture's translation is ever seen.
    """

    capabilities = frozenset(TARGETS)
    value_range = (-1.0, 1.0)
    feature_spaces = ("conv", "pixels")
    shape = (CHANNELS, SIDE, SIDE)

    def __init__(self, name: str, styles: list[str]) -> None:
        self.name, self._styles = name, [STYLES[style] for style in styles]
        self.gives = Picture((CHANNELS + 2 * len(styles), SIDE, SIDE))
        (train, classes), (held_out, _) = _digits()
        self._digits, self._held_out = (2 / LEVELS * images - 1 for images in (train, held_out))
        self._own = torch.arange(len(train)) % len(styles)
        known = torch.cat([style.shown(self._digits) for style in self._styles])
        # in double once: every probe asks for them
        self._known, self._classes = known.double(), classes
        self.truth = Truth(self._answers, self._content, CLASSES,
                           targets=Targets(self._asked, self._style, self._every))  # fmt: skip

    def _shown(self, digits: Tensor, styles: Tensor) -> Tensor:
        every = torch.stack([style.shown(digits) for style in self._styles], 1)
        return every[torch.arange(len(digits), device=digits.device), styles.to(digits.device)]

    def _plain(self, given: Tensor) -> Tensor:
        picture, _, own = request(given, CHANNELS)
        every = torch.stack([style.plain(picture) for style in self._styles], 1)
        return every[torch.arange(len(given), device=given.device), own[..., 0, 0].argmax(1)]

    def _asked(self, given: Tensor) -> Tensor:
        return request(given, CHANNELS).asked[..., 0, 0].argmax(1)

    def _answers(self, given: Tensor) -> Tensor:
        return self._shown(self._plain(given), self._asked(given))[:, None]

    def _every(self, given: Tensor) -> Tensor:
        picture, _, own = request(given, CHANNELS)
        every = torch.arange(len(self._styles), device=given.device)
        return torch.stack([torch.cat([picture, self._planes(style.expand(len(given)), given), own], 1)
                            for style in every], 1)  # fmt: skip

    def _planes(self, styles: Tensor, like: Tensor) -> Tensor:
        return one_hot(styles, len(self._styles)).to(like.dtype)[..., None, None].expand(-1, -1, SIDE, SIDE)

    def _content(self, x: Tensor) -> Tensor:
        """Return the class [n] of the training digit whose picture in some style is nearest."""
        return self._classes.to(x.device)[nearest(x, self._known) % len(self._classes)]

    def _style(self, x: Tensor) -> Tensor:
        """Return the style [n] of the nearest training digit's picture in some style."""
        return nearest(x, self._known) // len(self._classes)

    def _given(self, digits: Tensor, own: Tensor, asked: Tensor) -> Tensor:
        picture = self._shown(digits, own)
        return torch.cat([picture, self._planes(asked, picture), self._planes(own, picture)], 1)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw digits in their own styles, each with another digit's picture of which that style is asked."""
        places, others = (torch.randint(len(self._digits), (n,), generator=generator) for _ in range(2))
        asked = self._own[places]
        x = self._shown(self._digits[places], asked)
        return Batch(x, self._given(self._digits[others], self._own[others], asked))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.draw(n, generator).x

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return pictures of n distinct training digits, each in its own style; all where there are no more."""
        places = torch.randperm(len(self._digits), generator=stream("reference", seed))[:n]
        return self._shown(self._digits[places], self._own[places])

    def oracle(self, n: int, seed: int = 0) -> Batch:
        """Return what is right for pictures of n distinct held-out digits in any style; of all where n is larger."""
        generator = stream("oracle", seed)
        digits = self._held_out[torch.randperm(len(self._held_out), generator=generator)[:n]]
        own, asked = torch.randint(len(self._styles), (2, len(digits)), generator=generator)
        given = self._given(digits, own, asked)
        return Batch(self._answers(given)[:, 0], given)

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        return self.oracle(n, seed).x

    def measured_given(self, n: int) -> Given:
        """Return pictures of held-out digits: those of training digits may be known by heart."""
        return self.oracle(n).given


@register("problem", gives="picture", provides=TARGETS, sources=_digits_file_at)
def restyled_digits(*, styles: str = "red+green+blue") -> Restyled:
    """Handwritten digits in one of several styles, given with another one to be shown in (as StarGAN).

    styles: two or more of red, green, blue, yellow, grey, inverted and turned, joined by +.
    """
    names = styles.split(TOGETHER)
    for name in names:
        if name not in STYLES:
            raise unknown("style of 'problem.restyled_digits.styles'", name, STYLES)
    if len(set(names)) < max(len(names), 2):
        raise UserError(f"The problem 'restyled_digits' takes two or more different styles, got '{styles}'.")
    return Restyled("restyled_digits", names)
