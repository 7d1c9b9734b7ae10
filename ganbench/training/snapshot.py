"""What a population shows of itself at a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganbench.gan.conditioning import Untold
from ganbench.measure.dynamics import DifferentiableGame
from ganbench.problems.base import Given, mapped, request, sent_back, swapped
from ganbench.problems.games import ClosedFormGame
from ganbench.training import batched
from ganbench.training.losses import LossSlice
from ganbench.training.players import Player, by_name

if TYPE_CHECKING:
    from ganbench.training.population import Population


class Snapshot:
    """Forward passes, gradients and weights of a population, none of which moves it (see measure.diagnostics)."""

    def __init__(self, population: Population, given: Given = None) -> None:
        self._population, self._given = population, given
        self.losses: Sequence[LossSlice] = population.objective.losses.slices
        self.g_names = batched.layer_names(population.generator.module)
        self.d_names = batched.layer_names(population.discriminator.module)

    def generate(self, latents: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map latents to samples with gradients; `units` collects the output of each known activation."""
        return self._population.generator(latents, self._given, trained=True, tap=units.__setitem__)

    def criticise(self, samples: Tensor, units: dict[nn.Module, Tensor]) -> Tensor:
        """Map samples to logits [runs, batch] with gradients; `units` collects the output of each known activation."""
        packs = self._population.objective.packed(samples)
        said = self._population.discriminator(packs, self._given, trained=True, tap=units.__setitem__)
        return self._population.logits(said)

    def relabelled(self, samples: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return logits of samples with their neighbours' label or picture, and which differ; None: D is told none."""
        population, given = self._population, self._given
        told = not (any(part.untold for part in population.objective.parts) or self._judges_alone)
        if not isinstance(given, Tensor) or not told:
            return None
        other = given.roll(1, dims=1)
        with torch.no_grad():
            differs = (other != given).reshape(*given.shape[:2], -1).any(-1)
            return population.criticise(samples, other), differs

    def returned(self, latents: Tensor, samples: Tensor) -> Tensor | None:
        """Return what G makes of samples of two or more domains, each translated back; None where there are none."""
        if not self._has_domains:
            return None
        back = swapped(samples) if self._has_two_domains else sent_back(samples, self._given)
        with torch.no_grad():
            return self._population.generate(latents, back)

    @property
    def origin(self) -> Tensor | None:
        """Pictures [runs, batch, *shape] that translations there and back should be; None: the real samples."""
        if not self._has_domains or self._has_two_domains:
            return None
        return request(self._given, self._population.problem.shape[0]).picture

    @property
    def _has_domains(self) -> bool:
        return "there_and_back" in self._population.problem.capabilities

    @property
    def _has_two_domains(self) -> bool:
        return "unpaired" in self._population.problem.capabilities

    @property
    def _judges_alone(self) -> bool:
        # of two domains each has a critic, of several one that tells them apart; labelled pictures have no partners
        alone = self._has_domains or "source" in self._population.problem.capabilities
        return alone and isinstance(self._population.discriminator.module, Untold)

    @property
    def matched(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """G's loss [runs] on samples, real and fake, where a part takes it on D's features instead of its logits."""
        return self._matched if self._population.objective.matching else None

    def _matched(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._population.objective.matched(
            *(self._population.features(x, self._given, trained=True) for x in (real, fake))
        )

    def parameter_gradients(self, loss: Tensor, player: str) -> dict[str, Tensor]:
        """Return the gradient [runs, ...] of a loss [runs] by parameter of G ("g") or D ("d")."""
        # the probe's graph serves several diagnostics
        return self._player(player).gradients(loss, retain_graph=True)

    def matrices(self, player: str = "d") -> dict[str, Tensor]:
        """Return the weights in force of a player's layers as matrices [runs, out, in]."""
        own = self._player(player)
        return dict(batched.layer_matrices(own.module, {**own.frozen, **own.buffers}))

    def moved(self, player: str, gradient: Tensor) -> Tensor:
        """Return where one more step of a player's optimizer would take its parameters, both [runs, size].

        The step is made on copies, at the learning rate before any decay.
        """
        own = self._player(player)
        parameters, state = own.flat.clone(), {name: tensor.clone() for name, tensor in own.state.items()}
        with torch.no_grad():
            own.optimizer(parameters, gradient, state, own.numbers(), own.rate, **own.hypers)
        return parameters

    def differentiable(
        self, real: Tensor, latents: Tensor, runs: slice = slice(None), *, iterate: bool = False
    ) -> DifferentiableGame:
        """Return the game of some runs on a batch [runs, batch, ...] of all runs, in copies of flat parameters.

        With `iterate`, forward passes run as in training and update copies of the buffers: spectral norms follow
        parameters that move. Otherwise these norms keep their vectors, which count as constants, as in training.
        """
        population, places = self._population, range(len(real))[runs]
        given = mapped(lambda part: part[runs], self._given)
        generator = _Copy(population.generator, runs, given, iterate)
        discriminator = _Copy(population.discriminator, runs, given, iterate)
        objective = population.objective
        real, latents = objective.packed(real[runs].detach()), latents[runs].detach()

        def losses(g: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
            fake = objective.packed(generator(g, latents))
            fake_logits, real_logits = (population.logits(discriminator(d, x)) for x in (fake, real))
            pair = objective.losses(real_logits, fake_logits, places)
            if not objective.matching:
                return pair
            return pair[0], objective.matched(*(batched.hidden(partial(discriminator, d, x)) for x in (real, fake)))

        return DifferentiableGame(generator.start, discriminator.start, losses)

    def displacement(self) -> Tensor | None:
        """Return how far both players are from the nearest known equilibrium [runs, n], None where none is known."""
        problem = self._population.problem
        if not isinstance(problem, ClosedFormGame):
            return None
        return problem.displacement(self._population.generator.flat, self._population.discriminator.flat)

    def _player(self, player: str) -> Player:
        return self._population.players[player]


class _Copy:
    """A player of some runs as a function of flat parameters [runs, size]."""

    def __init__(self, player: Player, runs: slice, given: Given, iterate: bool) -> None:
        self.module, self.shapes, self.given, self.iterate = player.module, player.shapes, given, iterate
        self.start = player.flat[runs].clone()
        self.buffers = {name: buffer[runs].clone() for name, buffer in player.buffers.items()}

    def __call__(self, flat: Tensor, x: Tensor, tap: batched.Tap | None = None) -> Tensor:
        tensors = {**self.buffers, **by_name(self.shapes, flat)}
        with _mode(self.module, self.iterate):
            return batched.forward(self.module, tensors, x, given=self.given, tap=tap)


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    before = module.training
    module.train(training)
    try:
        yield
    finally:
        module.train(before)
