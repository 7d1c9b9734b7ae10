"""Linear steps against plain loops over numbers: every update rule and optimizer on a game with known coefficients."""

import math

import numpy as np
import pytest

from ganbench import registry
from ganbench.gan import linear
from ganbench.gan.linear import LinearGame, LinearStep, Slopes, Unknown
from ganbench.gan.networks.games import _of_scales

N = 2
RATES = (0.3, 0.2)  # of G and of D
TURNS = {"g": 2, "d": 3}
GAME = LinearGame(
    push=np.array([1.0, -0.7]), pull=np.array([0.8, 1.3]), own=np.array([0.2, 0.5]),
    penalty=np.array([0.05, 0.4]), follow=0.3,
)  # fmt: skip


class Loop:
    """The same game with numbers: where both are, what their optimizers and the rule remember."""

    def __init__(self, state, move):
        self.theta, self.psi, self.kept_g, self.kept_d, self.memory_g, self.memory_d = np.split(np.array(state), 6)
        self.move = move

    def gradient_g(self, theta, psi):
        return np.array([-GAME.push[i] * psi[i] for i in range(N)])

    def gradient_d(self, theta, psi):
        return np.array([GAME.pull[i] * theta[i] + (GAME.own[i] + GAME.penalty[i]) * psi[i] for i in range(N)])

    def step_g(self, gradient):
        move, self.kept_g = self.move(gradient, self.kept_g)
        self.theta = self.theta - RATES[0] * move

    def step_d(self, gradient):
        move, self.kept_d = self.move(gradient, self.kept_d)
        self.psi = self.psi - RATES[1] * move

    def both(self, gradients):
        self.step_g(gradients[0])
        self.step_d(gradients[1])

    def gradients(self):
        return self.gradient_g(self.theta, self.psi), self.gradient_d(self.theta, self.psi)

    def turn(self, player):
        for _ in range(TURNS[player]):
            gradient = self.gradients()["gd".index(player)]
            (self.step_g if player == "g" else self.step_d)(gradient)


def alternating(loop):
    loop.turn("d")
    loop.turn("g")


def generator_first(loop):
    loop.turn("g")
    loop.turn("d")


def simultaneous(loop):
    loop.both(loop.gradients())


def extragradient(loop):
    start = loop.theta, loop.psi
    loop.both(loop.gradients())
    there = loop.gradients()
    loop.theta, loop.psi = start
    loop.both(there)


def past_extragradient(loop):
    start = loop.theta, loop.psi
    loop.both((loop.memory_g, loop.memory_d))
    loop.memory_g, loop.memory_d = loop.gradients()
    loop.theta, loop.psi = start
    loop.both((loop.memory_g, loop.memory_d))


def lookahead(loop, every, share, step=alternating):
    start = loop.theta, loop.psi
    for _ in range(every):
        step(loop)
    loop.theta, loop.psi = (was + share * (now - was) for was, now in zip(start, (loop.theta, loop.psi), strict=True))


def simultaneous_lookahead(loop, every, share):
    lookahead(loop, every, share, simultaneous)


def jacobian():
    """By the gradients' own differences: they are linear."""
    loop, columns = Loop(np.zeros(6 * N), None), []
    for unit in np.eye(2 * N):
        columns.append(np.concatenate([loop.gradient_g(*np.split(unit, 2)), loop.gradient_d(*np.split(unit, 2))]))
    return np.array(columns).T


def consensus(loop, weight, order):
    own = jacobian()
    for movers in {"simultaneous": ["gd"], "alternating": "dg", "generator_first": "gd"}[order]:
        field = np.concatenate(loop.gradients())
        of_g, of_d = np.split(field + weight * own.T @ field, 2)
        if "g" in movers:
            loop.step_g(of_g)
        if "d" in movers:
            loop.step_d(of_d)


def symplectic(loop, weight, align):
    own, field = jacobian(), np.concatenate(loop.gradients())
    loop.both(np.split(field + weight * 0.5 * (own.T @ field - own @ field), 2))


def unrolled(loop, steps, rate, penalties):
    """G's gradient by D's steps one after the other, and by differences of what it then is worth."""
    loop.turn("d")

    def worth(i, theta):
        psi = loop.psi[i]
        for _ in range(steps):  # D's loss, with its penalty or without
            psi = psi - rate * (GAME.pull[i] * theta + (GAME.own[i] + penalties * GAME.penalty[i]) * psi)
        return -GAME.push[i] * psi * theta + GAME.follow / 2 * psi**2

    for _ in range(TURNS["g"]):
        d = 1e-3
        slopes = [(worth(i, loop.theta[i] + d) - worth(i, loop.theta[i] - d)) / (2 * d) for i in range(N)]
        loop.step_g(np.array(slopes))


PLAIN = (lambda gradient, last: (gradient, last), lambda gradient, last: (gradient, last))
MOVES = {
    "plain": PLAIN,
    "heavy ball": (
        lambda gradient, last: linear.heavy_ball(gradient, last, momentum=0.6),
        lambda gradient, last: (0.6 * last + gradient,) * 2,
    ),
    "optimistic": (linear.optimistic, lambda gradient, last: (gradient + (gradient - last), gradient)),
}
RULES = {
    "alternating": (alternating, {}), "generator_first": (generator_first, {}), "simultaneous": (simultaneous, {}),
    "extragradient": (extragradient, {}), "past_extragradient": (past_extragradient, {}),
    "lookahead": (lookahead, {"every": 3, "share": 0.4}),
    "simultaneous_lookahead": (simultaneous_lookahead, {"every": 3, "share": 0.4}),
    **{f"consensus-{order}": (consensus, {"weight": 0.7, "order": order})
       for order in ("simultaneous", "alternating", "generator_first")},
    "symplectic": (symplectic, {"weight": 0.7, "align": True}),
    **{f"unrolled-{whole}": (unrolled, {"steps": 3, "rate": 0.15, "penalties": whole}) for whole in (False, True)},
}  # fmt: skip


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("rule", RULES)
def test_a_step_is_what_a_loop_over_numbers_makes_of_every_state(rule, move):
    by_hand, hypers = RULES[rule]
    ours, theirs = MOVES[move]
    step = LinearStep(GAME, RATES, TURNS, ours)
    getattr(linear, rule.partition("-")[0])(step, **hypers)
    remembers = rule == "past_extragradient"
    size = (6 if remembers else 4) * N
    got = step.map()
    assert got.shape == (size, size)
    assert step.steps == hypers.get("every", 1)
    for unit in np.eye(6 * N)[:size]:
        loop = Loop(unit, theirs)
        by_hand(loop, **hypers)
        parts = [loop.theta, loop.psi, loop.kept_g, loop.kept_d, loop.memory_g, loop.memory_d]
        np.testing.assert_allclose(got @ unit[:size], np.concatenate(parts)[:size], rtol=1e-7, atol=1e-9)


def test_every_rule_of_the_zoo_is_played_here():
    declared = {plugin.declared("linear").__name__ for plugin in registry.plugins("update")}
    assert declared == {rule.partition("-")[0] for rule in RULES}


@pytest.mark.parametrize("steps", [1, 2])
def test_unrolling_where_more_than_the_curvatures_matters_is_not_known(steps):
    game = LinearGame(GAME.push, GAME.pull, GAME.own, follow=None)
    with pytest.raises(Unknown):
        linear.unrolled(LinearStep(game, RATES, TURNS, PLAIN[0]), steps=steps, rate=0.1, penalties=False)


def test_a_field_is_given_by_its_blocks():
    np.testing.assert_array_equal(GAME.field, jacobian())
    bare = LinearGame(GAME.push, GAME.pull, GAME.own)
    np.testing.assert_array_equal(np.diag(bare.field)[N:], GAME.own)
    assert (bare.follow, bare.dirac, bare.added, bare.penalty) == (0, False, {}, 0)


@pytest.mark.parametrize("times", [1.0, 2.0])
def test_what_penalties_add(times):
    added = linear.half_squared_slope("real", "fake", weight="gamma", times=times)
    assert added(0.5, gamma=0.3) == {"real": times * 0.3, "fake": times * 0.3}
    assert added(0.5, gamma=0.3, lazy=1) == added(0.0, gamma=0.3)
    for lazy in (0, 2, 16):
        with pytest.raises(Unknown):
            added(0.5, gamma=0.3, lazy=lazy)
    assert linear.half_squared_slope("real", weight="gamma")(0.0, gamma=3.0) == {"real": 3.0}
    assert linear.nothing(0.5) == {}


@pytest.mark.parametrize(("progress", "until", "left"), [
    (0.0, 1.0, 1.0), (0.5, 1.0, 0.5), (1.0, 1.0, 0.0), (0.25, 0.5, 0.5), (0.5, 0.5, 0.0), (0.9, 0.5, 0.0),
])  # fmt: skip
def test_noise_falls_to_nothing(progress, until, left):
    found = linear.fading_noise(progress, sigma=0.4, until=until)
    assert found.keys() == {"noise"}
    assert math.isclose(found["noise"], (0.4 * left) ** 2)


@pytest.mark.parametrize(
    ("real", "pull", "known"), [(-1.0, 1.0, True), (0.5, -0.5, True), (-1.0, 0.9, False), (1.0, 1.0, False)]
)
def test_scales_are_at_rest_only_where_ds_two_sides_balance(real, pull, known):
    slopes = Slopes(**{name: {"real": real, "pull": pull}.get(name, 0.25) for name in Slopes.__dataclass_fields__})
    if known:
        assert _of_scales(None, slopes).pull.tolist() == [2 * pull]
    else:
        with pytest.raises(Unknown):
            _of_scales(None, slopes)
