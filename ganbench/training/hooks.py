"""The hooks by which a part takes part in training, and what it is handed there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ganbench.binding import Bound
from ganbench.errors import UserError
from ganbench.gan.terms import Code, unmade
from ganbench.problems.base import Given, Problem
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
    branches on. given: what the problem gives with its real samples, and so with the fakes of the same index. made:
    returns G's samples [runs, batch, *shape] for something else that is given, of this batch's latents.
    """

    player: str
    place: int
    progress: Tensor
    draw: Callable[[str], Tensor]
    ask: Callable[[Hashable, Answer], Any]
    given: Given = None
    made: Callable[[Given], Tensor] = unmade


class Critic(Protocol):
    """D as a part sees it."""

    def __call__(self, samples: Tensor) -> Tensor: ...
    def features(self, samples: Tensor) -> Tensor: ...
    def matrices(self) -> list[Tensor]: ...


class Judged(Protocol):
    """Samples as D judges them; what is not asked for is not computed."""

    @property
    def samples(self) -> Tensor: ...
    @property
    def logits(self) -> Tensor: ...
    @property
    def features(self) -> Tensor: ...
    def told(self, place: slice) -> Tensor:
        """Return what D says beside its logit at a place among its numbers [runs, batch, size]."""

    def beside(self, samples: Tensor) -> Judged:
        """Return other samples [runs, batch, *shape] before the same D."""


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
    untold = False
    """Whether D is not told what is given."""
    code: Code | None = None
    """The law of the numbers that it has behind G's latents."""

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

    def head(self, problem: Problem) -> int:
        """Return how many numbers a sample D says for it beside its logit."""
        return 0

    def prepare(self, problem: Problem, device: torch.device) -> None:
        """Get what it needs of a problem, on the device where it is trained; once, before the first step."""

    def seen_terms(self, player: str, real: Judged, fake: Judged, moment: Moment) -> Tensor | None:
        """Return what is added to the loss of a player [runs] for what D says of samples."""
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
