"""Diversity of the fakes and of their histogram: eigenvalues, SciPy's tests, exact counts, scenarios."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, chi2_contingency
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from ganbench import registry
from ganbench.errors import InputError
from ganbench.metrics import pairwise
from ganbench.metrics.diversity import (
    ndb,
    neighbour_radius_ratio,
    statistically_different_modes,
    unique_share,
    vendi_score,
)
from ganbench.problems.base import Modes, stream

pytestmark = pytest.mark.usefixtures("own_generators")


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream("diversity test", seed), dtype=torch.float64)


def by_eigenvalues(kernel):
    values = np.linalg.eigvalsh(kernel.numpy() / len(kernel))
    values = values[values > 1e-14]
    return math.exp(-(values * np.log(values)).sum())


# ---- Vendi score


def test_equal_samples_count_once_and_orthogonal_ones_each():
    assert vendi_score(torch.ones(40, 3)).item() == pytest.approx(1, abs=1e-9)
    assert vendi_score(torch.ones(40, 3), bandwidth=1.0).item() == pytest.approx(1, abs=1e-9)
    assert vendi_score(7 * torch.eye(12)).item() == pytest.approx(12)
    assert vendi_score(1000 * torch.eye(12), bandwidth=1.0).item() == pytest.approx(12)
    # groups of 1, 1 and 2 equal samples: exp of the entropy of (1/4, 1/4, 1/2)
    groups = torch.eye(3)[[0, 1, 2, 2]]
    assert vendi_score(groups).item() == pytest.approx(2**1.5)


def test_two_samples_at_an_angle():
    angle = 0.7
    values = np.array([1 + math.cos(angle), 1 - math.cos(angle)]) / 2
    got = vendi_score(torch.tensor([[1.0, 0], [3 * math.cos(angle), 3 * math.sin(angle)]], dtype=torch.float64))
    assert got.item() == pytest.approx(math.exp(-(values * np.log(values)).sum()))


@pytest.mark.parametrize(("n", "d"), [(30, 4), (10, 25)])
def test_vendi_score_is_its_definition(n, d):
    fake = normal(n, d, seed=0) + 1
    unit = fake / fake.norm(dim=1, keepdim=True)
    assert vendi_score(fake).item() == pytest.approx(by_eigenvalues(unit @ unit.T), rel=1e-9)
    gaussian = torch.exp(-torch.cdist(fake, fake).square() / (2 * 1.5**2))
    assert vendi_score(fake, bandwidth=1.5).item() == pytest.approx(by_eigenvalues(gaussian), rel=1e-9)


def test_vendi_errors():
    with pytest.raises(InputError, match="'fake' holds a sample at the origin"):
        vendi_score(torch.zeros(3, 2))
    with pytest.raises(InputError, match="'bandwidth' must be above 0"):
        vendi_score(torch.ones(3, 2), bandwidth=-1.0)


# ---- bins


def atoms(counts):
    place = torch.arange(len(counts), dtype=torch.float64)
    return torch.stack([100 * place, 37 * place**2], 1).repeat_interleave(torch.tensor(counts), 0)


@pytest.mark.parametrize("fakes", [(40, 30, 20, 10), (43, 29, 10, 18), (0, 0, 100, 0), (52, 30, 9, 9)])
def test_ndb_is_the_two_proportions_test(fakes):
    real = (80, 60, 40, 20)
    different = 0
    for a, b in zip(real, fakes, strict=True):
        different += chi2_contingency([[a, 200 - a], [b, 100 - b]], correction=False).pvalue < 0.05
    assert ndb(atoms(real), atoms(fakes), bins=4).item() == different / 4


def test_bins_are_of_the_real_samples():
    real, fake = normal(400, 3, seed=0), 0.8 * normal(200, 3, seed=1)
    fitted = KMeans(10, n_init=1, random_state=0).fit(real.numpy())
    p, q = (np.bincount(fitted.predict(part.numpy()), minlength=10) for part in (real, fake))
    pairs = [[[a, 400 - a], [b, 200 - b]] for a, b in zip(p, q, strict=True)]
    pvalues = [chi2_contingency(pair, correction=False).pvalue for pair in pairs]
    assert ndb(real, fake, bins=10).item() == np.mean(np.array(pvalues) < 0.05)
    assert 0 < np.mean(np.array(pvalues) < 0.05) < 1


@pytest.mark.parametrize("d", [2, 16])
def test_equal_laws_differ_in_one_bin_of_twenty(d):
    shares = [ndb(normal(1000, d, seed=2 * s), normal(1000, d, seed=2 * s + 1), bins=20).item() for s in range(60)]
    # 1200 bins: a standard error of .0063; bins that are fitted to the real samples move it a little
    assert 0.02 < np.mean(shares) < 0.08


def test_ndb_sees_dropped_modes():
    ring = registry.get("problem", "ring8")()
    real, fake = ring.reference(2000), ring.oracle_samples(2000)
    kept = torch.cdist(fake.double(), ring.modes.centres).argmin(1) % 2 == 0
    assert ndb(real, fake, bins=40) < 0.2
    assert ndb(real, fake[kept], bins=40) > 0.9


def test_ndb_errors():
    real, fake = normal(300, 2, seed=0), normal(100, 2, seed=1)
    with pytest.raises(
        InputError, match="'bins' must be 2 to 20 with 300 samples in 'real' and 100 in 'fake', got 100"
    ):
        ndb(real, fake)
    with pytest.raises(InputError, match="'level' must be between 0 and 1"):
        ndb(real, fake, bins=10, level=0)


# ---- modes


@pytest.mark.parametrize("name", ["ring8", "ring8_imbalanced", "grid25"])
def test_different_modes_are_those_of_the_binomial_test(name):
    problem = registry.get("problem", name)()
    fakes = torch.stack([problem.sample(500, stream("diversity test", seed)) for seed in range(4)])
    # shrunk and shifted: samples change their nearest mode
    fakes *= torch.tensor([1, 0.9, 0.7, 1.1])[:, None, None]
    fakes[3] += 0.1
    got = statistically_different_modes(problem.modes, fakes)
    for run, fake in enumerate(fakes.double()):
        index = torch.cdist(fake, problem.modes.centres).argmin(1)
        counts = torch.bincount(index, minlength=len(problem.modes.weights))
        expected = 0
        for count, weight in zip(counts.tolist(), problem.modes.weights.tolist(), strict=True):
            tails = [binomtest(count, 500, weight, alternative=side).pvalue for side in ("less", "greater")]
            expected += 2 * min(tails) < 0.05
        assert got[run] == expected
    assert got.max() > got.min()


def test_few_modes_of_a_perfect_sampler_and_all_of_a_dropping_one_differ():
    ring = registry.get("problem", "ring8")()
    fakes = torch.stack([ring.sample(1000, stream("diversity test", seed)) for seed in range(200)])
    perfect = statistically_different_modes(ring.modes, fakes)
    # at most level K, and not much below, as the test is discrete
    assert 0.25 < perfect.mean().item() < 0.4 + 4 * math.sqrt(0.4 / 200)
    kept = torch.cdist(fakes[0].double(), ring.modes.centres).argmin(1) % 2 == 0
    assert statistically_different_modes(ring.modes, fakes[0][kept]) == 8


def test_tails_of_the_binomial_test_hold_the_count_itself():
    # six fair coins: all alike have the two-sided probability 2/64, five alike or more 14/64
    coin = Modes(torch.tensor([[-1.0], [1.0]], dtype=torch.float64), 0.1, torch.tensor([0.5, 0.5], dtype=torch.float64))
    sides = torch.tensor([[1.0, 1, 1, 1, 1, 1], [-1, 1, 1, 1, 1, 1], [-1, -1, -1, -1, -1, 1]])[..., None]
    assert statistically_different_modes(coin, sides).tolist() == [2, 0, 0]
    assert statistically_different_modes(coin, sides, level=0.03).tolist() == [0, 0, 0]


# ---- unique samples and radii


@pytest.mark.parametrize("block", [1, 77, 10**6])
@pytest.mark.parametrize("d", [1, 2, 16])
def test_copies_are_not_unique(d, block, monkeypatch):
    monkeypatch.setattr(pairwise, "BLOCK", block)
    real, fake = normal(100, d, seed=0), 10 * normal(20, d, seed=1)
    assert unique_share(real, fake, tolerance=1e-9) == 1
    assert unique_share(real, fake.repeat(5, 1), tolerance=1e-9) == 0.2
    assert unique_share(real, fake[:1].expand(50, d)) == pytest.approx(1 / 50)


def test_unique_share_of_a_choice_among_points():
    places = 10 * normal(30, 4, seed=0)
    chosen = torch.randint(30, (300, 40), generator=stream("diversity test", 1))
    got = unique_share(normal(100, 4, seed=2), places[chosen], tolerance=1e-6)
    expected = 30 * (1 - (1 - 1 / 30) ** 40) / 40
    assert abs(got.mean().item() - expected) < 4 * got.std().item() / math.sqrt(300)


def test_radius_ratio_is_scikit_learns():
    real, fake = normal(30, 6, seed=0) + 50, 2 * normal(2, 30, 6, seed=1) - 50
    radii = [NearestNeighbors(n_neighbors=4).fit(part).kneighbors(part)[0][:, 3].mean() for part in (real, *fake)]
    got = neighbour_radius_ratio(real, fake)
    assert got.numpy() == pytest.approx(np.array(radii[1:]) / radii[0], rel=1e-9)


@pytest.mark.parametrize("d", [1, 2, 64])
def test_radii_of_a_perfect_sampler_of_a_wide_and_of_a_collapsed_one(d):
    real, fake = normal(2000, d, seed=0), normal(700, d, seed=1)
    assert neighbour_radius_ratio(real, fake).item() == pytest.approx(1, abs=0.1)
    assert neighbour_radius_ratio(real, 3 * fake).item() == pytest.approx(3, abs=0.3)
    assert neighbour_radius_ratio(real, torch.zeros(700, d)) == 0


def test_collapse_onto_the_mean_in_high_dimension_is_seen():
    # precision and coverage are 1 here
    real, fake = normal(1000, 64, seed=0), torch.zeros(1000, 64)
    assert unique_share(real, fake) == 0.001
    assert unique_share(real, normal(1000, 64, seed=1)) == 1


def test_radius_errors():
    real, fake = normal(30, 2, seed=0), normal(3, 2, seed=1)
    with pytest.raises(InputError, match=r"'fake' has 3 samples.* 4"):
        neighbour_radius_ratio(real, fake)
    with pytest.raises(InputError, match="'k' must be a whole number"):
        neighbour_radius_ratio(real, fake, k=0)
