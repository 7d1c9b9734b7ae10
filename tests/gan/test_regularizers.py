"""Regularizers against closed forms: a linear critic w.x has the gradient w, the critic |x|^2 / 2 the gradient x."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from itertools import combinations
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over
from torch import Tensor

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.regularizers import FEWEST_POINTS, normal_points
from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.population import Population
from ganbench.training.step import train_step

RUNS, BATCH, DIM = 3, 11, 4
CPU = torch.device("cpu")


def forgetful(plugin):
    """Return a penalty that remembers nothing from one call to the next."""

    @wraps(plugin.function)
    def function(*args, **hypers):
        return plugin(*args, {}, **hypers)

    return replace(plugin, function=function) if plugin.meta.get("remembers") else plugin


PENALTIES = [
    forgetful(plugin) for plugin in registry.plugins("regularizer") if plugin.meta.get("acts_on", "inputs") == "inputs"
]
every_penalty = pytest.mark.parametrize("penalty", PENALTIES, ids=lambda plugin: plugin.name)


class Closed(NamedTuple):
    """What a penalty is worth, derived by hand, for samples [..., batch, dim] and the numbers that it draws."""

    hypers: dict[str, float]
    on_linear: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # of w [..., dim], real, fake, drawn numbers
    on_quadratic: Callable[[Tensor, Tensor, Tensor], Tensor]  # of real, fake, drawn numbers


def squared(x):
    return x.square().sum(-1)


def mixed(real, fake, uniform):
    # Gulrajani 2017, alg. 1: x^ = u x + (1 - u) G(z)
    return uniform.unsqueeze(-1) * real + (1 - uniform.unsqueeze(-1)) * fake


def spread(real):
    # the standard deviation of each run's batch, over samples and coordinates [..., 1, 1]
    return real.std(dim=(-2, -1), keepdim=True)


def apart(real_logits, fake_logits):
    # Tseng 2021: each side's squared distance from the running mean of the other, here that of a first batch
    means = real_logits.mean(-1, keepdim=True).detach(), fake_logits.mean(-1, keepdim=True).detach()
    return (real_logits - means[1]).square().mean(-1) + (fake_logits - means[0]).square().mean(-1)


CLOSED = {
    "lecam": Closed(
        {"weight": 0.7},
        lambda w, real, fake, u: 0.7 * apart(*((x @ w.unsqueeze(-1)).squeeze(-1) for x in (real, fake))),
        lambda real, fake, u: 0.7 * apart(squared(real) / 2, squared(fake) / 2),
    ),
    "r1": Closed({"gamma": 0.7}, lambda w, *_: 0.35 * squared(w), lambda real, fake, u: 0.35 * squared(real).mean(-1)),
    "lazy_r1": Closed(
        {"gamma": 0.7}, lambda w, *_: 0.35 * squared(w), lambda real, fake, u: 0.35 * squared(real).mean(-1)
    ),
    "r2": Closed({"gamma": 0.7}, lambda w, *_: 0.35 * squared(w), lambda real, fake, u: 0.35 * squared(fake).mean(-1)),
    "r1r2": Closed(
        {"gamma": 0.7},
        lambda w, *_: 0.7 * squared(w),
        lambda real, fake, u: 0.35 * (squared(real) + squared(fake)).mean(-1),
    ),
    "gradient_penalty": Closed(
        {"weight": 0.7},
        lambda w, *_: 0.7 * (squared(w).sqrt() - 1) ** 2,
        lambda *batches: 0.7 * (mixed(*batches).norm(dim=-1) - 1).square().mean(-1),
    ),
    "zero_gradient_penalty": Closed(
        {"weight": 0.7}, lambda w, *_: 0.7 * squared(w), lambda *batches: 0.7 * squared(mixed(*batches)).mean(-1)
    ),
    "consistency": Closed(
        {"real_weight": 0.7, "fake_weight": 0.2, "scale": 0.3},
        # w.x - w.(x + s n) = -s w.n
        lambda w, real, fake, n: (0.7 + 0.2) * 0.3**2 * (n * w.unsqueeze(-2)).sum(-1).square().mean(-1),
        # |x + s n|^2 / 2 - |x|^2 / 2 = s x.n + s^2 |n|^2 / 2
        lambda real, fake, n: sum(
            weight * (0.3 * (x * n).sum(-1) + 0.3**2 * squared(n) / 2).square().mean(-1)
            for weight, x in ((0.7, real), (0.2, fake))
        ),
    ),
    "dragan": Closed(
        {"weight": 0.7, "scale": 0.3},
        lambda w, *_: 0.7 * (squared(w).sqrt() - 1) ** 2,
        lambda real, fake, n: 0.7 * ((real + 0.3 * spread(real) * n).norm(dim=-1) - 1).square().mean(-1),
    ),
}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batches(penalty, *leading, shape=(DIM,)):
    """Return real and fake samples and the numbers that a penalty draws."""
    real, fake = drawn(*leading, BATCH, *shape, seed=1), drawn(*leading, BATCH, *shape, seed=2) + 3
    if penalty.meta.get("draws") == "normal":
        return real, fake, drawn(*leading, BATCH, *shape, seed=3)
    uniform = torch.rand(*leading, BATCH, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return real, fake, uniform


def linear(w):
    return lambda x: (x * w.unsqueeze(-2)).sum(-1)


def quadratic(x):
    return x.square().sum(-1) / 2


def test_every_built_in_penalty_has_its_closed_form_here():
    assert {p.name for p in PENALTIES if p.function.__module__.startswith("ganbench.")} == set(CLOSED)


@every_penalty
@pytest.mark.parametrize("leading", [(), (RUNS,), (2, RUNS)])
def test_linear_critic_in_value_and_gradient(penalty, leading):
    closed = CLOSED[penalty.name]
    w, same = drawn(*leading, DIM).requires_grad_(), drawn(*leading, DIM).requires_grad_()
    got = penalty(linear(w), *batches(penalty, *leading), **closed.hypers)
    expected = closed.on_linear(same, *batches(penalty, *leading))
    assert got.shape == leading
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=0)
    # places, so that a run that is handed its neighbour's gradient is noticed
    places = torch.arange(1.0, got.numel() + 1).reshape(got.shape)
    (places * got).sum().backward()
    (places * expected).sum().backward()
    assert w.grad.abs().min() > 1e-3
    torch.testing.assert_close(w.grad, same.grad, rtol=1e-9, atol=1e-12)


@every_penalty
@pytest.mark.parametrize("leading", [(), (RUNS,), (2, RUNS)])
def test_quadratic_critic(penalty, leading):
    closed = CLOSED[penalty.name]
    got = penalty(quadratic, *batches(penalty, *leading), **closed.hypers)
    torch.testing.assert_close(got, closed.on_quadratic(*batches(penalty, *leading)), rtol=1e-10, atol=0)


@pytest.mark.parametrize("penalty", [p for p in PENALTIES if p.needs], ids=lambda plugin: plugin.name)
def test_a_critic_that_mixes_its_batch_is_refused(penalty):
    plan = resolve(None, ["normalization=none,batch", f"regularizer={penalty.name}"])
    assert [variant.normalization for variant in plan.variants] == ["none"]
    ((variant, reason),) = plan.skipped
    assert variant.normalization == "batch"
    assert reason == f"{penalty.name} with normalization batch: {penalty.needs['independent_samples']}"


def test_weight_clipping_clamps_and_leaves_the_rest():
    weights = torch.tensor([[-1.0, -0.25, -0.2, 0.0], [0.2, 0.25, 0.3, 9.0]])
    clipped = registry.get("regularizer", "weight_clipping")(weights, clip=0.25)
    assert clipped.tolist() == [[-0.25, -0.25, weights[0, 2].item(), 0.0], [weights[1, 0].item(), 0.25, 0.25, 0.25]]
    assert registry.get("regularizer", "weight_clipping").hypers["clip"] == 0.01  # Arjovsky 2017, alg. 1


def test_none_penalizes_nothing():
    none = registry.get("regularizer", "none")
    assert none(quadratic, *batches(none, RUNS)).tolist() == [0.0] * RUNS


def test_consistency_on_real_samples_alone_ignores_the_fakes():
    plugin = registry.get("regularizer", "consistency")
    assert not plugin.needs, "it looks at logits, and works with a critic that mixes its batch"
    real, fake, normal = batches(plugin, RUNS)
    values = [plugin(quadratic, real, fakes, normal, fake_weight=0.0) for fakes in (fake, fake + 9)]
    assert torch.equal(*values)
    assert values[0].min() > 0


def test_dragan_perturbs_by_the_spread_of_the_batch():
    # quadratic critic: where the samples are s times as large, so are its gradients
    plugin = registry.get("regularizer", "dragan")
    real, fake, normal = batches(plugin)
    places = []
    for factor in (1.0, 4.0):
        plugin(lambda x: places.append(x.detach()) or quadratic(x), factor * real, fake, normal, scale=0.3)
    _, near, _, far = places
    torch.testing.assert_close(far, 4 * near)
    assert (near - real).std().item() == pytest.approx(0.3 * real.std().item() * normal.std().item(), rel=1e-9)


@pytest.mark.parametrize(("progress", "until", "left"), [
    (0.0, 1.0, 1.0), (0.25, 1.0, 0.75), (0.25, 0.5, 0.5), (0.5, 0.5, 0.0), (0.9, 0.5, 0.0),
])  # fmt: skip
def test_instance_noise_falls_linearly_and_is_gone(progress, until, left):
    samples, normal = drawn(RUNS, BATCH, DIM), drawn(RUNS, BATCH, DIM, seed=1)
    got = registry.get("regularizer", "instance_noise")(
        samples, normal, torch.tensor(progress).double(), sigma=0.4, until=until
    )
    torch.testing.assert_close(got, samples + 0.4 * left * normal, rtol=1e-12, atol=0)
    assert torch.equal(got, samples) == (left == 0)


def test_constant_noise_is_the_same_from_first_to_last():
    samples, normal = drawn(RUNS, BATCH, DIM), drawn(RUNS, BATCH, DIM, seed=1)
    plugin = registry.get("regularizer", "constant_noise")
    for progress in (0.0, 0.5, 0.999):
        got = plugin(samples, normal, torch.tensor(progress).double(), sigma=0.4)
        torch.testing.assert_close(got, samples + 0.4 * normal, rtol=1e-12, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(FEWEST_POINTS, 3000))
def test_points_of_equal_weight_have_the_moments_of_a_normal_law(n):
    points = normal_points(n, torch.float64, torch.device("cpu"))
    assert points.diff().min() > 0
    for order in range(10):
        # (order - 1)!! where it is even
        known = 0 if order % 2 else math.prod(range(1, order, 2))
        assert points.pow(order).mean().item() == pytest.approx(known, rel=1e-9, abs=1e-9 * 3**order)
    # what is no polynomial: E cos(t x) = e^(-t^2 / 2)
    for t in (0.3, 1.0):
        assert (t * points).cos().mean().item() == pytest.approx(math.exp(-(t**2) / 2), abs=2e-5 * t)


def test_noise_that_is_not_sampled_has_no_mean_and_is_the_same_for_all():
    plugin, samples = registry.get("regularizer", "constant_noise"), drawn(RUNS, FEWEST_POINTS, 1)
    got = plugin(samples, drawn(RUNS, FEWEST_POINTS, 1, seed=1), torch.tensor(0.0), sigma=0.4, sampled=False)
    noise = got - samples
    torch.testing.assert_close(noise, noise[:1].expand_as(noise))
    assert noise.mean().item() == pytest.approx(0, abs=1e-12)
    assert noise[0].square().mean().item() == pytest.approx(0.16)
    for shape in ((FEWEST_POINTS - 1, 1), (FEWEST_POINTS, 2)):
        with pytest.raises(UserError, match=r"'regularizer\.constant_noise\.sampled' .* at least 256, got samples \["):
            plugin(drawn(RUNS, *shape), drawn(RUNS, *shape), torch.tensor(0.0), sampled=False)


@pytest.mark.parametrize("leading", [(), (RUNS,)])
def test_orthogonal_is_the_sum_over_pairs_of_rows(leading):
    first, second = drawn(*leading, 3, 5).requires_grad_(), drawn(*leading, 4, 2, seed=1)
    got = registry.get("regularizer", "orthogonal")([first, second], beta=0.7)
    # W W^T holds the product of every pair of rows, twice
    pairs = [
        (a * b).sum(-1).square() for matrix in (first, second) for a, b in combinations(matrix.unbind(-2), 2)
    ]  # fmt: skip
    torch.testing.assert_close(got, 0.7 * 2 * sum(pairs))
    (gradient,) = torch.autograd.grad(got.sum(), first)
    gram = first.detach() @ first.detach().mT
    apart = gram - torch.diag_embed(gram.diagonal(dim1=-2, dim2=-1))
    torch.testing.assert_close(gradient, 0.7 * 4 * apart @ first.detach())


def test_orthogonal_rows_of_any_length_cost_nothing():
    basis = torch.linalg.qr(drawn(6, 6)).Q[:4] * torch.tensor([[1.0], [9.0], [0.1], [0.0]])
    assert registry.get("regularizer", "orthogonal")([basis], beta=1.0).item() == pytest.approx(0, abs=1e-20)


def test_lecam_keeps_a_running_mean_of_each_sides_logits():
    plugin, memory, means = registry.get("regularizer", "lecam"), {}, {}
    for call in range(5):
        real, fake = drawn(RUNS, BATCH, DIM, seed=call), drawn(RUNS, BATCH, DIM, seed=10 + call) + 1
        got = plugin(quadratic, real, fake, None, memory, weight=0.7, decay=0.9)
        logits = {"real": squared(real) / 2, "fake": squared(fake) / 2}
        for side, own in logits.items():
            means[side] = 0.9 * means[side] + 0.1 * own.mean(-1) if call else own.mean(-1)
        distances = [(logits[a] - means[b][:, None]).square().mean(-1) for a, b in (("real", "fake"), ("fake", "real"))]
        torch.testing.assert_close(got, 0.7 * (distances[0] + distances[1]))
    assert {side: mean.tolist() for side, mean in memory.items()} == {
        side: pytest.approx(mean.tolist()) for side, mean in means.items()
    }


def test_lecam_takes_its_means_for_constants():
    w, memory = drawn(RUNS, DIM).requires_grad_(), {}
    for _ in range(2):
        registry.get("regularizer", "lecam")(linear(w), drawn(RUNS, BATCH, DIM), drawn(RUNS, BATCH, DIM), None, memory)
    assert not any(mean.requires_grad for mean in memory.values())


@pytest.mark.parametrize("leading", [(), (RUNS,)])
def test_orthonormal_is_the_distance_of_the_gram_matrix_from_the_identity(leading):
    first, second = drawn(*leading, 3, 5).requires_grad_(), drawn(*leading, 4, 2, seed=1)
    got = registry.get("regularizer", "orthonormal")([first, second], beta=0.7)
    total = 0
    for matrix in (first.detach(), second):
        for i, a in enumerate(matrix.unbind(-2)):
            for j, b in enumerate(matrix.unbind(-2)):
                total = total + ((a * b).sum(-1) - float(i == j)) ** 2
    torch.testing.assert_close(got, 0.7 * total)
    (gradient,) = torch.autograd.grad(got.sum(), first)
    rows = first.detach()
    torch.testing.assert_close(gradient, 0.7 * 4 * (rows @ rows.mT @ rows - rows))


def test_orthonormal_rows_cost_nothing_and_others_by_their_lengths():
    plugin, basis = registry.get("regularizer", "orthonormal"), torch.linalg.qr(drawn(6, 6)).Q[:4]
    assert plugin([basis], beta=1.0).item() == pytest.approx(0, abs=1e-20)
    lengths = torch.tensor([1.0, 3.0, 0.1, 0.0], dtype=torch.float64)
    expected = (lengths**2 - 1).square().sum().item()
    assert plugin([basis * lengths[:, None]], beta=1.0).item() == pytest.approx(expected)
    # a matrix [out, in] with out > in has a Gram matrix of rank in
    assert plugin([torch.linalg.qr(drawn(5, 5)).Q[:, :3]], beta=1.0).item() == pytest.approx(2)


# ---- in the engine


@pytest.mark.parametrize("normalization", ["none", "spectral", "weight"])
def test_matrices_are_the_trained_weights_of_every_layer(normalization):
    own = [f"normalization={normalization}", "problem=digits", "network=dcgan", "network.dcgan.width=4"]
    player = population(*own).discriminator
    layers = [
        name for name, layer in player.module.named_modules() if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    ]
    matrices = player.matrices()
    assert len(matrices) == len(layers) >= 3
    for matrix, weight in zip(matrices, [player.trained[f"{name}.weight"] for name in layers], strict=True):
        # no layer of this discriminator is transposed, so the filters lie along the first axis
        assert torch.equal(matrix, weight.flatten(2))
        assert torch.autograd.grad(matrix.sum(), weight)[0].eq(1).all()


def population(*overrides, dtype=torch.float64):
    settings = ["batch_size=8", "steps=100", "seeds=2", "optimizer=sgd"]
    runs = resolve(None, over([*settings, *overrides])).runs
    return Population(runs, make_problem(runs[0].variant), CPU, dtype)


def test_normal_numbers_of_a_run_depend_on_its_seed_and_the_index_alone():
    few, many = population("seeds=[3,1]"), population("seeds=[7,1,0,3]", "loss=hinge,wasserstein")
    for index in (0, 1, 40):
        for row, run in enumerate(few.runs):
            numbers = few.draw("normal", index)[row]
            assert numbers.shape == (8, 2)
            for place, other in enumerate(many.runs):
                assert torch.equal(numbers, many.draw("normal", index)[place]) == (run.seed == other.seed)
    block = torch.stack([few.draw("normal", index) for index in range(400)])
    # 12 800 numbers: standard errors of mean and variance 0.009 and 0.0125
    assert block.mean().item() == pytest.approx(0, abs=0.045)
    assert block.var().item() == pytest.approx(1, abs=0.06)


def d_gradients(trained: Population, steps: int) -> list[Tensor]:
    """Return D's gradient in each update, at weights and batches that stay as they are."""
    seen, batch = [], trained.batch
    trained.batch = lambda purpose, held: batch(purpose, trained.streams[purpose].held(0))
    trained.discriminator.descend = lambda gradient, *_: seen.append(gradient)
    trained.generator.descend = lambda *_: None
    for _ in range(steps):
        train_step(trained)
    return seen


LAZY = [plugin for plugin in PENALTIES if "lazy" in plugin.hypers]
every_lazy = pytest.mark.parametrize("penalty", LAZY, ids=lambda plugin: plugin.name)


@every_lazy
@pytest.mark.parametrize("critic_steps", [1, 2])
def test_the_mean_gradient_of_a_lazy_penalty_is_that_of_the_eager_one(penalty, critic_steps):
    def gradients(lazy, steps):
        own = f"regularizer={penalty.name}", f"regularizer.{penalty.name}.lazy={lazy}"
        return d_gradients(population(*own, f"critic_steps={critic_steps}"), steps)

    eager, lazy = gradients(1, 1)[0], torch.stack(gradients(4, 4)[:4])
    bare = d_gradients(population(), 1)[0]
    assert not torch.allclose(eager, bare, rtol=1e-3)
    torch.testing.assert_close(lazy.mean(0), eager, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(gradient, bare) for gradient in lazy[1:])


def test_lazy_r1_in_every_update_is_r1_bit_for_bit():
    finals = []
    for own in (["regularizer=r1"], ["regularizer=lazy_r1", "regularizer.lazy_r1.lazy=1"]):
        trained = population(*own, "critic_steps=2", "optimizer=adam", dtype=torch.float32)
        for _ in range(15):
            train_step(trained)
        finals.append((trained.generator.flat, trained.discriminator.flat))
    assert all(torch.equal(*pair) for pair in zip(*finals, strict=True))


def test_a_lazy_penalty_is_skipped_where_it_is_not_due():
    def counted(critic, real, *_, **__):
        due.append(1)
        return critic(real).mean(-1)

    trained, due = population("regularizer=lazy_r1", "regularizer.lazy_r1.lazy=3", "critic_steps=2"), []
    part = next(part for part in trained.objective.parts if part.bound.name == "lazy_r1")
    part.bound = replace(part.bound, plugin=replace(part.bound.plugin, function=counted))
    for _ in range(5):
        train_step(trained)
    assert len(due) == 4  # of the updates 0 to 9 those with the numbers 0, 3, 6, 9


def test_a_lazy_penalty_counts_from_one():
    with pytest.raises(UserError, match=r"'regularizer\.lazy_r1\.lazy' counts updates and must be at least 1, got 0"):
        population("regularizer=lazy_r1", "regularizer.lazy_r1.lazy=0")


@pytest.mark.usefixtures("own_registry")
def test_a_penalty_on_matrices_is_one_number_a_run():
    @registry.register("regularizer", acts_on="matrices")
    def shared(matrices):
        return matrices[0].square().mean()

    with pytest.raises(
        UserError, match=r"The regularizer 'shared' must return one number a run, shape \[2\], not \[\]"
    ):
        train_step(population("regularizer=shared"))


def shown(*overrides, steps):
    """Return what D is shown in the last of some steps, and the samples behind it: real, fake of D, fake, real of G."""
    trained, seen, own = population(*overrides), [], []
    criticise, generate, draw = trained.discriminator, trained.generate, trained.batch

    def recorded(what, into):
        into.append(what.detach())
        return what

    trained.discriminator = lambda x, *given, **how: criticise(recorded(x, seen), *given, **how)
    trained.generate = lambda *args, **how: recorded(generate(*args, **how), own)
    trained.batch = lambda purpose, held: (
        recorded(draw(purpose, held), own) if "data" in purpose else draw(purpose, held)
    )
    for _ in range(steps):
        train_step(trained)
    d_fake, d_real, g_fake, g_real = own[-4:]
    return trained, seen[-4:], (d_real, d_fake, g_fake, g_real)


NOISY = ["regularizer=instance_noise", "regularizer.instance_noise.sigma=0.4", "regularizer.instance_noise.until=0.04"]


def test_instance_noise_is_on_real_and_fake_samples_of_both_players():
    # the loss that looks at real samples in the generator's step too; the second of the four steps that have noise
    trained, seen, clean = shown(*NOISY, "loss=relativistic_pairing", steps=2)
    noise = [trained.draw(f"{who} noise", 1) for who in ("d real", "d fake", "g fake", "g real")]
    for got, samples, own in zip(seen, clean, noise, strict=True):
        torch.testing.assert_close(got, samples + 0.4 * 0.75 * own)
    for first, second in combinations(noise, 2):
        assert not torch.equal(first, second), "every batch has noise of its own"


def test_instance_noise_ends():
    _, seen, clean = shown(*NOISY, "loss=relativistic_pairing", steps=5)
    assert all(torch.equal(*pair) for pair in zip(seen, clean, strict=True))


def test_instance_noise_ends_within_the_training():
    with pytest.raises(
        UserError, match=r"'regularizer\.instance_noise\.until' must be above 0 and at most 1, got 1\.5"
    ):
        train_step(population("regularizer=instance_noise", "regularizer.instance_noise.until=1.5"))
