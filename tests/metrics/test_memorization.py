"""Duplicates, copies of training data, FLD: exact counts, SciPy's tests, stochastic geometry, scenarios."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import kstest, mannwhitneyu
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from ganbench.errors import InputError
from ganbench.metrics import pairwise
from ganbench.metrics.memorization import (
    authenticity,
    birthday_support,
    c_t_score,
    expected_authenticity,
    feature_likelihood_divergence,
)
from ganbench.problems.base import stream

pytestmark = pytest.mark.usefixtures("own_generators")


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream("memorization test", seed), dtype=torch.float64)


# ---- support size


@pytest.mark.parametrize("d", [1, 2, 16])
def test_as_many_duplicates_as_among_birthdays(d):
    # 29 of the 146 * 145 / 2 = 365 * 29 pairs are the same: a support of 365, in which 23 are as likely as not to share
    fake = normal(117, d, seed=0)
    fake = torch.cat([fake, fake[:29]])
    got = birthday_support(normal(500, d, seed=1), fake, tolerance=1e-9)
    assert got.support.item() == pytest.approx(365)
    assert math.ceil(got.batch.item()) == 23


@pytest.mark.parametrize("points", [5, 60])
def test_uniform_over_some_points(points):
    places = 10 * normal(points, 3, seed=0)
    chosen = torch.randint(points, (400, 50), generator=stream("memorization test", 1))
    rate = 1 / birthday_support(normal(300, 3, seed=2), places[chosen], tolerance=1e-6).support
    # the share of pairs that agree is unbiased for 1 / K
    assert abs(rate.mean().item() - 1 / points) < 4 * rate.std().item() / 20


def test_without_duplicates_there_is_no_bound():
    got = birthday_support(normal(300, 8, seed=0), normal(200, 8, seed=1))
    assert got.support == got.batch == math.inf


def test_tolerance_follows_the_real_samples():
    real, fake = normal(400, 2, seed=0), normal(400, 2, seed=1)
    gaps = NearestNeighbors(n_neighbors=2).fit(real).kneighbors(real)[0][:, 1]
    by_hand = birthday_support(real, fake, tolerance=0.1 * float(torch.tensor(gaps).median()))
    assert birthday_support(real, fake).support.item() == pytest.approx(by_hand.support.item())
    assert birthday_support(1e3 * real + 7, 1e3 * fake).support.item() == pytest.approx(by_hand.support.item())


def test_support_errors():
    real, fake = normal(30, 2, seed=0), normal(30, 2, seed=1)
    with pytest.raises(InputError, match="'tolerance' must be above 0, and its square finite and above 0, got 0"):
        birthday_support(real, fake, tolerance=0.0)
    with pytest.raises(InputError, match="'real' consists mostly of copies"):
        birthday_support(real[:3].repeat(10, 1), fake)


# ---- authenticity


def test_authenticity_is_its_definition(monkeypatch):
    monkeypatch.setattr(pairwise, "BLOCK", 999)
    real, fake = normal(90, 5, seed=0) + 20, normal(70, 5, seed=1) + 20
    apart = np.linalg.norm(real.numpy()[:, None] - fake.numpy(), axis=2)
    among = np.linalg.norm(real.numpy()[:, None] - real.numpy(), axis=2)
    closest = apart.argmin(0)
    others = [np.delete(among[i], i).min() for i in closest]
    assert authenticity(real, fake).item() == pytest.approx(np.mean(apart.min(0) > others))


def test_copies_are_not_authentic_and_strangers_are():
    real = normal(100, 4, seed=0)
    assert authenticity(real, real[:40]) == 0
    assert authenticity(real, real[:40] + 1e-6) == 0
    assert authenticity(real, real[:40] + 100) == 1
    # training samples that occur twice have their nearest other at 0, which a copy does not exceed
    twice = (30 * normal(60, 9, seed=1) + 100).repeat(2, 1)
    assert authenticity(twice, twice[:60]) == 0


def test_expected_authenticity():
    # 1 - the probability of being the nearest neighbour of one's nearest neighbour: published for d = 1, 2, 3
    published = [1 / 3, 1 - 6 * math.pi / (8 * math.pi + 3 * math.sqrt(3)), 11 / 27]
    assert [expected_authenticity(d) for d in (1, 2, 3)] == pytest.approx(published, rel=1e-12)
    assert expected_authenticity(500) == pytest.approx(0.5)


@pytest.mark.parametrize("d", [1, 2])
def test_a_perfect_sampler_is_at_it(d):
    got = authenticity(normal(4000, d, seed=0), normal(4000, d, seed=1)).item()
    assert got == pytest.approx(expected_authenticity(d), abs=0.03)


def test_authenticity_needs_two():
    with pytest.raises(InputError, match=r"'real' has 1 samples.* 2"):
        authenticity(normal(1, 2, seed=0), normal(5, 2, seed=1))


# ---- C_T


def distances(samples, train):
    return NearestNeighbors(n_neighbors=1).fit(train).kneighbors(samples)[0][:, 0]


def z_score(fake, held, train):
    m, n = len(fake), len(held)
    u = mannwhitneyu(distances(fake, train), distances(held, train)).statistic
    return (u - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


def test_c_t_is_scipys_u():
    train, held = normal(200, 3, seed=0), normal(80, 3, seed=1)
    # copies tie with each other and with a held-out sample that is in the training set by mistake
    held[0] = train[5]
    fake = torch.cat([normal(50, 3, seed=2), train[:10]])
    assert c_t_score(train, fake, held_out=held).item() == pytest.approx(z_score(fake, held, train), abs=0.02)
    assert c_t_score(train, fake[:50], held_out=held[1:]).item() == pytest.approx(z_score(fake[:50], held[1:], train))


def test_a_perfect_samplers_c_t_is_standard_normal():
    scores = [
        c_t_score(
            normal(60, 2, seed=3 * s), normal(50, 2, seed=3 * s + 1), held_out=normal(40, 2, seed=3 * s + 2)
        ).item()
        for s in range(300)
    ]
    assert kstest(scores, "norm").pvalue > 0.01


def test_copies_and_strangers():
    train, held = normal(300, 2, seed=0), normal(200, 2, seed=1)
    assert c_t_score(train, train[:200] + 0.001 * normal(200, 2, seed=2), held_out=held) < -10
    assert c_t_score(train, 2 * normal(200, 2, seed=2), held_out=held) > 3


def test_cells():
    train, held = normal(150, 2, seed=0), normal(120, 2, seed=1)
    fake = 0.5 * normal(100, 2, seed=2) + torch.tensor([0.6, 0.3])
    fitted = KMeans(4, n_init=1, random_state=0).fit(train.numpy())
    of_train, of_held, of_fake = (fitted.predict(part.numpy()) for part in (train, held, fake))
    # one cell at least holds too few fakes to judge, two or more are judged by their own training samples alone
    judged = [cell for cell in range(4) if (of_fake == cell).sum() >= 20]
    assert 2 <= len(judged) < len(set(of_fake))
    scores = [z_score(fake[of_fake == c], held[of_held == c], train[of_train == c]) for c in judged]
    weights = [(of_held == c).sum() for c in judged]
    assert c_t_score(train, fake, held_out=held, cells=4).item() == pytest.approx(np.average(scores, weights=weights))


def test_c_t_errors():
    train, fake, held = normal(50, 2, seed=0), normal(30, 2, seed=1), normal(40, 2, seed=2)
    with pytest.raises(InputError, match="'held_out' must be one set of samples"):
        c_t_score(train, fake, held_out=normal(40, 3, seed=2))
    with pytest.raises(InputError, match="'held_out' holds NaN"):
        c_t_score(train, fake, held_out=held * math.nan)
    with pytest.raises(InputError, match="'cells' must be at most the 50 samples"):
        c_t_score(train, fake, held_out=held, cells=51)
    with pytest.raises(InputError, match="'cells' = 40 leaves no cell 20 fakes"):
        c_t_score(train, fake, held_out=held, cells=40)


# ---- FLD


def likelihood_by_scipy(train, fake, held):
    """Return the cost of held-out samples at the maximum of the training likelihood, found by a gradient method."""
    mean, scale = held.mean(0), held.std(0, ddof=1)
    train, fake, held = ((part - mean) / scale for part in (train, fake, held))
    d, m = train.shape[1], len(fake)

    def densities(points, centres, variances):
        squared = ((points[:, None] - centres) ** 2).sum(2)
        return np.exp(-squared / (2 * variances)) / (2 * np.pi * variances) ** (d / 2)

    def cost(log_variances):
        kernels = densities(train, np.vstack([fake, train.mean(0)]), np.exp(log_variances))
        return -np.log(kernels[:, :m].mean(1) / 2 + kernels[:, m] / 2).mean()

    start = np.append(np.log(distances(fake, train) ** 2 / d + 1e-3), 0.0)
    best = minimize(cost, start, method="BFGS", options={"gtol": 1e-8}).x
    return -np.log(densities(held, fake, np.exp(best[:m])).mean(1)).mean() / d


@pytest.mark.parametrize("d", [1, 2, 5])
def test_variances_are_of_greatest_likelihood(d):
    # the difference of two scores is free of the baseline
    train, held = normal(60, d, seed=0) + 3, normal(50, d, seed=1) + 3
    fakes = torch.stack([normal(4, d, seed=2) + 3, 0.3 * normal(4, d, seed=3) + 2.5])
    got = feature_likelihood_divergence(train, fakes, held_out=held, steps=3000)
    expected = [likelihood_by_scipy(train.numpy(), fake.numpy(), held.numpy()) for fake in fakes]
    assert (got[0] - got[1]).item() == pytest.approx(100 * (expected[0] - expected[1]), abs=0.05)


def modes(n, seed, kept=6):
    """Samples of a mixture of six Gaussians in eight dimensions, or of its first few."""
    centres = 4 * normal(6, 8, seed=1000)
    mode = torch.randint(kept, (n,), generator=stream("memorization test mode", seed))
    return centres[mode] + normal(n, 8, seed=seed)


def test_scenarios_of_fld():
    train, held = modes(800, 0), modes(400, 1)
    scenario = {
        "perfect": modes(400, 2),
        "noisy": modes(400, 2) + 0.7 * normal(400, 8, seed=7),
        "dropped": modes(400, 3, kept=3),
        "one mode": modes(400, 3, kept=1),
        "copies": train[:400] + 1e-3 * normal(400, 8, seed=5),
        "one point": train[:1].expand(400, 8),
    }
    scores = feature_likelihood_divergence(train, torch.stack(list(scenario.values())), held_out=held)
    got = dict(zip(scenario, scores.tolist(), strict=True))
    assert abs(got["perfect"]) < 3
    assert got["perfect"] + 5 < got["noisy"] < got["copies"]
    assert got["perfect"] + 5 < got["dropped"] < got["one mode"]
    assert got["one point"] > 20
    assert got["copies"] > 1000
    # what makes the copies bad is that they are of the training samples
    assert abs(feature_likelihood_divergence(modes(800, 9), scenario["copies"], held_out=held).item()) < 5


def test_fld_cannot_see_collapse_onto_the_centre_of_one_cloud():
    train, held = normal(400, 8, seed=0), normal(300, 8, seed=1)
    assert feature_likelihood_divergence(train, 0.01 * normal(300, 8, seed=2), held_out=held) < 0


def test_fld_is_free_of_scale_and_takes_constant_features():
    train, fake, held = (normal(100, 3, seed=s) for s in range(3))
    plain = feature_likelihood_divergence(train, fake, held_out=held)
    scaled = (50 * part + torch.tensor([1.0, 2, 3]) for part in (train, fake, held))
    real, fake, held = scaled
    assert torch.allclose(feature_likelihood_divergence(real, fake, held_out=held), plain, rtol=1e-6)
    flat = (torch.cat([part, torch.ones(100, 1)], 1) for part in (real, fake, held))
    real, fake, held = flat
    assert feature_likelihood_divergence(real, fake, held_out=held).isfinite()


def test_fld_errors():
    train, fake, held = normal(50, 2, seed=0), normal(30, 2, seed=1), normal(40, 2, seed=2)
    with pytest.raises(InputError, match="'held_out' must be one set of samples"):
        feature_likelihood_divergence(train, fake, held_out=held[:, :1])
    with pytest.raises(InputError, match=r"'real' has 3 samples.* 4"):
        feature_likelihood_divergence(train[:3], fake, held_out=held)


def test_the_batch_of_one_birthday():
    # all fakes alike: a pair of them is one, and (2 k - 1)^2 / 4 - 1 / 4 = 2 log 2 for the batch k
    got = birthday_support(torch.arange(4.0)[:, None], torch.zeros(6, 1))
    assert got.support.item() == pytest.approx(1)
    assert (got.batch.item() - 0.5) ** 2 == pytest.approx(0.25 + 2 * math.log(2), rel=1e-12)
