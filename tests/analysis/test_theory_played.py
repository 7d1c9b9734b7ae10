"""Theory's linear games and steps against the games themselves, played here in scalars and differentiated by autograd.

Nothing of `gan.linear` is used: a game is its two losses as functions of both players, a rule is its few lines, and the
factor of a step is the spectral radius of the played step's Jacobian at the equilibrium.
"""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from overriding import over
from torch.autograd.functional import jacobian

from ganbench import registry
from ganbench.analysis.theory import linear_games, predict, spectral_radius
from ganbench.suite import resolve

G_LR, D_LR = 0.2, 0.3
RATES = [f"optimizer.sgd.g_lr={G_LR}", f"optimizer.sgd.d_lr={D_LR}", "optimizer=sgd", "seeds=1"]
CONDITION, GAMMA, SIGMA, UNROLLED = 3.0, 0.7, 0.6, 0.15
POINTS = [f"network.point.condition={CONDITION}", "network=point"]
SETTINGS = {
    "dirac": ["problem=dirac", *POINTS],
    "bilinear": ["problem=bilinear", "problem.bilinear.dimension=2", *POINTS],
    "covariance": ["problem=covariance", "network=scale"],
}
SIZES = {"dirac": 1, "bilinear": 2, "covariance": 1}
PENALTIES = {
    "none": [], "r1": [f"regularizer.r1.gamma={GAMMA}"], "r2": [f"regularizer.r2.gamma={GAMMA}"],
    "r1r2": [f"regularizer.r1r2.gamma={GAMMA}"],
    "zero_gradient_penalty": [f"regularizer.zero_gradient_penalty.weight={GAMMA}"],
    "instance_noise": [f"regularizer.instance_noise.sigma={SIGMA}"],
}  # fmt: skip


class Played:
    """A game at its equilibrium 0: theta and psi [n] each, as losses of logits and slopes that are written out."""

    def __init__(self, name, loss, penalty="none"):
        self.name, self.loss, self.penalty, self.n = name, registry.get("loss", loss), penalty, SIZES[name]
        # the interactions are spaced geometrically between 1 and 1 / condition: of two, these
        self.a = torch.tensor([1.0, 1 / CONDITION], dtype=torch.float64)[: self.n]

    def logits(self, theta, psi):
        if self.name == "covariance":
            return psi * 1.0, psi * (1 + theta) ** 2  # w x^2 at x = 1 and at x = v
        if self.penalty != "instance_noise":
            return (psi * 0).sum()[None], (psi * self.a * theta).sum()[None]
        # noise of variance sigma^2 on either side, each sign with each: exact up to third moments
        signs = torch.tensor([*itertools.product((-SIGMA, SIGMA), repeat=2 * self.n)], dtype=torch.float64)
        real, fake = signs.split(self.n, dim=1)
        return real @ (psi * self.a), (fake + theta) @ (psi * self.a)

    def slopes(self, theta, psi):
        """The squared slopes of D at real samples and at fake ones."""
        if self.name == "covariance":
            return (2 * psi).square().sum(), (2 * psi * (1 + theta)).square().sum()
        return ((psi * self.a).square().sum(),) * 2

    def losses(self, theta, psi):
        d_loss, g_loss = self.loss(*self.logits(theta, psi))
        return d_loss + self.added(*self.slopes(theta, psi)), g_loss

    def added(self, real, fake):
        return {
            "r1": GAMMA / 2 * real, "r2": GAMMA / 2 * fake, "r1r2": GAMMA / 2 * (real + fake),
            "zero_gradient_penalty": GAMMA * real,  # at points between both, where the slope of a line is the same
        }.get(self.penalty, 0 * real)  # fmt: skip

    def field(self, x):
        """Both players' gradients of their own losses [2 n], G's first."""
        d_loss, g_loss = self.losses(*x.split(self.n))
        theta = torch.autograd.grad(g_loss, x, create_graph=True)[0][: self.n]
        return torch.cat([theta, torch.autograd.grad(d_loss, x, create_graph=True)[0][self.n :]])

    def through(self, x, steps, whole=False):
        """G's gradient [2 n, zero for D] through some steps of D, of its loss alone or all (Metz 2017, eq. 7 to 9)."""
        theta, psi = x.split(self.n)
        for _ in range(steps):
            d_loss = self.losses(theta, psi)[0] if whole else self.loss(*self.logits(theta, psi))[0]
            psi = psi - UNROLLED * torch.autograd.grad(d_loss, psi, create_graph=True)[0]
        real, fake = self.logits(theta, psi)
        # the fakes go by G's loss; real logits, which move with the unrolled critic, against D's
        value = self.loss(real.detach(), fake)[1] - self.loss(real, fake.detach())[0]
        (gradient,) = torch.autograd.grad(value, theta, create_graph=True)
        return torch.cat([gradient, torch.zeros_like(gradient)])

    def players(self):
        """Masks of the players in x [2 n] with their rates."""
        g = (torch.arange(2 * self.n) < self.n).double()
        return {"g": G_LR * g, "d": D_LR * (1 - g), "both": G_LR * g + D_LR * (1 - g)}

    def zero(self):
        return torch.zeros(2 * self.n, dtype=torch.float64)


TURNS = {"d": 2, "g": 3}
MOMENTUM = -0.3


def alternating(game, x, order="dg", turns=TURNS):
    for player in order:
        for _ in range(turns[player]):
            x = x - game.players()[player] * game.field(x)
    return x


def consensus(game, x, memory, weight=0.4, movers=("both",)):
    for player in movers:
        gradient = game.field(x)
        pulled = torch.autograd.grad(gradient.square().sum() / 2, x, create_graph=True)[0]
        x = x - game.players()[player] * (gradient + weight * pulled)
    return x, memory


def symplectic(game, x, memory, weight=0.4):
    gradient, j = game.field(x), jacobian(game.field, x, create_graph=True)
    return x - game.players()["both"] * (gradient + weight * ((j - j.T) / 2).T @ gradient), memory


def extragradient(game, x, memory):
    there = x - game.players()["both"] * game.field(x)
    return x - game.players()["both"] * game.field(there), memory


def past_extragradient(game, x, memory):
    now = game.field(x - game.players()["both"] * memory)
    return x - game.players()["both"] * now, now


def simultaneous(game, x):
    return x - game.players()["both"] * game.field(x)


def lookahead(game, x, memory, step=alternating):
    there = x
    for _ in range(3):
        there = step(game, there)
    return x + 0.8 * (there - x), memory


def unrolled(game, x, memory, whole=False):
    x = alternating(game, x, "d")
    for _ in range(TURNS["g"]):
        x = x - game.players()["g"] * game.through(x, 2, whole)
    return x, memory


def momentum(game, x, memory):
    velocity = MOMENTUM * memory + game.field(x)
    return x - game.players()["both"] * velocity, velocity


def optimism(game, x, memory):
    gradient = game.field(x)
    return x - game.players()["both"] * (2 * gradient - memory), gradient


EACH = [f"critic_steps={TURNS['d']}", f"generator_steps={TURNS['g']}"]
OPTIMISTIC = ["optimizer=optimistic_sgd", f"optimizer.optimistic_sgd.g_lr={G_LR}", "update=simultaneous"]
PULL = ["update=consensus", "update.consensus.weight=0.4"]
AHEAD = ["update=unrolled", "update.unrolled.steps=2", f"update.unrolled.rate={UNROLLED}", *EACH]
RULES = {
    "alternating": (lambda game, x, memory: (alternating(game, x), memory), ["update=alternating", *EACH]),
    "generator_first": (lambda game, x, memory: (alternating(game, x, "gd"), memory),
                        ["update=generator_first", *EACH]),
    "simultaneous": (lambda game, x, memory: (simultaneous(game, x), memory), ["update=simultaneous"]),
    "consensus": (consensus, PULL),
    "symplectic": (symplectic, ["update=symplectic", "update.symplectic.weight=0.4"]),
    "extragradient": (extragradient, ["update=extragradient"]),
    "past_extragradient": (past_extragradient, ["update=past_extragradient"]),
    "lookahead": (lookahead, ["update=lookahead", "update.lookahead.every=3", "update.lookahead.share=0.8", *EACH]),
    "simultaneous_lookahead": (partial(lookahead, step=simultaneous),
                               ["update=simultaneous_lookahead", "update.simultaneous_lookahead.every=3",
                                "update.simultaneous_lookahead.share=0.8"]),
    "consensus, D first": (partial(consensus, movers="dg"), [*PULL, "update.consensus.order=alternating"]),
    "consensus, G first": (partial(consensus, movers="gd"), [*PULL, "update.consensus.order=generator_first"]),
    "unrolled": (unrolled, AHEAD), "unrolled as trained": (partial(unrolled, whole=True),
                                                           [*AHEAD, "update.unrolled.penalties=true"]),
    "momentum": (momentum, ["update=simultaneous", f"optimizer.sgd.momentum={MOMENTUM}"]),
    "optimism": (optimism, [*OPTIMISTIC, f"optimizer.optimistic_sgd.d_lr={D_LR}"]),
}  # fmt: skip


def variant_of(name, loss, penalty="none", own=()):
    settings = [*RATES, *SETTINGS[name], f"loss={loss}", f"regularizer={penalty}", *PENALTIES[penalty], *own]
    (variant,) = resolve(None, over([one for one in settings if own[:1] != OPTIMISTIC[:1] or "sgd" not in one
                                     or "optimistic" in one])).variants  # fmt: skip
    return variant


def played_factor(game, rule, steps):
    n = len(game.zero())

    def step(state):
        x, memory = state.split(n)
        return torch.cat(rule(game, x, memory))

    start = torch.zeros(2 * n, dtype=torch.float64)
    step_of = jacobian(step, start.requires_grad_()).numpy()
    # a memory that a rule leaves alone is no part of its state
    own = step_of if not np.array_equal(step_of[n:, n:], np.eye(n)) else step_of[:n, :n]
    return spectral_radius(own) ** (1 / steps)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", SETTINGS)
def test_declared_games_are_the_jacobians_of_their_losses(name, penalty):
    known = []
    for loss in registry.names("loss"):
        if penalty == "instance_noise" and loss == "relativistic_average":
            continue  # its curvature under noise depends on the batch
        game, declared = Played(name, loss, penalty), linear_games(variant_of(name, loss, penalty))
        zero = game.zero().requires_grad_()
        if declared is None:
            # no equilibrium there, or a game that is not told
            assert (name == "covariance" and penalty in ("zero_gradient_penalty", "instance_noise")) or (
                penalty == "instance_noise" and not jacobian(game.field, zero)[game.n :, game.n :].any()
            ) or game.field(zero).abs().max() > 1e-3, loss  # fmt: skip
            continue
        known.append(loss)
        assert game.field(zero).abs().max() < 1e-12
        np.testing.assert_allclose(declared[0].field, jacobian(game.field, zero).numpy(), atol=1e-9, err_msg=loss)
    silent = name == "covariance" and penalty in ("zero_gradient_penalty", "instance_noise")
    assert known == [] if silent else {"nonsaturating", "minimax"} <= set(known)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("name", "loss", "penalty"),
    [
        ("dirac", "nonsaturating", "r1"), ("bilinear", "wasserstein", "zero_gradient_penalty"),
        ("bilinear", "nonsaturating", "none"), ("covariance", "nonsaturating", "none"),
        ("covariance", "minimax", "r1r2"), ("covariance", "hinge", "r2"),
        ("covariance", "relativistic_pairing", "none"),
    ],
)  # fmt: skip
def test_factors_of_steps_are_those_of_the_played_steps(rule, name, loss, penalty):
    play, own = RULES[rule]
    said = predict(variant_of(name, loss, penalty, own))
    if rule.startswith("unrolled") and loss.startswith("relativistic"):
        assert said is None  # the critic's real and fake sides do not part
        return
    known = played_factor(Played(name, loss, penalty), play, 3 if rule.endswith("lookahead") else 1)
    # double eigenvalues keep half of the digits
    assert said.radius == pytest.approx(known, abs=1e-7)


def test_every_rule_that_declares_what_it_does_is_played_here():
    declared = {plugin.name for plugin in registry.plugins("update") if plugin.declared("linear")}
    assert declared <= set(RULES)
