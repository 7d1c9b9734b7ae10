"""Networks for images: numbers of parameters by their papers, shapes at every size, and what each is known for."""

import math
import re
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from overriding import over
from scipy.stats import norm as normal
from scipy.stats import truncnorm
from torch import nn

from ganbench import registry
from ganbench.errors import UserError
from ganbench.gan import normalizations
from ganbench.gan.blocks import Attention, EqualConv2d, EqualLinear, Gained, Passed
from ganbench.gan.networks import NetworkSpec
from ganbench.gan.networks.fastgan import Excitation
from ganbench.gan.networks.images import EITHER, grid
from ganbench.gan.networks.progressive import Growth
from ganbench.gan.networks.residual import truncated
from ganbench.problems.base import Label
from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.learner import make_learner

NAMES = [plugin.name for plugin in registry.plugins("network") if EITHER in plugin.provides]
NORMS = {"batch": normalizations.batch, "layer": normalizations.layer, "pixel": normalizations.pixel}


def kept(norm):
    """A normalization of weights that leaves what has none, as training has it."""
    return lambda layer: layer if type(layer) is Passed else norm(layer)


def as_is(layer):
    return layer


def wrapped(name):
    """What wraps layers of activations and other layers, for a normalization."""
    if name == "spectral":
        return kept(normalizations.spectral), kept(normalizations.spectral)
    return NORMS.get(name, as_is), as_is


def pair(name, shape=(1, 8, 8), latents=4, classes=0, norms=None, **hypers):
    """The two players of a network, with its paper's normalizations."""
    own = registry.get("network", name).declared("paper") if norms is None else norms
    layers = (*wrapped(own.get("g_normalization")), *wrapped(own.get("normalization")))
    spec = NetworkSpec(shape, (-1.0, 1.0), latents, *layers, given=Label(classes) if classes else None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return registry.get("network", name)(spec, **hypers)


def counted(*args, **kwargs):
    """The numbers of parameters of both players, which take no memory."""
    with torch.device("meta"):
        return [count(player) for player in pair(*args, **kwargs)]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs, outputs, kernel=3, bias=True):
    return inputs * outputs * kernel**2 + bias * outputs


def numbers(generator, n, latents=4, seed=0):
    size = latents + getattr(generator, "noise", 0)
    return torch.randn(n, size, generator=torch.Generator().manual_seed(seed))


def moved(module, scale=0.1):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * scale)
    return module


# ------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [8, 28, *(pytest.param(n, marks=pytest.mark.slow) for n in (12, 16, 20, 32, 64, 128))])
def test_every_size_with_and_without_labels(name, side):
    for classes in (0, 3):
        generator, critic = pair(name, (3, side, side), 8, classes, width=4)
        beside = (torch.arange(2) % 3,) if classes else ()
        images = generator(numbers(generator, 2, 8), *beside)
        assert images.shape == (2, 3, side, side)
        assert critic(images, *beside).shape[0] == 2


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 9, 9), (1, 8, 16), (3, 18, 18), (3, 30, 30)])
def test_other_sizes_are_refused(shape):
    for name in NAMES:
        with pytest.raises(UserError, match=re.escape(f"'{name}' takes square images of 8, 16, 28")) as told:
            pair(name, shape, 8)
        assert f"not {shape[1]} x {shape[2]}" in str(told.value)


def test_the_smallest_map_has_4_to_7_pixels():
    sides = {8: (4, 1), 12: (6, 1), 14: (7, 1), 16: (4, 2), 28: (7, 2), 32: (4, 3), 64: (4, 4), 128: (4, 5), 96: (6, 4)}
    assert {side: (own.base, own.stages) for side in sides for own in [grid("x", (1, side, side))]} == sides
    assert grid("x", (1, 28, 28)).halvings == (28, 14, 7)
    assert grid("x", (1, 8, 8), 2).base == 2


# ------------------------------------------------------------------------------------------ parameters, by hand


def test_dcgan_by_the_paper_at_64_pixels():
    # Radford 2016, fig. 1: 100 latents, 4 x 4 x 1024, 5 x 5 convolutions, 64 x 64 x 3; batch norm has no bias before it
    g, d = pair("dcgan_paper", (3, 64, 64), 100, width=128)
    widths = [1024, 512, 256, 128]
    expected = conv(100, 1024, 4, bias=False) + 2 * 1024 + conv(128, 3, 5)
    expected += sum(conv(a, b, 5, bias=False) + 2 * b for a, b in pairwise(widths))
    assert count(g) == expected == 18_855_043
    expected = conv(3, 128, 5) + 1024 * 16 + 1
    expected += sum(conv(a, b, 5, bias=False) + 2 * a for b, a in pairwise(widths))
    expected += 2 * (1024 - 128)  # the norms stand behind the wider three
    assert count(d) == expected == 17_232_897
    stds = [layer.weight.std().item() for layer in (*g, *d[:-1]) if hasattr(layer, "weight")]
    assert stds == pytest.approx([0.02] * len(stds), rel=0.05)


def test_sn_resnet_of_cifar():
    # Miyato 2018, app. B.4, table 4: 256 channels in G, 128 in D, 128 latents
    g, d = counted("sn_resnet", (3, 32, 32), 128, width=128)
    block = 2 * conv(256, 256) + conv(256, 256, 1) + 2 * 2 * 256
    assert g == 129 * 4096 + 3 * block + 2 * 256 + conv(256, 3) == 4_276_739
    first = conv(3, 128) + conv(128, 128) + conv(3, 128, 1)
    assert d == first + 6 * conv(128, 128) + conv(128, 128, 1) + 129 == 1_053_825


@pytest.mark.slow
def test_sn_resnet_of_imagenet():
    # table 5: 128 pixels, 64 to 1024 channels; inside a block of D are as many as come in
    g, d = counted("sn_resnet", (3, 128, 128), 128, width=64)
    pairs = [(1024, 1024), (1024, 512), (512, 256), (256, 128), (128, 64)]
    expected = 129 * 16 * 1024 + 2 * 64 + conv(64, 3)
    expected += sum(conv(a, b) + conv(b, b) + conv(a, b, 1) + 2 * (a + b) for a, b in pairs)
    assert g == expected
    expected = conv(3, 64) + conv(64, 64) + conv(3, 64, 1) + 2 * conv(1024, 1024) + 1025
    expected += sum(conv(b, b) + conv(b, a) + conv(b, a, 1) for a, b in pairs[1:])
    assert d == expected


def test_labels_of_sn_resnet():
    # Miyato & Koyama 2018: gains and biases of six norms a label, a row of D's features a label
    g, d = counted("sn_resnet", (3, 32, 32), 128, width=128)
    labelled = counted("sn_resnet", (3, 32, 32), 128, classes=10, width=128)
    assert labelled[0] - g == 6 * 2 * 256 * (10 - 1)
    assert labelled[1] - d == 10 * 128


def test_wgan_gp_resnet_of_64_pixels():
    # Gulrajani 2017, as published with the code: no bias in a block's first convolution, norms before each
    g, d = counted("wgan_gp_resnet", (3, 64, 64), 128, width=64)
    pairs = [(512, 512), (512, 256), (256, 128), (128, 64)]
    expected = 129 * 16 * 512 + 2 * 64 + conv(64, 3)
    expected += sum(conv(a, b, 3, False) + conv(b, b) + conv(a, b, 1) + 2 * (a + b) for a, b in pairs)
    assert g == expected
    expected = conv(3, 64) + 16 * 512 + 1
    expected += sum(conv(b, b, 3, False) + conv(b, a) + conv(b, a, 1) + 2 * (b + b) for a, b in pairs)
    assert d == expected


def test_attention_of_sagan():
    sizes = [counted(name, (3, 32, 32), 128, width=128) for name in ("sagan", "sn_resnet")]
    for size, channels, without in zip(sizes[0], (256, 128), sizes[1], strict=True):
        assert size - without == 2 * channels * channels // 8 + 2 * channels * channels // 2 + 1
    own = pair("sagan", (3, 32, 32), 128)
    for player in own:
        assert sum(isinstance(part, Attention) for part in player.modules()) == 1
    seen = []
    for player in own:
        next(part for part in player.modules() if isinstance(part, Attention)).register_forward_hook(
            lambda _, inputs, __: seen.append(inputs[0].shape[-1])
        )
    own[1](own[0](torch.randn(2, 128)))
    assert seen == [16, 16]  # at half the side in both


@pytest.mark.slow
def test_biggan_of_128_pixels():
    # Brock 2019, table 4: ch 96, six parts of 20 latents, a row of 128; attention of 64 pixels
    g, d = counted("biggan", (3, 128, 128), 120, classes=1000, width=96, row=128)
    ch = 96
    pairs = [(16 * ch, 16 * ch), (16 * ch, 8 * ch), (8 * ch, 4 * ch), (4 * ch, 2 * ch), (2 * ch, ch)]
    told = 20 + 128
    expected = 1000 * 128 + 21 * 16 * 16 * ch + 2 * ch + conv(ch, 3)
    expected += sum(conv(a, b) + conv(b, b) + conv(a, b, 1) + told * 2 * (a + b) for a, b in pairs)
    seen = 2 * ch  # behind the fourth block
    expected += 2 * seen * seen // 8 + 2 * seen * seen // 2 + 1
    assert g == expected
    assert expected == 70_433_988
    expected = conv(3, ch) + conv(ch, ch) + conv(3, ch, 1) + 2 * conv(16 * ch, 16 * ch)
    expected += sum(conv(b, a) + conv(a, a) + conv(b, a, 1) for a, b in pairs[1:])
    expected += 2 * ch * ch // 8 + 2 * ch * ch // 2 + 1 + 16 * ch + 1 + 1000 * 16 * ch
    assert d == expected
    assert expected == 87_982_370


def test_patchgan_of_70_pixels():
    # Isola 2017, app. 6.1.2: C64-C128-C256-C512; a logit sees 70 x 70 pixels
    _, d = pair("patchgan", (3, 64, 64), 8, norms={}, width=64)
    widths = [3, 64, 128, 256, 512, 1]
    assert count(d) == sum(conv(a, b, 4) for a, b in pairwise(widths)) == 2_764_737
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    logits = d(x)
    side = math.isqrt(logits.shape[1])
    (seen,) = torch.autograd.grad(logits[0, side * (side // 2) + side // 2], x)
    rows, columns = seen.abs().sum((0, 1)).nonzero().T
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == 70


def test_progressive_of_128_pixels():
    # Karras 2018, table 2, cut at 128: G's first map by a linear layer to 4 x 4, then 3 x 3; 512 channels at most
    g, d = counted("progressive", (3, 128, 128), 512, width=128)
    widths = [128, 256, 512, 1024, 2048, 2048]
    up = widths[::-1]
    expected = 513 * 16 * up[0] - 15 * up[0] + 15 * up[0] + conv(up[0], up[0])
    expected += sum(conv(a, b) + conv(b, b) for a, b in pairwise(up))
    assert g == expected + sum(conv(width, 3, 1) for width in widths)
    expected = sum(conv(3, width, 1) for width in widths) + conv(2048, 2048) + (2048 * 16 + 1) * 2048 + 2049
    assert d == expected + sum(conv(a, a) + conv(a, b) for a, b in pairwise(widths))


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_styles_of_32_pixels(name):
    # Karras 2019 and 2020, with 16 channels at the image: 16, 32, 64, 128
    g, d = counted(name, (3, 32, 32), 64, width=16)
    widths, skip = [128, 64, 32, 16], name == "stylegan2"
    mapping = 8 * (64 * 64 + 64)
    style = lambda channels: 64 * channels + channels  # noqa: E731
    if skip:
        convs = [(128, 128), *((a, b) for s, t in pairwise(widths) for a, b in ((s, t), (t, t)))]
        layers = sum(conv(a, b, 3, False) + style(a) + 1 + b for a, b in convs)
        images = sum(conv(width, 3, 1, False) + style(width) + 3 for width in widths)
    else:
        convs = [(128, 128), *((a, b) for s, t in pairwise(widths) for a, b in ((s, t), (t, t)))]
        # a strength of noise and a bias a channel, gains and biases by the style; the first layer has no convolution
        layers = sum(conv(a, b, 3, False) + 2 * b + style(2 * b) for a, b in convs) + 2 * 128 + style(256)
        images = conv(16, 3, 1)
    assert g == mapping + 128 * 16 + layers + images
    falls = [(16, 32), (32, 64), (64, 128)]
    expected = conv(3, 16, 1) + sum(conv(a, a) + conv(a, b) + skip * a * b for a, b in falls)
    assert d == expected + conv(128, 128) + (128 * 16 + 1) * 128 + 129


def test_r3gan_by_its_blocks():
    # Huang 2024: two blocks a side, twice as wide inside, groups of 16 channels, biases at activations alone
    g, d = counted("r3gan", (3, 32, 32), 64, width=96, blocks=2, group=16)
    widths = [768, 384, 192, 96]
    block = lambda w: 2 * w * 2 * w + 2 * w * 16 * 9 + 2 * 2 * w  # noqa: E731
    body = sum(2 * block(w) for w in widths) + sum(a * b for a, b in pairwise(widths))
    assert g == body + 768 * 16 + 64 * 768 + 96 * 3
    assert d == body + 768 * 16 + 768 + 96 * 3


def test_a_unet_by_its_blocks():
    _, d = counted("unet_gan", (3, 16, 16), 8, norms={}, width=4)
    falls, rises = [(3, 4), (4, 8), (8, 16)], [(16 + 8, 8), (8 + 4, 4)]
    blocks = sum(conv(a, b) + conv(b, b) + conv(a, b, 1) for a, b in falls + rises)
    assert d == blocks + 17 + conv(4, 1, 1)


def test_fastgan_by_its_blocks():
    # Liu 2021: 4 to 256 pixels with 16, 16, 16, 8, 4, 2 and 1 times the width; 4, 8 and 16 pixels excite 64, 128, 256
    g, d = counted("fastgan", (3, 256, 256), 256, width=32)
    widths = [512, 512, 512, 256, 128, 64, 32]
    gated = sum(conv(a, 2 * b, bias=False) + 4 * b for a, b in pairwise(widths))
    excited = sum(conv(a, b, 4) + conv(b, b, 1) for a, b in ((512, 128), (512, 64), (512, 32)))
    assert g == conv(256, 1024, 4, bias=False) + 2 * 1024 + gated + excited + conv(32, 3) == 18_630_819
    halved = sum(conv(b, a, 4) + conv(a, a) + conv(b, a, 1) for a, b in pairwise(widths))
    assert d == conv(3, 32) + halved + conv(512, 1, 4) == 19_739_329


@pytest.mark.parametrize(("side", "pairs"), [(8, [(4, 8)]), (16, [(4, 16)]), (28, [(7, 28)]), (64, [(4, 64)]),
                                             (128, [(4, 64), (8, 128)])])  # fmt: skip
def test_a_map_excites_one_that_is_four_doublings_larger_at_most(side, pairs):
    g, _ = pair("fastgan", (1, side, side), width=1)
    seen = []
    for block in g.excited:
        block.register_forward_hook(lambda _, maps, out: seen.append((maps[0].shape[-1], maps[1].shape[-1])))
    g(numbers(g, 2))
    assert seen == pairs


# ------------------------------------------------------------------------------------------ what each is known for


@pytest.mark.parametrize(
    "name", ["dcgan_paper", "sn_resnet", "sagan", "wgan_gp_resnet", "biggan", "stylegan2", "r3gan", "fastgan"]
)
def test_projection_is_its_formula(name):
    # Miyato & Koyama 2018, eq. 5: what a label adds is its row times the features, linear in the row
    _, d = pair(name, (1, 8, 8), classes=3, norms={})
    x, label = torch.randn(6, 1, 8, 8), torch.arange(6) % 3
    d.eval()
    features = d.body(x)
    own = zip(features.tolist(), label.tolist(), strict=True)
    rows = d.embedding.weight.tolist()
    added = torch.tensor([sum(a * b for a, b in zip(seen, rows[one], strict=True)) for seen, one in own])
    torch.testing.assert_close(d(x, label)[:, 0], d.last(features)[:, 0] + added, atol=1e-4, rtol=1e-4)


def test_skip_layer_excitation_is_its_formula():
    """Liu 2021, eq. 1, in NumPy: a low map of 8 x 8 pixels, in 4 x 4 means, gives a number for each high channel."""
    torch.manual_seed(0)
    own = Excitation(as_is, 2, 3, 4)
    low, high = torch.randn(5, 2, 8, 8), torch.randn(5, 3, 16, 16)
    weights = [part.detach().numpy().astype(float) for part in own.parameters()]
    means = low.numpy().astype(float).reshape(5, 2, 4, 2, 4, 2).mean((3, 5))
    squeezed = np.einsum("ncij,kcij->nk", means, weights[0]) + weights[1]
    numbers_ = np.where(squeezed > 0, squeezed, 0.2 * squeezed) @ weights[2][:, :, 0, 0].T + weights[3]
    wanted = high.numpy() / (1 + np.exp(-numbers_))[:, :, None, None]
    np.testing.assert_allclose(own(low, high).detach().numpy(), wanted, atol=1e-5)


def test_labels_are_gains_of_every_block():
    g, _ = pair("sn_resnet", (1, 16, 16), classes=3)
    gained = [part for part in g.modules() if isinstance(part, Gained)]
    assert [part.gains is not None for part in gained] == [True, True, True, True, False]
    z, first, second = numbers(g, 5), torch.zeros(5, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
    assert torch.equal(g(z, first), g(z, second))  # as batch norm without labels at the start
    moved(g)
    assert not torch.equal(g(z, first), g(z, second))
    with torch.no_grad():
        for part in gained[:-1]:
            part.gains.weight[1] = part.gains.weight[0]
    assert torch.equal(g(z, first), g(z, second))


def test_concatenation_has_labels_beside_both():
    g, d = pair("sn_resnet", (1, 8, 8), classes=3, norms={}, how="concatenation")
    z, x, label = numbers(g, 5), torch.randn(5, 1, 8, 8), torch.arange(5) % 3
    one_hot = nn.functional.one_hot(label, 3).float()
    torch.testing.assert_close(g(z, label), g.body(torch.cat([z, one_hot], 1)))
    planes = one_hot[..., None, None].expand(-1, -1, 8, 8)
    torch.testing.assert_close(d(x, label), d.body(torch.cat([x, planes], 1)))
    with pytest.raises(UserError, match=r"'network\.sn_resnet\.how' 'planes'"):
        pair("sn_resnet", classes=3, how="planes")


def test_every_part_of_biggans_latents_reaches_its_block():
    g, _ = pair("biggan", (1, 32, 32), latents=8)
    assert g.context.sizes == [2, 2, 2, 2]
    moved(g.eval())
    z, seen = numbers(g, 3, 8), []
    hooks = [block.register_forward_hook(lambda _, __, out: seen.append(out.detach())) for block in g.blocks]
    for place in range(8):
        other = z.clone()
        other[:, place] += 1
        seen.clear()
        g(z)
        g(other)
        first = next(k for k in range(3) if not torch.equal(seen[k], seen[3 + k]))
        assert first == max(0, place // 2 - 1)
    for hook in hooks:
        hook.remove()
    with pytest.raises(UserError, match="'latent_dim' must be at least that, got 3"):
        pair("biggan", (1, 32, 32), latents=3)


@pytest.mark.parametrize("limit", [0.3, 1.0, 2.0])
def test_truncation_is_the_truncated_normal_distribution(limit):
    share = np.linspace(0.001, 0.999, 301)
    z = torch.tensor(normal.ppf(share))
    torch.testing.assert_close(
        truncated(z, limit), torch.tensor(truncnorm.ppf(share, -limit, limit)), atol=1e-9, rtol=0
    )
    far = truncated(torch.tensor([-9.0, 0.0, 9.0]), limit)
    assert far.tolist() == pytest.approx([-limit, 0, limit], abs=1e-5)
    assert torch.equal(truncated(z, 0.0), z)


def test_biggan_truncates_what_is_measured_alone():
    plain, own = pair("biggan", latents=4)[0], pair("biggan", latents=4, truncation=0.5)[0]
    z = numbers(own, 6)
    assert torch.equal(own(z), plain(z))
    # without the iteration of spectral norm, which training moves
    assert torch.equal(own.eval()(z), plain.eval()(truncated(z, 0.5)))


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_styles_are_truncated_towards_their_mean_in_measuring(name):
    g, _ = pair(name, latents=6)
    own, z = g.styles, torch.randn(5, 6)
    none = torch.zeros(5, own.own)
    w = own.mapping(z, None)
    before = own.mean.clone()
    own(z, none, None)
    torch.testing.assert_close(own.mean, before + 0.005 * (w.mean(0) - before))
    g.eval()
    half = pair(name, latents=6, truncation=0.5)[0].eval()
    half.load_state_dict(g.state_dict())
    for psi, styles in ((1.0, own), (0.5, half.styles)):
        expected = styles.mean + psi * (w - styles.mean)
        torch.testing.assert_close(styles(z, none, None), expected[:, None].expand(-1, 4, -1))
    zero = pair(name, latents=6, truncation=0.0)[0].eval()
    images = zero(numbers(zero, 3, 6).index_fill(1, torch.arange(6, 6 + zero.noise), 0))
    torch.testing.assert_close(images[0], images[1])


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_mixing_has_one_style_up_to_a_layer_and_another_from_there(name):
    g, _ = pair(name, (1, 16, 16), latents=6, mixing=0.9)
    own, n = g.styles, 4000
    z, numbers_ = torch.randn(n, 6), torch.randn(n, own.own, generator=torch.Generator().manual_seed(3))
    first, second = own.mapping(z, None), own.mapping(numbers_[:, :6], None)
    styles = own(z, numbers_, None)
    assert styles.shape == (n, 6, 6)  # two layers a side, and the last image
    is_first, is_second = ((styles - w[:, None]).abs().amax(-1) < 1e-9 for w in (first, second))
    assert (is_first | is_second).all()
    # once another style has come, it stays
    assert not (is_first[:, 1:] & ~is_first[:, :-1]).any()
    assert is_first[:, 0].all()
    mixed = ~is_first[:, -1]
    assert mixed.float().mean().item() == pytest.approx(0.9, abs=4 * math.sqrt(0.9 * 0.1 / n))
    where = is_first[mixed].sum(1)
    shares = torch.bincount(where, minlength=6)[1:].double() / len(where)
    assert shares.tolist() == pytest.approx([1 / 5] * 5, abs=4 * math.sqrt(0.2 * 0.8 / (0.9 * n)))
    plain, _ = pair(name, (1, 16, 16), latents=6, mixing=0.0)
    assert plain.noise == 2 * (4**2 + 8**2 + 16**2) - (16 if name == "stylegan2" else 0)
    assert g.noise == plain.noise + 6 + 2


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_noise_is_an_input_whose_strength_starts_at_0(name):
    g, _ = pair(name, latents=6, mixing=0.0)
    one, two = numbers(g, 3, 6), numbers(g, 3, 6, seed=1)
    two[:, :6] = one[:, :6]
    assert torch.equal(g(one), g(two))
    with torch.no_grad():
        for layer in g.layers:
            layer.noise.strength.fill_(0.5)
    assert not torch.equal(g(one), g(two))
    assert torch.equal(g(one), g(one))


def test_a_styles_gains_are_those_of_adaptive_instance_norm():
    g, _ = pair("stylegan", latents=6)
    layer = g.layers[0]
    x, style = torch.randn(3, 16, 4, 4), torch.randn(3, 6)
    out = layer.norm(x, style)
    mean, std = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    scale, bias = layer.norm.gains(style)[..., None, None].chunk(2, dim=1)
    torch.testing.assert_close(out, (x - mean) / (std + 1e-5).sqrt() * (1 + scale) + bias, atol=1e-5, rtol=1e-5)


def test_growth_is_in_equal_parts_and_continuous():
    growth = Growth(3, 0.7).double()
    seen = []
    for part in np.linspace(0, 1, 7001):
        growth.progress.fill_(part)
        seen.append(growth())
    seen = torch.stack(seen)
    assert (seen.diff(dim=0) >= 0).all()
    assert seen.diff(dim=0).max() < 1.01 * 7 / 0.7 / 7000
    assert seen[0].tolist() == [0, 0, 0]
    assert seen[4900].tolist() == pytest.approx([1, 1, 1])
    # seven parts of a tenth: 4 pixels alone, 8 fade in, 8, 16 fade in, ...
    for part, expected in ((0.05, [0, 0, 0]), (0.15, [0.5, 0, 0]), (0.25, [1, 0, 0]), (0.35, [1, 0.5, 0]),
                           (0.65, [1, 1, 1]), (0.55, [1, 1, 0.5])):  # fmt: skip
        growth.progress.fill_(part)
        assert growth().tolist() == pytest.approx(expected, abs=1e-9)


def test_fading_in_is_continuous_at_a_switch():
    g, d = (player.double() for player in pair("progressive", (1, 32, 32), latents=6))
    moved(g), moved(d)
    z, x = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 1, 32, 32, dtype=torch.float64)
    for switch in [0.1 * part for part in range(1, 7)]:
        images, logits = [], []
        for side in (-1e-8, 1e-8):
            for player in (g, d):
                next(own for name, own in player.named_buffers() if name.endswith("progress")).fill_(switch + side)
            images.append(g(z))
            logits.append(d(x))
        assert (images[0] - images[1]).abs().max() < 1e-5
        assert (logits[0] - logits[1]).abs().max() < 1e-5


def test_growth_shows_the_sides_that_have_come_alone():
    g, d = pair("progressive", (1, 32, 32), latents=6)
    z, x = torch.randn(4, 6), torch.randn(4, 1, 32, 32)
    at = {0.0: 4, 0.25: 8, 0.45: 16, 0.65: 32}  # of 0.7
    for progress, side in at.items():
        for player in (g, d):
            next(own for name, own in player.named_buffers() if name.endswith("progress")).fill_(progress)
        image = g(z)
        assert image.shape == (4, 1, 32, 32)
        coarse = nn.functional.avg_pool2d(image, 32 // side)
        torch.testing.assert_close(nn.functional.interpolate(coarse, size=32), image)
        # D sees no finer, and layers that have not come have no gradient
        torch.testing.assert_close(
            d(x), d(nn.functional.interpolate(nn.functional.avg_pool2d(x, 32 // side), size=32)), atol=1e-5, rtol=1e-4
        )
        gradients = torch.autograd.grad(image.sum(), list(g.images.parameters()), allow_unused=True)
        weights = [own for (name, _), own in zip(g.images.named_parameters(), gradients, strict=True) if "bias" in name]
        assert [bool(own.any()) for own in weights] == [2 ** (2 + place) == side for place in range(4)]


def test_r3gans_blocks_are_the_identity_at_the_start():
    g, _ = pair("r3gan", (1, 16, 16), blocks=2)
    for block in (part for part in g.modules() if type(part).__name__ == "Bottleneck"):
        x = torch.randn(2, block.enter.in_channels, 4, 4)
        assert torch.equal(block(x), x)
    # nothing normalizes, and a bias stands nowhere but in front of an activation
    assert not [part for player in pair("r3gan") for part in player.modules() if "Norm" in type(part).__name__]
    with pytest.raises(UserError, match="must divide twice the width 8, or be 0, got 3"):
        pair("r3gan", group=3)


def test_a_unets_logits_weigh_the_image_and_its_pixels_alike():
    _, d = pair("unet_gan", (1, 8, 8), norms={})
    x = torch.randn(3, 1, 8, 8)
    logits = d(x)
    assert logits.shape == (3, 128)
    whole, each = logits.split(64, dim=1)
    assert (whole == whole[:, :1]).all()
    assert not (each == each[:, :1]).all()
    loss = nn.functional.softplus(logits)
    expected = (nn.functional.softplus(whole[:, 0]) + nn.functional.softplus(each).mean(1)) / 2
    torch.testing.assert_close(loss.mean(1), expected)


# ------------------------------------------------------------------------------------------ normalization: paper


def test_the_papers_normalizations_are_those_that_it_names():
    words = ["problem=digits", "network=sn_resnet,dcgan,r3gan,progressive", "normalization=paper",
             "g_normalization=paper"]  # fmt: skip
    got = {v.network: (v.normalization, v.g_normalization) for v in resolve(None, over(words)).variants}
    assert got == {"sn_resnet": ("spectral", "batch"), "dcgan": ("batch", "batch"), "r3gan": ("none", "none"),
                   "progressive": ("none", "pixel")}  # fmt: skip
    by_name = ["problem=digits", "network=sn_resnet", "normalization=spectral", "g_normalization=batch"]
    (said,), (named,) = (
        resolve(None, over(w)).variants for w in ([words[0], "network=sn_resnet", *words[2:]], by_name)
    )
    assert said == named
    assert said.id == named.id


def test_paper_and_its_name_are_one_variant():
    words = ["problem=digits", "network=sn_resnet", "normalization=[paper,spectral,none]"]
    assert [v.normalization for v in resolve(None, over(words)).variants] == ["spectral", "none"]


def test_penalties_that_batch_norm_forbids_are_skipped_for_the_papers_too():
    plan = resolve(None, over(["problem=digits", "network=dcgan,sn_resnet", "normalization=paper", "regularizer=r1"]))
    assert [v.network for v in plan.variants] == ["sn_resnet"]
    assert plan.skipped[0][1].startswith("r1 with normalization batch")


def test_no_other_axis_has_a_paper():
    with pytest.raises(UserError, match="paper"):
        resolve(None, over(["loss=paper"]))


@cache
def declared():
    return {plugin.name: plugin.declared("paper") for plugin in registry.plugins("network")}


def test_what_a_paper_has_is_there():
    for name, own in declared().items():
        assert set(own) <= {"normalization", "g_normalization"}, name
        assert set(own.values()) <= set(registry.names("normalization")), name


# ------------------------------------------------------------------------------------------ in the engine


TRAINED = ["problem=digits", "batch_size=6", "steps=4", "samples=64", "neighbours=32", "probe_every=4",
           "optimizer=sgd"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_population_trains_and_is_its_runs(name):
    words = [*TRAINED, f"network={name}", "normalization=paper", "g_normalization=paper", f"network.{name}.width=4"]
    plan = resolve(None, over([*words, "seeds=2"]))
    problem = make_problem(plan.runs[0].variant)
    together, alone = (make_learner(runs, problem, torch.device("cpu")) for runs in (plan.runs, plan.runs[1:]))
    for own in (together, alone):
        before = own.generator.flat.clone(), own.discriminator.flat.clone()
        for _ in range(3):
            own.advance()
        assert own.alive.all()
        assert not torch.equal(own.generator.flat, before[0])
        assert not torch.equal(own.discriminator.flat, before[1])
    torch.testing.assert_close(together.generator.flat[1:], alone.generator.flat, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.discriminator.flat[1:], alone.discriminator.flat, atol=1e-5, rtol=1e-4)


def test_noise_comes_from_the_streams_and_latents_stay_those_of_others():
    words = [*TRAINED, "network=stylegan,dcgan", "network.stylegan.width=4", "network.dcgan.width=4", "seeds=2"]
    plan = resolve(None, over(words))
    problem = make_problem(plan.runs[0].variant)
    styled, plain = (
        make_learner([run for run in plan.runs if run.variant.network == name], problem, torch.device("cpu"))
        for name in ("stylegan", "dcgan")
    )
    one, two = styled.draw("g latent", 0), plain.draw("g latent", 0)
    assert one.shape == (2, 6, 8 + styled.generator.module.noise)
    torch.testing.assert_close(one[:, :1, :8], two[:, :1])
    noise = one[..., 8:].flatten()
    assert abs(noise.mean().item()) < 5 / math.sqrt(len(noise))
    assert not torch.equal(one[0], one[1])


def test_growth_follows_the_training():
    words = [*TRAINED, "network=progressive", "network.progressive.width=4", "steps=4", "seeds=1"]
    plan = resolve(None, over(words))
    own = make_learner(plan.runs, make_problem(plan.runs[0].variant), torch.device("cpu"))
    seen = []
    for _ in range(4):
        own.advance()
        seen += [buffer.item() for player in own.players.values() for name, buffer in player.buffers.items()
                 if name.endswith("progress")]  # fmt: skip
    assert seen == [0, 0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]
    other = make_learner(plan.runs, own.problem, torch.device("cpu"))
    other.load_state_dict(own.state_dict())
    assert all(
        torch.equal(a, b)
        for name in own.players
        for a, b in zip(own.players[name].buffers.values(), other.players[name].buffers.values(), strict=True)
    )


def test_a_normalization_of_weights_reaches_no_sum():
    (variant,) = resolve(None, over(["problem=digits", "network=sn_resnet", "normalization=spectral"])).variants
    _, critic = build_networks(variant, make_problem(variant), 0)
    layers = [part for part in critic.modules() if isinstance(part, normalizations.Reweighted)]
    assert len(layers) == 4 * 2 + 2 + 1  # two a block, two shortcuts, the last


def test_progressive_layers_have_the_scale_of_the_paper():
    """Karras 2018, sec. 4.1: c = sqrt(2 / inputs), of all inputs of a unit; images and logits without the gain."""
    own = pair("progressive", (1, 16, 16))
    for module in [part for player in own for part in player.modules() if isinstance(part, EqualConv2d | EqualLinear)]:
        inputs = module.weight[0].numel()
        convolves = isinstance(module, EqualConv2d)
        plain = module.out_channels == 1 if convolves else module.out_features == 1
        # the first layer's outputs are pixels of a map, by which the paper's code divides its gain
        gain = 1 if plain else math.sqrt(2) / (1 if convolves or module.in_features > 4 else 4)
        assert module.scale == pytest.approx(gain / math.sqrt(inputs)), module


def test_where_style_generators_start():
    """A constant of ones (Karras 2019, fig. 1); random numbers in the second version's code."""
    first, second = (pair(name, (1, 8, 8))[0].start for name in ("stylegan", "stylegan2"))
    assert torch.equal(first, torch.ones_like(first))
    assert second.std() > 0.5
