"""The built-in losses against their papers' formulas in float64; the laws of all losses are in tests/contracts."""

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import logsigmoid

from ganbench import registry

BUILT_IN = [plugin for plugin in registry.plugins("loss") if plugin.function.__module__.startswith("ganbench.")]


SETTINGS = {"label_smoothing": (0.1, 0.3), "margin": (0.5, 2.0), "gamma": (0.0, 0.5), "nonsaturating": (True,)}


def settings(loss):
    """Return the defaults, and each known hyper-parameter at other values."""
    return [{}, *[{name: value} for name in loss.hypers for value in SETTINGS.get(name, ())]]


def logits(*shape, seed=0, scale=2.0, requires_grad=False, dtype=torch.float64):
    drawn = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * scale
    return [part.clone().requires_grad_(requires_grad) for part in drawn]


def slopes(loss, real, fake):
    """Return d(d_loss)/d(real), d(d_loss)/d(fake), d(g_loss)/d(fake)."""
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    d_loss, g_loss = loss(real, fake)
    of_d = torch.autograd.grad(d_loss.sum(), (real, fake), retain_graph=True)
    return *of_d, torch.autograd.grad(g_loss.sum(), fake)[0]


def gradients(value, inputs):
    return torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("loss", BUILT_IN, ids=lambda plugin: plugin.name)
@pytest.mark.parametrize("leading", [(3,), (2, 3)])
def test_leading_axes_are_runs(loss, leading):
    real, fake = logits(*leading, 16)
    d_loss, g_loss = loss(real, fake)
    assert d_loss.shape == g_loss.shape == leading
    for index in torch.cartesian_prod(*(torch.arange(n) for n in leading)).reshape(-1, len(leading)).tolist():
        d_alone, g_alone = loss(real[tuple(index)], fake[tuple(index)])
        torch.testing.assert_close(d_loss[tuple(index)], d_alone, rtol=1e-14, atol=0)
        torch.testing.assert_close(g_loss[tuple(index)], g_alone, rtol=1e-14, atol=0)


def towards(logits, target):
    return cross_entropy(logits, torch.full_like(logits, target))


# each from its paper's formula, with torch's own cross-entropy where the formula is one
PAPERS = {
    "minimax": lambda r, f, s=0.0: (towards(r, 1 - s) + towards(f, 0.0), logsigmoid(-f).mean()),
    "nonsaturating": lambda r, f, s=0.0: (towards(r, 1 - s) + towards(f, 0.0), towards(f, 1.0)),
    "least_squares": lambda r, f, s=0.0: (
        0.5 * ((r - (1 - s)) ** 2).mean() + 0.5 * (f**2).mean(),
        0.5 * ((f - 1) ** 2).mean(),
    ),
    "hinge": lambda r, f, m=1.0: (
        -torch.minimum(r - m, torch.zeros_like(r)).mean() - torch.minimum(-f - m, torch.zeros_like(f)).mean(),
        -f.mean(),
    ),
    "wasserstein": lambda r, f: (-(r.mean() - f.mean()), -f.mean()),
    "relativistic_pairing": lambda r, f: (-logsigmoid(r - f).mean(), -logsigmoid(f - r).mean()),
    "relativistic_average": lambda r, f: (
        towards(r - f.mean(), 1.0) + towards(f - r.mean(), 0.0),
        towards(f - r.mean(), 1.0) + towards(r - f.mean(), 0.0),
    ),
    "focal": lambda r, f, g=2.0: (
        -(torch.sigmoid(-r) ** g * logsigmoid(r)).mean() - (torch.sigmoid(f) ** g * logsigmoid(-f)).mean(),
        -(torch.sigmoid(-f) ** g * logsigmoid(f)).mean(),
    ),
}
# Nowozin 2016, Table 2: output activation g_f(v) and conjugate f*(t)
F_GAN = {
    "fgan_kl": (lambda v: v, lambda t: (t - 1).exp()),
    "fgan_reverse_kl": (lambda v: -(-v).exp(), lambda t: -1 - (-t).log()),
    "fgan_pearson": (lambda v: v, lambda t: 0.25 * t**2 + t),
    "fgan_hellinger": (lambda v: 1 - (-v).exp(), lambda t: t / (1 - t)),
    "fgan_jensen_shannon": (lambda v: math.log(2) - (1 + (-v).exp()).log(), lambda t: -(2 - t.exp()).log()),
    "fgan_total_variation": (lambda v: 0.5 * torch.tanh(v), lambda t: t),
}


def test_every_built_in_loss_has_its_formula_here():
    assert {plugin.name for plugin in BUILT_IN} == set(PAPERS) | set(F_GAN)


@pytest.mark.parametrize("loss", [registry.get("loss", name) for name in PAPERS], ids=lambda plugin: plugin.name)
def test_values_and_gradients_of_the_paper(loss):
    for hypers in settings(loss):
        for seed, scale in enumerate((0.5, 5.0, 20.0)):
            real, fake = logits(16, seed=seed, scale=scale, requires_grad=True)
            expected = PAPERS[loss.name](real, fake, *hypers.values())
            # torch's softplus is x itself above 20: an error of exp(-20) = 2e-9 at most
            tolerance = 1e-11 if scale < 20 else 3e-9
            for player, (got, want) in enumerate(zip(loss(real, fake, **hypers), expected, strict=True)):
                torch.testing.assert_close(got, want, rtol=1e-12, atol=tolerance)
                both = [gradients(value, (real, fake)) for value in (got, want)]
                for a, b in zip(*both, strict=True):
                    torch.testing.assert_close(a, b, rtol=tolerance, atol=1e-15, msg=f"player {player}, {hypers}")


@pytest.mark.parametrize("nonsaturating", [False, True])
@pytest.mark.parametrize("loss", [registry.get("loss", name) for name in F_GAN], ids=lambda plugin: plugin.name)
def test_values_and_gradients_of_the_f_gan_table(loss, nonsaturating):
    output, conjugate = F_GAN[loss.name]
    # of f*(t) = t both losses of G are the same
    hypers = {} if loss.name == "fgan_total_variation" else {"nonsaturating": nonsaturating}
    assert set(hypers) == set(loss.hypers)
    for seed, scale in enumerate((0.3, 3.0)):
        real, fake = logits(16, seed=seed, scale=scale, requires_grad=True)
        t, s = output(real), output(fake)
        expected = conjugate(s).mean() - t.mean(), -(s if nonsaturating else conjugate(s)).mean()
        for got, want in zip(loss(real, fake, **hypers), expected, strict=True):
            # the table's log(2 - exp(t)) cancels: 2e-16 e^9 are lost
            torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)
            for a, b in zip(*[gradients(value, (real, fake)) for value in (got, want)], strict=True):
                torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def test_exponentials_are_exact_up_to_e_30_and_continue_along_the_tangent():
    loss = registry.get("loss", "fgan_hellinger")
    zero = torch.zeros(1, dtype=torch.float64)
    for logit, value, slope in ((29.99, math.exp(29.99), math.exp(29.99)), (30.0, math.exp(30), math.exp(30)),
                                (42.0, 13 * math.exp(30), math.exp(30))):  # fmt: skip
        fake = zero + logit
        assert loss(zero, fake)[0].item() == pytest.approx(value, rel=1e-12)
        assert slopes(loss, zero, fake)[1].item() == pytest.approx(slope, rel=1e-12)


def test_jensen_shannon_f_gan_is_the_minimax_loss_but_for_a_constant():
    for sign in (-1, 0, 1):
        real, fake = logits(9, scale=3.0)
        pairs = zip(
            registry.get("loss", "fgan_jensen_shannon")(real + 1e4 * sign, fake - 1e4 * sign),
            registry.get("loss", "minimax")(real + 1e4 * sign, fake - 1e4 * sign),
            (-2 * math.log(2), math.log(2)),
            strict=True,
        )
        for got, minimax, constant in pairs:
            torch.testing.assert_close(got, minimax + constant, rtol=1e-9, atol=1e-9)


def test_relativistic_average_compares_with_the_other_side_alone():
    loss = registry.get("loss", "relativistic_average")
    real, fake = (torch.tensor(values, dtype=torch.float64) for values in ([4.0, 0.0], [1.0, -3.0]))
    # real less mean fake (-1): 5, 1; fake less mean real (2): -1, -5
    d_loss, g_loss = loss(real, fake)
    assert d_loss.item() == pytest.approx(math.log1p(math.exp(-5)) + math.log1p(math.exp(-1)), rel=1e-14)
    assert g_loss.item() == pytest.approx(math.log1p(math.exp(5)) + math.log1p(math.exp(1)), rel=1e-14)
    # G moves real samples' terms too
    real.requires_grad_()
    (slope,) = torch.autograd.grad(loss(real, fake)[1], real)
    assert (slope > 0.5).all()


def test_focal_forgets_what_is_classified_well():
    focal, nonsaturating = registry.get("loss", "focal"), registry.get("loss", "nonsaturating")
    logit = torch.tensor([math.log(9)], dtype=torch.float64)  # p = 0.9: Lin 2017 gives a weight of 1 / 100
    assert focal(logit, -logit)[0].item() == pytest.approx(nonsaturating(logit, -logit)[0].item() / 100, rel=1e-12)


def test_saturating_and_non_saturating_are_not_swapped():
    real, rejected = torch.zeros(1, dtype=torch.float64), torch.full((1,), -20.0, dtype=torch.float64)
    *_, saturating = slopes(registry.get("loss", "minimax"), real, rejected)
    *_, strong = slopes(registry.get("loss", "nonsaturating"), real, rejected)
    assert -1e-8 < saturating.item() < 0  # sigmoid(-20) = 2.06e-9
    assert strong.item() == pytest.approx(-1, abs=1e-8)


def test_undecided_logistic_critic_loses_two_log_two():
    real, fake = torch.zeros(5), torch.zeros(5)
    for name in ("minimax", "nonsaturating"):
        assert registry.get("loss", name)(real, fake)[0].item() == pytest.approx(1.3862943611, rel=1e-6)


@pytest.mark.parametrize("loss", BUILT_IN, ids=lambda plugin: plugin.name)
def test_it_declares_what_the_laws_of_losses_ask_about(loss):
    assert loss.meta.keys() >= {"boundary", "saturates", "divergence"}, "what is not declared is not checked"
