"""The Dirac-GAN in the engine itself, in float64: which methods converge, and how fast, is known in closed form."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ganbench import register
from ganbench.problems.base import Problem
from ganbench.suite import resolve
from ganbench.training.population import Population, make_problem
from ganbench.training.step import train_step

BASE = [
    "problem=dirac", "network=point", "optimizer=sgd", "normalization=none", "seeds=3", "batch_size=2", "latent_dim=1",
]  # fmt: skip
RATE = 0.1


class Point(nn.Module):
    """A generator of one sample, its parameter, whatever the latent."""

    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(torch.randn(1))

    def forward(self, latents):
        return self.theta.expand(latents.shape[0], -1)


class Dirac(Problem):
    """All data at the origin."""

    name, shape = "dirac", (1,)

    def sample(self, n, generator):
        return torch.zeros(n, 1)


@pytest.fixture(autouse=True)
def dirac(own_registry):
    @register("problem")
    def dirac():
        """All data at one point (Mescheder 2018, sec. 3)."""
        return Dirac()

    @register("network")
    def point(spec):
        """A point and a linear critic (Mescheder 2018, sec. 3)."""
        critic = nn.Linear(1, 1, bias=False)
        nn.init.normal_(critic.weight)
        return Point(), critic


def play(*overrides, steps):
    """Return theta and psi [steps + 1, runs, 2] of a game that the engine plays, the discriminator first."""
    rates = [f"optimizer.sgd.{player}_lr={RATE}" for player in "gd"]
    plan = resolve("smoke", [*BASE, "steps=1000000", *rates, *overrides])
    population = Population(plan.runs, make_problem(plan.runs[0].variant), torch.device("cpu"), torch.float64)
    path = []
    for _ in range(steps + 1):
        path.append(torch.cat([population.generator.flat, population.discriminator.flat], 1).clone())
        train_step(population)
    return torch.stack(path)


def radius(path):
    """Return the spectral radius [runs] of the linear map that a path follows.

    Where the two eigenvalues are a pair, the area that two positions in a row span shrinks by their product.
    """
    area = path[:-1, :, 0] * path[1:, :, 1] - path[:-1, :, 1] * path[1:, :, 0]
    return (area[-1] / area[-2]).abs().sqrt()


def known(gamma):
    """Return the two eigenvalues of alternating descent with a logistic loss, whose slope at the equilibrium is 1/2."""
    half, keep = RATE / 2, 1 - RATE * gamma
    return np.linalg.eigvals(np.array([[1 - half**2, half * keep], [-half, keep]]))


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
    # at the critical gamma = 2 f'(0) = 1 the eigenvalues of the flow meet (Mescheder 2018, lemma 4.1)
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
def test_methods_that_do_not_converge(method):
    # the nonsaturating flow has imaginary eigenvalues too; what it gains it gains as 1 / sqrt(t), at no rate
    norms = play(*method, steps=2000).norm(dim=-1)
    assert (norms[-250:].amax(0) > 0.5 * norms[750:1000].amax(0)).all()


@pytest.mark.parametrize("loss", ["nonsaturating", "minimax"])
@pytest.mark.parametrize("regularizer", ["r1", "r2", "r1r2"])
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


@pytest.mark.parametrize(("momentum", "converges"), [(0.0, False), (-0.3, True), (0.5, False)])
def test_negative_momentum_solves_the_bilinear_game(momentum, converges):
    norms = play("loss=wasserstein", "regularizer=none", f"optimizer.sgd.momentum={momentum}", steps=6000).norm(dim=-1)
    assert ((norms[-1] < 0.01 * norms[0]).all().item()) is converges
