"""Networks: shapes on every problem they fit, the declared range of pixels, errors that name the size."""

import re

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan.networks import NetworkSpec
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


def fitting():
    grid = [f"{kind}={','.join(registry.names(kind))}" for kind in ("problem", "network")]
    return resolve(None, over([*grid, "latent_dim=3"])).variants


@pytest.mark.parametrize("variant", fitting(), ids=lambda variant: f"{variant.network}-{variant.problem}")
def test_shapes_on_every_problem_that_fits(variant):
    problem = make_problem(variant)
    generator, discriminator = build_networks(variant, problem, seed=0)
    beside = (torch.arange(7) % problem.gives.classes,) if problem.gives else ()
    samples = generator(torch.randn(7, 3), *beside)
    assert samples.shape == (7, *problem.shape)
    logits = discriminator(samples, *beside)
    assert logits.shape in ((7,), (7, 1))
    other = discriminator(samples.square() + torch.randn(samples.shape), *beside)
    assert not torch.equal(other, logits)  # D sees its input


def test_every_network_fits_a_problem():
    assert {variant.network for variant in fitting()} == set(registry.names("network"))


@pytest.mark.parametrize(
    "name", [plugin.name for plugin in registry.plugins("network") if set(plugin.needs) <= {"image", NOTHING_GIVEN}]
)
def test_images_stay_in_their_range_and_reach_it(name):
    generator, _ = built(name, (1, 8, 8))
    images = generator(torch.randn(64, 5, generator=torch.Generator().manual_seed(0)) * 1e4)
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
