"""Normalizations by their invariants, and variants that contain what their names say, no more and no less."""

import copy

import pytest
import torch
from torch import nn

from ganbench import registry
from ganbench.gan.normalizations import PER_SAMPLE, PixelNorm, Reweighted, SpectralMap, WeightMap
from ganbench.suite import resolve
from ganbench.training.population import build_networks, make_problem

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (6,)),
    "conv": (lambda: nn.Conv2d(3, 8, 4), (3, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 8, 2), (6, 1, 1)),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


def normalized(name, kind, seed=0):
    """Return the plain layer, what stands in its place, and a batch for it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build, shape = LAYERS[kind]
        layer = build().double()
        x = torch.randn(16, *shape, dtype=torch.float64) * 100
        return copy.deepcopy(layer), registry.get("normalization", name)(layer).double(), x


def acting_matrix(module, shape):
    """Return the matrix [out, in x kernel] that acts, read off the responses to unit inputs."""
    basis = torch.eye(torch.Size(shape).numel(), dtype=torch.float64).reshape(-1, *shape)
    with torch.no_grad():
        response = module(basis) - module(torch.zeros_like(basis))
    if response.dim() == 4 and response.shape[-1] > 1:
        # each 1 x 1 input spreads over the kernel: [in, out, taps] to [out, in x taps]
        return response.flatten(2).transpose(0, 1).flatten(1)
    return response.flatten(1).T


@every_layer
def test_spectral_norm_is_one(kind):
    plain, module, x = normalized("spectral", kind)
    for _ in range(100):
        module(x)
    matrix, raw = (acting_matrix(m.eval(), LAYERS[kind][1]) for m in (module, plain))
    assert torch.linalg.svdvals(matrix)[0].item() == pytest.approx(1, abs=1e-3)
    # the direction is untouched: a multiple of the plain layer's matrix
    torch.testing.assert_close(matrix, raw / torch.linalg.svdvals(raw)[0], rtol=1e-3, atol=1e-5)


@every_layer
def test_spectral_normalization_keeps_the_bias(kind):
    plain, module, x = normalized("spectral", kind)
    zero = torch.zeros_like(x)
    torch.testing.assert_close(module(zero), plain(zero))


def test_spectral_norm_iterates_in_training_alone():
    _, module, x = normalized("spectral", "linear")
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
    _, module, x = normalized("spectral", "linear")
    for _ in range(300):
        module(x)
    module.eval()
    weight = module.layer.weight
    (gradient,) = torch.autograd.grad(module(x).square().sum(), weight)
    assert abs((gradient * weight).sum().item()) < 1e-6 * gradient.norm().item() * weight.norm().item()


@every_layer
def test_weight_normalization_starts_as_the_plain_layer(kind):
    plain, module, x = normalized("weight", kind)
    torch.testing.assert_close(module(x), plain(x), rtol=1e-6, atol=1e-6)


@every_layer
def test_weight_normalization_has_its_gain_as_length(kind):
    _, module, x = normalized("weight", kind)
    with torch.no_grad():
        module.weight_map.gain.copy_(torch.arange(1.0, 9.0))
        expected = module(x)
        module.layer.weight.mul_(7)
    torch.testing.assert_close(module(x), expected)  # length is the gain's alone
    rows = acting_matrix(module, LAYERS[kind][1]).norm(dim=1)
    torch.testing.assert_close(rows, torch.arange(1.0, 9.0, dtype=torch.float64))


# axes of [batch, channels, pixels] over which the statistics of each normalization run
STATISTICS = {"batch": (0, 2), "layer": (1, 2), "instance": (2,)}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("kind", ["linear", "transposed"])
def test_activations_have_mean_zero_and_variance_one(name, kind):
    if (name, kind) == ("instance", "linear"):
        pytest.skip("instance normalization needs feature maps")
    _, module, x = normalized(name, kind)
    out = module(x).reshape(16, 8, -1)
    dims = STATISTICS[name]
    assert out.mean(dims).abs().max() < 1e-9
    assert (out.var(dims, correction=0) - 1).abs().max() < 2e-2  # eps inside the root
    assert ((out.var(dims, correction=0)) <= 1).all()
    if out.shape[-1] > 1 and name != "instance":  # whose statistics contain the others'
        others = [other for label, other in STATISTICS.items() if label != name]
        assert all(out.mean(other).abs().max() > 1e-3 for other in others)


@every_layer
def test_pixel_normalization_is_the_papers(kind):
    # Karras 2018, sec. 4.2: b = a / sqrt(mean over the features of a^2 + 1e-8), at each pixel
    plain, module, x = normalized("pixel", kind)
    a, b = plain(x), module(x)
    torch.testing.assert_close(b, a / torch.sqrt(sum(a[:, j] ** 2 for j in range(8)) / 8 + 1e-8).unsqueeze(1))
    torch.testing.assert_close(b.square().mean(1), torch.ones_like(b[:, 0]), rtol=1e-9, atol=0)
    assert not [p for p in module.parameters() if p.shape == (8,) and p is not module[0].bias]


@pytest.mark.parametrize("kind", ["linear", "transposed"])
@pytest.mark.parametrize("groups", [2, 4])
def test_group_normalization_over_groups_of_channels(kind, groups):
    build, shape = LAYERS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = registry.get("normalization", "group")(build(), groups=groups).double()
        out = module(torch.randn(16, *shape, dtype=torch.float64) * 100).reshape(16, groups, -1)
    assert out.mean(2).abs().max() < 1e-9
    assert (out.var(2, correction=0) - 1).abs().max() < 2e-2


def test_batch_statistics_are_the_batchs_own_in_measuring_too():
    _, module, x = normalized("batch", "linear")
    assert torch.equal(module(x), module.eval()(x))
    assert not list(module.buffers())


@every_layer
def test_none_is_the_layer_itself(kind):
    layer = LAYERS[kind][0]()
    assert registry.get("normalization", "none")(layer) is layer


@pytest.mark.parametrize("name", registry.names("normalization"))
def test_independence_of_samples_is_what_is_declared(name):
    _, module, x = normalized(name, "transposed")
    module.eval()
    moved = x.clone()
    moved[1:] += 1.0
    with torch.no_grad():
        independent = torch.allclose(module(x)[0], module(moved)[0], rtol=1e-9, atol=1e-9)
    assert independent == (registry.get("normalization", name).provides >= PER_SAMPLE)


def test_batch_normalization_mixes_samples_and_says_so():
    assert "independent_samples" not in registry.get("normalization", "batch").provides


def test_a_bias_that_is_subtracted_again_is_not_there():
    assert normalized("batch", "conv")[1][0].bias is None
    assert normalized("instance", "conv")[1][0].bias is None
    assert normalized("layer", "conv")[1][0].bias is not None


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
        yield from resolve(None, [*settings, grid, g_grid, "regularizer=none"]).variants


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
