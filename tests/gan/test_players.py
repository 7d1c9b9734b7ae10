"""What single players are made of: sizes, activations, initial weights, and whose random numbers these are."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.networks import NetworkSpec
from ganbench.gan.networks.layers import INITIAL, Maxout
from ganbench.problems.base import Label
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.population import Population

SETTINGS = {
    "mlp": ["problem=ring8"], "dcgan": ["problem=digits", "network.dcgan.width=4"],
    "conditional_mlp": ["problem=ring8_labelled"],
}  # fmt: skip
LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def pair(network, *words, seed=0):
    """The two players of a variant, as training builds them."""
    (variant,) = resolve(None, over([*SETTINGS[network], f"network={network}", *words])).variants
    return build_networks(variant, make_problem(variant), seed)


def direct(network, seed=0, shape=(2,), **hypers):
    """The two players as the network makes them, in float64."""
    same = [lambda layer: layer] * 4
    label = Label(3) if network == "conditional_mlp" else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = registry.get("network", network)(NetworkSpec(shape, None, 5, *same, given=label), **hypers)
    return [player.double() for player in made]


def layers(player):
    return [module for module in player.modules() if isinstance(module, LAYERS)]


def sizes(player):
    return [(m.in_features, m.out_features) for m in layers(player)]


def activations(player):
    return [type(m) for m in player.modules() if isinstance(m, nn.ReLU | nn.LeakyReLU | nn.Tanh | Maxout)]


def same(one, other):
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


# ------------------------------------------------------------------------------------------ sizes and activations


def test_the_pair_of_a_published_table():
    # PacGAN's: G 4 x 400 ReLU, D 3 x 200 maxout of 5 pieces (Lin 2018, as published with the code)
    g, d = direct("mlp", g_width=400, g_depth=4, d_width=200, d_depth=3, d_activation="maxout", pieces=5)
    assert sizes(g) == [(5, 400), (400, 400), (400, 400), (400, 400), (400, 2)]
    assert sizes(d) == [(2, 1000), (200, 1000), (200, 1000), (200, 1)]
    assert activations(g) == [nn.ReLU] * 4
    assert activations(d) == [Maxout] * 3


@pytest.mark.parametrize("network", ["mlp", "conditional_mlp"])
def test_where_nothing_is_said_a_player_has_what_both_share(network):
    beside = 3 if network == "conditional_mlp" else 0
    for told, (g_width, g_depth, d_width, d_depth) in {
        (): (7, 3, 7, 3), ("g_width",): (9, 3, 7, 3), ("d_width",): (7, 3, 9, 3),
        ("g_depth",): (7, 9, 7, 3), ("d_depth", "g_width"): (9, 3, 7, 9),
    }.items():  # fmt: skip
        g, d = direct(network, width=7, depth=3, **dict.fromkeys(told, 9))
        assert sizes(g) == [(5 + beside, g_width), *[(g_width, g_width)] * (g_depth - 1), (g_width, 2)]
        assert sizes(d) == [(2, d_width), *[(d_width, d_width)] * (d_depth - 1), (d_width, 1)]


@pytest.mark.parametrize("network", ["mlp", "conditional_mlp", "dcgan"])
@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("leaky_relu", nn.LeakyReLU), ("tanh", nn.Tanh)])
def test_activations_of_either_player(network, name, kind):
    shape = (1, 8, 8) if network == "dcgan" else (2,)
    for player in "gd":
        g, d = direct(network, shape=shape, **{f"{player}_activation": name})
        hidden = activations(g)[: -(network == "dcgan") or None], activations(d)
        assert set(hidden["gd".index(player)]) == {kind}
        assert set(hidden["dg".index(player)]) == {nn.LeakyReLU if player == "g" else nn.ReLU}


def test_maxout_by_hand():
    _, d = direct("mlp", width=3, depth=1, d_activation="maxout", pieces=4)
    first, last = layers(d)
    x = torch.randn(6, 2, dtype=torch.float64)
    pre = x.numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    hidden = np.array([[max(row[4 * unit + piece] for piece in range(4)) for unit in range(3)] for row in pre])
    expected = hidden @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(d(x).detach().numpy(), expected, rtol=1e-12)


def test_maxout_trains_twice_differentiated_and_shows_its_features():
    words = ["network.mlp.d_activation=maxout", "network.mlp.pieces=2", "regularizer=r1", "trick=feature_matching"]
    runs = resolve(None, ["seeds=2", "steps=3", "batch_size=8", "network.mlp.width=4", *words]).runs
    own = Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"))
    start = own.generator.flat.clone()
    own.advance()
    assert own.alive.all()
    assert ((own.generator.flat != start).any(1)).all()


@pytest.mark.parametrize(("hypers", "told"), [
    ({"d_width": -1}, "The key 'network.mlp.d_width' must be at least 1, or 0 for the width that both players share, "
     "got -1."),
    ({"g_depth": -2}, "The key 'network.mlp.g_depth' must be at least 1, or 0 for the depth that both players share, "
     "got -2."),
    ({"d_activation": "maxuot"}, "Unknown activation of 'network.mlp.d_activation' 'maxuot'. Did you mean 'maxout'? "
     "Available: leaky_relu, maxout, relu, tanh."),
    ({"g_activation": "maxout", "pieces": 1}, "The key 'network.mlp.pieces' must be at least 2, got 1."),
    ({"init": "hee"}, "Unknown initial weights of 'network.mlp.init' 'hee'. Did you mean 'he'? Available: default, he, "
     "normal, orthogonal."),
    ({"depth": 0}, "The network 'mlp' needs a width and a depth of at least 1, got 32 and 0."),
])  # fmt: skip
def test_what_no_player_can_be_is_told(hypers, told):
    with pytest.raises(UserError) as caught:
        direct("mlp", **hypers)
    assert str(caught.value) == told


def test_a_convolution_has_no_maxout():
    with pytest.raises(UserError, match=r"'network\.dcgan\.d_activation' 'maxout'.* Available: leaky_relu, relu, tanh"):
        direct("dcgan", shape=(1, 8, 8), d_activation="maxout")


# ------------------------------------------------------------------------------------------ initial weights


@pytest.mark.parametrize("network", ["mlp", "conditional_mlp", "dcgan"])
@pytest.mark.parametrize("init", [name for name in INITIAL if name != "default"])
def test_initial_weights_are_as_they_are_called(network, init):
    shape, hypers = ((1, 8, 8), {"width": 64}) if network == "dcgan" else ((2,), {"width": 200})
    for player in direct(network, shape=shape, init=init, **hypers):
        for layer in layers(player):
            weight = layer.weight.detach()
            matrix = weight.flatten(1)
            if init == "orthogonal":
                small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
                torch.testing.assert_close(small @ small.T, torch.eye(len(small)).double(), rtol=0, atol=1e-5)
            else:
                # torch counts the second axis as inputs, whatever the layer
                std = 0.02 if init == "normal" else math.sqrt(2 / matrix.shape[1])
                # five standard errors of the root mean square of so many normal numbers
                assert weight.square().mean().sqrt().item() == pytest.approx(std, rel=5 / math.sqrt(2 * weight.numel()))
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("init", list(INITIAL))
def test_the_scale_is_a_factor_on_weights(init):
    plain, scaled = direct("mlp", init=init), direct("mlp", init=init, init_scale=1.5)
    for one, other in zip(plain, scaled, strict=True):
        for a, b in zip(layers(one), layers(other), strict=True):
            torch.testing.assert_close(b.weight, 1.5 * a.weight, rtol=1e-6, atol=0)
            assert torch.equal(a.bias, b.bias)


def test_a_normalization_sees_the_initial_weights():
    words = [
        "network.mlp.init=orthogonal",
        "network.mlp.init_scale=3",
        "normalization=spectral",
        "g_normalization=weight",
    ]
    g, d = pair("mlp", *words)
    plain = pair("mlp", *words[:2])
    for one, other in zip((g, d), plain, strict=True):
        for a, b in zip(layers(one), layers(other), strict=True):
            assert torch.equal(a.weight, b.weight)
    # a gain a row, the row's length: their squares add up to the matrix's own norm, 3^2 times its rank
    gains = [module.gain.square().sum().item() for module in g.modules() if hasattr(module, "gain")]
    assert gains == pytest.approx([9 * 8, 9 * 32, 9 * 2], rel=1e-4)
    x = torch.eye(2)
    first = d[0]
    sigma = torch.linalg.svdvals(first(x) - first(torch.zeros_like(x)))[0].item()
    assert sigma == pytest.approx(1, rel=1e-3), "an orthogonal matrix times 3, divided by its 3"


def told(module):
    return type(module).__name__


def test_the_papers_dcgan():
    # Radford 2016, sec. 3: batch norm in both, but for G's output and D's input; ReLU in G, tanh at its end, leaky in D
    g, d = pair("dcgan", "normalization=batch", "g_normalization=batch", "network.dcgan.init=normal")
    flat = [[told(m) for m in player.modules() if not list(m.children())] for player in (g, d)]
    assert flat[0] == [
        "Unflatten", "ConvTranspose2d", "BatchNorm2d", "ReLU", "ConvTranspose2d", "BatchNorm2d", "ReLU",
        "ConvTranspose2d", "Tanh",
    ]  # fmt: skip
    assert flat[1] == ["Conv2d", "LeakyReLU", "Conv2d", "BatchNorm2d", "LeakyReLU", "Flatten", "Linear"]
    weights = torch.cat([layer.weight.flatten() for player in (g, d) for layer in layers(player)])
    assert weights.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * weights.numel()))


# ------------------------------------------------------------------------------------------ common random numbers


BODY = st.fixed_dictionaries(
    {"width": st.integers(1, 5), "depth": st.integers(1, 3), "activation": st.sampled_from(["relu", "tanh", "maxout"])}
)


@settings(deadline=None, max_examples=40)
@given(g=BODY, d=BODY, other=BODY, network=st.sampled_from(["mlp", "conditional_mlp"]), seed=st.integers(0, 99),
       init=st.sampled_from(list(INITIAL)))  # fmt: skip
def test_a_player_starts_alike_whatever_the_other_one_is(g, d, other, network, seed, init):
    def players(**two):
        hypers = {f"{player}_{key}": value for player, body in two.items() for key, value in body.items()}
        return direct(network, seed, pieces=2, init=init, **hypers)

    whole = players(g=g, d=d)
    assert same(whole[0], players(g=g, d=other)[0])
    assert same(whole[1], players(g=other, d=d)[1])


@pytest.mark.parametrize("network", list(SETTINGS))
@pytest.mark.parametrize("normalization", registry.names("normalization"))
def test_normalizations_start_from_the_weights_of_none(network, normalization):
    network = "dcgan" if normalization == "instance" else network  # which needs pixels
    grid = [f"normalization={normalization}", f"g_normalization={normalization}"]
    for seed in (0, 7):
        plain = pair(network, seed=seed)
        for grids in (grid, grid[:1], grid[1:]):
            normalized = pair(network, *grids, seed=seed)
            for one, other in zip(normalized, plain, strict=True):
                for a, b in zip(layers(one), layers(other), strict=True):
                    assert torch.equal(a.weight, b.weight)
                    assert a.bias is None or torch.equal(a.bias, b.bias)
            if grids == grid[:1]:
                assert same(normalized[0], plain[0])


def test_the_vectors_of_spectral_normalization_are_drawn_for_each_layer_player_and_seed():
    words = ["normalization=spectral", "g_normalization=spectral", "network.mlp.width=8"]
    vectors = [
        buffer[:1].item() for seed in (0, 1) for player in pair("mlp", *words, seed=seed) for buffer in player.buffers()
    ]
    again = [buffer[:1].item() for player in pair("mlp", *words) for buffer in player.buffers()]
    assert len(vectors) == 2 * 6
    assert vectors[:6] == again
    wide = [value for value in vectors if abs(value) != 1]  # a vector of D's one output has the length 1
    assert len(set(wide)) == len(wide) == 2 * 5


@pytest.mark.usefixtures("own_registry")
def test_a_normalization_of_a_user_draws_from_a_stream_of_its_own_too():
    space = {"torch": torch}  # without a source it is soon identified
    exec("def noisy(layer): layer.register_buffer('noise', torch.randn(7)); return layer", space)
    registry.register("normalization", acts_on="weights")(space["noisy"])

    plain, noised = pair("mlp"), pair("mlp", "normalization=noisy")
    assert all(same(one, other) for one, other in zip(plain, noised, strict=True))
    assert len({buffer[0].item() for buffer in noised[1].buffers()}) == 3
