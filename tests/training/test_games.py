"""The games in the engine itself, in float64: which methods converge, and how fast, is known in closed form."""

import math

import numpy as np
import pytest
import torch
from overriding import over

from ganbench import registry
from ganbench.analysis.courses import contraction, course
from ganbench.analysis.theory import predict
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

RATE = 0.1
BASE = ["optimizer=sgd", "seeds=3", "batch_size=2", "latent_dim=1", "steps=1000000"]
DIRAC = ["problem=dirac", "network=point"]
BILINEAR = ["problem=bilinear", "network=point", "loss=wasserstein"]


def variant_of(*overrides):
    rates = (
        [f"optimizer.sgd.{player}_lr={RATE}" for player in "gd"] if "optimizer=optimistic_sgd" not in overrides else []
    )
    return resolve(None, over([*BASE, *rates, *overrides]))


def play(*overrides, steps):
    """Return the displacements [steps + 1, runs, 2 n] of a game that the engine plays."""
    plan = variant_of(*(() if overrides[0].startswith("problem") else DIRAC), *overrides)
    problem = make_problem(plan.runs[0].variant)
    population = Population(plan.runs, problem, torch.device("cpu"), torch.float64)
    path = []
    for _ in range(steps + 1):
        path.append(problem.displacement(population.generator.flat, population.discriminator.flat).clone())
        train_step(population)
    return torch.stack(path)


@pytest.mark.parametrize("rule", registry.names("update"))
@pytest.mark.parametrize(
    "given",
    [
        [],
        pytest.param(["problem.bilinear.dimension=1"], marks=pytest.mark.slow),
        pytest.param(["optimizer.sgd.momentum=-0.3"], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_rule_moves_on_the_bilinear_game_as_fast_as_known(rule, given):
    overrides = [*BILINEAR, f"update={rule}", *given]
    prediction = predict(variant_of(*overrides).variants[0])
    # every tenth position: what a rule or a momentum remembers besides has died out in between
    path = play(*overrides, steps=600)[::10].numpy()
    for run in range(path.shape[1]):
        assert contraction(path[:, run], 10) == pytest.approx(prediction.radius, abs=1e-5)
        went = course(np.linalg.norm(path[:, run], axis=1))
        assert went == prediction.behaviour or abs(prediction.radius - 1) < 1e-3


@pytest.mark.slow
def test_every_rule_converges_on_dirac_with_r1_as_fast_as_known():
    for rule in registry.names("update"):
        given = [f"update={rule}", "loss=nonsaturating", "regularizer=r1", "regularizer.r1.gamma=0.5"]
        prediction = predict(variant_of(*DIRAC, *given).variants[0])
        path = play(*given, steps=600)[300:500:10].numpy()
        for run in range(path.shape[1]):
            assert contraction(path[:, run], 10) == pytest.approx(prediction.radius, abs=1e-5), rule
        assert prediction.behaviour == "converges"


def known(gamma):
    """Return the two eigenvalues of alternating descent with a logistic loss, whose slope at the equilibrium is 1/2."""
    half, keep = RATE / 2, 1 - RATE * gamma
    return np.linalg.eigvals(np.array([[1 - half**2, half * keep], [-half, keep]]))


def radius(path):
    """Return the spectral radius [runs] of the linear map that a path follows.

    Where the two eigenvalues are a pair, the area that two positions in a row span shrinks by their product.
    """
    area = path[:-1, :, 0] * path[1:, :, 1] - path[:-1, :, 1] * path[1:, :, 0]
    return (area[-1] / area[-2]).abs().sqrt()


@pytest.mark.parametrize("regularizer", ["r1", "r2"])
@pytest.mark.parametrize("gamma", [0.2, 0.7])
def test_r1_and_r2_contract_as_fast_as_known(regularizer, gamma):
    strength = f"regularizer.{regularizer}.gamma={gamma}"
    path = play("loss=nonsaturating", f"regularizer={regularizer}", strength, steps=1200)
    (one, other) = known(gamma)
    assert abs(one) == pytest.approx(abs(other))
    assert abs(one) == pytest.approx(math.sqrt(1 - RATE * gamma))
    assert radius(path).numpy() == pytest.approx(abs(one), abs=1e-5)


def test_critical_r1_is_the_fastest():
    gammas = [0.25, 0.5, 1.0, 2.0, 4.0]
    # at the critical gamma = 2 f'(0) = 1 the eigenvalues of the flow meet (Mescheder 2018)
    left = []
    for gamma in gammas:
        path = play("loss=nonsaturating", "regularizer=r1", f"regularizer.r1.gamma={gamma}", steps=400)
        left.append(path[-1].norm(dim=-1).max().item())
    assert gammas[int(np.argmin(left))] == 1.0


@pytest.mark.parametrize(
    "method",
    [
        ["loss=nonsaturating", "regularizer=none"],
        ["loss=minimax", "regularizer=none"],
        ["loss=wasserstein", "regularizer=none"],
        ["loss=wasserstein", "regularizer=weight_clipping", "regularizer.weight_clipping.clip=1.0"],
        ["loss=wasserstein", "regularizer=gradient_penalty"],
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_methods_that_do_not_converge(method):
    # the nonsaturating flow has imaginary eigenvalues too; what it gains it gains as 1 / sqrt(t), at no rate
    norms = play(*method, steps=2000).norm(dim=-1)
    assert (norms[-250:].amax(0) > 0.5 * norms[750:1000].amax(0)).all()


@pytest.mark.parametrize("loss", ["nonsaturating", "minimax"])
@pytest.mark.parametrize("regularizer", ["r1", "r2", "r1r2"])
@pytest.mark.slow
def test_methods_that_converge(loss, regularizer):
    strength = f"regularizer.{regularizer}.gamma=0.5"
    norms = play(f"loss={loss}", f"regularizer={regularizer}", strength, steps=900).norm(dim=-1)
    assert (norms[-1] < 1e-6 * norms[0]).all()


def test_the_wasserstein_loss_makes_it_bilinear():
    path = play("loss=wasserstein", "regularizer=none", steps=50)
    step = np.array([[1 - RATE**2, RATE], [-RATE, 1]])
    expected = path[0].numpy() @ np.linalg.matrix_power(step, 50).T
    assert path[50].numpy() == pytest.approx(expected, abs=1e-9)
    # alternating descent neither leaves nor arrives (Gidel 2019, prop. 3)
    assert abs(np.linalg.eigvals(step)) == pytest.approx([1, 1])


@pytest.mark.slow
def test_instance_noise_and_consensus_converge():
    noise = ["regularizer=instance_noise", "regularizer.instance_noise.sigma=1.0", "batch_size=256", "steps=1000"]
    for method in (noise, ["update=consensus"]):
        plan = [f"optimizer.sgd.{player}_lr={RATE}" for player in "gd"]
        norms = play(*plan, "loss=nonsaturating", *method, steps=990).norm(dim=-1)
        assert (norms[-1] < 0.3 * norms[0]).all(), method


@pytest.mark.slow
def test_dragan_does_not_converge():
    # its norm of one is at a distance from the equilibrium, as WGAN-GP's
    norms = play("loss=nonsaturating", "regularizer=dragan", steps=2000).norm(dim=-1)
    assert (norms[-250:].amax(0) > 0.5 * norms[750:1000].amax(0)).all()
    assert (norms[-250:].amin(0) > 0.05).all()


def test_the_covariance_game_converges_by_itself_with_a_logistic_loss_alone():
    game = ["problem=covariance", "network=scale"]
    for loss, rate in (("nonsaturating", None), ("minimax", None), ("wasserstein", 1.0)):
        prediction = predict(variant_of(*game, f"loss={loss}").variants[0])
        path = play(*game, f"loss={loss}", steps=600)[300:].numpy()
        for run in range(path.shape[1]):
            if rate is None:
                assert contraction(path[:, run], 1) == pytest.approx(prediction.radius, abs=1e-4)
                assert np.linalg.norm(path[-1, run]) < 1e-3
            else:
                assert prediction.radius == pytest.approx(rate, abs=1e-9)
                assert np.linalg.norm(path[:, run], axis=1).min() > 0.05
