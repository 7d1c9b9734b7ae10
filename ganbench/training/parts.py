"""Parts: what regularizers and tricks do to training, as hooks that an objective runs in the suite's order.

Which hooks a plug-in fills is decided once, by what it `acts_on` (PARTS); nobody asks a part for its name or place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ganbench import registry
from ganbench.binding import Bound, chain
from ganbench.gan.terms import Code, Scene
from ganbench.plan import Variant
from ganbench.problems.base import Given, Problem, Source
from ganbench.training import noise
from ganbench.training.hooks import SIDES, Critic, Generator, Judged, Moment, Part, one_a_run
from ganbench.training.losses import Values
from ganbench.training.noise import Draw
from ganbench.training.players import Player

# ---------------------------------------------------------------------------------------------------- regularizers


class InputPenalty(Part):
    """A penalty on D at real and fake samples."""

    on_inputs = True

    @property
    def _purpose(self) -> str:
        return str(self.bound.declared("draws"))

    def draws(self, shape: tuple[int, ...]) -> dict[str, Draw]:
        return {self._purpose: noise.normal(shape) if self._purpose == "normal" else noise.uniform}

    def d_terms(self, critic: Critic, real: Tensor, fake: Tensor, moment: Moment) -> Tensor | None:
        numbers = self.drawn(self._purpose, moment)
        # D may be shown packs, fewer and larger: one number a pack, or as many as it has elements
        numbers = numbers.reshape(real.shape) if self._purpose == "normal" else numbers[:, : real.shape[1]]
        own = (self.memory,) if self.bound.declared("remembers") else ()
        return one_a_run(self.bound, self.bound(critic, real, fake, numbers, *own), len(real))


class MatrixPenalty(Part):
    """A penalty on a player's matrices."""

    def d_terms(self, critic: Critic, real: Tensor, fake: Tensor, moment: Moment) -> Tensor | None:
        return one_a_run(self.bound, self.bound(critic.matrices()), len(real)) if self.player == "d" else None

    def g_terms(self, generator: Generator, latents: Tensor, moment: Moment) -> Tensor | None:
        return one_a_run(self.bound, self.bound(generator.matrices()), len(latents)) if self.player == "g" else None


class LatentPenalty(Part):
    """A penalty on how G follows its latents."""

    def draws(self, shape: tuple[int, ...]) -> dict[str, Draw]:
        return {"g normal": noise.normal(shape)}

    def g_terms(self, generator: Generator, latents: Tensor, moment: Moment) -> Tensor | None:
        own = (self.memory,) if self.bound.declared("remembers") else ()
        penalty = self.bound(generator, latents, self.drawn("g normal", moment), *own)
        return one_a_run(self.bound, penalty, len(latents))


class Projection(Part):
    """A map of a player's weights after each of its updates."""

    def after_update(self, name: str, player: Player, alive: Tensor) -> None:
        if name == self.player:
            # a frozen run keeps its last finite weights bit for bit
            player.flat.copy_(torch.where(alive.unsqueeze(1), self.bound(player.flat), player.flat))


class ShownNoise(Part):
    """What a regularizer does to the samples that D is shown."""

    def draws(self, shape: tuple[int, ...]) -> dict[str, Draw]:
        return {f"{side} noise": noise.normal(shape) for side in SIDES}

    def shown(self, samples: Tensor, side: str, moment: Moment) -> Tensor:
        out: Tensor = self.bound(samples, self.drawn(f"{side} noise", moment), moment.progress)
        return out


# ---------------------------------------------------------------------------------------------------------- tricks


class BatchModule(Part):
    """A module that lets D see its batch."""

    sees_batch = True

    def before_last(self, features: int) -> nn.Module:
        module: nn.Module = self.bound(features)
        return module


class Packs(Part):
    """Samples put together to packs, which are all that D is ever shown."""

    def packed(self, samples: Tensor) -> Tensor:
        packs: Tensor = self.bound(samples)
        return packs


class ShownSamples(Part):
    """What a trick does to the samples that D is shown in training."""

    def draws(self, shape: tuple[int, ...]) -> dict[str, Draw]:
        return {f"{side} trick": noise.uniforms(int(self.bound.declared("draws"))) for side in SIDES}

    def shown(self, samples: Tensor, side: str, moment: Moment) -> Tensor:
        out: Tensor = self.bound(samples, self.drawn(f"{side} trick", moment))
        return out


class GroupWeights(Part):
    """Other weights of modes or classes in training batches than the data's."""

    reweighs = True

    def group_weights(self, weights: Tensor) -> Tensor:
        changed: Tensor = self.bound(weights)
        return changed


class Matching(Part):
    """G's loss on D's features."""

    matches = True

    def matched(self, real_features: Tensor, fake_features: Tensor) -> Tensor:
        return one_a_run(self.bound, self.bound(real_features, fake_features), len(fake_features))


class ChosenLogits(Part):
    """The logits that G's loss is taken on."""

    def logits(self, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        real, fake = self.bound(real, fake, self._phase(fake.shape[-1], moment))
        return real, fake

    def _phase(self, batch: int, moment: Moment) -> Any:
        phase, hypers = self.bound.declared("phase"), self.bound.hypers
        if phase is None:
            return moment.progress
        return moment.ask((self.label, batch), lambda now: phase(batch, now.progress, **hypers))


class History(Part):
    """A penalty on each player's way from the mean of its past places."""

    def start(self, players: Mapping[str, Player]) -> None:
        self.memory.update({name: player.flat.clone() for name, player in players.items()})

    def own_terms(self, name: str, player: Player) -> Tensor | None:
        return one_a_run(self.bound, self.bound(player.parameters(), self.memory[name]), len(player.flat))

    def after_step(self, players: Mapping[str, Player], alive: Tensor, step: Tensor) -> None:
        for name, player in players.items():
            mean = self.memory[name]
            # one more place, the (step + 2)-th with the start
            moved = mean + (player.flat - mean) / (step + 2)
            mean.copy_(torch.where(alive.unsqueeze(1), moved, mean))


class Average(Part):
    """An average of G's parameters, measured beside them."""

    def start(self, players: Mapping[str, Player]) -> None:
        self.memory["g"] = players["g"].flat.clone()

    def after_step(self, players: Mapping[str, Player], alive: Tensor, step: Tensor) -> None:
        average = self.memory["g"]
        average.copy_(torch.where(alive.unsqueeze(1), self.bound(average, players["g"].flat), average))

    @property
    def average(self) -> Tensor | None:
        return self.memory["g"]


# ----------------------------------------------------------------------------------------------------------- terms


@dataclass(frozen=True)
class _SeenBy:
    """Samples before D, as a term with a head of its own sees them (gan.terms.Seen)."""

    judged: Judged
    place: slice

    @property
    def samples(self) -> Tensor:
        return self.judged.samples

    @property
    def logits(self) -> Tensor:
        return self.judged.logits

    @property
    def features(self) -> Tensor:
        return self.judged.features

    @property
    def told(self) -> Tensor:
        return self.judged.told(self.place)

    def beside(self, samples: Tensor) -> _SeenBy:
        return _SeenBy(self.judged.beside(samples), self.place)


@runtime_checkable
class Movable(Protocol):
    """A map that can be had on a device, so that no step has to bring it there."""

    def to(self, device: torch.device) -> Callable[[Tensor], Tensor]: ...


class Term(Part):
    """A loss of one player or both on what D says of samples."""

    def __init__(self, bound: Bound, axis: str) -> None:
        super().__init__(bound, axis)
        self.untold = bool(bound.declared("untold"))
        law = bound.declared("code")
        self.code: Code | None = law(**bound.hypers) if law else None
        # where its code stands in the latents, and its head in what D says: known when all parts are
        self.code_place = self.head_place = slice(0, 0)
        self.space: Callable[[Tensor], Tensor] | None = None
        self.source: Source | None = None

    def prepare(self, problem: Problem, device: torch.device) -> None:
        if problem.truth is not None and problem.truth.source is not None:
            self.source = problem.truth.source.to(device)
        if name := self.bound.declared("space"):
            self.space = registry.get("feature_space", name)(problem)
            if isinstance(self.space, Movable):
                self.space = self.space.to(device)

    def _features(self, samples: Tensor) -> Tensor:
        space = self.space
        assert space is not None
        # run by run, so that none of their numbers depends on how many there are
        return torch.stack([space(own).to(samples.dtype) for own in samples])

    def _wanted(self, given: Given) -> Tensor:
        assert self.source is not None
        assert isinstance(given, Tensor)
        return self.source(given)

    def head(self, problem: Problem) -> int:
        size = self.bound.declared("head")
        return int(size(problem, **self.bound.hypers)) if size else 0

    def seen_terms(self, player: str, real: Judged, fake: Judged, moment: Moment) -> Tensor | None:
        if player not in self.bound.declared("players"):
            return None
        code = moment.draw(f"{moment.player} latent")[..., self.code_place]
        scene = Scene(player, _SeenBy(real, self.head_place), _SeenBy(fake, self.head_place), moment.given, code,
                      moment.made, self._features, self._wanted)  # fmt: skip
        return one_a_run(self.bound, self.bound(scene), len(code))


PARTS: Mapping[tuple[str, str], type[Part]] = {
    ("regularizer", "nothing"): Part,
    ("regularizer", "inputs"): InputPenalty,
    ("regularizer", "weights"): Projection,
    ("regularizer", "matrices"): MatrixPenalty,
    ("regularizer", "samples"): ShownNoise,
    ("regularizer", "latents"): LatentPenalty,
    ("trick", "nothing"): Part,
    ("trick", "batch"): BatchModule,
    ("trick", "packs"): Packs,
    ("trick", "samples"): ShownSamples,
    ("trick", "data"): GroupWeights,
    ("trick", "features"): Matching,
    ("trick", "logits"): ChosenLogits,
    ("trick", "parameters"): History,
    ("trick", "average"): Average,
}
"""The hooks that a plug-in fills, by its kind and what it acts on."""


def _made(bound: Bound, axis: str) -> Part:
    return Term(bound, axis) if axis == "term" else PARTS[bound.plugin.kind, bound.declared("acts_on")](bound, axis)


def heads_of(parts: Sequence[Part], problem: Problem) -> tuple[int, ...]:
    """Return the sizes of D's heads, in the order of the parts that have one, where these are told where theirs is."""
    sizes, start = [], 1
    for part in parts:
        if isinstance(part, Term) and (size := part.head(problem)):
            part.head_place = slice(start, start := start + size)
            sizes.append(size)
    return tuple(sizes)


def latents_of(variant: Variant, parts: Sequence[Part], beside: int = 0) -> Draw:
    """Return the draw of a variant's latents, the codes of its parts, and numbers of N(0, 1) behind them."""
    codes = [part.code for part in parts if part.code]
    return noise.latents(variant.latent, variant.latent_dim, beside, [code.draw for code in codes])


def parts_of(variant: Variant, values: Values = MappingProxyType({})) -> list[Part]:
    """Return a variant's parts in the order in which they act: tricks, regularizers of D, of G, terms.

    values: what schedules stand for; where they are not known, settings are what they are at the start.
    """
    parts = [
        _made(bound.following(values), axis)
        for axis in ("trick", "regularizer", "g_regularizer", "term")
        for bound in chain(variant, axis)
        if (axis, bound.name) != ("term", "none")
    ]
    start = variant.latent_dim
    for part in parts:
        if isinstance(part, Term) and part.code:
            part.code_place = slice(start, start := start + part.code.size)
    taken: set[str] = set()
    for part in parts:
        purposes = part.draws(()).keys()
        # the first that draws for a purpose has the same numbers in every variant; another has its own
        if taken & purposes:
            part.suffix = f" {part.label}"
        taken |= purposes
    return parts
