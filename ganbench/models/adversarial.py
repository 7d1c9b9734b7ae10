"""Adversarial autoencoders: a critic of codes in the place of a divergence from the prior."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganbench.models.alone import NO_GAME, NO_LABELS, perceptron
from ganbench.models.autoencoder import Coder
from ganbench.models.trained import Form, Trained
from ganbench.plan import Run
from ganbench.problems.base import Problem
from ganbench.ranges import AtLeastOne, NotNegative
from ganbench.registry import register
from ganbench.training.host import Clock
from ganbench.training.players import Player


class Sought(Coder):
    """Encoder and decoder whose codes are to be N(0, 1): samples are decoded from it."""

    def __init__(self, size: int, latent_dim: int, width: int, depth: int, *, bounded: bool) -> None:
        super().__init__(size, latent_dim, width, depth, bounded=bounded)
        self.draws = latent_dim

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of samples [n, latent_dim]."""
        found: Tensor = self.encoder(x)
        return found

    def sample(self, normal: Tensor) -> Tensor:
        decoded: Tensor = self.decoder(normal)
        return decoded


class Adversarial(Trained):
    """The autoencoders of all runs, and the critics that tell their codes from numbers of N(0, 1)."""

    def __init__(
        self,
        runs: Sequence[Run],
        problem: Problem,
        device: torch.device,
        build: Callable[[], Form],
        settings: Mapping[str, Any],
    ) -> None:
        self.settings = settings
        self.critics: dict[int, nn.Module] = {}
        super().__init__(runs, problem, device, build)
        critics = [self.critics[run.seed] for run in runs]
        self.critic = Player(critics, runs, "d_lr", self.clock, torch.float32)

    def _built(self, seed: int) -> Any:
        def both() -> Any:
            module = self.build()
            width, depth = self.settings["width"], self.settings["depth"]
            self.critics[seed] = perceptron(self.variant.latent_dim, width, depth, 1)
            return module

        return self.drawn(seed, both)

    def advance(self) -> None:
        """Train the critics on the next batch's codes, then the autoencoders against them on the same."""
        super().advance()
        self.critic.descents += 1

    def _inputs(self, step: int) -> dict[str, Any]:
        return {**super()._inputs(step), "critic": self.critic.numbers()}

    def _move(self, inputs: Mapping[str, Any], clock: Clock) -> None:
        real, normal = self.batch(inputs)
        with torch.no_grad():
            codes = self.call("codes", real.flatten(2))
        told, made = (self.critic(part, trained=True)[..., 0] for part in (normal, codes))
        self.descend(self.critic, (softplus(-told) + softplus(made)).mean(1), clock, inputs["critic"])
        self.descend(self.player, self.losses(real, normal), clock, inputs["numbers"])

    def losses(self, real: Tensor, normal: Tensor) -> Tensor:
        """Return each run's squared error, and what its critic says of the codes, weighed [runs]."""
        x = real.flatten(2)
        made = self.critic(self.call("codes", x, trained=True))[..., 0]
        against: Tensor = self.settings["weight"] * softplus(-made).mean(1)
        return super().losses(real, normal) + against

    def again(self) -> Adversarial:
        return Adversarial(self.runs, self.problem, self.device, self.build, self.settings)

    def held(self) -> dict[str, Any]:
        return {**super().held(), "critic": self.critic.state_dict()}

    def restore(self, held: Mapping[str, Any]) -> None:
        super().restore(held)
        self.critic.load_state_dict(held["critic"])


@register("model", ignores=NO_GAME, needs=NO_LABELS, provides={"reconstruction"})
def adversarial_autoencoder(
    runs: Sequence[Run],
    problem: Problem,
    device: torch.device,
    *,
    width: AtLeastOne = 32,
    depth: AtLeastOne = 2,
    weight: NotNegative = 0.1,
) -> Adversarial:
    """Autoencoder whose codes a discriminator of their own draws to N(0, 1) (Makhzani 2015).

    Perceptrons of `depth` hidden layers of `width` units, the critic's too; `weight` is that of the critic's word
    beside the mean squared error. The autoencoder's rate is that of G, the critic's that of D.
    """
    size, latents, bounded = math.prod(problem.shape), runs[0].variant.latent_dim, problem.value_range is not None
    settings = {"width": width, "depth": depth, "weight": weight}
    return Adversarial(runs, problem, device, lambda: Sought(size, latents, width, depth, bounded=bounded), settings)
