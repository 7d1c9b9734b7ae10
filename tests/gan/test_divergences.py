"""Divergences: what the losses claim to measure at their optimal critic, on two Gaussians by numerical integration."""

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch.func import vmap

from ganbench import registry
from ganbench.gan.losses import Divergence

LOSSES = registry.plugins("loss")
BUILT_IN = [plugin for plugin in LOSSES if plugin.function.__module__.startswith("ganbench.")]
MEASURING = [plugin for plugin in LOSSES if isinstance(plugin.meta.get("divergence"), Divergence)]
every_divergence = pytest.mark.parametrize("loss", MEASURING, ids=lambda plugin: plugin.name)

SHIFT, SCALE = 1.0, 1.5
X = torch.linspace(-12, 14, 26_001, dtype=torch.float64)
LOG_P = -X.square() / 2 - math.log(2 * math.pi) / 2
LOG_Q = -((X - SHIFT) / SCALE).square() / 2 - math.log(SCALE) - math.log(2 * math.pi) / 2
P, Q = LOG_P.exp(), LOG_Q.exp()


def critics_loss(loss, logits, p=P, q=Q):
    """Return d_loss on all of p and q for a critic's logits at X, from the loss of batches of one."""
    one = vmap(lambda real, fake: loss(real[None], fake[None])[0])
    fixed = torch.zeros_like(logits)
    on_real, on_fake, apart = one(logits, fixed), one(fixed, logits), one(fixed, fixed)
    # a loss with a pointwise optimum is a sum of a term of real and a term of fake
    torch.testing.assert_close(one(logits, logits) + apart, on_real + on_fake, rtol=1e-9, atol=1e-9)
    return (torch.trapezoid(p * (on_real - apart), X) + torch.trapezoid(q * on_fake, X)).item()


def value(divergence, p=P, q=Q):
    return torch.trapezoid(divergence.between(p, q), X).item()


@every_divergence
def test_loss_at_the_optimal_critic_is_the_divergence(loss):
    claim = loss.meta["divergence"]
    expected = claim.offset + claim.scale * value(claim)
    assert value(claim) > 0.05, "the two Gaussians are apart"
    assert critics_loss(loss, claim.critic(LOG_P - LOG_Q)) == pytest.approx(expected, abs=1e-5)


@every_divergence
def test_no_other_critic_has_a_smaller_loss(loss):
    best = loss.meta["divergence"].critic(LOG_P - LOG_Q)
    least = critics_loss(loss, best)
    for direction in (torch.ones_like(X), -torch.ones_like(X), X.sin(), (3 * X).cos(), -best / best.abs().max()):
        losses = [critics_loss(loss, best + step * direction) for step in (0.01, 0.1, 0.5)]
        assert all(worse >= least - 1e-9 for worse in losses)
        # a score far out on a tanh may move freely
        assert losses == sorted(losses) or max(losses) - min(losses) < 1e-9


@every_divergence
def test_indistinguishable_samples_leave_the_critic_at_the_boundary(loss):
    claim = loss.meta["divergence"]
    at_rest = claim.critic(torch.zeros_like(X))
    assert (at_rest == loss.meta["boundary"]).all()
    assert value(claim, P, P) == pytest.approx(0, abs=1e-12)
    assert critics_loss(loss, at_rest, P, P) == pytest.approx(claim.offset, abs=1e-9)


def by_quadrature(integrand):
    q = norm(SHIFT, SCALE).pdf
    return quad(lambda x: integrand(norm.pdf(x), q(x)), -12, 14, limit=200, epsabs=1e-10)[0]


def total_variation():
    """The two densities cross where log p = log q, a quadratic equation; between the roots p is larger."""
    a, b, c = 1 / SCALE**2 - 1, -2 * SHIFT / SCALE**2, SHIFT**2 / SCALE**2 + 2 * math.log(SCALE)
    roots = sorted((-b + sign * math.sqrt(b**2 - 4 * a * c)) / (2 * a) for sign in (-1, 1))
    inside = [norm(*at).cdf(roots[1]) - norm(*at).cdf(roots[0]) for at in ((0, 1), (SHIFT, SCALE))]
    return inside[0] - inside[1]


def chi_squared():
    """The integral of p^2 / q less 1, a Gaussian integral of curvature 2 - 1 / SCALE^2."""
    a = 1 - 1 / (2 * SCALE**2)
    exponent = SHIFT**2 / (2 * SCALE**2) + SHIFT**2 / (4 * a * SCALE**4)
    return SCALE / math.sqrt(2 * a) * math.exp(exponent) - 1


# closed forms for N(0, 1) and N(SHIFT, SCALE^2), adaptive quadrature where there is none
GAUSSIANS = {
    "KL of p to q": lambda: math.log(SCALE) + (1 + SHIFT**2) / (2 * SCALE**2) - 0.5,
    "KL of q to p": lambda: -math.log(SCALE) + (SCALE**2 + SHIFT**2) / 2 - 0.5,
    "squared Hellinger": lambda: (
        2 - 2 * math.sqrt(2 * SCALE / (1 + SCALE**2)) * math.exp(-(SHIFT**2) / (4 * (1 + SCALE**2)))
    ),
    "total variation": total_variation,
    "Pearson chi^2 of p to q": chi_squared,
    "Jensen-Shannon": lambda: by_quadrature(
        lambda p, q: (p * math.log(2 * p / (p + q)) + q * math.log(2 * q / (p + q))) / 2
    ),
    "Pearson chi^2 of p to (p + q) / 2": lambda: by_quadrature(lambda p, q: (p - (p + q) / 2) ** 2 / ((p + q) / 2)),
}


@pytest.mark.parametrize("name", GAUSSIANS)
def test_divergences_of_two_gaussians(name):
    found = [plugin.meta["divergence"] for plugin in MEASURING if plugin.meta["divergence"].name == name]
    assert found
    for divergence in found:
        assert value(divergence) == pytest.approx(GAUSSIANS[name](), abs=1e-6)


def test_every_built_in_divergence_has_its_value_here():
    names = {plugin.meta["divergence"].name for plugin in BUILT_IN if plugin in MEASURING}
    assert names == set(GAUSSIANS)


def test_a_loss_without_a_divergence_says_why():
    without = [plugin.meta["divergence"] for plugin in BUILT_IN if plugin not in MEASURING]
    assert without
    assert all(isinstance(reason, str) and reason.startswith("no ") for reason in without)


def test_a_wasserstein_critic_gains_without_end():
    ranking = LOG_P - LOG_Q
    losses = [critics_loss(registry.get("loss", "wasserstein"), factor * ranking) for factor in (1.0, 10.0, 100.0)]
    assert losses[0] < 0
    assert losses == pytest.approx([losses[0], 10 * losses[0], 100 * losses[0]], rel=1e-9)


@pytest.mark.parametrize("name", ["relativistic_pairing", "relativistic_average"])
def test_a_relativistic_loss_is_no_sum_of_a_real_and_a_fake_term(name):
    with pytest.raises(AssertionError, match="not close"):
        critics_loss(registry.get("loss", name), LOG_P - LOG_Q)
