"""A population: runs that share their static structure and train together as one vectorised program."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganbench.binding import bind, schedules_of
from ganbench.plan import Run
from ganbench.problems.base import Batch, Given, Problem, mapped
from ganbench.training import batched, noise
from ganbench.training.batched import Tensors
from ganbench.training.building import build_networks
from ganbench.training.cost import StepCost, step_cost
from ganbench.training.host import Clock, Inputs, Now, Phases, Recipe
from ganbench.training.kept import Kept, settle
from ganbench.training.losses import losses_of
from ganbench.training.objective import Objective, sampler, whole
from ganbench.training.parts import heads_of, latents_of, parts_of
from ganbench.training.players import Player
from ganbench.training.recorded import recorder
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step


class Population:
    """The state of all runs of one population, and the forward passes that every step is made of."""

    def __init__(
        self, runs: Sequence[Run], problem: Problem, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.runs, self.problem, self.device = list(runs), problem, device
        variant = self.variant = runs[0].variant
        seeds = sorted({run.seed for run in runs})
        self.seed_index = torch.tensor([seeds.index(run.seed) for run in runs], device=device)
        self.step = 0
        self.clock = Clock(device, set().union(*(schedules_of(run.variant) for run in runs)), dtype)
        pairs = {seed: build_networks(variant, problem, seed) for seed in seeds}
        self.generator = Player([pairs[run.seed][0] for run in runs], runs, "g_lr", self.clock, dtype)
        self.discriminator = Player([pairs[run.seed][1] for run in runs], runs, "d_lr", self.clock, dtype)
        self.players = {"d": self.discriminator, "g": self.generator}
        self.update = bind(variant, "update").following(self.clock.values)
        self.objective = Objective(losses_of(runs, device, self.clock.values), parts_of(variant, self.clock.values))
        self.heads = heads_of(self.objective.parts, problem)
        # what update rule and parts remember, each for itself
        self.memory = {"update": Kept()}
        for part in self.objective.parts:
            part.prepare(problem, device)
            part.start(self.players)
            self.memory[part.label] = part.memory
        self.kept = [*self.memory.values(), *(player.state for player in self.players.values())]
        settle(self.kept)
        self.alive = torch.ones(len(runs), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(runs),), -1, device=device)
        self.streams = self._streams(seeds, dtype)
        self.phases = Phases(self.kept)
        self.recipes: dict[Hashable, Recipe] = {}
        self.recorded = recorder(variant, device)

    def _streams(self, seeds: Sequence[int], dtype: torch.dtype) -> dict[str, noise.Stream]:
        variant, parts = self.variant, self.objective.parts
        sample = sampler(parts, self.problem, self.device)
        draw = latents_of(variant, parts, self.noise)
        draws: dict[str, noise.Draw | noise.Source | noise.Places] = {
            "d latent": draw, "g latent": draw, "data": sample, "g data": sample,
            "uniform": noise.uniform, "normal": noise.normal(self.problem.shape),
        }  # fmt: skip
        for part in parts:
            draws |= {purpose + part.suffix: own for purpose, own in part.draws(self.problem.shape).items()}
        return {
            purpose: noise.Stream(purpose, seeds, variant.batch_size, own, self.device, dtype)
            for purpose, own in draws.items()
        }

    @property
    def noise(self) -> int:
        """How many numbers of N(0, 1) a sample G takes behind its latents."""
        return int(getattr(self.generator.module, "noise", 0))

    def inputs(self, step: int) -> Inputs:
        """Return what the host hands to a step, and set the clock to it."""
        self.clock.set(step, self.variant.steps, self.generator.decay)
        batches = {name: player.batches for name, player in self.players.items()}
        now = Now(step, step / self.variant.steps, batches)
        phase = self.phases.key(now)
        recipe = self.recipes.get(phase, Recipe())
        return Inputs(now, phase, self._fetched, recipe.wants)

    def _fetched(self, what: str, player: str, *which: Any) -> Any:
        """Return a batch of a stream, or the numbers of an optimizer's step, at a place among those of this step."""
        own = self.players[player]
        if what == "numbers":
            return own.numbers(*which)
        purpose, place = which
        return self.streams[purpose].held(own.batches + place)

    def count(self, inputs: Inputs) -> None:
        """Go on to the next step, and remember what this one wanted for others of its phase."""
        recipe = self.recipes[inputs.phase] = inputs.recipe
        for name, player in self.players.items():
            player.batches += recipe.batches[name]
            player.descents += recipe.descents[name]
        self.step += 1

    def batch(self, purpose: str, held: Batch) -> Tensor:
        """Return the batch of every run [runs, batch, ...] of what a stream holds of it."""
        return self.streams[purpose].samples(held)[self.seed_index]

    def given_with(self, purpose: str, held: Batch) -> Given:
        """Return what the problem gives with the batch of every run, [runs, batch, ...]."""
        return mapped(lambda part: part[self.seed_index], self.streams[purpose].given_with(held))

    def draw(self, purpose: str, index: int) -> Tensor:
        """Return the batch of every run [runs, batch, ...] at an index of a stream."""
        return self.batch(purpose, self.streams[purpose].held(index))

    def given(self, purpose: str, index: int) -> Given:
        """Return what the problem gives with the batch of every run at an index, [runs, batch, ...]."""
        return self.given_with(purpose, self.streams[purpose].held(index))

    def generate(self, latents: Tensor, given: Given = None, *, trained: bool = False) -> Tensor:
        """Map latents [runs, batch, latent_dim + noise], with what is given, to samples [runs, batch, *shape]."""
        return self.generator(latents, given, trained=trained)

    def criticise(
        self,
        samples: Tensor,
        given: Given = None,
        *,
        trained: bool = False,
        runs: slice = slice(None),
        tensors: Tensors | None = None,
    ) -> Tensor:
        """Map samples [runs, batch, *shape], with what is given, to logits [runs, batch]."""
        return self.logits(self.discriminator(samples, given, trained=trained, runs=runs, tensors=tensors))

    def logits(self, said: Tensor) -> Tensor:
        """Return the logits [runs, batch] among all that D says of samples: what its heads say stands behind."""
        return said[..., 0] if self.heads else said.flatten(1)

    def features(
        self, samples: Tensor, given: Given = None, *, trained: bool = False, tensors: Tensors | None = None
    ) -> Tensor:
        """Map samples [runs, batch, *shape] to D's hidden features [runs, batch, f]; UserError where it shows none."""
        return batched.hidden(lambda tap: self.discriminator(samples, given, trained=trained, tensors=tensors, tap=tap))

    def generate_average(self, latents: Tensor, given: Given = None) -> Tensor | None:
        """Map latents as `generate` does, by the average of G that a part keeps; None where none does."""
        averages = [part.average for part in self.objective.parts if part.average is not None]
        return self.generator(latents, given, tensors=self.generator.views(averages[0])) if averages else None

    def remember(self, clock: Clock) -> None:
        """Let the parts see where the living runs stand after a training step, and keep what anybody remembers."""
        for part in self.objective.parts:
            part.after_step(self.players, self.alive, clock.step)
        settle(self.kept)

    def advance(self) -> None:
        """Make one training step for the runs that are alive."""
        if self.recorded is None:
            train_step(self)
        else:
            self.recorded.advance(self)

    def game(self, given: Given = None) -> Snapshot:
        """Return what the game's diagnostics look at."""
        return Snapshot(self, given)

    def whole(self, samples: int) -> int:
        """Return how many of so many samples fill packs of D."""
        return whole(self.objective.parts, samples, self.variant.batch_size)

    @property
    def looped(self) -> list[str]:
        """The names of the losses that could not be vectorised."""
        return [part.plugin.name for part in self.objective.losses.slices if part.how == "looped"]

    def costs(self) -> StepCost:
        """Count what a training step costs, on populations that are thrown away."""
        return step_cost(lambda runs: Population(runs, self.problem, self.device), self.runs)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on."""
        players = {name: player.state_dict() for name, player in self.players.items()}
        own = {"step": self.step, "alive": self.alive, "diverged_step": self.diverged_step}
        memory = {owner: dict(own) for owner, own in self.memory.items()}
        return {**own, "memory": memory, "players": players}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state of the same form."""
        self.step = state["step"]
        self.alive.copy_(state["alive"])
        self.diverged_step.copy_(state["diverged_step"])
        for owner, memory in state["memory"].items():
            self.memory[owner].restore(memory)
        for name, player in self.players.items():
            player.load_state_dict(state["players"][name])

    def mark(self, loss: Tensor, gradient: Tensor, step: Tensor) -> None:
        """Freeze the runs in which the loss [runs] or the gradient [runs, size] has left the finite numbers."""
        # a sum is finite only where all its terms are
        self.alive &= (loss + gradient.sum(1)).isfinite()
        self.diverged_step.copy_(torch.where(~self.alive & (self.diverged_step < 0), step, self.diverged_step))

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Switch both networks to measuring (spectral norms stop iterating) for the length of a block."""
        modules = (self.generator.module, self.discriminator.module)
        before = [module.training for module in modules]
        for module in modules:
            module.eval()
        try:
            yield
        finally:
            for module, training in zip(modules, before, strict=True):
                module.train(training)
