"""Optimizers against torch.optim, learning rates against their decays' known values."""

import math

import numpy as np
import pytest
import torch

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.linear import Unknown
from ganbench.gan.optimizers import DECAYS, at_step, rate_factor

RUNS, SIZE, STEPS = 3, 7, 50


def gradients():
    drawn = torch.randn(STEPS, RUNS, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    # over eight orders of magnitude, exact zeros among them: where eps and the bias correction matter
    scale = torch.logspace(-6, 2, SIZE, dtype=torch.float64)
    return torch.where(drawn.abs() < 0.1, 0.0, drawn) * scale


@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.0, 0.9), (0.9, 0.99)])
def test_adam_is_torchs(betas):
    start = torch.randn(RUNS, SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rates = torch.tensor([[1e-4], [2e-3], [0.1]], dtype=torch.float64)
    ours, state = start.clone(), {}
    theirs = [row.clone().requires_grad_() for row in start]
    optimizers = [
        torch.optim.Adam([p], lr=lr.item(), betas=betas, eps=1e-8) for p, lr in zip(theirs, rates, strict=True)
    ]
    adam = registry.get("optimizer", "adam")
    for step, gradient in enumerate(gradients(), 1):
        hypers = {"beta1": betas[0], "beta2": betas[1]}
        adam(ours, gradient, state, at_step(adam, step, hypers), rates, **hypers)
        for parameter, optimizer, own in zip(theirs, optimizers, gradient, strict=True):
            parameter.grad = own.clone()
            optimizer.step()
        torch.testing.assert_close(ours, torch.stack(theirs).detach(), rtol=1e-12, atol=1e-12)
    assert (ours - start).abs().min() > 1e-5


@pytest.mark.parametrize(
    ("name", "hypers", "theirs"),
    [
        ("sgd", {}, torch.optim.SGD),
        ("sgd", {"momentum": 0.9}, torch.optim.SGD),
        ("rmsprop", {}, torch.optim.RMSprop),
        ("rmsprop", {"alpha": 0.9}, torch.optim.RMSprop),
    ],
)
def test_sgd_and_rmsprop_are_torchs(name, hypers, theirs):
    ours, state = torch.ones(1, SIZE, dtype=torch.float64), {}
    parameter = torch.ones(1, SIZE, dtype=torch.float64).requires_grad_()
    optimizer = theirs([parameter], lr=1e-3, **hypers)
    for step, gradient in enumerate(gradients()[:, :1], 1):
        registry.get("optimizer", name)(ours, gradient, state, step, 1e-3, **hypers)
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(ours, parameter.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_an_optimistic_step_is_twice_the_step_less_the_last_one(name):
    plain, optimistic = registry.get("optimizer", name), registry.get("optimizer", f"optimistic_{name}")
    x, y = torch.zeros(2, RUNS, SIZE, dtype=torch.float64)
    moved, last, of_x, of_y = torch.zeros_like(x), None, {}, {}
    for step, gradient in enumerate(gradients(), 1):
        before = x.clone()
        plain(x, gradient, of_x, at_step(plain, step, plain.hypers), 1e-2)
        own = x - before
        moved += own if last is None else 2 * own - last
        optimistic(y, gradient, of_y, at_step(optimistic, step, optimistic.hypers), 1e-2)
        last = own
        torch.testing.assert_close(y, moved, rtol=1e-9, atol=1e-12)


ETA = 0.2


def simultaneous(plugin, **hypers):
    """Return the spectral radius of one simultaneous step on the game x y, of both players' states and positions."""
    state, position = {}, torch.ones(2, 1, dtype=torch.float64)
    turned = lambda at: torch.stack([at[1], -at[0]])  # noqa: E731 - x descends y, y ascends x
    plugin(position, turned(position), state, 1, ETA, **hypers)
    names = list(state)
    columns = []
    for unit in torch.eye(2 * (1 + len(names)), dtype=torch.float64):
        position, *parts = unit.reshape(1 + len(names), 2, 1).clone()
        own = dict(zip(names, parts, strict=True))
        plugin(position, turned(position), own, 2, ETA, **hypers)
        columns.append(torch.cat([position, *(own[name] for name in names)]).flatten())
    return torch.linalg.eigvals(torch.stack(columns, 1)).abs().max().item()


@pytest.mark.parametrize("momentum", [0.0, 0.5, -0.5])
def test_gradient_descent_leaves_the_bilinear_game_as_fast_as_known(momentum):
    # w = x + i y moves by i eta w: the roots of l^2 - (1 + momentum + i eta) l + momentum
    known = np.abs(np.roots([1, -(1 + momentum + 1j * ETA), momentum])).max()
    assert simultaneous(registry.get("optimizer", "sgd"), momentum=momentum) == pytest.approx(known, abs=1e-9)
    assert known > 1
    if not momentum:
        assert known == pytest.approx(math.sqrt(1 + ETA**2))


def test_optimism_solves_the_bilinear_game_as_fast_as_known():
    # Liang & Stokes 2019: l^2 - (1 + 2 i eta) l + i eta = 0
    known = np.abs(np.roots([1, -(1 + 2j * ETA), 1j * ETA])).max()
    assert simultaneous(registry.get("optimizer", "optimistic_sgd")) == pytest.approx(known, abs=1e-9)
    assert known < 1


@pytest.mark.parametrize(("decay", "half", "end"), [
    ("none", 1.0, 1.0), ("sqrt", math.sqrt(0.5), 0.0), ("linear", 0.5, 0.0), ("cosine", 0.5, 0.0),
])  # fmt: skip
def test_decays_from_one_over_half_to_their_end(decay, half, end):
    values = [rate_factor(decay, step, 1000) for step in (0, 500, 1000)]
    assert values == pytest.approx([1.0, half, end], abs=1e-15)


def test_every_decay_has_its_values_above_and_never_rises():
    assert set(DECAYS) == {"none", "sqrt", "linear", "cosine"}
    for decay in DECAYS:
        course = [rate_factor(decay, step, 100) for step in range(101)]
        assert course == sorted(course, reverse=True)


def test_unknown_decay_names_the_nearest():
    with pytest.raises(UserError, match=r"'cosin'.*'cosine'"):
        rate_factor("cosin", 0, 1)


@pytest.mark.parametrize(("name", "hypers", "theirs"), [
    ("sgd", {"momentum": 0.9}, torch.optim.SGD), ("rmsprop", {"alpha": 0.9}, torch.optim.RMSprop),
    ("adam", {"beta1": 0.5, "beta2": 0.9}, torch.optim.Adam),
    ("adamw", {"beta1": 0.5, "beta2": 0.9}, torch.optim.AdamW),
])  # fmt: skip
@pytest.mark.parametrize("weight_decay", [0.0, 0.01, 0.5])
def test_weight_decay_is_torchs(name, hypers, theirs, weight_decay):
    plugin, state = registry.get("optimizer", name), {}
    ours = torch.linspace(-2, 2, SIZE, dtype=torch.float64).reshape(1, -1)
    parameter = ours.clone().requires_grad_()
    told = {"betas": (0.5, 0.9)} if "beta1" in hypers else hypers
    optimizer = theirs([parameter], lr=1e-3, weight_decay=weight_decay, **told)
    for step, gradient in enumerate(gradients()[:, :1], 1):
        plugin(ours, gradient, state, at_step(plugin, step, hypers), 1e-3, weight_decay=weight_decay, **hypers)
        parameter.grad = gradient.clone()
        optimizer.step()
    torch.testing.assert_close(ours, parameter.detach(), rtol=1e-11, atol=1e-11)


DECAYING = [p.name for p in registry.plugins("optimizer") if "weight_decay" in p.hypers]


@pytest.mark.parametrize("name", [name for name in DECAYING if name != "adamw"])
def test_weight_decay_is_the_gradient_of_half_the_squared_parameters(name):
    plugin = registry.get("optimizer", name)
    (x, y), of_x, of_y = torch.ones(2, RUNS, SIZE, dtype=torch.float64), {}, {}
    for step, gradient in enumerate(gradients(), 1):
        plugin(x, gradient, of_x, at_step(plugin, step, plugin.hypers), 1e-3, weight_decay=0.3)
        plugin(y, gradient + 0.3 * y, of_y, at_step(plugin, step, plugin.hypers), 1e-3)
    torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
    assert (x - 1).abs().min() > 1e-4


@pytest.mark.parametrize("name", DECAYING)
def test_runs_of_one_population_decay_each_by_its_own(name):
    plugin, decays, start = (
        registry.get("optimizer", name),
        [0.0, 0.1, 2.0],
        torch.ones(RUNS, SIZE, dtype=torch.float64),
    )
    column = torch.tensor(decays, dtype=torch.float64).unsqueeze(1)
    together, state = start.clone(), {}
    alone, states = [start[:1].clone() for _ in decays], [{} for _ in decays]
    for step, gradient in enumerate(gradients(), 1):
        given = at_step(plugin, step, plugin.hypers)
        plugin(together, gradient, state, given, 1e-2, weight_decay=column)
        for row, decay in enumerate(decays):
            plugin(alone[row], gradient[row : row + 1], states[row], given, 1e-2, weight_decay=decay)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "optimistic_sgd"])
def test_theory_says_nothing_of_weight_decay(name):
    declared, one = registry.get("optimizer", name).declared("linear"), np.eye(2)
    hypers = {"momentum": 0.5} if name == "sgd" else {}
    assert len(declared(one, one, **hypers, weight_decay=0.0)) == 2
    with pytest.raises(Unknown):
        declared(one, one, **hypers, weight_decay=0.1)
