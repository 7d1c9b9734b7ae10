"""Update rules: in what order, from where and against what the two players move.

An update rule is `(round, *, hypers) -> None`. It plays one training step through a `Round`, which holds the players
"d" and "g" of all runs as flat parameters [runs, size] and draws the next batch for each gradient that it is asked
for. How far a gradient moves a player is the optimizer's affair. What a rule must remember from step to step is kept
in `round.memory`, tensors [runs, ...] that survive an interruption.

It may declare `linear`, what its paper makes of a step near an equilibrium, `(step: LinearStep, *, hypers) -> None`: so
theory can tell where it leads on the games in closed form. `plain` are rules that descend the players' own gradients
where they stand and do nothing else: what is proven of gradient descent holds for them.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from ganbench.errors import unknown
from ganbench.gan import linear
from ganbench.ranges import AtLeastOne, NotNegative, PositiveShare
from ganbench.registry import register

PLAYERS = ("d", "g")
ORDERS = {"simultaneous": (PLAYERS,), "alternating": (("d",), ("g",)), "generator_first": (("g",), ("d",))}
"""Who moves on a gradient, one gradient after the other, by the name of the plain rule."""
ONE_EACH = {"one_turn_each": "the rule moves both players at once: it has no turns to count (critic_steps=1, "
            "generator_steps=1)"}  # fmt: skip
Gradients = dict[str, Tensor]


class Field(Protocol):
    """The gradients of both players on one batch, and their derivatives in the parameters of both."""

    @property
    def gradients(self) -> Gradients: ...
    def pulled_back(self, vectors: Gradients) -> Gradients:
        """Return J^T v, the transposed Jacobian of the gradients times vectors [runs, size]."""

    def pushed_forward(self, vectors: Gradients) -> Gradients:
        """Return J v, the Jacobian of the gradients times vectors [runs, size]."""


class Round(Protocol):
    """One training step as an update rule plays it."""

    @property
    def step(self) -> Tensor:
        """Training steps made before this one, int64 without axes."""

    def is_due(self, every: int) -> bool:
        """Tell whether this step is the last of every so many: the one thing of a step that a rule may branch on."""

    @property
    def turns(self) -> Mapping[str, int]:
        """How often each player moves in a step: critic_steps and generator_steps."""

    @property
    def memory(self) -> dict[str, Tensor]:
        """What the rule remembers."""

    def gradient(self, player: str) -> Tensor:
        """Return the gradient [runs, size] of a player's loss on its next batch, where both players now stand."""

    def unrolled_gradient(self, steps: int, rate: float, penalties: bool = False) -> Tensor:
        """Return G's gradient through `steps` gradient steps of size `rate` that D would make on the same batch.

        penalties: on D's loss with its terms, not on its loss alone.
        """

    def field(self) -> Field:
        """Return both gradients on D's next batch, differentiable."""

    def descend(self, player: str, gradient: Tensor) -> None:
        """Make one step of a player's optimizer."""

    def positions(self) -> Gradients:
        """Return copies of both players' parameters."""

    def place(self, positions: Gradients) -> None:
        """Put both players elsewhere; a run that had diverged before this step stays where it is."""


def _both(round: Round) -> Gradients:
    return {player: round.gradient(player) for player in PLAYERS}


def _descend(round: Round, gradients: Gradients) -> None:
    for player, gradient in gradients.items():
        round.descend(player, gradient)


def _take_turns(round: Round, order: tuple[str, ...]) -> None:
    for player in order:
        for _ in range(round.turns[player]):
            round.descend(player, round.gradient(player))


@register("update", linear=linear.alternating, plain=True)
def alternating(round: Round) -> None:
    """Alternating updates, D first: G answers to the D that has just moved (Goodfellow 2014, alg. 1)."""
    _take_turns(round, ("d", "g"))


@register("update", linear=linear.generator_first, plain=True)
def generator_first(round: Round) -> None:
    """Alternating updates, G first: D answers to the G that has just moved."""
    _take_turns(round, ("g", "d"))


@register("update", needs=ONE_EACH, linear=linear.simultaneous, plain=True)
def simultaneous(round: Round) -> None:
    """Simultaneous updates: both players move from where both stood (Mescheder 2017, sec. 2)."""
    _descend(round, _both(round))


@register("update", needs=ONE_EACH, linear=linear.extragradient)
def extragradient(round: Round) -> None:
    """Extragradient: each step is made again from its start, with the gradients at its end (Gidel 2019, alg. 2).

    Both are steps of the optimizer on batches of their own: with Adam it is ExtraAdam (alg. 4).
    """
    start = round.positions()
    _descend(round, _both(round))
    _step_from(round, start)


@register("update", needs=ONE_EACH, linear=linear.past_extragradient)
def past_extragradient(round: Round) -> None:
    """Extragradient from the past: looks ahead along the last step's gradients (Popov 1980; Gidel 2019, alg. 3).

    One new gradient a player and a step, as many as without extrapolation.
    """
    start = round.positions()
    past = {player: round.memory[player] for player in PLAYERS if player in round.memory}
    _descend(round, past or _both(round))
    round.memory.update(_step_from(round, start))


def _step_from(round: Round, start: Gradients) -> Gradients:
    """Move from `start` with the gradients at the present place, and return these."""
    gradients = _both(round)
    round.place(start)
    _descend(round, gradients)
    return gradients


@register("update", linear=linear.lookahead)
def lookahead(round: Round, *, every: AtLeastOne = 5, share: PositiveShare = 0.5) -> None:
    """Lookahead-minimax: every few steps both go back to a share of the way they came (Chavdarova 2021, alg. 1).

    The steps between are alternating ones; `share` is in (0, 1], 1 is no lookahead.
    """
    _look_ahead(round, alternating, every, share)


@register("update", needs=ONE_EACH, linear=linear.simultaneous_lookahead)
def simultaneous_lookahead(round: Round, *, every: AtLeastOne = 5, share: PositiveShare = 0.5) -> None:
    """Lookahead-minimax over simultaneous steps, which alone leave a bilinear game (Chavdarova 2021, alg. 1).

    As `lookahead`, with `simultaneous` steps between. At small rates it converges there where every (1 - share) > 1.
    """
    _look_ahead(round, simultaneous, every, share)


def _look_ahead(round: Round, step: Callable[[Round], None], every: int, share: float) -> None:
    if not round.memory:
        round.memory.update(round.positions())
    step(round)
    if round.is_due(every):
        slow = {player: torch.lerp(round.memory[player], fast, share) for player, fast in round.positions().items()}
        round.place(slow)
        round.memory.update(round.positions())


@register("update", needs=ONE_EACH, linear=linear.consensus, later=("order",))
def consensus(round: Round, *, weight: NotNegative = 1.0, order: str = "simultaneous") -> None:
    """Consensus optimisation: both also descend weight/2 times the squared norm of all gradients (Mescheder 2017).

    order: who moves on which of these gradients, as the update rules of these names: "simultaneous", "alternating" (D
    first) or "generator_first"; all are taken on batches of D's.
    """
    if order not in ORDERS:
        raise unknown("order of the update rule 'consensus'", order, ORDERS)
    for movers in ORDERS[order]:
        field = round.field()
        pulled = field.pulled_back(field.gradients)
        _descend(round, {player: field.gradients[player] + weight * pulled[player] for player in movers})


@register("update", needs=ONE_EACH, linear=linear.symplectic)
def symplectic(round: Round, *, weight: NotNegative = 1.0, align: bool = True) -> None:
    """Symplectic gradient adjustment: adds A^T xi, A the antisymmetric part of the Jacobian (Balduzzi 2018, alg. 1).

    With `align` the sign of `weight` follows the paper's criterion, towards stable and away from unstable points.
    """
    field = round.field()
    gradients, pulled = field.gradients, field.pulled_back(field.gradients)
    pushed = field.pushed_forward(gradients)
    adjustment = {player: (pulled[player] - pushed[player]) / 2 for player in PLAYERS}
    signed = torch.full_like(gradients["d"][:, :1], weight)
    if align:
        size = sum(gradient.shape[1] for gradient in gradients.values())
        agreement = _dot(gradients, pulled) * _dot(adjustment, pulled) / size
        # the paper's small positive number, which leans towards the adjustment where the criterion is undecided
        signed = signed * (agreement + 0.1).sign()
    _descend(round, {player: gradients[player] + signed * adjustment[player] for player in PLAYERS})


def _dot(a: Gradients, b: Gradients) -> Tensor:
    return torch.stack([(a[player] * b[player]).sum(1, keepdim=True) for player in PLAYERS]).sum(0)


@register("update", linear=linear.unrolled, later=("penalties",))
def unrolled(round: Round, *, steps: AtLeastOne = 5, rate: NotNegative = 0.1, penalties: bool = False) -> None:
    """Unrolled critic: G descends through `steps` gradient steps that D would make (Metz 2017).

    Alternating, D first. The steps that D would make are plain gradient steps of size `rate` on G's own batch. Their
    objective is D's loss on both sides: G descends its own loss on the samples, which may be the non-saturating one,
    and ascends D's loss on the real data, whose logits those steps move. The paper's D has no regularizer: those steps
    leave ours out, and with `penalties` they are on its loss with all of them. Spectral vectors stay as they were.
    """
    for _ in range(round.turns["d"]):
        round.descend("d", round.gradient("d"))
    for _ in range(round.turns["g"]):
        round.descend("g", round.unrolled_gradient(steps, rate, penalties))
