"""The divergences that losses declare, on two Gaussians, against closed forms and adaptive quadrature."""

import math

import pytest
from scipy.integrate import quad
from scipy.stats import norm

from ganbench import registry
from ganbench.contracts.divergences import LOG_P, LOG_Q, SCALE, SHIFT, critics_loss, value
from ganbench.errors import UserError
from ganbench.gan.losses import Divergence

LOSSES = registry.plugins("loss")
BUILT_IN = [plugin for plugin in LOSSES if plugin.function.__module__.startswith("ganbench.")]
MEASURING = [plugin for plugin in LOSSES if isinstance(plugin.meta.get("divergence"), Divergence)]


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
    with pytest.raises(UserError, match="no sum of a term of real"):
        critics_loss(registry.get("loss", name), LOG_P - LOG_Q)
