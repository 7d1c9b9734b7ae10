"""What models that play no game share: all that the loop asks of a learner but for the model itself.

Models are written for one run. One that a loss trains is a plain module (models.trained), one in closed form a few
functions of its state (models.fitted); either way the runs of a population go through it as one.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.measure.diagnostics import Snapshot
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem
from ganbench.registry import NOTHING_GIVEN
from ganbench.training import noise
from ganbench.training.cost import StepCost, measured

NO_GAME = (
    "network", "loss", "normalization", "g_normalization", "regularizer", "g_regularizer", "update", "trick", "term",
)  # fmt: skip
"""The axes that mean nothing to a model without players."""
NO_LABELS = {NOTHING_GIVEN: "it takes nothing given"}


class Alone(ABC):
    """Runs of models that play no game: all that the loop asks of a learner but for the model itself.

    Random numbers of a step are those of `streams`, batches of a run's seed, whatever it is compared with.
    """

    looped: tuple[str, ...] = ()

    def __init__(self, runs: Sequence[Run], problem: Problem, device: torch.device) -> None:
        self.runs, self.problem, self.device = list(runs), problem, device
        self.variant, self.size = runs[0].variant, math.prod(problem.shape)
        self.seeds = sorted({run.seed for run in runs})
        self.seed_index = torch.tensor([self.seeds.index(run.seed) for run in runs], device=device)
        self.step = 0
        self.alive = torch.ones(len(runs), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(runs),), -1, device=device)
        self.streams = {"data": self.stream("data", noise.source(problem, device))}

    def stream(self, purpose: str, draw: noise.Draw | noise.Source | noise.Places) -> noise.Stream:
        """Return a stream of batches, one of each seed."""
        return noise.Stream(purpose, self.seeds, self.variant.batch_size, draw, self.device, torch.float32)

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many numbers of N(0, 1) a sample is made of."""

    @property
    def noise(self) -> int:
        """How many of them stand behind the latents; these are the first, where they are of N(0, 1) too."""
        return max(0, self.numbers - self._told)

    @property
    def _told(self) -> int:
        return self.variant.latent_dim if self.variant.latent == "normal" else 0

    def normals(self, latents: Tensor) -> Tensor:
        """Return the numbers of N(0, 1) [runs, n, numbers] among latents [runs, n, latent_dim + noise]."""
        first = 0 if self._told else self.variant.latent_dim
        return latents[..., first : first + self.numbers]

    def mark(self, finite: Tensor, step: Tensor | int) -> None:
        """Freeze the runs whose numbers are not finite [runs] any more."""
        self.alive &= finite
        self.diverged_step.copy_(torch.where(~self.alive & (self.diverged_step < 0), step, self.diverged_step))

    @abstractmethod
    def advance(self) -> None:
        """Make one training step for the runs that are alive."""

    @abstractmethod
    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Map latents [runs, n, latent_dim + noise] to samples [runs, n, *shape]."""

    def log_density(self, x: Tensor) -> Tensor | None:
        """Return the logarithm of each run's density at samples [n, *shape], in nats [runs, n]; None: it has none."""
        return None

    def generate_average(self, latents: Tensor, given: Given = None) -> Tensor | None:
        """Keep no average."""
        return None

    def game(self, given: Given = None) -> Snapshot | None:
        """Play no game."""
        return None

    def whole(self, samples: int) -> int:
        """Take samples one by one."""
        return samples

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure as it trains: it holds no layer that differs."""
        yield

    def costs(self) -> StepCost:
        """Count what a training step costs, on runs that are thrown away."""
        own = self.again()
        own.advance()  # what an optimizer makes the first time is there in every later step
        meter = measured(own.advance)
        return StepCost((meter.flop / len(self.runs),) * len(self.runs), meter.peak_bytes)

    @abstractmethod
    def again(self) -> Alone:
        """Return the same runs, untrained."""

    @abstractmethod
    def held(self) -> dict[str, Any]:
        """Return what a step depends on beside its place in the training."""

    @abstractmethod
    def restore(self, held: Mapping[str, Any]) -> None:
        """Go to what another one of the same form has held."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on."""
        return {"step": self.step, "alive": self.alive, "diverged_step": self.diverged_step, **self.held()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state of the same form."""
        self.step = state["step"]
        self.alive.copy_(state["alive"])
        self.diverged_step.copy_(state["diverged_step"])
        self.restore(state)


def perceptron(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """Return a perceptron of so many hidden layers."""
    sizes = [inputs, *[width] * depth]
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def share_below(normal: Tensor) -> Tensor:
    """Return numbers of U(0, 1) made of numbers of N(0, 1)."""
    return torch.special.ndtr(normal)


def log_normal(x: Tensor, mean: Tensor | float, log_scale: Tensor | float) -> Tensor:
    """Return the logarithm of the density of N(mean, scale^2), element by element."""
    scale = log_scale if isinstance(log_scale, Tensor) else torch.full_like(x, log_scale)
    return -0.5 * ((x - mean) * (-scale).exp()).square() - scale - 0.5 * math.log(2 * math.pi)
