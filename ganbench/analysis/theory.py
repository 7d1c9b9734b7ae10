"""What theory says of a method on a game in closed form.

Near its equilibrium the gradient field of such a game is linear, and a training step of a rule with a linear optimizer
is a linear map of both players' displacements, the optimizer's memory and the rule's. Its spectral radius is the factor
by which the distance shrinks or grows in a step (Mescheder 2017 and 2018, Gidel 2019, Balduzzi 2018, Chavdarova 2021).
The maps are written here from those papers as matrices, apart from the code that trains; `ganbench.analysis.courses`
reads the same factor off a recorded path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ganbench import registry
from ganbench.gan.networks.games import interactions
from ganbench.plan import Variant

Matrix = NDArray[np.float64]

CYCLE = 1e-6
"""A spectral radius this near to 1 neither arrives nor leaves."""
SLOW = 0.999
"""A factor above this is not seen in a few hundred steps but in the fitted rate."""

NO_RATE = {
    ("wasserstein", "weight_clipping"): "clipped WGAN does not converge (Mescheder 2018)",
    ("wasserstein", "gradient_penalty"): "WGAN-GP does not converge with finitely many steps of D (Mescheder 2018)",
    ("nonsaturating", "dragan"): "DRAGAN does not converge (Mescheder 2018)",
}  # fmt: skip
"""Methods on the Dirac-GAN whose field is not linear at the equilibrium, so that theory gives no rate."""


@dataclass(frozen=True)
class Prediction:
    """What theory says: a step's factor on the distance (None: no rate is known), where it leads, and who says so.

    Of a game that changes over training (`scheduled`) the factor is the mean.
    """

    radius: float | None
    behaviour: str
    source: str
    scheduled: bool = False


@dataclass(frozen=True)
class LinearGame:
    """A game near its equilibrium: G descends -push psi, D descends pull theta + (own + penalty) psi; all [n].

    `own` is the curvature of D's loss without its penalty, `follow` that of G's loss in the logits of its samples less
    D's in the real ones, which an unrolled critic brings in.
    """

    push: Matrix
    pull: Matrix
    own: Matrix
    penalty: Matrix
    follow: float = 0.0

    @property
    def field(self) -> Matrix:
        """The Jacobian of the gradient field [2 n, 2 n], G's parameters first."""
        n = len(self.push)
        return np.block([
            [np.zeros((n, n)), -np.diag(self.push)], [np.diag(self.pull), np.diag(self.own + self.penalty)]
        ])  # fmt: skip


def predict(variant: Variant) -> Prediction | None:
    """Return what theory says of a variant; None where it says nothing, or is not known here."""
    if (variant.model, variant.trick, variant.g_regularizer) != ("gan", "none", "none"):
        return None
    known = NO_RATE.get((variant.loss, variant.regularizer))
    if known and variant.problem == "dirac" and variant.update in ("alternating", "generator_first", "simultaneous"):
        return Prediction(None, "does not converge", known)
    games = linear_games(variant)
    step = _step_of(variant)
    if games is None or step is None:
        return None
    radii = [step(game) for game in games]
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


# ---- the games


def linear_games(variant: Variant) -> list[LinearGame] | None:
    """Return the linear game of a variant, several over a schedule; None where there is none in closed form."""
    slopes = _slopes(variant)
    if variant.problem == "covariance":
        return _covariance(variant, slopes)
    if variant.problem not in ("dirac", "bilinear"):
        return None
    dimension = int(variant.hypers_of("problem", variant.problem).get("dimension", 1))
    a = interactions(dimension, variant.hypers_of("network", "point")["condition"]).numpy()
    penalties = _point_penalties(variant, slopes, a)
    if penalties is None:
        return None
    zeros = np.zeros_like(a)
    return [LinearGame(slopes["push"] * a, slopes["pull"] * a, zeros, penalty) for penalty in penalties]


def _slopes(variant: Variant) -> dict[str, float]:
    """Return the first and second derivatives of both losses where all logits are 0."""
    loss, hypers = registry.get("loss", variant.loss), variant.hypers_of("loss", variant.loss)
    logits = torch.zeros(2, 1, dtype=torch.float64, requires_grad=True)
    d_loss, g_loss = loss(logits[0], logits[1], **hypers)

    def derivatives(value: torch.Tensor) -> tuple[list[float], list[list[float]]]:
        (first,) = torch.autograd.grad(value, logits, create_graph=True, materialize_grads=True)
        rows = [torch.autograd.grad(first[i, 0], logits, retain_graph=True, materialize_grads=True,
                                    allow_unused=True)[0].flatten().tolist() if first.requires_grad else [0.0, 0.0]
                for i in range(2)]  # fmt: skip
        return first.flatten().tolist(), rows

    (of_real, pull), ((rr, rf), (_, ff)) = derivatives(d_loss.sum())
    (_, of_fake), (_, (_, g_ff)) = derivatives(g_loss.sum())
    return {"push": -of_fake, "pull": pull, "real": of_real, "rr": rr, "rf": rf, "ff": ff, "g_ff": g_ff}


def _point_penalties(variant: Variant, slopes: Mapping[str, float], a: Matrix) -> list[Matrix] | None:
    """Return the curvature that the regularizer adds to D [n]; the critic's slope is A y."""
    name, hypers = variant.regularizer, variant.hypers_of("regularizer", variant.regularizer)
    shares = {"none": 0.0, "r1": 1.0, "r2": 1.0, "r1r2": 2.0}
    if name in shares:
        return [shares[name] * hypers.get("gamma", 0.0) * a**2]
    if name == "zero_gradient_penalty" and hypers["lazy"] == 1:
        return [2 * hypers["weight"] * a**2]
    if name == "instance_noise":
        progress = np.linspace(0, 1, 200, endpoint=False)
        if not slopes["rr"] + slopes["ff"]:
            return None  # noise without curvature: a random walk
        sigmas = hypers["sigma"] * np.maximum(0, 1 - progress / hypers["until"])
        return [sigma**2 * (slopes["rr"] + slopes["ff"]) * a**2 for sigma in sigmas]
    return None


def _covariance(variant: Variant, slopes: Mapping[str, float]) -> list[LinearGame] | None:
    """D(x) = w x^2 at v = 1, w = 0: its slope in w is x^2 = 1, its slope in x is 2 w x."""
    name, hypers = variant.regularizer, variant.hypers_of("regularizer", variant.regularizer)
    shares = {"none": 0.0, "r1": 4.0, "r2": 4.0, "r1r2": 8.0}
    # another boundary than 0, and D's real and fake sides do not balance there
    if name not in shares or abs(slopes["real"] + slopes["pull"]) > 1e-12:
        return None
    if variant.update == "unrolled" and slopes["rf"]:
        return None
    own = slopes["rr"] + 2 * slopes["rf"] + slopes["ff"]
    one = np.ones(1)
    return [LinearGame(2 * slopes["push"] * one, 2 * slopes["pull"] * one, own * one,
                       shares[name] * hypers.get("gamma", 0.0) * one, slopes["g_ff"] - slopes["rr"])]  # fmt: skip


# ---- the steps


class _Step:
    """One training step as linear functions of where it began: positions, momentum and memory [2 n, state]."""

    def __init__(self, game: LinearGame, variant: Variant) -> None:
        n = len(game.push)
        self.game, self.variant = game, variant
        hypers = variant.hypers_of("optimizer", variant.optimizer)
        self.rates = np.repeat([hypers["g_lr"], hypers["d_lr"]], n)[:, None]
        self.momentum = hypers.get("momentum", 0.0)
        self.rows = {"g": np.arange(2 * n) < n, "d": np.arange(2 * n) >= n}
        self.both = np.ones(2 * n, dtype=bool)
        # what a rule does not remember is no part of the state: it would stay as it is, with eigenvalue 1
        parts = 3 if variant.update in REMEMBER else 2
        self.x, self.last, *self.memory = np.split(np.eye(2 * n * parts), parts)

    def descend(self, rows: NDArray[np.bool_], gradient: Matrix) -> None:
        """Move the players of some rows against a gradient [2 n, state]."""
        before = self.last.copy()
        if self.variant.optimizer == "optimistic_sgd":
            move, kept = 2 * gradient - before, gradient
        else:
            move = kept = self.momentum * before + gradient
        self.last = np.where(rows[:, None], kept, before)
        self.x = self.x - self.rates * np.where(rows[:, None], move, 0.0)

    def turns(self, player: str, field: Matrix) -> None:
        """Make a player's turns of a step."""
        for _ in range(self.variant.critic_steps if player == "d" else self.variant.generator_steps):
            self.descend(self.rows[player], field @ self.x)

    def map(self) -> Matrix:
        """Return the step as a matrix [state, state]."""
        return np.concatenate([self.x, self.last, *self.memory])


def _alternating(step: _Step, hypers: Mapping[str, Any]) -> None:
    step.turns("d", step.game.field)
    step.turns("g", step.game.field)


def _generator_first(step: _Step, hypers: Mapping[str, Any]) -> None:
    step.turns("g", step.game.field)
    step.turns("d", step.game.field)


def _along(field: Matrix, step: _Step) -> None:
    step.descend(step.both, field @ step.x)


def _simultaneous(step: _Step, hypers: Mapping[str, Any]) -> None:
    _along(step.game.field, step)


def _consensus(step: _Step, hypers: Mapping[str, Any]) -> None:
    field = step.game.field
    _along(field + hypers["weight"] * field.T @ field, step)


def _symplectic(step: _Step, hypers: Mapping[str, Any]) -> None:
    # at the equilibrium the alignment is undecided, and the adjustment keeps its sign
    field = step.game.field
    _along(field + hypers["weight"] * (field - field.T).T / 2 @ field, step)


def _extragradient(step: _Step, hypers: Mapping[str, Any]) -> None:
    field, start = step.game.field, step.x
    _along(field, step)
    there = field @ step.x
    step.x = start
    step.descend(step.both, there)


def _past_extragradient(step: _Step, hypers: Mapping[str, Any]) -> None:
    start = step.x
    step.descend(step.both, step.memory[0])
    step.memory = [step.game.field @ step.x]
    step.x = start
    step.descend(step.both, step.memory[0])


def _unrolled(step: _Step, hypers: Mapping[str, Any]) -> None:
    game, rate, steps = step.game, hypers["rate"], hypers["steps"]
    kept = (1 - rate * game.own) ** steps
    gained = -rate * game.pull * sum((1 - rate * game.own) ** i for i in range(steps))
    of_theta = -2 * game.push * gained + game.follow * gained**2
    of_psi = -game.push * kept + game.follow * kept * gained
    field = game.field
    through = field.copy()
    through[: len(kept)] = np.concatenate([np.diag(of_theta), np.diag(of_psi)], axis=1)
    step.turns("d", field)
    step.turns("g", through)


RULES: dict[str, Callable[[_Step, Mapping[str, Any]], None]] = {
    "alternating": _alternating, "generator_first": _generator_first, "simultaneous": _simultaneous,
    "consensus": _consensus, "symplectic": _symplectic, "extragradient": _extragradient,
    "past_extragradient": _past_extragradient, "unrolled": _unrolled,
}  # fmt: skip
REMEMBER = {"past_extragradient"}


def _step_of(variant: Variant) -> Callable[[LinearGame], float] | None:
    """Return the spectral radius of a variant's step as a function of the game."""
    hypers = variant.hypers_of("update", variant.update)
    if variant.optimizer not in ("sgd", "optimistic_sgd"):
        return None
    if variant.hypers_of("optimizer", variant.optimizer)["decay"] != "none":
        return None
    if variant.update == "lookahead":
        return lambda game: _lookahead_radius(_map(game, variant, "alternating"), hypers)
    if variant.update not in RULES:
        return None
    return lambda game: spectral_radius(_map(game, variant, variant.update))


def _map(game: LinearGame, variant: Variant, rule: str) -> Matrix:
    step = _Step(game, variant)
    RULES[rule](step, variant.hypers_of("update", rule))
    return step.map()


def _lookahead_radius(step: Matrix, hypers: Mapping[str, Any]) -> float:
    """Return the mean factor a step: the way of some steps is made again for a share, in positions alone."""
    positions = np.arange(len(step)) < len(step) // 2
    way = np.linalg.matrix_power(step, hypers["every"])
    back = np.where(positions[:, None], hypers["share"] * way + (1 - hypers["share"]) * np.eye(len(step)), way)
    return float(spectral_radius(back) ** (1 / hypers["every"]))


def spectral_radius(matrix: Matrix) -> float:
    """Return the largest modulus of a matrix's eigenvalues.

    >>> round(spectral_radius(np.array([[0.0, -0.5], [0.5, 0.0]])), 6)
    0.5
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())
