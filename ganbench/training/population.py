"""A population: runs that share their static structure and train together as one vectorised program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ganbench import registry
from ganbench.errors import UserError
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.training import batched, noise
from ganbench.training.batched import Tensors
from ganbench.training.building import build_networks
from ganbench.training.losses import loss_slices
from ganbench.training.players import Player
from ganbench.training.trick import Trick


def _lazy(name: str, hypers: Mapping[str, Any]) -> int:
    lazy = int(hypers.get("lazy", 1))
    if lazy < 1:
        raise UserError(f"The key 'regularizer.{name}.lazy' counts updates of D and must be at least 1, got {lazy}.")
    return lazy


class Population:
    """The state of all runs of one population, and the forward passes that every step is made of."""

    def __init__(
        self, runs: Sequence[Run], problem: Problem, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        self.runs, self.problem, self.device = list(runs), problem, device
        variant = self.variant = runs[0].variant
        seeds = sorted({run.seed for run in runs})
        self.seed_index = torch.tensor([seeds.index(run.seed) for run in runs], device=device)
        pairs = {seed: build_networks(variant, problem, seed) for seed in seeds}
        self.generator = Player([pairs[run.seed][0] for run in runs], runs, "g_lr", device, dtype)
        self.discriminator = Player([pairs[run.seed][1] for run in runs], runs, "d_lr", device, dtype)
        self.players = {"d": self.discriminator, "g": self.generator}
        self.losses = loss_slices(runs, device)
        self.update = registry.get("update", variant.update)
        self.update_hypers = variant.hypers_of("update", variant.update)
        # what plug-ins remember, each kind for itself
        self.memory: dict[str, dict[str, Tensor]] = {"update": {}, "regularizer": {}, "trick": {}}
        self.regularizer = registry.get("regularizer", variant.regularizer)
        self.regularizer_hypers = variant.hypers_of("regularizer", variant.regularizer)
        self.lazy = _lazy(self.regularizer.name, self.regularizer_hypers)
        self.alive = torch.ones(len(runs), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(runs),), -1, device=device)
        self.step = 0
        self.trick = Trick(variant)
        self.memory["trick"] = {name: self.players[name].flat.clone() for name in self.trick.averaged}
        self.streams = self._streams(seeds, dtype)

    def _streams(self, seeds: Sequence[int], dtype: torch.dtype) -> dict[str, noise.Stream]:
        variant, problem = self.variant, self.problem
        sample = self.trick.sampler(problem)
        draw, normal = noise.latents(variant.latent, variant.latent_dim), noise.normal(problem.shape)
        sides = [f"{player} {side}" for player in "dg" for side in ("real", "fake")]
        return {
            purpose: noise.Stream(purpose, seeds, variant.batch_size, how, self.device, dtype)
            for purpose, how in {
                "d latent": draw, "g latent": draw, "data": sample, "g data": sample,
                "uniform": noise.uniform, "normal": normal,
                **{f"{side} noise": normal for side in sides},
                **{f"{side} trick": noise.uniforms(self.trick.draws) for side in sides},
            }.items()
        }  # fmt: skip

    def draw(self, purpose: str, index: int) -> Tensor:
        """Return the batch of every run [runs, batch, ...] at an index of a stream."""
        return self.streams[purpose].at(index)[self.seed_index]

    def generate(self, latents: Tensor, *, trained: bool = False) -> Tensor:
        """Map latents [runs, batch, latent_dim] to samples [runs, batch, *shape]."""
        return self.generator(latents, trained=trained)

    def criticise(
        self, samples: Tensor, *, trained: bool = False, runs: slice = slice(None), tensors: Tensors | None = None
    ) -> Tensor:
        """Map samples [runs, batch, *shape] to logits [runs, batch]."""
        return self.discriminator(samples, trained=trained, runs=runs, tensors=tensors).flatten(1)

    def features(self, samples: Tensor, *, trained: bool = False, tensors: Tensors | None = None) -> Tensor:
        """Map samples [runs, batch, *shape] to D's hidden features [runs, batch, f]; UserError where it shows none."""
        return batched.hidden(lambda tap: self.discriminator(samples, trained=trained, tensors=tensors, tap=tap))

    def generate_average(self, latents: Tensor) -> Tensor | None:
        """Map latents as `generate` does, by the average of G that a trick keeps; None where none does."""
        if self.trick.place != "average":
            return None
        return self.generator(latents, tensors=self.generator.views(self.memory["trick"]["g"]))

    def players_losses(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and of G, both [runs], from logits [runs, batch]."""
        # split rather than sliced: its backward joins the parts once instead of padding and adding each
        sizes = [part.runs.stop - part.runs.start for part in self.losses]
        pairs = zip(self.losses, real_logits.split(sizes), fake_logits.split(sizes), strict=True)
        parts = [part(real, fake) for part, real, fake in pairs]
        return torch.cat([d for d, _ in parts]), torch.cat([g for _, g in parts])

    def remember(self) -> None:
        """Let a trick that averages parameters see where the living runs stand after a training step."""
        for name, average in self.memory["trick"].items():
            moved = self.trick.moved(average, self.players[name].flat, self.step + 2)
            self.memory["trick"][name] = torch.where(self.alive.unsqueeze(1), moved, average)

    def mark(self, loss: Tensor, gradient: Tensor) -> None:
        """Freeze the runs in which the loss [runs] or the gradient [runs, size] has left the finite numbers."""
        # a sum is finite only where all its terms are
        self.alive &= (loss + gradient.sum(1)).isfinite()
        self.diverged_step = torch.where(~self.alive & (self.diverged_step < 0), self.step, self.diverged_step)

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
