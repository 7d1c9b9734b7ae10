"""What theory says of a method on a game in closed form.

Near its equilibrium the gradient field of such a game is linear, and a training step of a rule with a linear optimizer
is a linear map of both players' displacements, the optimizer's memory and the rule's. Its spectral radius is the factor
by which the distance shrinks or grows in a step (Mescheder 2017 and 2018, Gidel 2019, Balduzzi 2018, Chavdarova 2021).
The network declares the game that it plays there, the regularizer, the optimizer and the update rule what they do to
it (`ganbench.gan.linear`), from those papers and apart from the code that trains; of what declares nothing, nothing is
said. `ganbench.analysis.courses` reads the same factor off a recorded path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from ganbench import kinds, registry
from ganbench.binding import Bound, chain
from ganbench.errors import UserError, quoted, told
from ganbench.gan.linear import LinearGame, LinearStep, Matrix, Slopes, Unknown
from ganbench.plan import Variant

CYCLE = 1e-6
"""A spectral radius this near to 1 neither arrives nor leaves."""
SLOW = 0.999
"""A factor above this is not seen in a few hundred steps but in the fitted rate."""
ASKED = ("problem", "network", "loss", "regularizer", "optimizer", "update")
"""The axes that theory asks; of a variant that has something on another one, it says nothing."""
PLACES = 200
"""Moments of a training at which a schedule is asked."""


@dataclass(frozen=True)
class Prediction:
    """What theory says: a step's factor on the distance (None: no rate is known), where it leads, and who says so.

    Of a game that changes over training (`scheduled`) the factor is the mean.
    """

    radius: float | None
    behaviour: str
    source: str
    scheduled: bool = False


def predict(variant: Variant) -> Prediction | None:
    """Return what theory says of a variant; None where it says nothing, or is not known here."""
    try:
        if any(getattr(variant, name) != axis.default for name, axis in kinds.axes().items() if name not in ASKED):
            return None
        return _without_rate(variant) or _with_rate(variant)
    except Unknown:
        return None


def _without_rate(variant: Variant) -> Prediction | None:
    """Return what is proven of gradient descent on the Dirac-GAN where its field is not linear."""
    penalty, (rule,) = _bound(variant, "regularizer"), _bound(variant, "update")
    why = penalty[0].declared("no_rate").get(variant.loss) if len(penalty) == 1 else None
    if why and rule.declared("plain") and _game(variant).dirac:
        return Prediction(None, "does not converge", why)
    return None


def _with_rate(variant: Variant) -> Prediction:
    games, (rule,), (optimizer,) = _scheduled(variant), _bound(variant, "update"), _bound(variant, "optimizer")
    turns = {"g": variant.generator_steps, "d": variant.critic_steps}
    radii = [factor(game, rule, optimizer, turns) for game in games]
    # of a schedule the mean rate counts
    radius = math.exp(float(np.mean(np.log(np.maximum(radii, 1e-300)))))
    return Prediction(radius, behaviour(radius), "spectral radius of the step at the equilibrium", len(games) > 1)


def behaviour(radius: float) -> str:
    """Return where a factor a step leads: "converges", "cycles" or "leaves".

    >>> behaviour(0.9), behaviour(1.0), behaviour(1.1)
    ('converges', 'cycles', 'leaves')
    """
    if abs(radius - 1) <= CYCLE:
        return "cycles"
    return "converges" if radius < 1 else "leaves"


def resolution(variant: Variant) -> float:
    """Return the distance from the equilibrium below which a variant's path is rounding."""
    try:
        asked = [*_bound(variant, "problem"), *_bound(variant, "regularizer")]
    except Unknown:
        return float(registry.KINDS["problem"].default("resolution"))
    return max(float(one.declared("resolution")) for one in asked)


# ---- what is declared


def _bound(variant: Variant, axis: str) -> list[Bound]:
    """Return the plug-ins of an axis; Unknown where one is not registered here, as in a study of others."""
    if not set(variant.names(axis)) <= set(registry.names(kinds.kind_of(axis))):
        raise Unknown
    bound = chain(variant, axis)
    if any(one.schedules for one in bound):
        raise Unknown  # its numbers are other ones at every step
    return bound


def _linear(bound: Bound, *asked: Any, without: tuple[str, ...] = ()) -> Any:
    """Return what a plug-in's `linear` answers; Unknown where it declares none, UserError where a user's raises."""
    plugin, function = bound.plugin, bound.declared("linear")
    if function is None:
        raise Unknown
    hypers = {key: value for key, value in bound.hypers.items() if key not in without}
    try:
        return function(*asked, **hypers)
    except Exception as error:  # a plug-in may raise anything
        if plugin.is_own or isinstance(error, Unknown | UserError):
            raise
        raise UserError(f"What the {plugin.kind} '{plugin.name}' declares as 'linear' raised {told(error)}") from error


# ---- the games


def linear_games(variant: Variant) -> list[LinearGame] | None:
    """Return the linear game of a variant, several over a schedule; None where there is none in closed form."""
    try:
        return _scheduled(variant)
    except Unknown:
        return None


def _scheduled(variant: Variant) -> list[LinearGame]:
    game, penalties = _game(variant), _bound(variant, "regularizer")
    moments = [[_linear(one, progress) for one in penalties] for progress in np.linspace(0, 1, PLACES, endpoint=False)]
    moments = moments[:1] if all(moment == moments[0] for moment in moments) else moments
    return [replace(game, penalty=_penalty(game, penalties, moment)) for moment in moments]


def _penalty(game: LinearGame, penalties: list[Bound], moment: list[Any]) -> Matrix:
    """Return the curvature that regularizers add to D [n]; Unknown where the game does not tell how much it is."""
    added: Matrix = np.zeros_like(game.own)
    for one, answer in zip(penalties, moment, strict=True):
        if not isinstance(answer, Mapping):
            raise UserError(f"'linear' of the regularizer '{one.name}' answers {quoted(answer)}, not a dictionary.")
        if not set(answer) <= set(game.added):
            raise Unknown
        added = added + sum(share * game.added[where] for where, share in answer.items())
    return added


def _game(variant: Variant) -> LinearGame:
    """Return the game that a variant's network plays, without a regularizer."""
    (network,), (problem,), (loss,) = (_bound(variant, axis) for axis in ("network", "problem", "loss"))
    if network.declared("linear") is None:
        raise Unknown  # before a problem is built, and all its data with it
    game = _linear(network, problem(), _slopes(loss))
    if not isinstance(game, LinearGame):
        raise UserError(f"'linear' of the network '{network.name}' answers {quoted(game)}, not a LinearGame.")
    return game


def _slopes(loss: Bound) -> Slopes:
    """Return the first and second derivatives of both losses where all logits are 0."""
    logits = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    d_loss, g_loss = loss(logits[0], logits[1])

    def derivatives(value: torch.Tensor) -> tuple[list[float], list[list[float]]]:
        (first,) = torch.autograd.grad(value, logits, create_graph=True, materialize_grads=True)
        if not first.requires_grad:
            return first.flatten().tolist(), [[0.0, 0.0]] * 2
        rows = [torch.autograd.grad(slope, logits, retain_graph=True, materialize_grads=True)[0] for slope in first]
        return first.flatten().tolist(), [row.flatten().tolist() for row in rows]

    (of_real, pull), ((rr, rf), (_, ff)) = derivatives(d_loss.sum())
    (_, of_fake), (_, (_, g_ff)) = derivatives(g_loss.sum())
    return Slopes(push=-of_fake, real=of_real, pull=pull, rr=rr, rf=rf, ff=ff, g_ff=g_ff)


# ---- the steps


def factor(game: LinearGame, rule: Bound, optimizer: Bound, turns: Mapping[str, int]) -> float:
    """Return the factor of a training step on the distance, its spectral radius; Unknown where nothing is declared.

    turns: how often each player ("g", "d") moves in a step.
    """
    hypers, engine = optimizer.hypers, tuple(registry.KINDS["optimizer"].hypers)
    if hypers.get("decay", "none") != "none":
        raise Unknown

    def move(gradient: Matrix, last: Matrix) -> tuple[Matrix, Matrix]:
        moved, kept = _linear(optimizer, gradient, last, without=engine)
        return moved, kept

    step = LinearStep(game, (hypers["g_lr"], hypers["d_lr"]), turns, move)
    _linear(rule, step)
    return float(spectral_radius(step.map()) ** (1 / step.steps))


def spectral_radius(matrix: Matrix) -> float:
    """Return the largest modulus of a matrix's eigenvalues.

    >>> round(spectral_radius(np.array([[0.0, -0.5], [0.5, 0.0]])), 6)
    0.5
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())
