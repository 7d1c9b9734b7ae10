"""Real samples in the place of a model's: what every measure says of a perfect sampler, draw by draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganbench.models.alone import NO_LABELS, Alone
from ganbench.models.fitted import NO_LOSS
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem
from ganbench.registry import register

APART = 10**9
"""Draws that a run may make before they were those of the next seed, or of the oracle (seeds below)."""


class Draws(Alone):
    """Fresh draws of the problem itself: a step is a draw, so that a run's curve is the noise of what measures it."""

    def __init__(self, runs: Sequence[Run], problem: Problem, device: torch.device) -> None:
        super().__init__(runs, problem, device)
        self.drawn = torch.zeros(len(runs), dtype=torch.int64, device=device)

    @property
    def numbers(self) -> int:
        return 0

    def advance(self) -> None:
        """Go on to the next draw."""
        self.drawn += self.alive
        self.step += 1

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        count = latents.shape[1]
        seeds = [APART * (1 + run.seed) + drawn for run, drawn in zip(self.runs, self.drawn.tolist(), strict=True)]
        drawn = [self.problem.oracle_samples(count, seed) for seed in seeds]
        # of a finite set of held-out samples there may be fewer
        return torch.stack([x[torch.arange(count) % len(x)] for x in drawn]).to(self.device)

    def log_density(self, x: Tensor) -> Tensor | None:
        """Return the logarithm of the true density, where it is known."""
        own = self.problem.log_density(x.cpu())
        return None if own is None else own.to(x.device).expand(len(self.runs), -1)

    def again(self) -> Draws:
        return Draws(self.runs, self.problem, self.device)

    def held(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def restore(self, held: Mapping[str, Any]) -> None:
        self.drawn.copy_(held["drawn"])


@register("model", ignores=NO_LOSS, needs=NO_LABELS, likelihood="exact")
def real(runs: Sequence[Run], problem: Problem, device: torch.device) -> Draws:
    """Real against real: held-out samples in the place of generated ones. No model: what a perfect sampler scores.

    Its likelihood is that of the true distribution, where that is known.
    """
    return Draws(runs, problem, device)
