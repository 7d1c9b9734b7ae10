"""What metrics of models rather than of their samples look at, those with `acts_on="models"`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ganbench.problems.base import Problem


def nothing(_: Tensor) -> None:
    """Tell nothing of any samples."""


@dataclass(frozen=True)
class Seen:
    """What a probe shows of models beside their samples, whether they play a game or not.

    log_density: the logarithm of each model's density at samples [n, *shape], in nats [runs, n], or a bound from below;
    None where it cannot tell. held_out: samples that no training step sees [n, *shape], on the models' device. grain:
    the step between the values of their elements, 0 where these are any number. runs: how many models there are;
    samples, seconds: how many samples each has made, and in how long all together; None where nobody has looked.
    reconstruct: what comes back of samples [n, *shape] that are encoded and decoded, [runs, n, *shape]; tokens: the
    places in a codebook that they come to [runs, n x places], and how many there are; None where there are none.
    word: what a discriminator's word counts in a loss that has others beside it [runs].
    """

    log_density: Callable[[Tensor], Tensor | None]
    held_out: Tensor
    grain: float
    runs: int
    samples: int
    seconds: float | None
    reconstruct: Callable[[Tensor], Tensor | None] = nothing
    tokens: Callable[[Tensor], tuple[Tensor, int] | None] = nothing
    word: Tensor | None = None


def seen_of(problem: Problem, held_out: Tensor) -> Seen:
    """Return a problem as the perfect model of itself."""

    def log_density(x: Tensor) -> Tensor | None:
        own = problem.log_density(x)
        return None if own is None else own[None]

    return Seen(log_density, held_out, problem.grain, 1, len(held_out), None)
