"""Variational autoencoders, which play no game: what a GAN is compared with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ganbench.binding import schedules_of
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem, stream
from ganbench.ranges import AtLeastOne, NotNegative, Positive
from ganbench.registry import NOTHING_GIVEN, register
from ganbench.training import batched, noise
from ganbench.training.cost import StepCost, measured
from ganbench.training.host import Clock
from ganbench.training.players import Player


class Autoencoder(nn.Module):
    """Encoder, decoder and the scale of the decoder's noise, as one module: its parameters are trained together.

    forward: samples and noise, side by side [batch, size + latent_dim], to the terms of the bound: squared error and
    Kullback-Leibler divergence of each sample [batch, 2].
    """

    def __init__(self, shape: tuple[int, ...], latent_dim: int, settings: Mapping[str, Any], *, bounded: bool) -> None:
        super().__init__()
        self.size, self.latent_dim = math.prod(shape), latent_dim
        width, depth = int(settings["width"]), int(settings["depth"])
        self.encoder = _perceptron(self.size, width, depth, 2 * latent_dim)
        body = _perceptron(latent_dim, width, depth, self.size)
        self.decoder = nn.Sequential(*body, *([nn.Tanh()] if bounded else []))
        self.log_scale = nn.Parameter(torch.full((1,), math.log(settings["scale"])))

    def forward(self, x: Tensor) -> Tensor:
        samples, normal = x.split([self.size, self.latent_dim], dim=-1)
        mean, log_variance = self.encoder(samples).chunk(2, dim=-1)
        decoded = self.decoder(mean + (log_variance / 2).exp() * normal)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
        return torch.stack([(decoded - samples).square().sum(-1), divergence], dim=-1)


def _perceptron(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    sizes = [inputs, *[width] * depth]
    layers = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


class Autoencoders:
    """The VAEs of all runs as one: parameters [runs, size], the bound's gradient of each run its own."""

    looped: tuple[str, ...] = ()

    def __init__(
        self, runs: Sequence[Run], problem: Problem, device: torch.device, settings: Mapping[str, Any]
    ) -> None:
        self.runs, self.problem, self.device, self.settings = list(runs), problem, device, settings
        variant = self.variant = runs[0].variant
        seeds = sorted({run.seed for run in runs})
        self.seed_index = torch.tensor([seeds.index(run.seed) for run in runs], device=device)
        built = {seed: _built(problem, variant.latent_dim, settings, seed) for seed in seeds}
        self.step, self.clock = 0, Clock(device, schedules_of(variant))
        self.player = Player([built[run.seed] for run in runs], runs, "g_lr", self.clock, torch.float32)
        self.alive = torch.ones(len(runs), dtype=torch.bool, device=device)
        self.diverged_step = torch.full((len(runs),), -1, device=device)
        draws = {"data": noise.source(problem, device), "vae noise": noise.latents("normal", variant.latent_dim)}
        self.streams = {
            purpose: noise.Stream(purpose, seeds, variant.batch_size, draw, device, torch.float32)
            for purpose, draw in draws.items()
        }

    def advance(self) -> None:
        """Ascend the evidence lower bound of the next batch by one step of the optimizer."""
        self._move(self._inputs(self.step), self.clock)
        self.player.descents += 1
        self.step += 1

    def _inputs(self, step: int) -> dict[str, Any]:
        self.clock.set(step, self.variant.steps, self.player.decay)
        return {**{name: own.held(step) for name, own in self.streams.items()}, "numbers": self.player.numbers()}

    def _move(self, inputs: Mapping[str, Any], clock: Clock) -> None:
        real, normal = (own.samples(inputs[name])[self.seed_index] for name, own in self.streams.items())
        loss = self._loss(real, normal)
        gradient = self.player.gradient(loss)
        self.alive &= (loss.detach() + gradient.sum(1)).isfinite()
        self.diverged_step.copy_(torch.where(~self.alive & (self.diverged_step < 0), clock.step, self.diverged_step))
        self.player.descend(gradient, self.alive, clock.rate, inputs["numbers"])
        self.player.state.settle()

    def _loss(self, real: Tensor, normal: Tensor) -> Tensor:
        """Return minus the bound [runs], per element: beta KL + |x - x'|^2 / 2 s^2 + log s, one scale s a run."""
        terms = self.player(torch.cat([real.flatten(2), normal], dim=-1), trained=True)
        error, divergence = terms.unbind(-1)
        size, log_scale = math.prod(self.problem.shape), self.player.trained["log_scale"][:, 0]
        likelihood = error.mean(1) / (2 * size) * (-2 * log_scale).exp() + log_scale
        return likelihood + float(self.settings["beta"]) * divergence.mean(1) / size

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        """Map latents [runs, n, latent_dim] to the decoder's means [runs, n, *shape]."""
        views = self.player.views(self.player.flat)
        own = {name.removeprefix("decoder."): view for name, view in views.items() if name.startswith("decoder.")}
        module: Any = self.player.module
        return batched.forward(module.decoder, own, latents).unflatten(2, self.problem.shape)

    def generate_average(self, latents: Tensor, given: Given = None) -> None:
        """Keep no average."""

    def game(self, given: Given = None) -> None:
        """Play no game."""

    def whole(self, samples: int) -> int:
        """Take samples one by one."""
        return samples

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure as it trains: it holds no layer that differs."""
        yield

    def costs(self) -> StepCost:
        """Count what a training step costs, on runs that are thrown away."""
        own = Autoencoders(self.runs, self.problem, self.device, self.settings)
        own.advance()  # what an optimizer makes the first time is there in every later step
        meter = measured(own.advance)
        return StepCost((meter.flop / len(self.runs),) * len(self.runs), meter.peak_bytes)

    def state_dict(self) -> dict[str, Any]:
        """Return all that a step depends on."""
        own = {"step": self.step, "alive": self.alive, "diverged_step": self.diverged_step}
        return {**own, "player": self.player.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a state of the same form."""
        self.step = state["step"]
        self.alive.copy_(state["alive"])
        self.diverged_step.copy_(state["diverged_step"])
        self.player.load_state_dict(state["player"])


def _built(problem: Problem, latent_dim: int, settings: Mapping[str, Any], seed: int) -> Autoencoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream("initial weights", seed).initial_seed())
        bounded = problem.value_range is not None
        return Autoencoder(problem.shape, latent_dim, settings, bounded=bounded)


IGNORED = (
    "network", "loss", "normalization", "g_normalization", "regularizer", "g_regularizer", "update", "trick", "term",
)  # fmt: skip


@register("model", ignores=IGNORED, needs={NOTHING_GIVEN: "it takes no label"})
def vae(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 32,
    depth: AtLeastOne = 2,
    beta: NotNegative = 1.0,
    scale: Positive = 0.1,
) -> Autoencoders:
    """Variational autoencoder: N(x; decoder(z), s^2), s learned, KL weighed by beta (Kingma 2014; Higgins 2017).

    Perceptrons of `depth` hidden layers of `width` units; samples are the decoder's means. One s for all elements is
    learned with the rest (Rybkin 2021), from `scale`: where that is the scale of the data, the bound is content with a
    posterior that tells nothing. The optimizer's rate is that of G.
    """
    return Autoencoders(runs, problem, device, {"width": width, "depth": depth, "beta": beta, "scale": scale})
