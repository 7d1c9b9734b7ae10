"""Unpaired translation: pictures of two domains, of different digits, and the known map from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ganbench.problems.base import Batch, Given, Picture, Problem, Truth, stream, swapped
from ganbench.problems.images import LEVELS, _digits, _digits_file_at
from ganbench.problems.rendered import COLOURS
from ganbench.problems.translation import nearest
from ganbench.registry import register

UNPAIRED = {"image", "picture", "unpaired", "there_and_back", "truth"}
"""What problems provide whose samples are two pictures side by side, each given with the other."""

CLASSES, SIDE = 10, 8


@dataclass(frozen=True)
class Domains:
    """Two domains of pictures [n, channels, 8, 8] of digits, A and B, and the map between them.

    shown: from digits [n, 1, 8, 8] and whole numbers below `ways` [n] to their pictures in A. forth: from A to B, where
    each picture has one. back: from B to all pictures [n, ways, channels, 8, 8] of A that go there.
    """

    channels: int
    ways: int
    shown: Callable[[Tensor, Tensor], Tensor]
    forth: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]


class Unpaired(Problem):
    """Samples [b | a] of a picture of B and one of A, of digits that have nothing to do with each other.

    Given is [a | b]: what is right for it is [T(a) | T^-1(b)]. Training digits are in one of the domains alone, a half
    of them in each, so that no picture's translation is ever seen.
    """

    capabilities = frozenset(UNPAIRED)
    value_range = (-1.0, 1.0)
    feature_spaces = ("conv", "pixels")

    def __init__(self, name: str, domains: Domains) -> None:
        self.name, self.domains = name, domains
        self.shape = (domains.channels, SIDE, 2 * SIDE)
        self.gives = Picture(self.shape)
        (train, classes), (held_out, _) = _digits()
        digits, self._held_out = (2 / LEVELS * images - 1 for images in (train, held_out))
        self._halves = digits[: len(digits) // 2], digits[len(digits) // 2 :]
        every = [domains.shown(digits, torch.full((len(digits),), way)) for way in range(domains.ways)]
        self._known = domains.forth(every[0]), torch.cat(every)
        self._classes = classes, classes.repeat(domains.ways)
        self.truth = Truth(self._answers, self._content, CLASSES)

    def _answers(self, given: Tensor) -> Tensor:
        a, b = given.chunk(2, -1)
        back = self.domains.back(b)
        return torch.cat([self.domains.forth(a)[:, None].expand_as(back), back], -1)

    def _content(self, x: Tensor) -> Tensor:
        """Return the classes [n, 2] of the training digits whose pictures are nearest, in B and in A."""
        halves = zip(x.chunk(2, -1), self._known, self._classes, strict=True)
        return torch.stack([classes.to(x.device)[nearest(half, known)] for half, known, classes in halves], 1)

    def _given(self, a: Tensor, b: Tensor, generator: torch.Generator) -> Tensor:
        """Return pictures [a | b] of digits [n, 1, 8, 8], each shown in A in some way of those that there are."""
        ways = torch.randint(self.domains.ways, (2, len(a)), generator=generator)
        shown = [self.domains.shown(digits, way) for digits, way in zip((a, b), ways, strict=True)]
        return torch.cat([shown[0], self.domains.forth(shown[1])], -1)

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw digits of both halves, independent of each other."""
        a, b = (half[torch.randint(len(half), (n,), generator=generator)] for half in self._halves)
        given = self._given(a, b, generator)
        return Batch(swapped(given), given)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.draw(n, generator).x

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return samples of n distinct training digits in each domain; all of a half where there are no more."""
        generator, most = stream("reference", seed), min(map(len, self._halves))
        a, b = (half[torch.randperm(len(half), generator=generator)[: min(n or most, most)]] for half in self._halves)
        return swapped(self._given(a, b, generator))

    def oracle(self, n: int, seed: int = 0) -> Batch:
        """Return what is right for pictures of n distinct held-out digits in each domain; of all where n is larger."""
        generator = stream("oracle", seed)
        a, b = (self._held_out[torch.randperm(len(self._held_out), generator=generator)[:n]] for _ in range(2))
        given = self._given(a, b, generator)
        answers, ways = self._answers(given), torch.randint(self.domains.ways, (len(given),), generator=generator)
        return Batch(answers[torch.arange(len(given)), ways], given)

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        return self.oracle(n, seed).x

    def measured_given(self, n: int) -> Given:
        """Return pictures of held-out digits: those of training digits may be known by heart."""
        return self.oracle(n).given


def _plain(digits: Tensor, way: Tensor) -> Tensor:
    return digits


@register("problem", gives="picture", provides=UNPAIRED, sources=_digits_file_at)
def inverted_digits() -> Unpaired:
    """Handwritten digits and, of other digits, pictures with black and white exchanged (as CycleGAN, unpaired)."""
    return Unpaired("inverted_digits", Domains(1, 1, _plain, torch.neg, lambda b: -b[:, None]))


@register("problem", gives="picture", provides=UNPAIRED, sources=_digits_file_at)
def rotated_digits() -> Unpaired:
    """Handwritten digits and, of other digits, pictures turned by a quarter (as CycleGAN, unpaired)."""
    turned = Domains(
        1, 1, _plain, lambda a: a.rot90(1, (-2, -1)), lambda b: b.rot90(-1, (-2, -1))[:, None],
    )  # fmt: skip
    return Unpaired("rotated_digits", turned)


def _coloured(digits: Tensor, colour: Tensor) -> Tensor:
    channels = torch.tensor(COLOURS, dtype=digits.dtype, device=digits.device)[colour][..., None, None]
    return (digits + 1) * channels - 1


def _in_all_colours(b: Tensor) -> Tensor:
    every = range(len(COLOURS))
    grey = b.mean(1, keepdim=True)
    return torch.stack([_coloured(grey, torch.full((len(b),), colour, device=b.device)) for colour in every], 1)


@register("problem", gives="picture", provides=UNPAIRED, sources=_digits_file_at)
def coloured_digits() -> Unpaired:
    """Digits in one of four colours and, of other digits, grey ones: a grey picture has lost which colour it had."""
    grey = Domains(
        3, len(COLOURS), _coloured, lambda a: a.amax(1, keepdim=True).expand_as(a), _in_all_colours
    )  # fmt: skip
    return Unpaired("coloured_digits", grey)
