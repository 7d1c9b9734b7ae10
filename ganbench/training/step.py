"""One training step of a population, which its update rule plays through a `Round`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganbench.errors import UserError
from ganbench.gan.updates import Gradients
from ganbench.training.batched import Tensors
from ganbench.training.players import Player
from ganbench.training.population import Population


class _Critic:
    """The discriminator as a regularizer sees it: the logits of the step's own batches are computed once."""

    def __init__(self, population: Population, tensors: Tensors | None = None) -> None:
        self.population, self.tensors = population, tensors
        self._known: list[tuple[Tensor, Tensor]] = []

    def __call__(self, samples: Tensor) -> Tensor:
        for batch, logits in self._known:
            if batch is samples:
                return logits
        logits = self.population.criticise(samples, trained=True, tensors=self.tensors)
        self._known.append((samples, logits))
        return logits

    def features(self, samples: Tensor) -> Tensor:
        """Map samples to hidden features [runs, batch, f]."""
        return self.population.features(samples, trained=True, tensors=self.tensors)


def train_step(population: Population) -> tuple[Tensor, Tensor]:
    """Advance every living run by one step and return the last losses of D (without penalty) and G, both [runs].

    NaN for a player that the update rule did not ask for a gradient in this step.
    """
    played = PlayedRound(population)
    population.update(played, **population.update_hypers)
    population.remember()
    population.step += 1
    return played.losses["d"], played.losses["g"]


class PlayedRound:
    """A step of a population as its update rule sees it (gan.updates.Round)."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.losses = {player: torch.full_like(population.alive, math.nan, dtype=torch.float) for player in "dg"}
        self._alive = population.alive.clone()

    @property
    def step(self) -> int:
        return self.population.step

    @property
    def turns(self) -> dict[str, int]:
        variant = self.population.variant
        return {"d": variant.critic_steps, "g": variant.generator_steps}

    @property
    def memory(self) -> dict[str, Tensor]:
        return self.population.memory["update"]

    def gradient(self, player: str) -> Tensor:
        """Return the gradient of a player's loss on its next batch [runs, size]; runs where it is not finite freeze."""
        index = self._next_batch(player)
        loss, total = (_d_loss if player == "d" else _g_loss)(self.population, index)
        return self._marked(player, loss, total, self.population.players[player].gradient(total))

    def unrolled_gradient(self, steps: int, rate: float) -> Tensor:
        """Return G's gradient [runs, size] through the steps that D would make on the same batch."""
        population, index = self.population, self._next_batch("g")
        latents, real = population.draw("g latent", index), population.draw("g data", index)
        fake = population.generate(latents, trained=True)
        real, fake = _shown(population, real, "g real", index), _shown(population, fake, "g fake", index)
        critic: Tensors = population.discriminator.trained
        for _ in range(steps):
            d_loss = population.players_losses(*(population.criticise(x, tensors=critic) for x in (real, fake)))[0]
            moves = torch.autograd.grad(d_loss.sum(), list(critic.values()), create_graph=True)
            critic = {name: own - rate * move for (name, own), move in zip(critic.items(), moves, strict=True)}
        unrolled = _Critic(population, critic)
        g_loss = _generators_loss(population, unrolled, real, fake, fixed_real=True)
        # the real samples' logits follow G too, through the steps that D would make, and enter by D's loss
        against_d = population.players_losses(unrolled(real), unrolled(fake).detach())[0]
        total = _with_history(population, "g", g_loss) - against_d
        return self._marked("g", g_loss, total, population.generator.gradient(total))

    def field(self) -> PlayedField:
        """Return both players' gradients on D's next batch, differentiable in the parameters of both."""
        population, index = self.population, self._next_batch("d")
        losses = _both_losses(population, index)
        field = PlayedField(population.players, {player: total for player, (_, total) in losses.items()})
        for player, pair in losses.items():
            self._marked(player, *pair, field.gradients[player])
        return field

    def descend(self, player: str, gradient: Tensor) -> None:
        """Make one step of a player's optimizer for the runs that are alive."""
        population, own, regularizer = self.population, self.population.players[player], self.population.regularizer
        own.descend(gradient, population.alive, (population.step, population.variant.steps))
        if player == "d" and regularizer.declared("acts_on") == "weights":
            clipped = regularizer(own.flat, **population.regularizer_hypers)
            # a frozen run keeps its last finite weights bit for bit
            own.flat.copy_(torch.where(population.alive.unsqueeze(1), clipped, own.flat))

    def positions(self) -> Gradients:
        """Return copies of both players' parameters [runs, size]."""
        return {name: player.flat.clone() for name, player in self.population.players.items()}

    def place(self, positions: Gradients) -> None:
        """Put both players elsewhere; runs that had diverged before this step stay where they are."""
        for name, player in self.population.players.items():
            player.flat.copy_(torch.where(self._alive.unsqueeze(1), positions[name], player.flat))

    def _next_batch(self, player: str) -> int:
        own = self.population.players[player]
        own.batches += 1
        return own.batches - 1

    def _marked(self, player: str, loss: Tensor, total: Tensor, gradient: Tensor) -> Tensor:
        self.losses[player] = loss.detach()
        self.population.mark(total.detach(), gradient)
        return gradient


class PlayedField:
    """The gradients of both players on one batch (gan.updates.Field); without their graphs in `gradients`."""

    def __init__(self, players: dict[str, Player], losses: dict[str, Tensor]) -> None:
        self._leaves = {name: list(player.trained.values()) for name, player in players.items()}
        self._graphs = {
            name: _flat(torch.autograd.grad(loss.sum(), self._leaves[name], create_graph=True, materialize_grads=True,
                                            allow_unused=True))
            for name, loss in losses.items()
        }  # fmt: skip
        self.gradients = {name: graph.detach() for name, graph in self._graphs.items()}

    def pulled_back(self, vectors: Gradients) -> Gradients:
        """Return J^T v for v [runs, size] a player, in the same shape."""
        return {name: pulled.detach() for name, pulled in self._pulled_back(vectors, create_graph=False).items()}

    def pushed_forward(self, vectors: Gradients) -> Gradients:
        """Return J v for v [runs, size] a player: the derivative of J^T u in u."""
        dual = {name: torch.zeros_like(vector).requires_grad_() for name, vector in vectors.items()}
        pulled = self._pulled_back(dual, create_graph=True)
        inner = torch.stack([(pulled[name] * vectors[name]).sum() for name in vectors]).sum()
        parts = torch.autograd.grad(inner, list(dual.values()), retain_graph=True)
        return dict(zip(dual, parts, strict=True))

    def _pulled_back(self, vectors: Gradients, create_graph: bool) -> Gradients:
        names = list(self._leaves)
        # a constant gradient has no graph, and moves with nobody's parameters
        known = [name for name in names if self._graphs[name].requires_grad]
        leaves = [leaf for name in names for leaf in self._leaves[name]]
        parts = torch.autograd.grad(
            [self._graphs[name] for name in known], leaves, [vectors[name] for name in known],
            create_graph=create_graph, retain_graph=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        count = len(self._leaves[names[0]])
        return {names[0]: _flat(parts[:count]), names[1]: _flat(parts[count:])}


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.reshape(len(part), -1) for part in parts], dim=1)


def _d_loss(population: Population, index: int) -> tuple[Tensor, Tensor]:
    """Return D's loss on a batch and its loss with the penalty, both [runs]."""
    with torch.no_grad():
        fake = population.generate(population.draw("d latent", index))
    batches = _shown_batches(population, fake, index)
    critic = _Critic(population)
    d_loss, _ = population.players_losses(*map(critic, batches))
    return d_loss, _with_history(population, "d", _with_penalty(population, critic, d_loss, batches, index))


def _both_losses(population: Population, index: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Return both players' losses without and with what is added to them, on D's batch [runs], in graphs of both."""
    fake = population.generate(population.draw("d latent", index), trained=True)
    batches = _shown_batches(population, fake, index)
    critic = _Critic(population)
    d_loss, _ = population.players_losses(*map(critic, batches))
    g_loss = _generators_loss(population, critic, *batches)
    total = _with_penalty(population, critic, d_loss, batches, index)
    return {"d": (d_loss, _with_history(population, "d", total)), "g": (g_loss, _with_history(population, "g", g_loss))}


def _shown_batches(population: Population, fake: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Return real and fake samples as D sees them, ready for a penalty on inputs where one is due."""
    fake = _shown(population, fake, "d fake", index)
    real = _shown(population, population.draw("data", index), "d real", index)
    if _penalty_due(population, index) and _acts_on(population) == "inputs":
        real, fake = (batch if batch.requires_grad else batch.requires_grad_() for batch in (real, fake))
    return real, fake


def _acts_on(population: Population) -> str:
    return str(population.regularizer.declared("acts_on"))


def _penalty_due(population: Population, index: int) -> bool:
    return _acts_on(population) in ("inputs", "matrices") and index % population.lazy == 0


def _with_penalty(
    population: Population, critic: _Critic, d_loss: Tensor, batches: tuple[Tensor, Tensor], index: int
) -> Tensor:
    if not _penalty_due(population, index):
        return d_loss
    return d_loss + population.lazy * _penalty(population, critic, batches, index)


def _shown(population: Population, samples: Tensor, side: str, index: int) -> Tensor:
    """Return the samples as D is shown them: changed by a trick and a regularizer of samples, and packed."""
    if population.trick.place == "samples":
        samples = population.trick(samples, population.draw(f"{side} trick", index))
    if _acts_on(population) == "samples":
        noise, progress = population.draw(f"{side} noise", index), _progress(population)
        samples = population.regularizer(samples, noise, progress, **population.regularizer_hypers)
    return population.trick.packed(samples)


def _progress(population: Population) -> float:
    return population.step / population.variant.steps


def _with_history(population: Population, player: str, loss: Tensor) -> Tensor:
    """Return a player's loss with the penalty of a trick on its parameters."""
    if population.trick.place != "parameters":
        return loss
    parameters = _flat(list(population.players[player].trained.values()))
    return loss + population.trick.loss(parameters, population.memory["trick"][player])


def _generators_loss(
    population: Population, critic: _Critic, real: Tensor, fake: Tensor, *, fixed_real: bool = False
) -> Tensor:
    """Return G's loss [runs] on what D is shown, by features or by logits; those of real samples may count as fixed."""
    features = population.trick.place == "features"
    of_real, of_fake = (critic.features(x) if features else critic(x) for x in (real, fake))
    of_real = of_real.detach() if fixed_real else of_real
    return population.trick.loss(of_real, of_fake) if features else _loss_of_logits(population, of_real, of_fake)


def _loss_of_logits(population: Population, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    if population.trick.place == "logits":
        real_logits, fake_logits = population.trick(real_logits, fake_logits, _progress(population))
    return population.players_losses(real_logits, fake_logits)[1]


def _penalty(population: Population, critic: _Critic, batches: tuple[Tensor, Tensor], index: int) -> Tensor:
    """Return the regularizer's penalty [runs]; UserError where it has another shape."""
    regularizer, hypers = population.regularizer, population.regularizer_hypers
    if regularizer.declared("acts_on") == "matrices":
        penalty: Tensor = regularizer(population.discriminator.matrices(), **hypers)
    else:
        own = (population.memory["regularizer"],) if regularizer.declared("remembers") else ()
        penalty = regularizer(critic, *batches, _numbers(population, batches[0], index), *own, **hypers)
    if penalty.shape != population.alive.shape:
        # a mean over all runs would hand every run a share of its neighbours' penalties
        raise UserError(
            f"The regularizer '{regularizer.name}' must return one number a run, shape {list(population.alive.shape)}, "
            f"not {list(penalty.shape)}: take the mean over the last axis, .mean(-1)."
        )
    return penalty


def _numbers(population: Population, real: Tensor, index: int) -> Tensor:
    """Return the random numbers that the regularizer declares to draw: one a sample, or one an element of a sample."""
    draws = population.regularizer.declared("draws")
    numbers = population.draw(draws, index)
    # one number a pack, or as many as it has elements
    return population.trick.packed(numbers) if draws == "normal" else numbers[:, : real.shape[1]]


def _g_loss(population: Population, index: int) -> tuple[Tensor, Tensor]:
    """Return G's loss on a batch and its loss with what a trick adds, both [runs]."""
    fake = population.generate(population.draw("g latent", index), trained=True)
    fake = _shown(population, fake, "g fake", index)
    if population.trick.place == "features":
        with torch.no_grad():
            real_features = population.features(_g_real(population, index))
        g_loss = population.trick.loss(real_features, population.features(fake))
    else:
        fake_logits = population.criticise(fake)
        g_loss = _loss_of_logits(population, _paired_logits(population, fake_logits, index), fake_logits)
    return g_loss, _with_history(population, "g", g_loss)


def _g_real(population: Population, index: int) -> Tensor:
    return _shown(population, population.draw("g data", index), "g real", index)


def _paired_logits(population: Population, fake_logits: Tensor, index: int) -> Tensor:
    """Return the real logits for the losses that compare real with fake in the generator's step, zeros elsewhere."""
    real_logits = torch.zeros_like(fake_logits)
    if any(part.paired for part in population.losses):
        real = _g_real(population, index)
        with torch.no_grad():
            for part in population.losses:
                if part.paired:
                    real_logits[part.runs] = population.criticise(real[part.runs], runs=part.runs)
    return real_logits
