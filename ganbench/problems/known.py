"""Distributions that can be drawn from without end, and finite sets of such draws to train on."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.problems.base import Batch, Given, Problem, SampleTable, places_of_groups, stream

MOST_SAMPLES = 10**7
"""Training samples that are held in memory at once."""

MOST_DIMENSIONS = 4096


class KnownLaw(Problem):
    """A distribution that can be drawn from without end; with `keep`, what is trained on is a finite set of its draws.

    The set is one and the same for every seed of training, and is drawn from with replacement. The reference and the
    oracle are fresh draws of the distribution all the same: a copy of the training set is no perfect sampler, and what
    the discriminator knows by heart is not in the held-out samples.
    """

    _groups: Tensor | None = None

    @abstractmethod
    def fresh(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Draw samples [n, *shape], float32, of the distribution, and the group of each [n], None where it has none.

        weights: those of its groups [groups], for problems with "unequal_groups"; None: the true ones.
        """

    def keep(self, samples: int) -> None:
        """Train on a set of so many samples; 0: on fresh ones without end. UserError for any other number."""
        if not 0 <= samples <= MOST_SAMPLES:
            raise UserError(
                f"The problem '{self.name}' takes 1 to {MOST_SAMPLES} samples, or 0 for no end, got {samples}."
            )
        if samples:
            rows, self._groups = self.fresh(samples, stream("training samples", 0))
            self.table = SampleTable(rows, self.given_with(self._groups))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self._trained(n, generator).x

    def draw(self, n: int, generator: torch.Generator) -> Batch:
        return self._trained(n, generator) if self.gives else super().draw(n, generator)

    def sample_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        return self._trained(n, generator, weights).x

    def draw_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Batch:
        return self._trained(n, generator, weights) if self.gives else super().draw_groups(weights, n, generator)

    def places(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randint(len(self._kept.rows), (n,), generator=generator)

    def places_in_groups(self, weights: Tensor, n: int, generator: torch.Generator) -> Tensor:
        assert self._groups is not None
        return places_of_groups(self._groups, weights, n, generator)

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return fresh samples [n, *shape] (None: 10 000), none of which is trained on."""
        return self.fresh(10_000 if n is None else n, stream("reference", seed))[0]

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return fresh samples [n, *shape]: independent of every reference, and of what is trained on."""
        return self.oracle(n, seed).x

    def oracle(self, n: int, seed: int = 0) -> Batch:
        return self._batch(n, stream("oracle", seed))

    @property
    def _kept(self) -> SampleTable:
        assert self.table is not None
        return self.table

    def _trained(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> Batch:
        if self.table is None:
            return self._batch(n, generator, weights)
        if weights is None:
            return self.table.batch(self.places(n, generator))
        return self.table.batch(self.places_in_groups(weights, n, generator))

    def _batch(self, n: int, generator: torch.Generator, weights: Tensor | None = None) -> Batch:
        samples, group = self.fresh(n, generator, weights)
        return Batch(samples, self.given_with(group))

    def given_with(self, group: Tensor | None) -> Given:
        """Return what is given with samples of these groups [n]: the group itself, where it gives labels."""
        return group if self.gives else None


def positive_numbers(problem: str, **values: float) -> None:
    """Raise UserError for a number that is not above 0 and finite."""
    for name, value in values.items():
        if not value > 0 or not math.isfinite(value):
            raise UserError(f"The problem '{problem}' needs a {name} above 0, got {value}.")


def whole_number(problem: str, name: str, value: int, least: int, most: int) -> None:
    """Raise UserError for a number that is not from `least` to `most`."""
    if not least <= value <= most:
        raise UserError(f"The problem '{problem}' takes {least} to {most} as '{name}', got {value}.")
