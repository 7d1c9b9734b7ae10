"""What every problem offers: samples to train on, samples to measure against, and a perfect generator's samples."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ganbench.errors import UserError

Given = Tensor | tuple["Given", ...] | None
"""What a problem hands to both players beside noise and samples: nothing, a tensor [n, ...], or a tuple of these."""


class Batch(NamedTuple):
    """Samples x [n, *shape], and what is given with each of them."""

    x: Tensor
    given: Given = None


def mapped(function: Callable[[Tensor], Tensor], given: Given) -> Given:
    """Return what is given with every tensor of it mapped."""
    if given is None or isinstance(given, Tensor):
        return None if given is None else function(given)
    return tuple(mapped(function, part) for part in given)


def swapped(pictures: Given) -> Tensor:
    """Return pictures [..., width] with their left and right halves exchanged.

    So samples of two domains become what is given with them, and the other way round.
    """
    assert isinstance(pictures, Tensor)
    return pictures.roll(pictures.shape[-1] // 2, -1)


class Request(NamedTuple):
    """Pictures [..., C, H, W], the domains asked for, and those that they are in: [..., K, H, W] of 0 and 1."""

    picture: Tensor
    asked: Tensor
    own: Tensor


def request(given: Given, channels: int) -> Request:
    """Return what is given by a problem of several domains [..., C + 2 K, H, W] as its parts, C being `channels`."""
    assert isinstance(given, Tensor)
    domains = (given.shape[-3] - channels) // 2
    return Request(*given.split([channels, domains, domains], -3))


def sent_back(fake: Tensor, given: Given) -> Tensor:
    """Return what is given for fakes [..., C, H, W] to be translated back to the domains that they came from."""
    _, asked, own = request(given, fake.shape[-3])
    return torch.cat([fake, own, asked], -3)


def on_device(given: Given, device: torch.device) -> Given:
    """Return what is given on a device."""
    return mapped(lambda part: part.to(device), given)


def stacked(givens: Sequence[Given]) -> Given:
    """Return what is given to several as one, each tensor of it stacked."""
    first = givens[0]
    if first is None or isinstance(first, Tensor):
        return None if first is None else torch.stack([given for given in givens if isinstance(given, Tensor)])
    return tuple(stacked(parts) for parts in zip(*(given for given in givens if isinstance(given, tuple)), strict=True))


@dataclass(frozen=True)
class SampleTable:
    """All training samples of a problem whose data are finite, as they are stored, and what is given with each.

    rows: [N, *shape], float32 as samples are, or whole numbers that stand for low + width x row.
    """

    rows: Tensor
    given: Given = None
    low: float = 0.0
    width: float = 1.0

    def to(self, device: torch.device) -> SampleTable:
        """Return it on a device."""
        return replace(self, rows=self.rows.to(device), given=on_device(self.given, device))

    def samples(self, places: Tensor) -> Tensor:
        """Return the samples [..., *shape], float32, at places [...] int64."""
        rows = _picked(self.rows, places)
        return rows if rows.is_floating_point() else rows.float().mul_(self.width).add_(self.low)

    def given_at(self, places: Tensor) -> Given:
        """Return what is given with the samples at places [...]."""
        return mapped(lambda part: _picked(part, places), self.given)

    def batch(self, places: Tensor) -> Batch:
        """Return the samples at places [n] with what is given."""
        return Batch(self.samples(places), self.given_at(places))


def places_of_groups(groups: Tensor, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw places [n] in a table whose samples are of these groups [N], each group with its weight; they sum to 1.

    A group of which the table has no sample leaves its weight to the others; UserError where none is left.
    """
    sizes = groups.bincount(minlength=len(weights)).double()
    each = torch.where(sizes > 0, weights / sizes, 0.0)[groups].cumsum(0)
    uniform = torch.rand(n, dtype=torch.float64, generator=generator)
    if not sizes.all():
        if not each[-1] > 0:
            raise UserError("The training samples hold none of the groups that are asked for.")
        uniform = uniform * each[-1]
    # the cumulated weights may end a rounding error below 1
    return torch.searchsorted(each, uniform, right=True).clamp_(max=len(each) - 1)


def _picked(rows: Tensor, places: Tensor) -> Tensor:
    # row by row, where advanced indexing goes number by number
    return rows.index_select(0, places.flatten()).unflatten(0, places.shape)


@dataclass(frozen=True)
class Label:
    """A problem gives a label: one of so many classes, int64, from 0."""

    classes: int


@dataclass(frozen=True)
class Picture:
    """A problem gives a picture: float32 of a shape [C, H, W], whose side may be a part of the samples'; no label."""

    shape: tuple[int, ...]
    classes: int = 0


@dataclass(frozen=True)
class Targets:
    """Which of several domains is asked for, and which samples are in.

    asked: from what is given [n, ...] to domains int64 [n]. shown: from samples [n, *shape] to domains [n]. every: from
    what is given to the same asked of every domain [n, domains, ...].
    """

    asked: Callable[[Tensor], Tensor]
    shown: Callable[[Tensor], Tensor]
    every: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Source:
    """All pictures that may be given [K, C, H, W], with the class of each [K] int64: a map from pictures to classes."""

    pictures: Tensor
    classes: Tensor

    def __call__(self, given: Tensor) -> Tensor:
        """Return the classes [...] of pictures [..., C, H, W], by the nearest one that there is."""
        known = self.pictures.flatten(1).to(given)
        # |x - k|^2 without |x|^2, which is the same for all k
        away = known.square().sum(1) / 2 - given.flatten(-3) @ known.T
        return self.classes[away.argmin(-1)]

    @property
    def kinds(self) -> int:
        """How many classes there are."""
        return int(self.classes.max()) + 1

    def to(self, device: torch.device) -> Source:
        """Return it on a device."""
        return Source(self.pictures.to(device), self.classes.to(device))


@dataclass(frozen=True)
class Truth:
    """What is right for what is given, where that is known.

    answers: from what is given [n, ...] to all that is right for each, without noise, [n, choices, *shape]. content:
    from samples [n, *shape] to which of `kinds` things they show, int64 [n], or [n, things] where each shows several;
    all answers for one input show the same.
    given_of: from samples [n, *shape] to what would be given with them, where they decide it. targets: of a problem
    that asks for one of several domains, what it asks for. source: of a problem that gives pictures of the samples'
    classes, all of them; then inputs of one class have the same answers. away: where there is no end of what is right,
    and `answers` are some that stand for all, root mean square differences of an element of samples [n, *shape] from
    the nearest one of all that are right for what is given [u, ...], [n, u].
    """

    answers: Callable[[Tensor], Tensor]
    content: Callable[[Tensor], Tensor]
    kinds: int
    given_of: Callable[[Tensor], Tensor] | None = None
    targets: Targets | None = None
    source: Source | None = None
    away: Callable[[Tensor, Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Modes:
    """The exact modes of a mixture of Gaussians of one shape: centres [K, d], std, weights [K]; all float64.

    within: how many standard deviations a sample of high quality may be from its centre; None: as many as hold the same
    share of a Gaussian in every dimension. basis: orthonormal columns [d, k] that span the directions in which the
    modes have `std`, where in all others they have `null_std`; None: they are isotropic. factors: the value that each
    mode has of some factors, int64 [K, factors] from 0; None: modes have no parts.
    """

    centres: Tensor
    std: float
    weights: Tensor
    within: float | None = None
    basis: Tensor | None = None
    null_std: float = 0.0
    factors: Tensor | None = None


class Problem(ABC):
    """A data distribution, with its oracle (what a perfect generator would score).

    shape: the shape of one sample. capabilities: what networks and metrics may rely on ("image", "modes", "classes").
    value_range: the declared range of an image's pixels. feature_spaces: where metrics compare samples, main one first.
    labels: the class of each sample of `reference()`, for problems with classes. gives: what it gives, or None,
    where its networks are called with one argument. table: all its training samples, or None where these have no end:
    then training draws `places` in it, and takes the samples from it where it trains. equal_classes: that its classes
    are meant to be equally likely and are counted so, whatever its samples have; otherwise as held-out samples show
    them. notes: what was made of the data before they were trained on, in sentences. single: the problem whose images
    stand in each of its channels alone, where its classes are all combinations of that one's. truth: what is right for
    what is given, where that is known.
    """

    name: str
    shape: tuple[int, ...]
    capabilities: frozenset[str] = frozenset()
    value_range: tuple[float, float] | None = None
    feature_spaces: tuple[str, ...] = ("data",)
    modes: Modes | None = None
    labels: Tensor | None = None
    gives: Label | Picture | None = None
    table: SampleTable | None = None
    equal_classes: bool = False
    notes: tuple[str, ...] = ()
    single: Problem | None = None
    truth: Truth | None = None

    @property
    def grain(self) -> float:
        """The step between the values that elements of its samples take; 0 where these are any number."""
        return 0.0 if self.table is None or self.table.rows.is_floating_point() else self.table.width

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw training samples [n, *shape], float32 on the CPU, from nothing but the generator's stream."""

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        """Draw a training batch of n, from nothing but the generator's stream."""
        return Batch(self.sample(n, generator))

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        """Draw a training batch as `draw` does, from groups of these weights [groups] that sum to 1."""
        return Batch(self.sample_groups(weights, n, generator))

    def places(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw the places [n] of what `draw` returns for the same stream in the `table`."""
        raise NotImplementedError

    def places_in_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw places [n] as `draw_groups` does samples."""
        raise NotImplementedError

    def oracle(self, n: int, seed: int = 0) -> Batch:
        """Return what a perfect generator would give for what it is given."""
        return Batch(self.oracle_samples(n, seed))

    def measured_given(self, n: int) -> Given:
        """Return what the n fakes that are measured are made for."""
        return self.draw(n, stream("probe given", 0)).given

    def group_weights(self) -> Tensor:
        """Return the weights [groups] of its modes or classes, for problems with "unequal_groups"; they sum to 1."""
        raise NotImplementedError

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        """Draw training samples [n, *shape] as `sample` does, from groups of these weights [groups] that sum to 1."""
        raise NotImplementedError

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return the fixed real samples [n, *shape] that generators are measured against (None: 10 000)."""
        return self.sample(10_000 if n is None else n, stream("reference", seed))

    def labelled(self) -> tuple[SampleTable, Tensor]:
        """Return samples with the class of each [N], for problems with classes: what a classifier is trained on."""
        assert self.labels is not None
        return SampleTable(self.reference()), self.labels

    def labelled_oracle(self) -> tuple[Tensor, Tensor] | None:
        """Return held-out samples [n, *shape] with the class of each [n]; None where these are not known."""
        return None

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return what a perfect generator would give, [n, *shape]: independent of every reference."""
        return self.sample(n, stream("oracle", seed))

    def log_density(self, x: Tensor) -> Tensor | None:
        """Return the logarithm of its own density at samples [n, *shape], in nats [n]; None where nobody knows it."""
        return None


def stream(purpose: str, seed: int) -> torch.Generator:
    """Return a CPU generator of its own for a purpose and a seed, so that no two purposes share random numbers."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
