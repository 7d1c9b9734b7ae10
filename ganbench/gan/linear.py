"""Games and training steps near an equilibrium, where both are linear, as the papers have them.

What networks, regularizers, optimizers and update rules declare as `linear` is written with these, apart from the code
that trains, so that the two can be held against each other (`ganbench.analysis.theory`). All matrices are float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Move = Callable[[Matrix, Matrix], tuple[Matrix, Matrix]]


class Unknown(Exception):  # noqa: N818 - an answer, which whoever asks takes as one
    """Nothing is known of a case: what a `linear` raises where it has no answer."""


@dataclass(frozen=True)
class Slopes:
    """The derivatives of both losses where all logits are 0.

    push: less that of G's loss in the logit of a fake; real, pull: those of D's loss in a real logit and in a fake one;
    rr, rf, ff: its second derivatives in the two; g_ff: that of G's loss in the logit of a fake.
    """

    push: float
    real: float
    pull: float
    rr: float
    rf: float
    ff: float
    g_ff: float


@dataclass(frozen=True)
class LinearGame:
    """A game near its equilibrium: G descends -push psi, D descends pull theta + (own + penalty) psi; all [n].

    own: the curvature of D's loss without its penalty. added: the curvatures in D's parameters that a regularizer may
    add, [n] each, those that are known: of half D's squared slope at "real" samples, at "fake" ones and "between" them,
    and of "noise" of variance 1 on all samples. penalty: what it does add. follow: the curvature of G's loss in the
    logits of its samples less D's in the real ones, which an unrolled critic brings in; None where that is not all.
    dirac: whether it is the Dirac-GAN, of which more is known than what is linear.
    """

    push: Matrix
    pull: Matrix
    own: Matrix
    added: Mapping[str, Matrix] = field(default_factory=dict)
    penalty: Matrix | float = 0.0
    follow: float | None = 0.0
    dirac: bool = False

    @property
    def field(self) -> Matrix:
        """The Jacobian of the gradient field [2 n, 2 n], G's parameters first."""
        n = len(self.push)
        return np.block([
            [np.zeros((n, n)), -np.diag(self.push)], [np.diag(self.pull), np.diag(self.own + self.penalty)]
        ])  # fmt: skip


class LinearStep:
    """One training step as linear functions of where it began, [2 n, state], which an update rule's map plays.

    x: where both players are, G's parameters first; memory: what the rule remembers, here and from step to step. A map
    that makes several training steps says in `steps` how many. move: the optimizer, from a gradient and what it kept of
    the last one to how it moves and what it keeps.
    """

    def __init__(self, game: LinearGame, rates: tuple[float, float], turns: Mapping[str, int], move: Move) -> None:
        n = len(game.push)
        self.game, self.steps = game, 1
        self._rates, self._turns, self._move = np.repeat(rates, n)[:, None], turns, move
        self._rows = {"g": np.arange(2 * n) < n, "d": np.arange(2 * n) >= n}
        self.x, self._kept, self._began = np.split(np.eye(6 * n), 3)
        self.memory = self._began

    def descend(self, gradient: Matrix, player: str | None = None) -> None:
        """Move one player ("g", "d"), or both, against a gradient [2 n, state] by a step of the optimizer."""
        rows = np.ones(len(self.x), dtype=bool) if player is None else self._rows[player]
        move, kept = self._move(gradient, self._kept)
        self._kept = np.where(rows[:, None], kept, self._kept)
        self.x = self.x - self._rates * np.where(rows[:, None], move, 0.0)

    def turns(self, player: str, field: Matrix | None = None) -> None:
        """Make a player's turns of a step, along the game's field or another one [2 n, 2 n]."""
        for _ in range(self._turns[player]):
            self.descend((self.game.field if field is None else field) @ self.x, player)

    def map(self) -> Matrix:
        """Return the step as a matrix [state, state]."""
        step = np.concatenate([self.x, self._kept, self.memory])
        # what a rule does not remember is no part of the state: it would stay as it is, with eigenvalue 1
        size = len(step) if self.memory is not self._began else len(step) - len(self.memory)
        return step[:size, :size]


# ------------------------------------------------------------------------------------------ the update rules


def alternating(step: LinearStep) -> None:
    """D's turns, then G's."""
    step.turns("d")
    step.turns("g")


def generator_first(step: LinearStep) -> None:
    """G's turns, then D's."""
    step.turns("g")
    step.turns("d")


def simultaneous(step: LinearStep) -> None:
    """Both along the field."""
    step.descend(step.game.field @ step.x)


def consensus(step: LinearStep, *, weight: float, order: str) -> None:
    """Along J + weight J^T J, both at once or one after the other."""
    field = step.game.field
    pulled = field + weight * field.T @ field
    players: tuple[str | None, ...] = {"alternating": ("d", "g"), "generator_first": ("g", "d")}.get(order, (None,))
    for player in players:
        step.descend(pulled @ step.x, player)


def symplectic(step: LinearStep, *, weight: float, align: bool) -> None:
    """Both along J + weight A^T J, A the antisymmetric part."""
    # at the equilibrium the alignment is undecided, and the adjustment keeps its sign
    field = step.game.field
    step.descend((field + weight * (field - field.T).T / 2 @ field) @ step.x)


def extragradient(step: LinearStep) -> None:
    """Both from where they were, along the field where a step of both would lead."""
    start = step.x
    step.descend(step.game.field @ step.x)
    there = step.game.field @ step.x
    step.x = start
    step.descend(there)


def past_extragradient(step: LinearStep) -> None:
    """The same with the last step's gradients for the look ahead."""
    start = step.x
    step.descend(step.memory)
    step.memory = step.game.field @ step.x
    step.x = start
    step.descend(step.memory)


def lookahead(step: LinearStep, *, every: int, share: float) -> None:
    """The way of some alternating steps, made again for a share, in positions alone."""
    _look_ahead(step, alternating, every, share)


def simultaneous_lookahead(step: LinearStep, *, every: int, share: float) -> None:
    """The same of simultaneous steps."""
    _look_ahead(step, simultaneous, every, share)


def _look_ahead(step: LinearStep, play: Callable[[LinearStep], None], every: int, share: float) -> None:
    start = step.x
    for _ in range(every):
        play(step)
    step.x = share * step.x + (1 - share) * start
    step.steps = every


def unrolled(step: LinearStep, *, steps: int, rate: float, penalties: bool) -> None:
    """D's turns, then G's through some steps that D would make, with its penalty or without."""
    game = step.game
    if game.follow is None:
        raise Unknown
    stays = 1 - rate * (game.own + (game.penalty if penalties else 0.0))
    kept = stays**steps
    gained = -rate * game.pull * sum(stays**i for i in range(steps))
    of_theta = -2 * game.push * gained + game.follow * gained**2
    of_psi = -game.push * kept + game.follow * kept * gained
    through = game.field.copy()
    through[: len(kept)] = np.concatenate([np.diag(of_theta), np.diag(of_psi)], axis=1)
    step.turns("d")
    step.turns("g", through)


# ------------------------------------------------------------------------------------------ the optimizers


def heavy_ball(gradient: Matrix, last: Matrix, *, momentum: float, weight_decay: float = 0.0) -> tuple[Matrix, Matrix]:
    """Return the velocity, by which it moves and which it keeps."""
    _without_decay(weight_decay)
    velocity = momentum * last + gradient
    return velocity, velocity


def optimistic(gradient: Matrix, last: Matrix, *, weight_decay: float = 0.0) -> tuple[Matrix, Matrix]:
    """Return twice the gradient less the last one, and the gradient."""
    _without_decay(weight_decay)
    return 2 * gradient - last, gradient


def _without_decay(weight_decay: float) -> None:
    if weight_decay:
        raise Unknown  # it pulls to the origin, which is not every game's equilibrium


# ------------------------------------------------------------------------------------------ the regularizers

Added = Mapping[str, float]
"""How much of a game's `added` curvatures a regularizer adds."""


def nothing(progress: float) -> Added:
    """Return that it adds nothing."""
    return {}


def half_squared_slope(*where: str, weight: str, times: float = 1.0) -> Callable[..., Added]:
    """Return what a penalty adds that is a hyper-parameter times half D's squared slope, at "real", "fake", ...

    Nothing is known of a penalty that is computed in some updates only.
    """

    def added(progress: float, *, lazy: int = 1, **hypers: Any) -> Added:
        if lazy != 1:
            raise Unknown
        return dict.fromkeys(where, times * hypers[weight])

    return added


def fading_noise(progress: float, *, sigma: float, until: float) -> Added:
    """Return the variance of noise that falls linearly from sigma to 0."""
    return {"noise": (sigma * max(0.0, 1 - progress / until)) ** 2}


def steady_noise(progress: float, *, sigma: float, sampled: bool) -> Added:
    """Return the variance of noise that stays; nothing is known of a path that its sampling keeps in motion."""
    if sampled:
        raise Unknown
    return {"noise": sigma**2}
