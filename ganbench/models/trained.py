"""Models that one loss trains, by the optimizers, streams and rules by which the players of a GAN are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ganbench.binding import schedules_of
from ganbench.models.alone import Alone
from ganbench.plan import Run
from ganbench.problems.base import Given, Problem, stream
from ganbench.training import noise
from ganbench.training.host import Clock
from ganbench.training.players import Player

M = TypeVar("M")


class Form(nn.Module):
    """One model that one loss trains, of samples as flat rows [n, size].

    numbers: of N(0, 1) that a sample is made of. draws: those that a training sample takes. estimates: those that the
    density at a sample takes. density: whether it can tell one. encodes: whether it encodes samples, and decodes them
    again. smooth: whether it is trained on samples with uniform noise as wide as the steps between their values, where
    there are such steps: without it a density could grow without end (Theis 2016).
    """

    numbers: int = 0
    draws: int = 0
    estimates: int = 0
    density: bool = False
    encodes: bool = False
    smooth: bool = False

    def loss(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return what training lowers [n], of samples [n, size] and numbers of N(0, 1) [n, draws]."""
        raise NotImplementedError

    def sample(self, normal: Tensor) -> Tensor:
        """Return samples [n, size] made of numbers of N(0, 1) [n, numbers]."""
        raise NotImplementedError

    def log_density(self, x: Tensor, normal: Tensor) -> Tensor:
        """Return the logarithm of the density at samples [n, size], or a bound from below, in nats [n].

        normal: numbers of N(0, 1) [n, estimates].
        """
        raise NotImplementedError

    def recoded(self, x: Tensor) -> Tensor:
        """Return what comes back of samples [n, size] that are encoded and decoded."""
        raise NotImplementedError


class _Method(nn.Module):
    """A method of a module as a module: what `functional_call` can call."""

    def __init__(self, of: nn.Module, name: str) -> None:
        super().__init__()
        self.of, self._name = of, name

    def forward(self, *inputs: Tensor) -> Any:
        return getattr(self.of, self._name)(*inputs)


class Trained(Alone):
    """Runs of a model that one loss trains: parameters [runs, size], the gradient of each run its own."""

    def __init__(self, runs: Sequence[Run], problem: Problem, device: torch.device, build: Callable[[], Form]) -> None:
        """Take what builds the model of one run; weights depend on seed and structure alone."""
        super().__init__(runs, problem, device)
        self.build, self.clock = build, Clock(device, schedules_of(self.variant))
        built = {seed: self._built(seed) for seed in self.seeds}
        self.player = Player([built[run.seed] for run in runs], runs, "g_lr", self.clock, torch.float32)
        self.module: Any = self.player.module
        self.streams[f"{self.variant.model} noise"] = self.stream(
            f"{self.variant.model} noise", noise.normal((int(built[self.seeds[0]].draws),))
        )
        if self.module.smooth and problem.grain:
            self.streams["between values"] = self.stream("between values", noise.uniforms(self.size))

    def _built(self, seed: int) -> Form:
        return self.drawn(seed, self.build)

    def drawn(self, seed: int, build: Callable[[], M]) -> M:
        """Build modules with the weights of a seed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream("initial weights", seed).initial_seed())
            return build()

    @property
    def numbers(self) -> int:
        return int(self.module.numbers)

    def advance(self) -> None:
        """Lower the loss on the next batch by one step of the optimizer."""
        self._move(self._inputs(self.step), self.clock)
        self.player.descents += 1
        self.step += 1

    def _inputs(self, step: int) -> dict[str, Any]:
        self.clock.set(step, self.variant.steps, self.player.decay)
        return {**{name: own.held(step) for name, own in self.streams.items()}, "numbers": self.player.numbers()}

    def _move(self, inputs: Mapping[str, Any], clock: Clock) -> None:
        real, normal = self.batch(inputs)
        self.descend(self.player, self.losses(real, normal), clock, inputs["numbers"])

    def batch(self, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Return the samples [runs, batch, *shape] and numbers [runs, batch, draws] of a step."""
        real, normal, *between = (own.samples(inputs[name])[self.seed_index] for name, own in self.streams.items())
        for uniform in between:
            real = real + self.problem.grain * (uniform - 0.5).view_as(real)
        return real, normal

    def descend(self, player: Player, loss: Tensor, clock: Clock, numbers: Any) -> None:
        """Make one step of a player's optimizer on each run's loss [runs]; runs where it is not finite freeze."""
        gradient = player.gradient(loss)
        self.mark((loss.detach() + gradient.sum(1)).isfinite(), clock.step)
        player.descend(gradient, self.alive, clock.rate, numbers)
        player.state.settle()

    def losses(self, real: Tensor, normal: Tensor) -> Tensor:
        """Return each run's loss [runs] on samples [runs, batch, *shape], by numbers [runs, batch, draws]."""
        loss: Tensor = self.call("loss", real.flatten(2), normal, trained=True)
        return loss.mean(1)

    def call(self, method: str, *inputs: Tensor, trained: bool = False) -> Any:
        """Call a method of the model for every run, inputs [runs, ...]; trained: in the graph of a loss."""
        own = _Method(self.module, method)
        tensors = {**(self.player.trained if trained else self.player.frozen), **self.player.buffers}
        named = {f"of.{name}": tensor for name, tensor in tensors.items()}
        return vmap(lambda state, *one: functional_call(own, state, one))(named, *inputs)

    def generate(self, latents: Tensor, given: Given = None) -> Tensor:
        samples: Tensor = self.call("sample", self.normals(latents))
        return samples.unflatten(2, self.problem.shape)

    def log_density(self, x: Tensor) -> Tensor | None:
        if not self.module.density:
            return None
        count, estimates = len(self.runs), self.module.estimates
        normal = torch.randn(len(x), estimates, generator=stream("likelihood", 0)).to(x)
        found: Tensor = self.call("log_density", *(part.expand(count, *part.shape) for part in (x.flatten(1), normal)))
        return found

    def reconstruct(self, x: Tensor) -> Tensor | None:
        """Return what comes back of samples [n, *shape], [runs, n, *shape]; None where they are not encoded."""
        if not self.module.encodes:
            return None
        found: Tensor = self.call("recoded", x.flatten(1).expand(len(self.runs), len(x), -1))
        return found.unflatten(2, self.problem.shape)

    def again(self) -> Trained:
        return type(self)(self.runs, self.problem, self.device, self.build)

    def held(self) -> dict[str, Any]:
        return {"player": self.player.state_dict()}

    def restore(self, held: Mapping[str, Any]) -> None:
        self.player.load_state_dict(held["player"])
