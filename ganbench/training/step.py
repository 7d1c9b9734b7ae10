"""One training step of a population: `critic_steps` updates of D, then `generator_steps` of G, which sees the new D."""

from __future__ import annotations

import torch
from torch import Tensor

from ganbench.errors import UserError, unknown
from ganbench.training.population import Population

NOISE = ("uniform", "normal")
"""What a regularizer may declare that it draws, one number a sample or one an element of a sample."""


class _Critic:
    """The discriminator as a regularizer sees it: the logits of the step's own batches are computed once."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self._known: list[tuple[Tensor, Tensor]] = []

    def __call__(self, samples: Tensor) -> Tensor:
        for batch, logits in self._known:
            if batch is samples:
                return logits
        logits = self.population.criticise(samples, trained=True)
        self._known.append((samples, logits))
        return logits


def train_step(population: Population) -> tuple[Tensor, Tensor]:
    """Advance every living run by one step and return the last losses of D (without penalty) and G, both [runs]."""
    critic_steps, generator_steps = population.variant.critic_steps, population.variant.generator_steps
    for inner in range(critic_steps):
        d_loss = _update_discriminator(population, population.step * critic_steps + inner)
    for inner in range(generator_steps):
        g_loss = _update_generator(population, population.step * generator_steps + inner)
    population.step += 1
    return d_loss, g_loss


def _update_discriminator(population: Population, index: int) -> Tensor:
    discriminator, regularizer = population.discriminator, population.regularizer
    acts_on, hypers = regularizer.meta.get("acts_on", "inputs"), population.regularizer_hypers
    penalized = acts_on in ("inputs", "matrices") and index % population.lazy == 0
    with torch.no_grad():
        fake = population.generate(population.draw("d latent", index))
    fake = _shown(population, fake, "d fake noise", index)
    real = _shown(population, population.draw("data", index), "d real noise", index)
    if penalized and acts_on == "inputs":
        real, fake = real.requires_grad_(), fake.requires_grad_()
    critic = _Critic(population)
    d_loss, _ = population.players_losses(critic(real), critic(fake))
    total = d_loss
    if penalized:
        total = d_loss + population.lazy * _penalty(population, critic, (real, fake), index)
    gradient = discriminator.gradient(total)
    population.mark(total.detach(), gradient)
    progress = (population.step, population.variant.steps)
    discriminator.descend(gradient, population.alive, index + 1, progress)
    if acts_on == "weights":
        clipped = regularizer(discriminator.flat, **hypers)
        # a frozen run keeps its last finite weights bit for bit
        discriminator.flat.copy_(torch.where(population.alive.unsqueeze(1), clipped, discriminator.flat))
    return d_loss.detach()


def _shown(population: Population, samples: Tensor, purpose: str, index: int) -> Tensor:
    """Return the samples as the discriminator is shown them, which only a regularizer of samples changes."""
    regularizer = population.regularizer
    if regularizer.meta.get("acts_on") != "samples":
        return samples
    numbers, progress = population.draw(purpose, index), population.step / population.variant.steps
    shown: Tensor = regularizer(samples, numbers, progress, **population.regularizer_hypers)
    return shown


def _penalty(population: Population, critic: _Critic, batches: tuple[Tensor, Tensor], index: int) -> Tensor:
    """Return the regularizer's penalty [runs]; UserError where it has another shape."""
    regularizer, hypers = population.regularizer, population.regularizer_hypers
    if regularizer.meta.get("acts_on") == "matrices":
        penalty: Tensor = regularizer(population.discriminator.matrices(), **hypers)
    else:
        penalty = regularizer(critic, *batches, _numbers(population, index), **hypers)
    if penalty.shape != population.alive.shape:
        # a mean over all runs would hand every run a share of its neighbours' penalties
        raise UserError(
            f"The regularizer '{regularizer.name}' must return one number a run, shape {list(population.alive.shape)}, "
            f"not {list(penalty.shape)}: take the mean over the last axis, .mean(-1)."
        )
    return penalty


def _numbers(population: Population, index: int) -> Tensor:
    """Return the random numbers that the regularizer declares to draw; UserError for an unknown kind of them."""
    regularizer, draws = population.regularizer, population.regularizer.meta.get("draws", "uniform")
    if draws not in NOISE:
        raise unknown(f"noise drawn by the regularizer '{regularizer.name}'", draws, NOISE)
    return population.draw(draws, index)


def _update_generator(population: Population, index: int) -> Tensor:
    fake = population.generate(population.draw("g latent", index), trained=True)
    fake_logits = population.criticise(_shown(population, fake, "g fake noise", index))
    g_loss = population.players_losses(_paired_logits(population, fake_logits, index), fake_logits)[1]
    gradient = population.generator.gradient(g_loss)
    population.mark(g_loss.detach(), gradient)
    progress = (population.step, population.variant.steps)
    population.generator.descend(gradient, population.alive, index + 1, progress)
    return g_loss.detach()


def _paired_logits(population: Population, fake_logits: Tensor, index: int) -> Tensor:
    """Return the real logits for the losses that compare real with fake in the generator's step, zeros elsewhere."""
    real_logits = torch.zeros_like(fake_logits)
    if any(part.paired for part in population.losses):
        real = _shown(population, population.draw("g data", index), "g real noise", index)
        with torch.no_grad():
            for part in population.losses:
                if part.paired:
                    real_logits[part.runs] = population.criticise(real[part.runs], runs=part.runs)
    return real_logits
