"""Networks: shapes on every problem they fit, the declared range of pixels, errors that name the size."""

import re
from functools import cache

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.conditioning import Concatenated, Projected
from ganbench.gan.networks import NetworkSpec
from ganbench.gan.networks.games import START, interactions
from ganbench.gan.networks.images import SEVERAL
from ganbench.problems.base import Label, stream
from ganbench.registry import NOTHING_GIVEN
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem


def spec(shape, value_range=(-1.0, 1.0), latent_dim=5):
    same = lambda layer: layer  # noqa: E731
    return NetworkSpec(shape, value_range, latent_dim, same, same, same, same)


def built(name, *args, **hypers):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return registry.get("network", name)(spec(*args), **hypers)


@cache
def fitting():
    # what lies in files may not be here
    problems = [problem.name for problem in registry.plugins("problem") if not problem.declared("external")]
    grid = [f"problem={','.join(problems)}", f"network={','.join(registry.names('network'))}"]
    return resolve(None, over([*grid, "latent_dim=3"])).variants


@pytest.mark.parametrize("variant", fitting(), ids=lambda variant: f"{variant.network}-{variant.problem}")
def test_shapes_on_every_problem_that_fits(variant):
    problem = make_problem(variant)
    generator, discriminator = build_networks(variant, problem, seed=0)
    beside = (problem.draw(7, stream("beside", 0)).given,) if problem.gives else ()
    samples = generator(torch.randn(7, 3 + getattr(generator, "noise", 0)), *beside)
    assert samples.shape == (7, *problem.shape)
    logits = discriminator(samples, *beside)
    several = SEVERAL in registry.get("network", variant.network).provides
    assert logits.shape in ((7,), (7, 1)) or (several and len(logits) == 7)
    other = discriminator(samples.square() + torch.randn(samples.shape), *beside)
    assert not torch.equal(other, logits)  # D sees its input


def test_every_network_fits_a_problem():
    assert {variant.network for variant in fitting()} == set(registry.names("network"))


@pytest.mark.parametrize(
    "name", [plugin.name for plugin in registry.plugins("network") if set(plugin.needs) <= {"image", NOTHING_GIVEN}]
)
def test_images_stay_in_their_range_and_reach_it(name):
    generator, _ = built(name, (1, 8, 8))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(10)  # some generators have latents of length 1
    size = 5 + getattr(generator, "noise", 0)
    images = generator(torch.randn(64, size, generator=torch.Generator().manual_seed(0)) * 1e4)
    assert images.abs().max() <= 1
    assert images.min() < -0.99
    assert images.max() > 0.99


def test_a_problem_without_range_has_no_tanh():
    generator, _ = built("mlp", (2,), None)
    assert generator(torch.randn(64, 5, generator=torch.Generator().manual_seed(0)) * 1e4).abs().max() > 10


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 16), (1, 32), (3, 64)])
def test_dcgan_of_every_size(channels, side):
    generator, discriminator = built("dcgan", (channels, side, side), (-1.0, 1.0), 5, width=2)
    assert generator(torch.randn(2, 5)).shape == (2, channels, side, side)
    assert discriminator(torch.randn(2, channels, side, side)).shape == (2, 1)
    widths = [m.out_channels for m in discriminator.modules() if isinstance(m, nn.Conv2d)]
    # one halving a stage, down to 2 x 2; channels double
    assert widths == [2 * 2**stage for stage in range((side // 2).bit_length() - 1)]


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 4, 4), (1, 16, 8), (3, 12, 12)])
def test_dcgan_refuses_other_sizes(shape):
    with pytest.raises(UserError, match=re.escape(f"not {shape[1]} x {shape[2]}")):
        built("dcgan", shape)


def test_mlp_has_the_depth_and_width_that_it_is_asked_for():
    for player, (first, last) in zip(built("mlp", (2,), None, 5, width=6, depth=3), ((5, 2), (2, 1)), strict=True):
        sizes = [(m.in_features, m.out_features) for m in player.modules() if isinstance(m, nn.Linear)]
        assert sizes == [(first, 6), (6, 6), (6, 6), (6, last)]


def test_initial_weights_depend_on_seed_and_architecture_alone():
    a, b = resolve(None, ["loss=hinge,wasserstein"]).variants
    state = torch.random.get_rng_state()
    problem = make_problem(a)
    weights = [torch.cat([p.flatten() for m in build_networks(v, problem, s) for p in m.parameters()])
               for v, s in ((a, 0), (b, 0), (a, 1))]  # fmt: skip
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("condition", [0.0, 0.99, -1.0, float("nan")])
def test_a_game_is_conditioned_from_1_on(condition):
    with pytest.raises(UserError, match=f"'point' needs a condition of at least 1, got {condition:g}"):
        built("point", (2,), None, condition=condition)
    assert built("point", (2,), None, condition=1.0)[1][0].factors.tolist() == [1, 1]


@pytest.mark.parametrize("name", registry.names("network"))
def test_what_a_network_is_built_with_is_drawn_from_the_streams_it_was_given(name):
    plugin = registry.get("network", name)
    (variant, *_) = [variant for variant in fitting() if variant.network == plugin.name]
    problem = make_problem(variant)
    first, again, other = (build_networks(variant, problem, seed) for seed in (0, 0, 1))
    for one, two, three in zip(first, again, other, strict=True):
        same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
        assert all(same)
        assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), three.parameters(), strict=True))


def marked(name, *args, given=None, d_batch=None, **hypers):
    """A network whose normalizations mark what they wrap: its layers by who has wrapped them."""

    def by(who):
        def mark(layer):
            layer.mark = who
            return layer

        return mark

    marks = [by(who) for who in ("g_norm", "g_weight", "d_norm", "d_weight")]
    pair = registry.get("network", name)(NetworkSpec(*args, *marks, d_batch, given), **hypers)
    return [[told(layer) for layer in player.modules() if not list(layer.children())] for player in pair]


def told(layer):
    name = type(layer).__name__
    if isinstance(layer, nn.Linear):
        return name, layer.in_features, layer.out_features, layer.mark
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        sizes = layer.kernel_size, layer.stride, layer.padding
        return name, layer.in_channels, layer.out_channels, *(size[0] for size in sizes), layer.mark
    return (name, layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else (name,)


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
@pytest.mark.parametrize("value_range", [None, (-1.0, 1.0)])
@pytest.mark.parametrize(("width", "depth"), [(1, 1), (6, 1), (7, 3)])
def test_a_perceptron_layer_by_layer(shape, value_range, width, depth):
    size = 2 if len(shape) == 1 else 16
    g, d = marked("mlp", shape, value_range, 5, width=width, depth=depth)
    hidden = [(5 if place == 0 else width) for place in range(depth)]
    assert g == [
        *[one for fan_in in hidden for one in (("Linear", fan_in, width, "g_norm"), ("ReLU",))],
        ("Linear", width, size, "g_weight"), *([("Tanh",)] if value_range else []),
        *([("Unflatten",)] if len(shape) > 1 else []),
    ]  # fmt: skip
    hidden = [(size if place == 0 else width) for place in range(depth)]
    assert d == [
        *([("Flatten",)] if len(shape) > 1 else []),
        *[one for fan_in in hidden for one in (("Linear", fan_in, width, "d_norm"), ("LeakyReLU", 0.2))],
        ("Linear", width, 1, "d_weight"),
    ]  # fmt: skip


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
@pytest.mark.parametrize("value_range", [None, (-1.0, 1.0)])
@pytest.mark.parametrize("how", ["projection", "concatenation"])
@pytest.mark.parametrize(("width", "depth"), [(1, 1), (7, 3)])
def test_a_perceptron_with_labels_layer_by_layer(shape, value_range, how, width, depth):
    size, classes = (2 if len(shape) == 1 else 16), 4
    g, d = marked("conditional_mlp", shape, value_range, 5, given=Label(classes), width=width, depth=depth, how=how)
    hidden = [(5 + classes if place == 0 else width) for place in range(depth)]
    assert g == [
        *[one for fan_in in hidden for one in (("Linear", fan_in, width, "g_norm"), ("ReLU",))],
        ("Linear", width, size, "g_weight"), *([("Tanh",)] if value_range else []),
        *([("Unflatten",)] if len(shape) > 1 else []),
    ]  # fmt: skip
    beside = classes if how == "concatenation" else 0
    hidden = [(size + beside if place == 0 else width) for place in range(depth)]
    assert d == [
        *([("Flatten",)] if len(shape) > 1 and not beside else []),
        *[one for fan_in in hidden for one in (("Linear", fan_in, width, "d_norm"), ("LeakyReLU", 0.2))],
        ("Linear", width, 1, "d_weight"), *([] if beside else [("Embedding",)]),
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["projection", "concatenation"])
def test_labels_by_hand(how):
    own = NetworkSpec((2,), None, 5, *([lambda layer: layer] * 4), given=Label(3))
    g, d = registry.get("network", "conditional_mlp")(own, width=4, depth=1, how=how)
    x, label = torch.randn(6, 2), torch.arange(6) % 3
    one_hot = nn.functional.one_hot(label, 3).float()
    assert isinstance(g, Concatenated)
    if how == "concatenation":
        assert isinstance(d, Concatenated)
        expected = d.body(torch.cat([x, one_hot], 1))
    else:
        assert isinstance(d, Projected)
        features = d.body(x)
        expected = d.last(features) + (features * d.embedding.weight[label]).sum(1, keepdim=True)
    torch.testing.assert_close(d(x, label), expected)
    latents = torch.randn(6, 5)
    torch.testing.assert_close(g(latents, label), g.body(torch.cat([latents, one_hot], 1)))


def test_dcgan_layer_by_layer():
    g, d = marked("dcgan", (3, 16, 16), (-1.0, 1.0), 5, width=2)
    assert d == [
        ("Conv2d", 3, 2, 4, 2, 1, "d_weight"), ("LeakyReLU", 0.2), ("Conv2d", 2, 4, 4, 2, 1, "d_norm"),
        ("LeakyReLU", 0.2), ("Conv2d", 4, 8, 4, 2, 1, "d_norm"), ("LeakyReLU", 0.2), ("Flatten",),
        ("Linear", 8 * 4, 1, "d_weight"),
    ]  # fmt: skip
    assert g == [
        ("Unflatten",), ("ConvTranspose2d", 5, 8, 2, 1, 0, "g_norm"), ("ReLU",),
        ("ConvTranspose2d", 8, 4, 4, 2, 1, "g_norm"), ("ReLU",), ("ConvTranspose2d", 4, 2, 4, 2, 1, "g_norm"),
        ("ReLU",), ("ConvTranspose2d", 2, 3, 4, 2, 1, "g_weight"), ("Tanh",),
    ]  # fmt: skip


def test_dcgan_against_the_rules_of_its_paper_layer_by_layer():
    sizes = "dcgan", (3, 8, 8), (-1.0, 1.0), 5
    g, d = marked(*sizes, width=2, pooling=True)
    assert d == [
        ("Conv2d", 3, 2, 3, 1, 1, "d_weight"), ("LeakyReLU", 0.2), ("AvgPool2d",),
        ("Conv2d", 2, 4, 3, 1, 1, "d_norm"), ("LeakyReLU", 0.2), ("AvgPool2d",), ("Flatten",),
        ("Linear", 4 * 4, 1, "d_weight"),
    ]  # fmt: skip
    assert g == [
        ("Unflatten",), ("ConvTranspose2d", 5, 4, 2, 1, 0, "g_norm"), ("ReLU",), ("Upsample",),
        ("Conv2d", 4, 2, 3, 1, 1, "g_norm"), ("ReLU",), ("Upsample",), ("Conv2d", 2, 3, 3, 1, 1, "g_weight"),
        ("Tanh",),
    ]  # fmt: skip
    g, d = marked(*sizes, width=2, hidden=7)
    assert g[:5] == [
        ("Linear", 5, 7, "g_norm"), ("ReLU",), ("Unflatten",), ("ConvTranspose2d", 7, 4, 2, 1, 0, "g_norm"), ("ReLU",)
    ]  # fmt: skip
    assert d[-4:] == [("Flatten",), ("Linear", 16, 7, "d_norm"), ("LeakyReLU", 0.2), ("Linear", 7, 1, "d_weight")]
    g, d = marked(*sizes, width=2, normalize_all=True)
    assert {layer[-1] for layer in (*g, *d[:-1]) if layer[0] in ("Conv2d", "ConvTranspose2d")} == {"g_norm", "d_norm"}
    assert d[-1] == ("Linear", 4 * 4, 1, "d_weight")


@pytest.mark.parametrize("rule", [{"pooling": True}, {"hidden": 3}, {"normalize_all": True}])
@pytest.mark.parametrize("side", [8, 16])
def test_a_dcgan_against_its_rules_keeps_its_shapes(side, rule):
    generator, discriminator = built("dcgan", (3, side, side), (-1.0, 1.0), 5, width=2, **rule)
    assert generator(torch.randn(2, 5)).shape == (2, 3, side, side)
    assert discriminator(torch.randn(2, 3, side, side)).shape == (2, 1)


def test_d_looks_at_its_batch_in_front_of_its_last_layer():
    class Seeing(nn.Identity):
        out_features = 9

    _, d = marked("mlp", (2,), None, 5, d_batch=lambda features: Seeing() if features == 6 else None, width=6, depth=1)
    assert d[2:] == [("Seeing",), ("Linear", 9, 1, "d_weight")]


@pytest.mark.parametrize(("name", "given"), [("mlp", None), ("conditional_mlp", Label(3))])
@pytest.mark.parametrize("hyper", ["width", "depth"])
def test_sizes_count_from_one(name, given, hyper):
    for value in (0, -1):
        with pytest.raises(UserError, match=f"'{name}' needs a width and a depth of at least 1"):
            marked(name, (2,), None, 5, given=given, **{hyper: value})
    assert marked(name, (2,), None, 5, given=given, **{hyper: 1})


def test_the_ways_of_a_label_are_two():
    with pytest.raises(UserError, match=r"'projektion'\. Did you mean 'projection'"):
        marked("conditional_mlp", (2,), None, 5, given=Label(3), how="projektion")


def test_sizes_are_what_the_documentation_says():
    plugins = [registry.get("network", name) for name in ("mlp", "dcgan", "conditional_mlp")]
    defaults = {p.name: {key: value for key, value in p.hypers.items() if key not in p.later} for p in plugins}
    assert defaults == {
        "mlp": {"width": 32, "depth": 2}, "dcgan": {"width": 16},
        "conditional_mlp": {"width": 32, "depth": 2, "how": "projection"},
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 5])
def test_players_of_points_start_a_tenth_from_the_equilibrium(size):
    g, d = built("point", (size,), None, condition=4.0)
    x, y = g(torch.randn(3, 5)), d[1].weight
    assert torch.equal(x[0], x[1])
    assert x.shape == (3, size)
    assert (x[0].square().sum() + y.square().sum()).sqrt().item() == pytest.approx(START) == pytest.approx(0.1)
    samples = torch.randn(3, size)
    factors = interactions(size, 4.0)
    assert factors.dtype == torch.float64
    assert factors.tolist() == pytest.approx([4.0 ** -(place / max(1, size - 1)) for place in range(size)])
    torch.testing.assert_close(d(samples)[:, 0], (samples * factors.float()) @ y[0])


def test_players_of_scales_start_a_tenth_from_1_and_0():
    g, d = built("scale", (1,), None)
    latents = torch.tensor([[-1.0, 3.0], [0.5, -2.0], [0.0, 1.0]])
    v, w = g[1].weight.item(), d[1].weight.item()
    assert ((v - 1) ** 2 + w**2) ** 0.5 == pytest.approx(0.1)
    assert g(latents)[:, 0].tolist() == pytest.approx([-v, v, v])
    samples = torch.tensor([[-2.0], [3.0]])
    assert d(samples)[:, 0].tolist() == pytest.approx([4 * w, 9 * w])
