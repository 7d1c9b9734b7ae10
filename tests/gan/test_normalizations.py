"""The built-in normalizations by formula, and variants that contain what their names say, no more and no less."""

import math

import pytest
import torch
from overriding import over
from torch import nn

from ganbench import registry
from ganbench.contracts.normalizations import CONVOLUTION, LINEAR, PLACES, acting_matrix, batch, layers
from ganbench.gan.normalizations import PixelNorm, Reweighted, SpectralMap, WeightMap
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem

every_layer = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)


def normalized(name, place=LINEAR):
    """Return the plain layer, what stands in its place, and a batch for it."""
    return *layers(registry.get("normalization", name), place), batch(place)


@every_layer
def test_spectral_normalization_divides_by_the_largest_singular_value(place):
    plain, module, x = normalized("spectral", place)
    for _ in range(100):
        module(x)
    matrix, raw = (acting_matrix(m.eval(), place) for m in (module, plain))
    torch.testing.assert_close(matrix, raw / torch.linalg.svdvals(raw)[0], rtol=1e-3, atol=1e-5)


@every_layer
def test_spectral_normalization_keeps_the_bias(place):
    plain, module, x = normalized("spectral", place)
    zero = torch.zeros_like(x)
    torch.testing.assert_close(module(zero), plain(zero))


def test_spectral_norm_iterates_in_training_alone():
    _, module, x = normalized("spectral")
    before = module.weight_map.u.clone()
    module.eval()
    first = module(x)
    assert torch.equal(module(x), first)
    assert torch.equal(module.weight_map.u, before)
    module.train()
    module(x)
    assert not torch.equal(module.weight_map.u, before)


def test_spectral_gradient_is_the_gradient_of_the_quotient():
    # u and v are constants: d sigma / d W = u v^T (Miyato 2018, eq. 12), so W's own direction has no gradient
    _, module, x = normalized("spectral")
    for _ in range(300):
        module(x)
    module.eval()
    weight = module.layer.weight
    (gradient,) = torch.autograd.grad(module(x).square().sum(), weight)
    assert abs((gradient * weight).sum().item()) < 1e-6 * gradient.norm().item() * weight.norm().item()


@every_layer
def test_weight_normalization_starts_as_the_plain_layer(place):
    plain, module, x = normalized("weight", place)
    torch.testing.assert_close(module(x), plain(x), rtol=1e-6, atol=1e-6)


@every_layer
def test_weight_normalization_has_its_gain_as_length(place):
    _, module, x = normalized("weight", place)
    with torch.no_grad():
        module.weight_map.gain.copy_(torch.arange(1.0, 9.0))
        expected = module(x)
        module.layer.weight.mul_(7)
    torch.testing.assert_close(module(x), expected)  # length is the gain's alone
    rows = acting_matrix(module, place).norm(dim=1)
    torch.testing.assert_close(rows, torch.arange(1.0, 9.0, dtype=torch.float64))


def test_pixel_normalization_is_the_papers():
    # Karras 2018, sec. 4.2: b = a / sqrt(mean over the features of a^2 + 1e-8), at each pixel
    for place in PLACES:
        plain, module, x = normalized("pixel", place)
        a, b = plain(x), module(x)
        features = a.shape[1]
        mean = sum(a[:, j] ** 2 for j in range(features)) / features
        torch.testing.assert_close(b, a / torch.sqrt(mean + 1e-8).unsqueeze(1))
        assert not list(module[1].parameters())


def test_pixel_normalization_leaves_what_is_nothing_small():
    # features of 1e-4 have the mean square 1e-8, that of the constant: they come to the root of a half
    found = PixelNorm()(torch.full((2, 3), 1e-4, dtype=torch.float64))
    torch.testing.assert_close(found, torch.full((2, 3), math.sqrt(0.5), dtype=torch.float64), rtol=1e-12, atol=0)


def test_batch_statistics_are_the_batchs_own_in_measuring_too():
    _, module, x = normalized("batch")
    assert torch.equal(module(x), module.eval()(x))
    assert not list(module.buffers())


def test_batch_normalization_mixes_samples_and_says_so():
    assert "independent_samples" not in registry.get("normalization", "batch").provides


def test_a_bias_that_is_subtracted_again_is_not_there():
    assert normalized("batch", CONVOLUTION)[1][0].bias is None
    assert normalized("instance", CONVOLUTION)[1][0].bias is None
    assert normalized("layer", CONVOLUTION)[1][0].bias is not None


def signature(module):
    """Return the normalization that a module performs; None for a module that performs none."""
    if isinstance(module, Reweighted):
        return {SpectralMap: "spectral", WeightMap: "weight"}[type(module.weight_map)]
    if isinstance(module, PixelNorm):
        return "pixel"
    if isinstance(module, nn.GroupNorm):
        return {1: "layer", module.num_channels: "instance"}.get(module.num_groups, "group")
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "batch"
    unknown = "norm" in type(module).__name__.lower() or hasattr(module, "parametrizations")
    return f"an unexpected {type(module).__name__}" if unknown else None


def combinations():
    grid = f"normalization={','.join(registry.names('normalization'))}"
    g_grid = f"g_{grid}"
    for settings in (["problem=digits", "network=dcgan", "network.dcgan.width=8"], ["problem=ring8", "network=mlp"]):
        yield from resolve(None, over([*settings, grid, g_grid, "regularizer=none"])).variants


@pytest.mark.parametrize(
    "variant", list(combinations()), ids=lambda v: f"{v.network}-{v.normalization}-{v.g_normalization}"
)
def test_a_variant_contains_what_its_name_says(variant):
    networks = build_networks(variant, make_problem(variant), seed=0)
    for network, name in zip(networks, (variant.g_normalization, variant.normalization), strict=True):
        found = [kind for kind in map(signature, network.modules()) if kind]
        assert set(found) == ({name} if name != "none" else set())
        layers = [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
        if registry.get("normalization", name).meta["acts_on"] == "weights":
            assert len(found) == len(layers)
        else:
            assert len(found) < len(layers)
            # the output layer is never followed by a norm
            tail = [m for m in network.modules() if not list(m.children())]
            last = max(i for i, m in enumerate(tail) if m is layers[-1])
            assert not any(signature(m) for m in tail[last:])


def test_the_first_convolution_of_a_dcgan_critic_has_no_activation_norm():
    (variant,) = resolve(None, ["problem=digits", "network=dcgan", "normalization=batch"]).variants
    assert type(build_networks(variant, make_problem(variant), 0)[1][0]) is nn.Conv2d
