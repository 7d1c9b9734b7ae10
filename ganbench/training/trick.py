"""A variant's trick at the places where training asks for it (see gan.tricks)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganbench import registry
from ganbench.errors import UserError
from ganbench.plan import Variant
from ganbench.problems.base import Problem
from ganbench.training.noise import Draw


class Trick:
    """A trick with its hyper-parameters; `place` is what it acts on, and calling it calls its function."""

    def __init__(self, variant: Variant) -> None:
        plugin = registry.get("trick", variant.trick)
        self.name = plugin.name
        self.place = str(plugin.declared("acts_on"))
        self.draws = int(plugin.declared("draws"))
        # the players whose parameters it averages
        self.averaged = {"parameters": ("d", "g"), "average": ("g",)}.get(self.place, ())
        self._function = partial(plugin.function, **variant.hypers_of("trick", variant.trick))
        self._each = variant.batch_size // self.packed(torch.empty(1, variant.batch_size, 1)).shape[1]

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def loss(self, *args: Tensor) -> Tensor:
        """Return what it makes of tensors [runs, ...] that is one number a run [runs]; UserError where it is not."""
        value: Tensor = self(*args)
        if value.shape != args[0].shape[:1]:
            # a mean over all runs would hand every run a share of its neighbours' losses
            raise UserError(
                f"The trick '{self.name}' must return one number a run, shape {[len(args[0])]}, not "
                f"{list(value.shape)}: keep the leading axis."
            )
        return value

    def packed(self, samples: Tensor) -> Tensor:
        """Return samples [runs, batch, *shape] in the packs that D takes; the samples themselves without packing."""
        packs: Tensor = self(samples) if self.place == "packs" else samples
        return packs

    def whole(self, samples: int) -> int:
        """Return how many of so many samples fill packs."""
        return samples // self._each * self._each

    def moved(self, average: Tensor, flat: Tensor, count: int) -> Tensor:
        """Return an average of parameters [runs, size] that takes in one more place, the count-th with the start."""
        after: Tensor = self(average, flat) if self.place == "average" else average + (flat - average) / count
        return after

    def sampler(self, problem: Problem) -> Draw:
        """Return the draw of training samples."""
        if self.place != "data":
            return problem.sample
        weights = self(problem.group_weights())
        return partial(problem.sample_groups, weights / weights.sum())
