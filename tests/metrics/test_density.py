"""Likelihood, the optimal critic and its divergence: SciPy, scikit-learn, quadrature, closed forms of mixtures."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import gaussian_kde, multivariate_normal, norm
from sklearn.neighbors import KernelDensity

from ganbench import registry
from ganbench.errors import InputError
from ganbench.metrics import pairwise
from ganbench.metrics.density import (
    critic_divergence,
    critic_gap,
    critic_points,
    log_density,
    negative_log_likelihood,
    optimal_critic,
)
from ganbench.problems.base import Modes, stream

pytestmark = pytest.mark.usefixtures("own_generators")


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream("density test", seed), dtype=torch.float64)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


ONE = Modes(tensor([[0.0]]), 1.0, tensor([1.0]))
RING = registry.get("problem", "ring8")()


@pytest.mark.parametrize("d", [1, 2, 5])
def test_log_density_is_scipys(d):
    modes = Modes(normal(3, d, seed=0), 0.4, tensor([0.2, 0.3, 0.5]))
    x = 2 * normal(40, d, seed=1)
    pairs = zip([0.2, 0.3, 0.5], modes.centres, strict=True)
    parts = [weight * multivariate_normal(centre, 0.16 * np.eye(d)).pdf(x) for weight, centre in pairs]
    assert log_density(modes, x).numpy() == pytest.approx(np.log(sum(parts)), rel=1e-9)


def test_log_density_far_from_every_mode_is_finite():
    assert log_density(ONE, tensor([[1e6]])).item() == pytest.approx(-0.5e12, rel=1e-9)


@pytest.mark.parametrize("d", [1, 3, 20])
def test_a_perfect_samplers_likelihood_is_the_entropy(d):
    modes = Modes(torch.zeros(1, d, dtype=torch.float64), 0.7, tensor([1.0]))
    got = negative_log_likelihood(modes, 0.7 * normal(50, 400, d, seed=0))
    entropy = d / 2 * math.log(2 * math.pi * math.e * 0.49)
    # -log p has the variance d / 2
    assert abs(got.mean().item() - entropy) < 4 * math.sqrt(d / 2 / 20_000)
    # all on the mode's centre: below by d / 2
    assert negative_log_likelihood(modes, torch.zeros(9, d)).item() == pytest.approx(entropy - d / 2)


def test_bandwidth_is_silvermans_of_one_mode():
    fake = normal(300, 1, seed=0)
    scott = gaussian_kde(fake[:, 0], bw_method="silverman")
    width = scott.factor  # times the true std, 1, where scipy takes the sample's
    x = tensor([[-1.0], [0.3], [2.0]])
    q = KernelDensity(bandwidth=width).fit(fake).score_samples(x)
    assert optimal_critic(ONE, fake, x).numpy() == pytest.approx(norm.logpdf(x[:, 0]) - q, rel=1e-9)


def test_bandwidth_shrinks_with_the_samples_of_a_mode():
    fake = RING.sample(800, stream("density test", 5)).double()
    width = RING.modes.std * (4 / (4 * 100)) ** (1 / 6)
    x = fake[:7] + 0.1
    q = KernelDensity(bandwidth=width).fit(fake).score_samples(x)
    assert (log_density(RING.modes, x) - optimal_critic(RING.modes, fake, x)).numpy() == pytest.approx(q, rel=1e-9)


@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_each_fake_is_left_out_of_its_own_estimate(block, monkeypatch):
    monkeypatch.setattr(pairwise, "BLOCK", block)
    fake = normal(12, 2, seed=3)
    modes = Modes(torch.zeros(1, 2, dtype=torch.float64), 1.0, tensor([1.0]))
    width = (4 / (4 * 11)) ** (1 / 6)
    without = [KernelDensity(bandwidth=width).fit(np.delete(fake.numpy(), i, 0)) for i in range(12)]
    others = [kernels.score_samples(fake[i : i + 1])[0] for i, kernels in enumerate(without)]
    got = optimal_critic(modes, fake)
    assert got[12:].numpy() == pytest.approx((log_density(modes, fake) - tensor(others)).numpy(), rel=1e-9)
    drawn = critic_points(modes, fake)[:12]
    assert torch.allclose(got[:12], optimal_critic(modes, fake, drawn))


def test_points_are_draws_of_the_truth_and_the_fakes():
    fake = normal(3, 4000, 2, seed=0)
    points = critic_points(RING.modes, fake)
    assert torch.equal(points[:, 4000:], fake)
    drawn = points[0, :4000]
    assert (points[1:, :4000] == drawn).all()
    # a standardised problem: mean 0, variance 1; each mode an eighth, its std the true one
    nearest = torch.cdist(drawn, RING.modes.centres).min(1)
    assert torch.bincount(nearest.indices, minlength=8).double().div(4000).sub(1 / 8).abs().max() < 4 * 0.0053
    assert nearest.values.square().mean().div(2).sqrt().item() == pytest.approx(RING.modes.std, rel=0.05)


def shifted_divergence(shift):
    p, q = norm(0, 1).pdf, norm(shift, 1).pdf
    return quad(lambda x: sum(f(x) / 2 * math.log(2 * f(x) / (p(x) + q(x))) for f in (p, q)), -12, 12 + shift)[0]


@pytest.mark.parametrize("shift", [1.0, 2.0, 4.0])
def test_divergence_of_shifted_normals(shift):
    fake = normal(8, 1500, 1, seed=0) + shift
    assert critic_divergence(ONE, fake).mean().item() == pytest.approx(shifted_divergence(shift), abs=0.01)
    # the optimal logit is linear: shift^2 / 2 - shift x; a kernel estimate is near it where samples are
    middle = tensor([[shift / 2 - 0.3], [shift / 2], [shift / 2 + 0.3]])
    got = optimal_critic(ONE, fake, middle).mean(0)
    assert got.numpy() == pytest.approx([0.3 * shift, 0, -0.3 * shift], abs=0.25)


def test_divergence_of_rings():
    fake = RING.sample(4000, stream("density test", 1))
    kept = torch.cdist(fake.double(), RING.modes.centres).argmin(1) % 2 == 0
    # half of the modes, each twice: closed form
    half = (math.log(2) + math.log(2 / 3) + 2 * math.log(4 / 3)) / 4
    assert critic_divergence(RING.modes, fake[kept]).item() == pytest.approx(half, abs=0.01)
    assert critic_divergence(RING.modes, fake).item() < 0.005
    assert critic_divergence(RING.modes, fake + 50).item() == pytest.approx(math.log(2))


def test_gap_of_known_critics():
    fake = normal(2, 300, 1, seed=0) + 2
    best = optimal_critic(ONE, fake)
    assert critic_gap(ONE, fake, best).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert torch.equal(critic_gap(ONE, fake, best.unsqueeze(-1)), critic_gap(ONE, fake, best))
    undecided = critic_gap(ONE, fake, torch.zeros(2, 600))
    assert torch.allclose(undecided, (best.sigmoid() - 0.5).abs().mean(-1))
    # truth and fakes apart: a critic that cannot tell is half off, one that inverts them all off
    far = fake + 100
    truth_first = torch.cat([torch.full((2, 300), 50.0), torch.full((2, 300), -50.0)], 1)
    got = [critic_gap(ONE, far, logits).mean().item() for logits in (truth_first, torch.zeros(2, 600), -truth_first)]
    assert got == pytest.approx([0, 0.5, 1], abs=1e-6)


def test_errors():
    fake = normal(2, 30, 1, seed=0)
    with pytest.raises(InputError, match="'modes' must be a problem's Modes"):
        negative_log_likelihood(fake[0], fake)
    with pytest.raises(InputError, match=r"'fake' has 1 samples.* 2"):
        critic_divergence(ONE, fake[:, :1])
    with pytest.raises(InputError, match=r"'logits' must be the critic's at critic_points\(modes, fake\), \[2, 60\]"):
        critic_gap(ONE, fake, torch.zeros(60))
    with pytest.raises(InputError, match="'logits' holds NaN"):
        critic_gap(ONE, fake, torch.full((2, 60), math.nan))
    with pytest.raises(InputError, match="'at' has the leading axes"):
        optimal_critic(ONE, fake, normal(3, 5, 1, seed=1))
    with pytest.raises(InputError, match="'at' has dimension 2"):
        optimal_critic(ONE, fake, normal(5, 2, seed=1))
