"""One vectorised forward pass against a Python loop over plain modules: values, gradients, gradients of gradients."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from ganbench import registry
from ganbench.gan.networks.layers import Maxout
from ganbench.gan.normalizations import PixelNorm
from ganbench.gan.tricks import MinibatchDiscrimination, MinibatchStd
from ganbench.training import batched
from ganbench.training.cost import measured

RUNS = 3
quickly = settings(max_examples=25, deadline=None, derandomize=True)
small = st.integers(1, 3)


def copies(build, runs=RUNS):
    """Return one float64 module a run with parameters of its own, none of them at its neutral start."""
    modules = []
    with torch.random.fork_rng(devices=[]):
        for run in range(runs):
            torch.manual_seed(run)
            module = build().double()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter.add_(0.3 * torch.randn_like(parameter))
            modules.append(module)
    return modules


def stacked(modules):
    """Return the parameters (as leaves) and the buffers of all runs by name."""
    named = [(dict(m.named_parameters()), dict(m.named_buffers())) for m in modules]
    parameters = {n: torch.stack([own[n].detach() for own, _ in named]).requires_grad_() for n in named[0][0]}
    return parameters, {n: torch.stack([own[n] for _, own in named]).clone() for n in named[0][1]}


def derivatives(out, inputs):
    """Return gradients of a loss that is curved in the outputs, and gradients of those gradients' squares."""
    # curved and different for every element, so that no two places can be mixed up unnoticed
    places = torch.linspace(0.5, 1.5, out[0].numel(), dtype=out.dtype).reshape(out.shape[1:])
    loss = (places * out.square() + out.sin()).sum()
    first = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
    again = sum(gradient.square().sum() for gradient in first if gradient.requires_grad)
    return *first, *torch.autograd.grad(again, inputs, allow_unused=True, materialize_grads=True)


def check(build, shape, runs=RUNS, batch=4):
    """Compare the batched pass with the loop for a module and inputs [batch, *shape]."""
    modules = copies(build, runs)
    x = torch.randn(
        runs, batch, *shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64
    ).requires_grad_()
    parameters, buffers = stacked(modules)
    loop_buffers = {name: buffer.clone() for name, buffer in buffers.items()}
    before = x.detach().clone()
    got = batched.forward(copy.deepcopy(modules[0]), {**parameters, **buffers}, x)
    assert torch.equal(x, before)  # what the caller gave is the caller's
    rows = []
    for run in range(runs):
        own = {name: tensor[run] for name, tensor in {**parameters, **loop_buffers}.items()}
        rows.append(functional_call(modules[run], own, (x[run],)))
    expected = torch.stack(rows)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)
    inputs = [x, *parameters.values()]
    for name, a, b in zip(
        [f"{order} {n}" for order in (1, 2) for n in ("x", *parameters)],
        derivatives(got, inputs), derivatives(expected, inputs), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")
    for name in buffers:
        torch.testing.assert_close(buffers[name], loop_buffers[name], rtol=1e-9, atol=1e-12)


@pytest.fixture
def fallbacks(monkeypatch):
    """The types of the modules that have been run under vmap."""
    seen, original = [], batched._vmapped

    def spy(module, *args):
        seen.append(type(module))
        return original(module, *args)

    monkeypatch.setattr(batched, "_vmapped", spy)
    return seen


# ---- rules


@quickly
@given(
    runs=small, batch=st.sampled_from([1, 2, 5, 17, 40]), fan_in=st.sampled_from([1, 3, 20]),
    out=st.sampled_from([1, 2, 15, 18]), bias=st.booleans(), more=st.lists(small, max_size=2),
)  # fmt: skip
def test_linear(runs, batch, fan_in, out, bias, more):
    check(lambda: nn.Linear(fan_in, out, bias=bias), (*more, fan_in), runs, batch)


@quickly
@given(
    image=st.tuples(st.integers(3, 6), st.integers(3, 6)), kernel=st.tuples(small, small),
    stride=st.tuples(st.integers(1, 2), small), padding=st.tuples(st.integers(0, 2), st.integers(0, 1)),
    channels=st.tuples(small, small), bias=st.booleans(),
)  # fmt: skip
def test_convolution(image, kernel, stride, padding, channels, bias):
    check(lambda: nn.Conv2d(*channels, kernel, stride, padding, bias=bias), (channels[0], *image))


@quickly
@given(
    image=st.tuples(small, small), kernel=st.tuples(st.integers(2, 4), st.integers(2, 4)), data=st.data(),
    stride=st.tuples(small, small), padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    channels=st.tuples(small, small), bias=st.booleans(),
)  # fmt: skip
def test_transposed_convolution(image, kernel, stride, padding, channels, bias, data):
    extra = tuple(data.draw(st.integers(0, step - 1)) for step in stride)
    sizes = zip(image, stride, padding, kernel, extra, strict=True)
    if min((n - 1) * s - 2 * p + k + e for n, s, p, k, e in sizes) < 1:
        return
    build = lambda: nn.ConvTranspose2d(*channels, kernel, stride, padding, extra, bias=bias)  # noqa: E731
    check(build, (channels[0], *image))


@pytest.mark.parametrize(("build", "shape", "dense"), [
    (lambda: nn.Conv2d(2, 3, 4, 2, 1), (2, 8, 8), True),
    (lambda: nn.Conv2d(2, 3, 4, 2, 1), (2, 16, 16), False),
    (lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1), (2, 4, 4), True),
    (lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1), (2, 8, 8), False),
    (lambda: nn.Conv2d(2, 2, 3, padding=1, groups=2), (2, 5, 5), False),
    (lambda: nn.Conv2d(2, 3, 3, dilation=2), (2, 5, 5), False),
    (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5), False),
    (lambda: nn.Conv2d(2, 3, 3, padding="same"), (2, 5, 5), False),
    (lambda: nn.ConvTranspose2d(2, 2, 3, groups=2), (2, 3, 3), False),
    (lambda: nn.ConvTranspose2d(2, 3, 2, dilation=2), (2, 2, 2), False),
], ids=["small", "large", "small transposed", "large transposed", "groups", "dilation", "circular", "same",
        "groups transposed", "dilation transposed"])  # fmt: skip
def test_small_images_take_the_dense_route_and_others_do_not(fallbacks, build, shape, dense):
    check(build, shape)
    assert (not fallbacks) == dense


@quickly
@given(groups=small, per_group=small, image=st.lists(st.integers(2, 4), max_size=2), batch=st.integers(2, 6))
def test_group_normalization(groups, per_group, image, batch):
    if not image and per_group == 1:
        per_group = 2  # one number has no variance
    check(lambda: nn.GroupNorm(groups, groups * per_group), (groups * per_group, *image), batch=batch)


@quickly
@given(channels=small, image=st.one_of(st.just(()), st.tuples(st.integers(1, 3), small)), batch=st.integers(3, 6))
def test_batch_normalization(channels, image, batch):
    kind = nn.BatchNorm2d if image else nn.BatchNorm1d
    check(lambda: kind(channels, track_running_stats=False), (channels, *image), batch=batch)


@pytest.mark.parametrize("build", [
    lambda: nn.GroupNorm(2, 4, affine=False), lambda: nn.BatchNorm1d(4, affine=False, track_running_stats=False),
    lambda: nn.LayerNorm(4), lambda: nn.PReLU(4), lambda: nn.RMSNorm(4),
], ids=["group", "batch", "layer", "prelu", "rms"])  # fmt: skip
def test_norms_without_a_rule(fallbacks, build):
    check(build, (4,), batch=6)
    assert len(fallbacks) == 1


@quickly
@given(groups=small, eps=st.sampled_from([0.3, 2.0]), image=st.lists(st.integers(2, 3), max_size=2))
def test_group_normalization_with_its_own_epsilon(groups, eps, image):
    check(lambda: nn.GroupNorm(groups, 2 * groups, eps=eps), (2 * groups, *image))


@quickly
@given(
    eps=st.sampled_from([1e-5, 0.3, 2.0]), momentum=st.sampled_from([0.1, 0.7]), affine=st.booleans(),
    statistics=st.booleans(), training=st.booleans(), image=st.booleans(),
)  # fmt: skip
def test_batch_normalization_at_all_its_attributes(eps, momentum, affine, statistics, training, image):
    def build():
        kind = nn.BatchNorm2d if image else nn.BatchNorm1d
        module = kind(3, eps=eps, momentum=momentum, affine=affine, track_running_stats=statistics)
        if statistics:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
        return module.train(training)

    check(build, (3, 2, 2) if image else (3,), batch=6)


ACTIVATIONS = {
    "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.3), "negative slope": lambda: nn.LeakyReLU(-0.3),
    "flat": lambda: nn.LeakyReLU(0.0), "steep": lambda: nn.LeakyReLU(1.7), "elu": lambda: nn.ELU(0.4),
    "selu": nn.SELU, "gelu": lambda: nn.GELU("tanh"), "silu": nn.SiLU, "softplus": lambda: nn.Softplus(2.0, 3.0),
    "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "identity": nn.Identity,
}  # fmt: skip
BEFORE = {
    "linear": lambda: nn.Linear(4, 4), "no bias": lambda: nn.Linear(4, 4, bias=False),
    "unflatten": lambda: nn.Unflatten(1, (2, 2)), "residual": lambda: Residual(),
    "flatten": nn.Flatten, "group": lambda: nn.GroupNorm(2, 4), "layer": lambda: nn.LayerNorm(4),
    "batch": lambda: nn.BatchNorm1d(4, track_running_stats=False), "pixel": PixelNorm, "std": lambda: MinibatchStd(4),
    "minibatch": lambda: MinibatchDiscrimination(4, 2, 2), "nothing": nn.Sequential,
    "reweighted": lambda: registry.get("normalization", "weight")(nn.Linear(4, 4)),
    "bare reweighted": lambda: registry.get("normalization", "weight")(nn.Linear(4, 4, bias=False)),
}  # fmt: skip


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("activation", ["relu", "leaky", "negative slope"])
@pytest.mark.parametrize("batch", [4, batched.FEW_COLUMNS])  # from there on a product's result is a view
def test_an_activation_after_any_layer(before, activation, batch):
    check(lambda: nn.Sequential(BEFORE[before](), ACTIVATIONS[activation]()), (4,), runs=2, batch=batch)


@pytest.mark.parametrize(("activation", "copies_made"), [(nn.ReLU, 0), (nn.LeakyReLU, 0), (nn.Tanh, 1)])
def test_a_rectifier_after_a_layer_takes_no_memory_of_its_own(activation, copies_made):
    tensors = {"0.weight": torch.randn(2, 50, 3), "0.bias": torch.randn(2, 50)}
    x = torch.randn(2, 100, 3)
    peaks = [measured(lambda m=m: batched.forward(m, tensors, x)).peak_bytes
             for m in (nn.Sequential(nn.Linear(3, 50)), nn.Sequential(nn.Linear(3, 50), activation()))]  # fmt: skip
    assert peaks[1] - peaks[0] == copies_made * 2 * 100 * 50 * 4


@pytest.mark.parametrize("first", ACTIVATIONS)
@pytest.mark.parametrize("second", ["relu", "leaky"])
def test_chains_of_activations(first, second):
    def build():
        return nn.Sequential(nn.Linear(3, 4), ACTIVATIONS[first](), ACTIVATIONS[second](), nn.Linear(4, 2))

    check(build, (3,), runs=2)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_between_sequences(activation):
    def build():
        act = ACTIVATIONS[activation]
        return nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.Tanh()), nn.Sequential(act(), nn.Linear(4, 4)), act())

    check(build, (3,), runs=2)


@quickly
@given(data=st.data(), dims=st.integers(1, 4))
def test_flatten(data, dims):
    start = data.draw(st.integers(1, dims))
    end = data.draw(st.one_of(st.integers(start, dims), st.integers(start - dims - 1, -1)))
    check(lambda: nn.Flatten(start, end), (2, 3, 2, 1)[:dims])


@pytest.mark.parametrize(("dim", "size"), [(1, (2, 3)), (1, (3, 1, 2)), (2, (2, 2)), (-1, (4, 1)), (-2, (2, 3))])
def test_unflatten(dim, size):
    check(lambda: nn.Unflatten(dim, size), (6, 4))


@pytest.mark.parametrize("kind", batched.ACTIVATIONS)
def test_activations(fallbacks, kind):
    check((lambda: kind(2)) if kind is Maxout else kind, (3, 2))
    assert not fallbacks


@pytest.mark.parametrize("name", registry.names("normalization"))
@pytest.mark.parametrize(("build", "shape"), [
    (lambda: nn.Linear(5, 8), (5,)), (lambda: nn.Conv2d(2, 8, 3), (2, 4, 4)),
    (lambda: nn.ConvTranspose2d(3, 8, 2, 2), (3, 2, 2)), (lambda: nn.Conv2d(2, 8, 2), (2, 9, 9)),
], ids=["linear", "convolution", "transposed", "large"])  # fmt: skip
@pytest.mark.parametrize("training", [True, False])
def test_normalized_layers_and_their_buffers(name, build, shape, training):
    plugin = registry.get("normalization", name)
    if "feature_maps" in plugin.needs and len(shape) == 1:
        pytest.skip(plugin.needs["feature_maps"])
    check(lambda: plugin(build()).train(training), shape, batch=6)


def test_every_rule_is_tested_here():
    tested = {
        nn.Linear,
        nn.Conv2d,
        nn.ConvTranspose2d,
        nn.GroupNorm,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.Flatten,
        nn.Unflatten,
    }
    assert {kind for kind in batched.RULES if kind.__module__.startswith("torch.")} == tested


# ---- everything else


class Residual(nn.Module):
    """A user's own module: a bare scalar parameter, a buffer, a submodule, a branch of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 4))
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("offset", torch.randn(4))

    def forward(self, x):
        return x + self.gain * self.inner(x - self.offset)


class Doubled(nn.Linear):
    """A subclass of a known layer that computes something else."""

    def forward(self, x):
        return 2 * super().forward(x)


class Swish(nn.ReLU):
    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize(("build", "shape"), [
    (Residual, (4,)), (lambda: Doubled(4, 3), (4,)), (lambda: nn.Conv1d(2, 3, 3), (2, 6)),
    (lambda: nn.AvgPool2d(2), (2, 4, 4)), (lambda: nn.Upsample(scale_factor=2), (2, 2, 2)), (Swish, (4,)),
], ids=["own", "subclass", "1d", "pool", "upsample", "subclass of an activation"])  # fmt: skip
def test_unknown_modules_run_under_vmap(fallbacks, build, shape):
    check(build, shape)
    assert len(fallbacks) == 1


@pytest.mark.parametrize("nested", [False, True])
def test_sequences_are_taken_apart(fallbacks, nested):
    def build():
        tail = [nn.Linear(5, 4), Residual()]
        return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), *([nn.Sequential(*tail)] if nested else tail))

    check(build, (3,))
    assert fallbacks == [Residual]


class Reversed(nn.Sequential):
    """A subclass of a sequence that runs it backwards."""

    def forward(self, x):
        for module in reversed(self):
            x = module(x)
        return x


def test_a_subclass_of_a_sequence_is_run_as_it_is(fallbacks):
    check(lambda: Reversed(nn.Tanh(), nn.Linear(3, 3)), (3,))
    assert fallbacks == [Reversed]


@pytest.mark.parametrize("where", ["layer", "activation", "sequence"])
@pytest.mark.parametrize("kind", ["forward", "pre"])
def test_hooks_of_a_module_are_heard(where, kind):
    def build():
        module = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        target = {"layer": module[2], "activation": module[1], "sequence": module}[where]
        if kind == "forward":
            target.register_forward_hook(lambda module, args, out: 3 * out)
        else:
            target.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
        return module

    check(build, (3,))
    (hooked, *_), x = copies(build), torch.ones(1, 2, 3, dtype=torch.float64)
    parameters, _ = stacked([hooked])
    bare = copy.deepcopy(hooked)
    for module in bare.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    assert not torch.allclose(batched.forward(hooked, parameters, x), batched.forward(bare, parameters, x))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_modules_that_own_a_weight_map_of_torchs(fallbacks):
    # a parametrized layer is a class of its own, which vmap runs
    check(lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), (3,))
    assert len(fallbacks) == 1


def test_a_tap_is_shown_every_known_activation():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2), nn.Tanh())).double()
    parameters, _ = stacked([module])
    x, seen = torch.randn(1, 5, 3, dtype=torch.float64), {}
    out = batched.forward(module, parameters, x, tap=seen.__setitem__)
    assert list(seen) == [module[1], module[2][1]]
    torch.testing.assert_close(seen[module[1]][0], module[1](module[0](x[0])))
    assert torch.equal(seen[module[2][1]], out)


def test_runs_do_not_touch_each_other():
    # one run at infinity leaves its neighbours bit-identical, in values and in gradients
    def build():
        return nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False), nn.Flatten(), nn.Linear(8, 1)
        )

    modules = copies(build)
    x = torch.randn(RUNS, 5, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for poison in (1.0, float("inf")):
        parameters, buffers = stacked(modules)
        own = x.clone()
        own[1] *= poison
        out = batched.forward(modules[0], {**parameters, **buffers}, own)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(parameters.values()))])
    for clean, poisoned in zip(*results, strict=True):
        assert torch.equal(clean[[0, 2]], poisoned[[0, 2]])
    assert results[1][0][1].isnan().any()


def test_layer_matrices_are_weights_as_they_act():
    spectral = registry.get("normalization", "spectral")

    def build():
        return nn.Sequential(
            nn.Conv2d(2, 3, 2), nn.Flatten(), spectral(nn.Linear(3, 4)), nn.ConvTranspose2d(4, 2, 3)
        ).eval()

    modules = copies(build)
    parameters, buffers = stacked(modules)
    matrices = dict(batched.layer_matrices(modules[0], {**parameters, **buffers}))
    assert list(matrices) == ["1_conv2d", "2_linear", "3_convtranspose2d"]
    for run, module in enumerate(modules):
        eye = torch.eye(3, dtype=torch.float64)
        acting = [
            module[0].weight.flatten(1), (module[2](eye) - module[2](0 * eye)).T,
            module[3].weight.transpose(0, 1).flatten(1),
        ]  # fmt: skip
        for matrix, expected in zip(matrices.values(), acting, strict=True):
            torch.testing.assert_close(matrix[run], expected)
