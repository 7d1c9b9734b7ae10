"""The players as an objective and its parts see them in an update; what they ask for twice is computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganbench.problems.base import Given
from ganbench.training.batched import Tensors
from ganbench.training.hooks import Moment

if TYPE_CHECKING:
    from ganbench.training.population import Population


class Critic:
    """D with its trained parameters, or others by name, differentiable in them; `frozen` only in its samples.

    given: what the problem gives with the samples of this update, real and fake.
    """

    def __init__(
        self, population: Population, given: Given, tensors: Tensors | None = None, *, frozen: bool = False
    ) -> None:
        self.population, self.given, self.tensors, self.trained = population, given, tensors, not frozen
        self._known: list[tuple[Tensor, Tensor]] = []

    def __call__(self, samples: Tensor) -> Tensor:
        """Map samples as D is shown them to logits [runs, batch]."""
        return self.population.logits(self._said(samples))

    def told(self, samples: Tensor, place: slice) -> Tensor:
        """Map samples to what D says beside its logit at a place among its numbers [runs, batch, size]."""
        return self._said(samples)[..., place]

    def _said(self, samples: Tensor) -> Tensor:
        for batch, said in self._known:
            if batch is samples:
                return said
        said = self.population.discriminator(samples, self.given, trained=self.trained, tensors=self.tensors)
        self._known.append((samples, said))
        return said

    def features(self, samples: Tensor) -> Tensor:
        """Map samples to hidden features [runs, batch, f]."""
        return self.population.features(samples, self.given, trained=self.trained, tensors=self.tensors)

    def matrices(self) -> list[Tensor]:
        """Return the trained weights of D's layers as matrices [runs, out, in]."""
        return self.population.discriminator.matrices(self.tensors)


class Generator:
    """G with its trained parameters, for what is given."""

    def __init__(self, population: Population, given: Given) -> None:
        self.population, self.given = population, given

    def __call__(self, latents: Tensor) -> Tensor:
        """Map latents to samples [runs, batch, *shape]."""
        return self.population.generate(latents, self.given, trained=True)

    def matrices(self) -> list[Tensor]:
        """Return the trained weights of G's layers as matrices [runs, out, in]."""
        return self.population.generator.matrices()


@dataclass(frozen=True)
class Judged:
    """Samples before a critic; `fixed` where G's loss takes what D says of them as given."""

    critic: Critic
    samples: Tensor
    fixed: bool = False

    @property
    def logits(self) -> Tensor:
        logits = self.critic(self.samples)
        return logits.detach() if self.fixed else logits

    @property
    def features(self) -> Tensor:
        features = self.critic.features(self.samples)
        return features.detach() if self.fixed else features

    def told(self, place: slice) -> Tensor:
        told = self.critic.told(self.samples, place)
        return told.detach() if self.fixed else told

    def beside(self, samples: Tensor) -> Judged:
        """Return other samples [runs, batch, *shape] before the same critic."""
        return Judged(self.critic, samples, self.fixed)


@dataclass(frozen=True)
class Bystanders:
    """The real samples in G's update: drawn and judged only where G's loss compares its fakes with them."""

    population: Population
    moment: Moment
    fake: Judged

    @cached_property
    def samples(self) -> Tensor:
        return self.population.objective.shown(self.moment.draw("g data"), "g real", self.moment)

    @property
    def logits(self) -> Tensor:
        """Logits [runs, batch]: zeros for the runs whose loss does not look at them."""
        logits = torch.zeros_like(self.fake.logits)
        with torch.no_grad():
            for runs in self.population.objective.losses.paired:
                logits[runs] = self.population.criticise(self.samples[runs], self.moment.given, runs=runs)
        return logits

    @property
    def features(self) -> Tensor:
        """Features [runs, batch, f]."""
        with torch.no_grad():
            return self.population.features(self.samples, self.moment.given)

    def told(self, place: slice) -> Tensor:
        """What D says beside its logit at a place among its numbers [runs, batch, size]."""
        with torch.no_grad():
            return self.population.discriminator(self.samples, self.moment.given)[..., place]

    def beside(self, samples: Tensor) -> Judged:
        """Return other samples before the critic of the fakes."""
        return self.fake.beside(samples)
