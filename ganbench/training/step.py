"""One training step of a population, which its update rule plays through a `Round`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganbench.gan.updates import Gradients
from ganbench.problems.base import Given
from ganbench.training.batched import Tensors
from ganbench.training.field import PlayedField
from ganbench.training.hooks import Judged as Sight
from ganbench.training.hooks import Moment
from ganbench.training.host import Answer, Clock, Inputs
from ganbench.training.numerics import computing
from ganbench.training.seen import Bystanders, Critic, Generator, Judged

if TYPE_CHECKING:
    from ganbench.training.population import Population


def train_step(population: Population) -> tuple[Tensor, Tensor]:
    """Advance every living run by one step and return the last losses of D (without terms) and G, both [runs].

    NaN for a player that the update rule did not ask for a gradient in this step.
    """
    inputs = population.inputs(population.step)
    losses = move(population, inputs, population.clock)
    population.count(inputs)
    return losses


def move(population: Population, inputs: Inputs, clock: Clock) -> tuple[Tensor, Tensor]:
    """Make the part of a step that the device does: all that outlasts it is written in place, and nothing is read."""
    for player in population.players.values():
        player.see(clock.progress)
    played = PlayedRound(population, inputs, clock)
    with computing(population.variant.numerics, population.device):
        population.update(played)
    population.remember(clock)
    return played.losses["d"], played.losses["g"]


class PlayedRound:
    """A step of a population as its update rule sees it (gan.updates.Round)."""

    def __init__(self, population: Population, inputs: Inputs, clock: Clock) -> None:
        self.population, self.inputs, self.clock = population, inputs, clock
        self.losses = {player: torch.full_like(population.alive, math.nan, dtype=torch.float) for player in "dg"}
        self._alive = population.alive.clone()

    @property
    def step(self) -> Tensor:
        return self.clock.step

    def is_due(self, every: int) -> bool:
        """Tell whether this step is the last of every so many."""
        return bool(self._ask(("rule", every), lambda now: (now.step + 1) % every == 0))

    @property
    def turns(self) -> dict[str, int]:
        variant = self.population.variant
        return {"d": variant.critic_steps, "g": variant.generator_steps}

    @property
    def memory(self) -> dict[str, Tensor]:
        return self.population.memory["update"]

    def gradient(self, player: str) -> Tensor:
        """Return the gradient of a player's loss on its next batch [runs, size]; runs where it is not finite freeze."""
        loss, total = (self._d_loss if player == "d" else self._g_loss)(self._next(player))
        return self._marked(player, loss, total, self.population.players[player].gradient(total))

    def unrolled_gradient(self, steps: int, rate: float, penalties: bool = False) -> Tensor:
        """Return G's gradient [runs, size] through the steps that D would make on the same batch.

        D's buffers are in the end what they were: what looks at weights that D never has, such as the vectors of
        spectral normalization, leaves no trace. penalties: whether those steps are on D's terms, too.
        """
        population, moment = self.population, self._next("g")
        before = {name: buffer.clone() for name, buffer in population.discriminator.buffers.items()}
        latents = moment.draw("g latent")
        real, fake = self._shown(
            moment.draw("g data"), population.generate(latents, moment.given, trained=True), moment
        )
        ahead = self._with_its_terms if penalties else self._on_its_loss
        unrolled = Critic(population, moment.given, ahead(real, fake, moment, (steps, rate)))
        seen = Judged(unrolled, real, fixed=True), Judged(unrolled, fake)
        g_loss = population.objective.of_g(*seen, moment)
        # the real samples' logits follow G too, through the steps that D would make, and enter by D's loss
        against_d, _ = population.objective.losses(unrolled(real), unrolled(fake).detach())
        total = self._g_total(g_loss, latents, moment, seen) - against_d
        gradient = population.generator.gradient(total)
        for name, buffer in before.items():
            population.discriminator.buffers[name].copy_(buffer)
        return self._marked("g", g_loss, total, gradient)

    def _on_its_loss(self, real: Tensor, fake: Tensor, moment: Moment, way: tuple[int, float]) -> Tensors:
        """Return D's parameters after some gradient steps on its loss alone."""
        losses = self.population.objective.losses
        return self._ahead(lambda now: losses(now(real), now(fake))[0], moment, way)

    def _with_its_terms(self, real: Tensor, fake: Tensor, moment: Moment, way: tuple[int, float]) -> Tensors:
        """Return D's parameters after some gradient steps on its loss with its terms; parts forget them."""
        objective, parts = self.population.objective, self.population.objective.parts
        kept = [{name: own.clone() for name, own in part.memory.items()} for part in parts]
        shown = self._ready(real, fake, moment)
        critic = self._ahead(lambda now: objective.of_d(now, *shown, moment)[1], moment, way)
        for part, before in zip(parts, kept, strict=True):
            part.memory.clear()
            part.memory.update(before)
        return critic

    def _ahead(self, loss: Callable[[Critic], Tensor], moment: Moment, way: tuple[int, float]) -> Tensors:
        """Return D's parameters after some gradient steps of a size; `way` holds both."""
        critic: Tensors = self.population.discriminator.trained
        steps, rate = way
        for _ in range(steps):
            value = loss(Critic(self.population, moment.given, critic))
            moves = torch.autograd.grad(value.sum(), list(critic.values()), create_graph=True)
            critic = {name: own - rate * move for (name, own), move in zip(critic.items(), moves, strict=True)}
        return critic

    def field(self) -> PlayedField:
        """Return both players' gradients on D's next batch, differentiable in the parameters of both."""
        population, moment = self.population, self._next("d")
        latents = moment.draw("d latent")
        real, fake = self._shown(moment.draw("data"), population.generate(latents, moment.given, trained=True), moment)
        critic = Critic(population, moment.given)
        losses = {"d": self._of_d(critic, real, fake, moment)}
        seen = Judged(critic, real), Judged(critic, fake)
        g_loss = population.objective.of_g(*seen, moment)
        losses["g"] = g_loss, self._g_total(g_loss, latents, moment, seen)
        field = PlayedField(population.players, {player: total for player, (_, total) in losses.items()})
        for player, pair in losses.items():
            self._marked(player, *pair, field.gradients[player])
        return field

    def descend(self, player: str, gradient: Tensor) -> None:
        """Make one step of a player's optimizer for the runs that are alive."""
        population, own = self.population, self.population.players[player]
        place = self.inputs.recipe.descents[player]
        self.inputs.recipe.descents[player] += 1
        own.descend(gradient, population.alive, self.clock.rate, self.inputs.take("numbers", player, place))
        for part in population.objective.parts:
            part.after_update(player, own, population.alive)

    def positions(self) -> Gradients:
        """Return copies of both players' parameters [runs, size]."""
        return {name: player.flat.clone() for name, player in self.population.players.items()}

    def place(self, positions: Gradients) -> None:
        """Put both players elsewhere; runs that had diverged before this step stay where they are."""
        for name, player in self.population.players.items():
            player.flat.copy_(torch.where(self._alive.unsqueeze(1), positions[name], player.flat))

    def _d_loss(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return D's loss on a batch, and with all terms, both [runs]."""
        with torch.no_grad():
            fake = self.population.generate(moment.draw("d latent"), moment.given)
        critic = Critic(self.population, moment.given)
        return self._of_d(critic, *self._shown(moment.draw("data"), fake, moment), moment)

    def _of_d(self, critic: Critic, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        objective = self.population.objective
        loss, total = objective.of_d(critic, real, fake, moment)
        return loss, objective.of_place(total, "d", self.population.discriminator)

    def _g_loss(self, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return G's loss on a batch, and with all terms, both [runs]."""
        population, latents = self.population, moment.draw("g latent")
        fake = population.objective.shown(population.generate(latents, moment.given, trained=True), "g fake", moment)
        judged = Judged(Critic(population, moment.given, frozen=True), fake)
        seen = Bystanders(population, moment, judged), judged
        g_loss = population.objective.of_g(*seen, moment)
        return g_loss, self._g_total(g_loss, latents, moment, seen)

    def _g_total(self, g_loss: Tensor, latents: Tensor, moment: Moment, seen: tuple[Sight, Sight]) -> Tensor:
        """Return G's loss with all terms [runs]; seen: real samples and fakes before D."""
        population = self.population
        total = population.objective.of_generator(g_loss, Generator(population, moment.given), latents, moment)
        total = population.objective.of_seen(total, "g", *seen, moment)
        return population.objective.of_place(total, "g", population.generator)

    def _shown(self, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return real and fake samples as D sees them, those of its own update ready for its terms."""
        objective, player = self.population.objective, moment.player
        fake = objective.shown(fake, f"{player} fake", moment)
        real = objective.shown(real, f"{player} real", moment)
        return self._ready(real, fake, moment) if player == "d" else (real, fake)

    def _ready(self, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return samples as they are shown to D, with gradients at them where a term takes these."""
        if self.population.objective.takes_gradients_at_samples(moment):
            real, fake = (batch if batch.requires_grad else batch.requires_grad_() for batch in (real, fake))
        return real, fake

    def _next(self, player: str) -> Moment:
        """Go on to a player's next batch."""
        population, inputs, place = self.population, self.inputs, self.inputs.recipe.batches[player]
        inputs.recipe.batches[player] += 1

        def draw(purpose: str) -> Tensor:
            return population.batch(purpose, inputs.take("batch", player, purpose, place))

        real, given = "data" if player == "d" else "g data", None
        if population.problem.gives:
            given = population.given_with(real, inputs.take("batch", player, real, place))

        def made(other: Given) -> Tensor:
            return population.generate(draw(f"{player} latent"), other, trained=True)

        return Moment(player, place, self.clock.progress, draw, self._ask, given, made)

    def _ask(self, question: Hashable, answer: Answer) -> Hashable:
        return self.population.phases.ask(question, answer, self.inputs.now)

    def _marked(self, player: str, loss: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
        self.losses[player] = loss.detach()
        self.population.mark(total.detach(), gradient, self.clock.step)
        return gradient
