"""What the loop trains: the runs of a population, whatever kind of model they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from ganbench.binding import bind
from ganbench.measure.diagnostics import Snapshot
from ganbench.plan import Run, Variant
from ganbench.problems.base import Given, Problem
from ganbench.training.cost import StepCost


class Learner(Protocol):
    """Runs that train together. The loop, the prober, checkpoints and executors know nothing else of them.

    `alive` [runs] tells which runs have finite numbers, `diverged_step` [runs] at which step the others lost theirs
    (-1: none); `step` counts training steps. One whose latents have numbers of N(0, 1) behind them tells how many a
    sample as `noise`; one that has a density has `log_density(x)`, from samples [n, *shape] to nats [runs, n] or None.
    What else one may tell of itself (`reconstruct`, `tokens`, `word`) is described in measure.of_models.
    """

    @property
    def runs(self) -> Sequence[Run]: ...
    @property
    def variant(self) -> Variant: ...
    @property
    def problem(self) -> Problem: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def step(self) -> int: ...
    @property
    def alive(self) -> Tensor: ...
    @property
    def diverged_step(self) -> Tensor: ...

    def advance(self) -> None:
        """Make one training step for the runs that are alive."""

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Map latents [runs, n, latent_dim], with what is given, to samples [runs, n, *shape]."""

    def generate_average(self, latents: Tensor, given: Given = None) -> Tensor | None:
        """Map latents as `generate` does, by an average of the model that is kept; None where none is."""

    def game(self, given: Given = None) -> Snapshot | None:
        """Return what the game's diagnostics look at, None where no game is played."""

    def whole(self, samples: int) -> int:
        """Return how many of so many samples a probe of the game can show; 0 for none."""

    def measuring(self) -> AbstractContextManager[None]:
        """Switch to measuring, which moves nothing, for the length of a block."""

    @property
    def looped(self) -> Sequence[str]:
        """The names of the plug-ins that could not be vectorised."""

    def costs(self) -> StepCost:
        """Count what a training step costs, on runs that are thrown away."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on, with "step": nested dictionaries of tensors [runs, ...] and numbers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state of the same form."""


def make_learner(runs: Sequence[Run], problem: Problem, device: torch.device) -> Learner:
    """Return the learner of runs that share their static structure."""
    learner: Learner = bind(runs[0].variant, "model")(runs, problem, device)
    return learner
