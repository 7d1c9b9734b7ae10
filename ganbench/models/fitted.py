"""Models in closed form, which take in batch after batch: no loss, no optimizer, and streams as for all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.func import vmap

from ganbench.models.alone import NO_GAME, Alone
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem
from ganbench.training import noise

NO_LOSS = (*NO_GAME, "optimizer")
"""The axes that mean nothing to a model in closed form."""

State = dict[str, Tensor]


class Estimator(Protocol):
    """One model in closed form, of samples as flat rows [n, size]; all that it knows of them is in its state.

    numbers, density, smooth: as of a `Form` (models.trained).
    """

    numbers: int
    density: bool
    smooth: bool

    def start(self) -> State:
        """Return the state of one that has seen nothing: float32 tensors on the CPU."""

    def update(self, state: State, x: Tensor, step: int) -> State:
        """Return the state after one more batch [n, size], the first at step 0."""

    def sample(self, state: State, normal: Tensor) -> Tensor:
        """Return samples [n, size] made of numbers of N(0, 1) [n, numbers]."""

    def log_density(self, state: State, x: Tensor) -> Tensor:
        """Return the logarithm of its density at samples [n, size], in nats [n], where it has one (`density`)."""


class Fitted(Alone):
    """Runs of a model in closed form: its state [runs, ...], which each batch moves."""

    def __init__(self, runs: Sequence[Run], problem: Problem, device: torch.device, estimator: Estimator) -> None:
        super().__init__(runs, problem, device)
        self.estimator, count = estimator, len(runs)
        self.state = {name: own.to(device).repeat(count, *[1] * own.dim()) for name, own in estimator.start().items()}
        if estimator.smooth and problem.grain:
            self.streams["between values"] = self.stream("between values", noise.uniforms(self.size))

    @property
    def numbers(self) -> int:
        return self.estimator.numbers

    def advance(self) -> None:
        """Take in the next batch."""
        real, *between = (own.at(self.step)[self.seed_index] for own in self.streams.values())
        for uniform in between:
            real = real + self.problem.grain * (uniform - 0.5).view_as(real)
        step = self.step
        moved = vmap(lambda state, x: self.estimator.update(state, x, step))(self.state, real.flatten(2))
        finite = [own.isfinite().reshape(len(own), -1).all(1) for own in moved.values()]
        self.mark(torch.stack(finite).all(0), step)
        for name, own in self.state.items():
            own.copy_(torch.where(self.alive.view(-1, *[1] * (own.dim() - 1)), moved[name], own))
        self.step += 1

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        return vmap(self.estimator.sample)(self.state, self.normals(latents)).unflatten(2, self.problem.shape)

    def log_density(self, x: Tensor) -> Tensor | None:
        if not self.estimator.density:
            return None
        return vmap(lambda state: self.estimator.log_density(state, x.flatten(1)))(self.state)

    def again(self) -> Fitted:
        return Fitted(self.runs, self.problem, self.device, self.estimator)

    def held(self) -> dict[str, Any]:
        return dict(self.state)

    def restore(self, held: Mapping[str, Any]) -> None:
        for name, own in self.state.items():
            own.copy_(held[name])
