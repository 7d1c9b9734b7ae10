"""What networks for images share, against formulas and against plain NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ganbench.errors import UserError
from ganbench.gan.blocks import (
    Attention,
    Bilinear,
    Blur,
    ConditionalBatchNorm,
    Down,
    EqualConv2d,
    EqualLinear,
    Gained,
    ModulatedConv,
    Passed,
    SumPool,
    Up,
    rows,
    without_gain,
)
from ganbench.gan.normalizations import batch, instance, spectral, weight


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moved(module, seed=0):
    """Return a module in float64 whose parameters are not where they start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2)
    return module


def test_sides_double_and_halve():
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert Up()(x).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 6, 6], [3, 3, 6, 6]]]]
    assert Down()(x).tolist() == [[[[3.0]]]]
    assert torch.equal(Down()(Up()(x)), x)
    assert Bilinear(2)(x).shape == (1, 1, 4, 4)
    assert Bilinear(0.5)(x).tolist() == [[[[3.0]]]]
    assert SumPool()(x).tolist() == [[12.0]]


def test_a_blur_by_hand():
    x = drawn(2, 3, 5, 5)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = sum(taps[i, j] * padded[:, :, i : i + 5, j : j + 5] for i in range(3) for j in range(3))
    np.testing.assert_allclose(Blur().double()(x).numpy(), expected, atol=1e-12)
    assert torch.equal(Blur()(torch.full((1, 2, 4, 4), 3.0)), torch.full((1, 2, 4, 4), 3.0))


def test_conditional_batch_norm_is_batch_norm_for_each_label():
    x, label = drawn(12, 4, 3, 3) * 5 + 2, torch.arange(12) % 3
    norm = moved(ConditionalBatchNorm(4, 3))
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    gain, bias = norm.gains.weight[label].split(4, dim=1)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gain[..., None, None]) + bias[..., None, None]
    torch.testing.assert_close(norm(x, label), expected, atol=1e-10, rtol=0)


def test_conditional_batch_norm_of_equal_rows_is_batch_norm():
    x, label = drawn(12, 4, 3, 3), torch.arange(12) % 3
    norm, plain = moved(ConditionalBatchNorm(4, 3)), moved(nn.BatchNorm2d(4, track_running_stats=False), seed=1)
    with torch.no_grad():
        norm.gains.weight.copy_(torch.cat([plain.weight - 1, plain.bias]).expand(3, -1))
    torch.testing.assert_close(norm(x, label), plain(x), atol=1e-12, rtol=0)
    # at the start it is batch norm without any gain
    start = ConditionalBatchNorm(4, 3).double()(x, label)
    torch.testing.assert_close(start, nn.functional.batch_norm(x, None, None, training=True), atol=1e-12, rtol=0)


def test_gains_of_a_context_take_the_place_of_the_normalizations_own():
    assert not list(without_gain(batch(Passed(4))).parameters())
    assert not list(without_gain(instance(Passed(4))).parameters())
    assert len(list(Gained(batch(Passed(4))).parameters())) == 2
    assert [p.shape for p in Gained(batch(Passed(4)), rows(3, 8)).parameters()] == [(3, 8)]


def test_attention_by_hand():
    own = Attention(16, lambda layer: layer).double()
    x = drawn(2, 16, 4, 4)
    assert torch.equal(own(x), x)  # gamma starts at 0
    with torch.no_grad():
        own.gamma.fill_(0.7)
    weights = {
        name: getattr(own, name).weight.detach().numpy()[:, :, 0, 0] for name in ("query", "key", "value", "out")
    }
    assert {name: matrix.shape for name, matrix in weights.items()} == {
        "query": (2, 16), "key": (2, 16), "value": (8, 16), "out": (16, 8),
    }  # fmt: skip

    def pooled(maps):
        return maps.reshape(*maps.shape[:2], 2, 2, 2, 2).max((3, 5)).reshape(*maps.shape[:2], 4)

    maps = {name: np.einsum("oc,bchw->bohw", weights[name], x.numpy()) for name in ("query", "key", "value")}
    scores = np.einsum("bcp,bcq->bpq", maps["query"].reshape(2, 2, 16), pooled(maps["key"]))
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    seen = np.einsum("bcq,bpq->bcp", pooled(maps["value"]), shares)
    expected = x.numpy() + 0.7 * np.einsum("oc,bcp->bop", weights["out"], seen).reshape(2, 16, 4, 4)
    np.testing.assert_allclose(own(x).detach().numpy(), expected, atol=1e-10)
    torch.testing.assert_close(own.weights(x).sum(-1), torch.ones(2, 16, dtype=torch.float64))


@given(inputs=st.integers(1, 40), rate=st.sampled_from([1.0, 0.01]), gain=st.sampled_from([1.0, math.sqrt(2)]))
@settings(max_examples=20, deadline=None)
def test_an_equalised_layer_is_scaled_by_its_inputs(inputs, rate, gain):
    layer = EqualLinear(inputs, 3, gain=gain, rate=rate, start=1.0).double()
    x = drawn(5, inputs)
    expected = x @ layer.weight.T * gain * rate / inputs**0.5 + layer.bias * rate
    torch.testing.assert_close(layer(x), expected)
    assert (layer.bias * rate).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("kernel", [1, 3])
def test_an_equalised_convolution_keeps_variance(kernel):
    torch.manual_seed(0)
    layer = EqualConv2d(64, 128, kernel)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.03)
    assert layer.scale == (64 * kernel**2) ** -0.5
    # inputs of variance 1 have outputs of variance 1, away from the border
    out = layer(torch.randn(16, 64, 9, 9))[..., 1:-1, 1:-1]
    assert out.var().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("norm", [None, spectral, weight])
@pytest.mark.parametrize("demodulate", [True, False])
def test_a_modulated_convolution_is_that_of_weights_of_each_samples_own(norm, demodulate):
    own = moved(ModulatedConv(3, 4, 3, 5, norm or (lambda layer: layer), demodulate=demodulate)).eval()
    x, style = drawn(6, 3, 5, 5), drawn(6, 5, seed=1)
    scales = (style @ own.style.weight.T / 5**0.5 + own.style.bias).detach()
    raw = own._weight().detach()
    if norm is None:
        torch.testing.assert_close(raw, own.conv.weight.detach() / 27**0.5)
    for one, scale, out in zip(x, scales, own(x, style), strict=True):
        weights = raw * scale[None, :, None, None]
        if demodulate:
            weights = weights / (weights.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        torch.testing.assert_close(out, nn.functional.conv2d(one[None], weights, padding=1)[0], atol=1e-8, rtol=0)


def test_a_modulated_convolution_needs_a_length_of_its_weights():
    with pytest.raises(UserError, match="normalizations of weights that this package ships"):
        ModulatedConv(3, 4, 3, 5, lambda layer: nn.Sequential(layer))
