"""The objective of a population: its losses, and the parts that act on what they see and add to what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ganbench.problems.base import Problem
from ganbench.training.hooks import Generator, Judged, Moment, Part
from ganbench.training.losses import Losses
from ganbench.training.noise import Places, Source, source
from ganbench.training.players import Player
from ganbench.training.seen import Critic
from ganbench.training.seen import Judged as Before


class Objective:
    """What both players descend: losses on logits, and parts in the suite's order."""

    def __init__(self, losses: Losses, parts: Sequence[Part]) -> None:
        self.losses, self.parts = losses, list(parts)
        self.matching = [part for part in parts if part.matches]

    def shown(self, samples: Tensor, side: str, moment: Moment) -> Tensor:
        """Return samples [runs, batch, *shape] as D is shown them in training."""
        for part in self.parts:
            samples = part.shown(samples, side, moment)
        return packed(self.parts, samples)

    def packed(self, samples: Tensor) -> Tensor:
        """Return samples [runs, batch, *shape] in the packs that D takes; themselves without packing."""
        return packed(self.parts, samples)

    def takes_gradients_at_samples(self, moment: Moment) -> bool:
        """Tell whether a term of D in an update needs gradients at samples."""
        return any(part.on_inputs and part.is_due(moment) for part in self.parts)

    def of_d(self, critic: Critic, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return D's loss on what it is shown, and with the terms that look at D there, both [runs]."""
        loss, _ = self.losses(critic(real), critic(fake))
        total = self._with(loss, "d", moment, lambda part: part.d_terms(critic, real, fake, moment))
        return loss, self.of_seen(total, "d", Before(critic, real), Before(critic, fake), moment)

    def of_seen(self, loss: Tensor, player: str, real: Judged, fake: Judged, moment: Moment) -> Tensor:
        """Return a player's loss with the terms for what D says of samples [runs]."""
        for part in self.parts:
            if (term := part.seen_terms(player, real, fake, moment)) is not None:
                loss = loss + term
        return loss

    def of_g(self, real: Judged, fake: Judged, moment: Moment) -> Tensor:
        """Return G's loss [runs] on logits, or on features where a part matches these."""
        if self.matching:
            return self.matched(real.features, fake.features)
        logits = real.logits, fake.logits
        for part in self.parts:
            logits = part.logits(*logits, moment)
        return self.losses(*logits)[1]

    def matched(self, real_features: Tensor, fake_features: Tensor) -> Tensor:
        """Return G's loss [runs] on D's features [runs, batch, f], where parts match them."""
        first, *others = (part.matched(real_features, fake_features) for part in self.matching)
        return sum(others, first)

    def of_generator(self, loss: Tensor, generator: Generator, latents: Tensor, moment: Moment) -> Tensor:
        """Return G's loss with the terms that look at G [runs]."""
        return self._with(loss, "g", moment, lambda part: part.g_terms(generator, latents, moment))

    def of_place(self, loss: Tensor, name: str, player: Player) -> Tensor:
        """Return a player's loss with the terms for where its parameters are [runs]."""
        for part in self.parts:
            if (term := part.own_terms(name, player)) is not None:
                loss = loss + term
        return loss

    def _with(self, loss: Tensor, player: str, moment: Moment, terms: Callable[[Part], Tensor | None]) -> Tensor:
        for part in self.parts:
            if part.player == player and part.is_due(moment) and (term := terms(part)) is not None:
                loss = loss + part.lazy * term
        return loss


def packed(parts: Sequence[Part], samples: Tensor) -> Tensor:
    """Return samples [runs, batch, *shape] in the packs that D takes."""
    for part in parts:
        samples = part.packed(samples)
    return samples


def whole(parts: Sequence[Part], samples: int, batch: int) -> int:
    """Return how many of so many samples fill packs, where a batch does."""
    each = batch // packed(parts, torch.empty(1, batch, 1)).shape[1]
    return samples // each * each


def sampler(parts: Sequence[Part], problem: Problem, device: torch.device) -> Source | Places:
    """Return the draw of training samples, in which parts may give modes or classes other weights than the data's."""
    reweighing = [part for part in parts if part.reweighs]
    if not reweighing:
        return source(problem, device)
    weights = problem.group_weights()
    for part in reweighing:
        weights = part.group_weights(weights)
    return source(problem, device, weights / weights.sum())


def batch_module(parts: Sequence[Part], features: int) -> nn.Module:
    """Return the module by which D sees its batch [..., batch, features]; several of them one after the other."""
    modules: list[Any] = []
    for part in parts:
        if part.sees_batch:
            modules.append(part.before_last(features))
            features = modules[-1].out_features
    if len(modules) == 1:
        only: nn.Module = modules[0]
        return only
    chained: Any = nn.Sequential(*modules)
    chained.out_features = features
    return cast(nn.Module, chained)
