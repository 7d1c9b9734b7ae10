"""The methods of Mescheder 2018 on the Dirac-GAN: the engine against an iteration of two plain numbers.

G is theta, D(x) = psi x, all data lie at 0. Losses are those that ours write: D is high on data, where the paper's is
high on samples, so that the paper's (theta, psi) are our (theta, -psi). An expectation over N(0, sigma^2) is a
Gauss-Hermite sum.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from overriding import over

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

RATE, STEPS = 0.2, 500
STARTS = {"the paper's": (1.0, -1.0), "ours": (1.0, 1.0)}
ORDERS = {"simultaneous": ("dg",), "alternating": ("d", "g"), "generator_first": ("g", "d")}
LOSSES = ("minimax", "nonsaturating", "wasserstein")
CLIP, SLOPE, SIGMA, GAMMA, CRITICAL, PULL = 1.0, 0.35, 0.7, 0.3, 1.0, 1.0
NODES = [(float(x), float(w)) for x, w in zip(*np.polynomial.hermite_e.hermegauss(120), strict=True)]
WHOLE = sum(weight for _, weight in NODES)


def sigmoid(t):
    return 1 / (1 + math.exp(-t)) if t > -700 else 0.0


def mean(function):
    """The expectation of a function of N(0, 1)."""
    return sum(weight * function(node) for node, weight in NODES) / WHOLE


def slopes(loss, logit):
    """The derivatives of G's loss and of D's in the logit of a sample; D's in that of a datum, which is 0, is below."""
    if loss == "wasserstein":
        return -1.0, 1.0
    return -sigmoid(logit) if loss == "minimax" else -sigmoid(-logit), sigmoid(logit)


def plain(loss, theta, psi):
    of_g, of_d = slopes(loss, psi * theta)
    return psi * of_g, theta * of_d


def noisy(loss, theta, psi):
    """As `plain`, with noise on samples and on data."""

    def of_data(x):  # of D's loss in the logit of a datum
        return -1.0 if loss == "wasserstein" else -sigmoid(-psi * x)

    g = mean(lambda e: psi * slopes(loss, psi * (theta + SIGMA * e))[0])
    d = mean(
        lambda e: (theta + SIGMA * e) * slopes(loss, psi * (theta + SIGMA * e))[1] + SIGMA * e * of_data(SIGMA * e)
    )
    return g, d


def consensus(loss, theta, psi):
    """Both gradients with the slope of half their squares; s, r are the slopes of the losses, with their own slopes."""
    g, d = plain(loss, theta, psi)
    s, r = slopes(loss, psi * theta)
    bend = 0.0 if loss == "wasserstein" else sigmoid(psi * theta) * sigmoid(-psi * theta)
    of_s = bend if loss == "nonsaturating" else -bend
    # g = psi s(psi theta), d = theta r(psi theta)
    g_theta, g_psi = psi**2 * of_s, s + psi * theta * of_s
    d_theta, d_psi = r + theta * psi * bend, theta**2 * bend
    return g + PULL * (g * g_theta + d * d_theta), d + PULL * (g * g_psi + d * d_psi)


def penalized(extra):
    def field(loss, theta, psi):
        g, d = plain(loss, theta, psi)
        return g, d + extra(psi)

    return field


def at_one(psi):
    """The slope in psi of SLOPE (|psi| - 1)^2, |psi| the norm of D's gradient anywhere.

    |psi| is (psi^2 + 1e-12)^(1/2), as in the engine: beside D's own loss the kink at 0 makes a resting place of theta =
    4 SLOPE, psi = 0, and how that is reached is decided within 1e-6 of it.
    """
    norm = math.sqrt(psi**2 + 1e-12)
    return 2 * SLOPE * (norm - 1) * psi / norm


METHODS = {
    "none": (plain, ["regularizer=none"]),
    "clipping": (plain, ["regularizer=weight_clipping", f"regularizer.weight_clipping.clip={CLIP}"]),
    "gradient penalty": (penalized(at_one), ["regularizer=gradient_penalty",
                                             f"regularizer.gradient_penalty.weight={SLOPE}"]),
    "DRAGAN": (penalized(at_one), ["regularizer=dragan", f"regularizer.dragan.weight={SLOPE}"]),
    "noise": (noisy, ["regularizer=constant_noise", f"regularizer.constant_noise.sigma={SIGMA}",
                      "regularizer.constant_noise.sampled=false", "batch_size=1024"]),
    "R1": (penalized(lambda psi: GAMMA * psi), ["regularizer=r1", f"regularizer.r1.gamma={GAMMA}"]),
    "critical R1": (penalized(lambda psi: CRITICAL * psi), ["regularizer=r1", f"regularizer.r1.gamma={CRITICAL}"]),
    "R2": (penalized(lambda psi: GAMMA * psi), ["regularizer=r2", f"regularizer.r2.gamma={GAMMA}"]),
    "consensus": (consensus, ["regularizer=none", f"update.consensus.weight={PULL}"]),
}  # fmt: skip


def iterated(method, loss, order, start, steps=STEPS):
    """The distance from the equilibrium after some steps, by numbers alone."""
    field = METHODS[method][0]
    theta, psi = start
    for _ in range(steps):
        for movers in ORDERS[order]:
            g, d = field(loss, theta, psi)
            theta -= RATE * g * ("g" in movers)
            psi -= RATE * d * ("d" in movers)
            if method == "clipping":
                psi = max(-CLIP, min(CLIP, psi))
    return math.hypot(theta, psi)


def settings(method, order, start):
    update = ["update=consensus", f"update.consensus.order={order}"] if method == "consensus" else [f"update={order}"]
    rates = [f"optimizer.sgd.{player}_lr={RATE}" for player in "gd"]
    places = [f"network.point.{player}_start={place}" for player, place in zip("gd", start, strict=True)]
    return over(["problem=dirac", "network=point", "optimizer=sgd", *rates, *places, "steps=500", "seeds=1",
                 "latent_dim=1", "batch_size=2", f"loss={','.join(LOSSES)}", *METHODS[method][1], *update])  # fmt: skip


def trained(overrides, steps=STEPS, dtype=torch.float64):
    """The distances after some steps of the engine, by loss."""
    runs = resolve(None, overrides).runs
    problem = make_problem(runs[0].variant)
    population = Population(runs, problem, torch.device("cpu"), dtype)
    for _ in range(steps):
        train_step(population)
    away = problem.displacement(population.generator.flat, population.discriminator.flat).norm(dim=1)
    return {run.variant.loss: float(distance) for run, distance in zip(runs, away, strict=True)}


def agree(method, order, start, steps=STEPS):
    ours = trained(settings(method, order, start), steps)
    theirs = {loss: iterated(method, loss, order, start, steps) for loss in LOSSES}
    # the points that stand for noise are good to 3e-5 where theta and psi are large
    assert ours == pytest.approx(theirs, rel=5e-5 if method == "noise" else 1e-8)


EVERY = pytest.mark.parametrize("method", METHODS)


@EVERY
@pytest.mark.parametrize("order", ORDERS)
def test_the_first_steps_are_those_of_two_numbers(method, order):
    agree(method, order, STARTS["the paper's"], steps=30)


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("start", STARTS)
def test_norms_after_500_steps_are_those_of_two_numbers(method, order, start):
    agree(method, order, STARTS[start])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("order", ["simultaneous", "generator_first"])
def test_sampled_noise_is_a_mean_over_its_own_numbers(loss, order):
    own = [*settings("noise", order, (1.0, -1.0)), "regularizer.constant_noise.sampled=true", "batch_size=8"]
    (run,) = resolve(None, over([*own, f"loss={loss}"])).runs
    population = Population([run], make_problem(run.variant), torch.device("cpu"), torch.float64)
    theta, psi = 1.0, -1.0
    for step in range(20):
        d_real, d_fake, g_fake = (
            (SIGMA * population.draw(f"{side} noise", step)).flatten().tolist()
            for side in ("d real", "d fake", "g fake")
        )
        train_step(population)
        for movers in ORDERS[order]:
            g = sum(psi * slopes(loss, psi * (theta + e))[0] for e in g_fake) / 8
            d = sum((theta + e) * slopes(loss, psi * (theta + e))[1] for e in d_fake) / 8
            d += sum(e * (-1.0 if loss == "wasserstein" else -sigmoid(-psi * e)) for e in d_real) / 8
            theta -= RATE * g * ("g" in movers)
            psi -= RATE * d * ("d" in movers)
    assert population.generator.flat.item() == pytest.approx(theta, rel=1e-8)
    assert population.discriminator.flat.item() == pytest.approx(psi, rel=1e-8)


def test_sampled_noise_has_the_expectation_of_the_iteration():
    samples, start = 20_000, (1.0, -1.0)
    own = [*settings("noise", "simultaneous", start), "regularizer.constant_noise.sampled=true",
           f"batch_size={samples}", "loss=minimax"]  # fmt: skip
    (run,) = resolve(None, over(own)).runs
    population = Population([run], make_problem(run.variant), torch.device("cpu"), torch.float64)
    train_step(population)
    expected = dict(zip("gd", noisy("minimax", *start), strict=True))
    # two means of a standard deviation below 1 each: five standard errors
    for player, was in zip("gd", start, strict=True):
        gradient = (was - population.players[player].flat.item()) / RATE
        assert gradient == pytest.approx(expected[player], abs=5 * math.sqrt(2 / samples))


def test_the_docs_have_the_iterations_numbers():
    text = (Path(__file__).parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
    rows = text.partition("<!-- dirac -->")[2].partition("<!-- end of dirac -->")[0].strip().splitlines()[2:]
    told = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    by_name = {"unregularised GAN": "none", "unregularised, non-saturating": "none", "WGAN": "clipping",
               "WGAN-GP": "gradient penalty", "instance noise": "noise", "R1": "R1", "R1, critical": "critical R1",
               "consensus": "consensus", "R1, non-saturating": "R1", "R2": "R2", "DRAGAN": "DRAGAN"}  # fmt: skip
    assert [row[0] for row in told] == list(by_name)
    for name, loss, _, *distances in told:
        known = [iterated(by_name[name], loss, order, STARTS["the paper's"]) for order in ORDERS]
        assert distances == [f"{distance:.4g}" for distance in known], name


def test_the_suite_holds_every_method_at_the_same_settings():
    plan, trained_at = resolve("dirac_table"), set()
    for variant in plan.variants:
        own = dict(variant.hypers)
        starts = own["network.point.g_start"], own["network.point.d_start"]
        assert starts == STARTS["the paper's"]
        assert (variant.steps, own["optimizer.sgd.g_lr"], own["optimizer.sgd.d_lr"]) == (STEPS, RATE, RATE)
        penalty = {key.split(".")[2]: value for key, value in own.items() if key.startswith("regularizer.")}
        order = own.get("update.consensus.order", variant.update)
        trained_at.add(
            (variant.loss, variant.regularizer, tuple(penalty.values()), order, variant.update == "consensus")
        )
    for name, (_, overrides) in METHODS.items():
        values = {key.partition("=")[0]: key.partition("=")[2] for key in overrides}
        of_penalty = [float(value) if value[0].isdigit() else value == "true" for key, value in values.items()
                      if key.startswith("regularizer.")]  # fmt: skip
        if name == "DRAGAN":
            of_penalty += [0.5, 1]
        for loss in LOSSES:
            for order in ORDERS:
                method = (loss, values["regularizer"], tuple(of_penalty), order, name == "consensus")
                assert method in trained_at, method
