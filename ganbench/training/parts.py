"""Parts: what regularizers and tricks do to training, as hooks that an objective runs in the suite's order.

Which hooks a plug-in fills is decided once, by what it `acts_on` (PARTS); nobody asks a part for its name or place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganbench.binding import Bound, chain
from ganbench.errors import UserError
from ganbench.plan import Variant
from ganbench.problems.base import Given
from ganbench.training import noise
from ganbench.training.host import Answer
from ganbench.training.kept import Kept
from ganbench.training.noise import Draw
from ganbench.training.players import Player

SIDES = tuple(f"{player} {side}" for player in "dg" for side in ("real", "fake"))
"""The samples that D is shown in the updates of both players."""


@dataclass(frozen=True)
class Moment:
    """The update that is being computed: of which player, on which of its batches of this step, from 0.

    progress: the share of the training that is over, without axes. draw: returns this batch's random numbers
    [runs, ...] of a purpose. ask: returns the host's answer to a question (host.Phases), for all that an update
    branches on. given: what the problem gives with its real samples, and so with the fakes of the same index.
    """

    player: str
    place: int
    progress: Tensor
    draw: Callable[[str], Tensor]
    ask: Callable[[Hashable, Answer], Any]
    given: Given = None


class Critic(Protocol):
    """D as a part sees it."""

    def __call__(self, samples: Tensor) -> Tensor: ...
    def features(self, samples: Tensor) -> Tensor: ...
    def matrices(self) -> list[Tensor]: ...


class Generator(Protocol):
    """G as a part sees it."""

    def __call__(self, latents: Tensor) -> Tensor: ...
    def matrices(self) -> list[Tensor]: ...


class Part:
    """Something that composes with a loss; every hook does nothing unless a part fills it.

    Tensors are of all runs, [runs, ...]. `memory` holds tensors [runs, ...] that survive an interruption; a part keeps
    nothing else from one step to the next.
    """

    on_inputs = False
    """Whether its terms of D take gradients at samples."""
    matches = False
    """Whether it gives G's loss, on D's features, in place of the loss's own."""
    reweighs = False
    """Whether it changes the weights of modes or classes in training batches."""
    sees_batch = False
    """Whether it lets D see its batch."""

    def __init__(self, bound: Bound, axis: str) -> None:
        self.bound, self.suffix = bound, ""
        # its name among a population's memories
        self.label = f"{axis}.{bound.name}"
        self.player = "g" if axis == "g_regularizer" else "d"
        self.memory = Kept()
        self.lazy = _lazy(bound)

    def draws(self, shape: tuple[int, ...]) -> dict[str, Draw]:
        """Return what it draws for each batch of samples of a shape, by purpose."""
        return {}

    def drawn(self, purpose: str, moment: Moment) -> Tensor:
        """Return its own numbers of a purpose."""
        return moment.draw(purpose + self.suffix)

    def is_due(self, moment: Moment) -> bool:
        """Tell whether its terms belong to an update, every lazy-th of a player's; there they count `lazy` times."""
        if self.lazy == 1:
            return True
        player, place = moment.player, moment.place
        return bool(moment.ask((self.label, player, place), lambda now: (now.batches[player] + place) % self.lazy == 0))

    def group_weights(self, weights: Tensor) -> Tensor:
        """Return the weights [groups] of modes or classes in training batches, where it `reweighs`."""
        raise NotImplementedError

    def before_last(self, features: int) -> nn.Module:
        """Return the module in front of D's last layer that `sees_batch`, and tells its `out_features`."""
        raise NotImplementedError

    def shown(self, samples: Tensor, side: str, moment: Moment) -> Tensor:
        """Return samples [runs, batch, *shape] of one of the SIDES as D is shown them."""
        return samples

    def packed(self, samples: Tensor) -> Tensor:
        """Return samples in the packs that D takes, in probes too."""
        return samples

    def d_terms(self, critic: Critic, real: Tensor, fake: Tensor, moment: Moment) -> Tensor | None:
        """Return what is added to D's loss [runs]."""
        return None

    def g_terms(self, generator: Generator, latents: Tensor, moment: Moment) -> Tensor | None:
        """Return what is added to G's loss [runs]."""
        return None

    def own_terms(self, name: str, player: Player) -> Tensor | None:
        """Return what is added to a player's loss [runs] for where its parameters are."""
        return None

    def matched(self, real_features: Tensor, fake_features: Tensor) -> Tensor:
        """Return G's loss [runs] on D's features [runs, batch, f], where it `matches`."""
        raise NotImplementedError

    def logits(self, real: Tensor, fake: Tensor, moment: Moment) -> tuple[Tensor, Tensor]:
        """Return the logits [runs, batch] that G's loss is taken on."""
        return real, fake

    def start(self, players: Mapping[str, Player]) -> None:
        """Look at where both players begin."""

    def after_update(self, name: str, player: Player, alive: Tensor) -> None:
        """Change a player after a step of its optimizer; runs that are not alive stay."""

    def after_step(self, players: Mapping[str, Player], alive: Tensor, step: Tensor) -> None:
        """Look at where both players are after a training step, the step-th from 0; `step` has no axes."""

    @property
    def average(self) -> Tensor | None:
        """The average of G's parameters [runs, size] that it keeps to be measured."""
        return None


def _lazy(bound: Bound) -> int:
    lazy = int(bound.hypers.get("lazy", 1))
    if lazy < 1:
        key = f"{bound.plugin.kind}.{bound.name}.lazy"
        raise UserError(f"The key '{key}' counts updates and must be at least 1, got {lazy}.")
    return lazy


def one_a_run(bound: Bound, value: Any, runs: int) -> Tensor:
    """Return a tensor [runs]; UserError for another shape, which would hand every run a share of its neighbours'."""
    if not isinstance(value, Tensor) or value.shape != (runs,):
        got = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise UserError(
            f"The {bound.plugin.kind} '{bound.name}' must return one number a run, shape {[runs]}, not {got}: keep the "
            "leading axis, and take the mean over the last one, .mean(-1)."
        )
    return value


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


def parts_of(variant: Variant) -> list[Part]:
    """Return a variant's parts in the order in which they act: tricks, regularizers of D, regularizers of G."""
    parts = [
        PARTS[bound.plugin.kind, bound.declared("acts_on")](bound, axis)
        for axis in ("trick", "regularizer", "g_regularizer")
        for bound in chain(variant, axis)
    ]
    taken: set[str] = set()
    for part in parts:
        purposes = part.draws(()).keys()
        # the first that draws for a purpose has the same numbers in every variant; another has its own
        if taken & purposes:
            part.suffix = f" {part.label}"
        taken |= purposes
    return parts
