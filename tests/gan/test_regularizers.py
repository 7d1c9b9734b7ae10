"""Regularizers against closed forms: a linear critic w.x has the gradient w, the critic |x|^2 / 2 the gradient x."""

import pytest
import torch

from ganbench import registry

RUNS, BATCH, DIM = 3, 11, 4
PENALTIES = [plugin for plugin in registry.plugins("regularizer") if plugin.meta.get("acts_on", "inputs") == "inputs"]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda plugin: plugin.name)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batches(*leading):
    uniform = torch.rand(*leading, BATCH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return drawn(*leading, BATCH, DIM, seed=1), drawn(*leading, BATCH, DIM, seed=2) + 3, uniform


def linear(w):
    return lambda x: (x * w.unsqueeze(-2)).sum(-1)


def quadratic(x):
    return x.square().flatten(x.dim() - 1).sum(-1) / 2


ON_LINEAR = {  # |w|^2 -> penalty at the strength 0.7
    "r1": lambda squared: 0.35 * squared,
    "r2": lambda squared: 0.35 * squared,
    "r1r2": lambda squared: 0.7 * squared,
    "gradient_penalty": lambda squared: 0.7 * (squared.sqrt() - 1) ** 2,
}


def strength(penalty):
    (name,) = penalty.hypers
    return {name: 0.7}


def test_every_built_in_penalty_has_its_closed_form_here():
    assert {p.name for p in PENALTIES if p.function.__module__.startswith("ganbench.")} == set(ON_LINEAR)


@every_penalty
@pytest.mark.parametrize("leading", [(), (RUNS,), (2, RUNS)])
def test_linear_critic(penalty, leading):
    w = drawn(*leading, DIM).requires_grad_()
    got = penalty(linear(w), *batches(*leading), **strength(penalty))
    assert got.shape == leading
    torch.testing.assert_close(got, ON_LINEAR[penalty.name](w.square().sum(-1)), rtol=1e-10, atol=0)


@every_penalty
def test_gradient_reaches_the_critic(penalty):
    w = drawn(RUNS, DIM).requires_grad_()
    penalty(linear(w), *batches(RUNS), **strength(penalty)).sum().backward()
    norm = w.detach().norm(dim=-1, keepdim=True)
    per_gamma = {"r1": w, "r2": w, "r1r2": 2 * w, "gradient_penalty": 2 * (norm - 1) * w / norm}
    torch.testing.assert_close(w.grad, 0.7 * per_gamma[penalty.name].detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "sides"), [("r1", [0]), ("r2", [1]), ("r1r2", [0, 1])])
def test_quadratic_critic_tells_real_from_fake(name, sides):
    real, fake, uniform = batches(RUNS)
    expected = sum(0.35 * (real, fake)[side].square().sum(-1).mean(-1) for side in sides)
    got = registry.get("regularizer", name)(quadratic, real, fake, uniform, gamma=0.7)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(("share", "side"), [(1.0, 0), (0.0, 1)])
def test_gradient_penalty_mixes_from_fake_to_real(share, side):
    # Gulrajani 2017, alg. 1: x^ = u x + (1 - u) G(z)
    real, fake, uniform = batches(RUNS)
    got = registry.get("regularizer", "gradient_penalty")(
        quadratic, real, fake, torch.full_like(uniform, share), weight=2.0
    )
    torch.testing.assert_close(got, 2 * ((real, fake)[side].norm(dim=-1) - 1).square().mean(-1))


def test_gradient_penalty_draws_one_share_a_sample():
    real, fake, uniform = batches()
    between = uniform[:, None] * real + (1 - uniform[:, None]) * fake
    got = registry.get("regularizer", "gradient_penalty")(quadratic, real, fake, uniform)
    torch.testing.assert_close(got, 10 * (between.norm(dim=-1) - 1).square().mean())


@every_penalty
def test_samples_of_any_shape(penalty):
    w = drawn(RUNS, 1, 2, 3, 3)
    images = [drawn(RUNS, BATCH, 2, 3, 3, seed=seed) for seed in (1, 2)]
    critic = lambda x: (x * w).flatten(2).sum(-1)  # noqa: E731
    got = penalty(critic, *images, batches(RUNS)[2], **strength(penalty))
    torch.testing.assert_close(got, ON_LINEAR[penalty.name](w.flatten(1).square().sum(-1)), rtol=1e-10, atol=0)


@every_penalty
def test_a_critic_that_ignores_its_input_has_a_finite_gradient(penalty):
    w = torch.zeros(RUNS, DIM, dtype=torch.float64, requires_grad=True)
    penalty(linear(w), *batches(RUNS)).sum().backward()
    assert w.grad.isfinite().all()


@every_penalty
def test_penalties_need_independent_samples(penalty):
    assert "independent_samples" in penalty.needs


def test_weight_clipping_clamps_and_leaves_the_rest():
    weights = torch.tensor([[-1.0, -0.25, -0.2, 0.0], [0.2, 0.25, 0.3, 9.0]])
    clipped = registry.get("regularizer", "weight_clipping")(weights, clip=0.25)
    assert clipped.tolist() == [[-0.25, -0.25, weights[0, 2].item(), 0.0], [weights[1, 0].item(), 0.25, 0.25, 0.25]]
    assert registry.get("regularizer", "weight_clipping").hypers["clip"] == 0.01  # Arjovsky 2017, alg. 1


def test_none_penalizes_nothing():
    value = registry.get("regularizer", "none")(quadratic, *batches(RUNS))
    assert value.tolist() == [0.0] * RUNS
