"""Precision and recall for distributions: closed forms on atoms, the published algorithm, scenarios."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganbench import registry
from ganbench.errors import InputError
from ganbench.metrics.prd import prd_curve, prd_scores
from ganbench.problems.base import stream

pytestmark = pytest.mark.usefixtures("own_generators")


def atoms(counts):
    """Return samples [sum counts, 2] on points so far apart that clusters are the atoms."""
    place = torch.arange(len(counts), dtype=torch.float64)
    return torch.stack([100 * place, 37 * place**2], 1).repeat_interleave(torch.tensor(counts), 0)


def normal(*shape, seed):
    return torch.randn(*shape, generator=stream("prd test", seed), dtype=torch.float64)


# half of four equal atoms: the best point of the curve is precision 1, recall 1/2; F_b = (1 + b^2) pr / (b^2 p + r)
HALF = ((65 * 0.5) / (64 + 0.5), ((1 + 1 / 64) * 0.5) / (1 / 64 + 0.5))


def test_half_of_the_modes_is_low_recall():
    scores = prd_scores(atoms([5, 5, 5, 5]), atoms([10, 10, 0, 0]), clusters=4)
    assert (scores.f8.item(), scores.f1_8.item()) == pytest.approx(HALF, rel=1e-12)
    assert scores.f8 < 0.51 < 0.98 < scores.f1_8


def test_invented_modes_are_low_precision():
    scores = prd_scores(atoms([10, 10, 0, 0]), atoms([5, 5, 5, 5]), clusters=4)
    assert (scores.f1_8.item(), scores.f8.item()) == pytest.approx(HALF, rel=1e-12)


def test_a_set_with_itself_is_perfect_and_disjoint_ones_score_nothing():
    real = normal(200, 3, seed=0)
    assert tuple(prd_scores(real, real)) == (1, 1)
    assert tuple(prd_scores(real, real + 1000)) == (0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=5, max_size=5).filter(
        lambda pairs: all(map(sum, pairs)) and sum(p > 0 for p, _ in pairs) > 1 and any(q for _, q in pairs)
    )
)
@settings(max_examples=25, deadline=None)
def test_curve_and_scores_are_the_published_algorithm(pairs):
    counts = np.array(pairs, dtype=float).T
    p, q = counts / counts.sum(1, keepdims=True)
    real, fake = (atoms([int(count) for count in row]) for row in counts)
    curve = prd_curve(real, fake, clusters=5, angles=101, repeats=2)
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 101))
    expected = [sum(min(slope * p[i], q[i]) for i in range(5)) for slope in slopes]
    assert curve.precision.numpy() == pytest.approx(expected, abs=1e-12)
    assert curve.recall.numpy() == pytest.approx(np.array(expected) / slopes, abs=1e-9)

    fine = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 50_001))[:, None]
    precision = np.minimum(fine * p, q).sum(1)
    recall = precision / fine[:, 0]
    for beta, score in ((8, "f8"), (1 / 8, "f1_8")):
        best = ((1 + beta**2) * precision * recall / (beta**2 * precision + recall + 1e-300)).max()
        got = getattr(prd_scores(real, fake, clusters=5, repeats=2), score).item()
        assert best - 1e-12 <= got == pytest.approx(best, abs=1e-3)


def test_ends_of_the_curve_are_the_shares_of_common_support():
    # of the real mass .75 lies where fakes are, of the fake mass .5 where real samples are
    curve = prd_curve(atoms([4, 8, 4, 0]), atoms([4, 4, 0, 8]), clusters=4)
    assert curve.recall[0].item() == pytest.approx(0.75, abs=1e-6)
    assert curve.precision[-1].item() == pytest.approx(0.5, abs=1e-6)
    assert [curve.precision[0].item(), curve.recall[-1].item()] == pytest.approx([0, 0], abs=1e-6)


def test_real_and_fakes_weigh_the_same_however_many():
    # 4000 real samples in two blobs far from each other and 40 fakes in one: in an unweighted clustering of two, the
    # blob of fakes far from both would still be joined to the nearer real one
    real = torch.cat([normal(2000, 2, seed=0), normal(2000, 2, seed=1) + 8])
    fake = normal(40, 2, seed=2) - 12
    assert prd_scores(real, fake, clusters=2, repeats=5).f8 == 0


def test_mean_over_clusterings_is_of_the_curves():
    real, fake = normal(300, 2, seed=0), 0.6 * normal(300, 2, seed=1)
    curve, scores = prd_curve(real, fake, angles=20_001, repeats=3), prd_scores(real, fake, repeats=3)
    p, r = curve.precision, curve.recall
    assert scores.f8.item() == pytest.approx((65 * p * r / (64 * p + r)).max().item(), abs=1e-3)
    assert scores.f1_8.item() == pytest.approx((65 * p * r / (p + 64 * r)).max().item(), abs=1e-3)
    assert not torch.equal(curve.precision, prd_curve(real, fake, angles=20_001, repeats=1).precision)


def test_ring():
    ring = registry.get("problem", "ring8")()
    real, fake = ring.reference(2000), ring.oracle_samples(2000)
    kept = torch.cdist(fake.double(), ring.modes.centres).argmin(1) % 2 == 0
    perfect, dropped = prd_scores(real, fake), prd_scores(real, fake[kept])
    assert min(perfect) > 0.97
    assert dropped.f8.item() == pytest.approx(HALF[0], abs=0.02)
    assert dropped.f1_8.item() > 0.95


def test_a_collapsed_generator_has_precision_and_no_recall():
    # all fakes in one cluster with a share p of the real samples: precision 1 at recall p
    real = normal(500, 2, seed=0)
    scores = prd_scores(real, real[:1].expand(500, 2), repeats=1)
    p = 64 * scores.f8.item() / (65 - scores.f8.item())
    assert 1 / 500 <= p < 0.15
    assert scores.f1_8.item() == pytest.approx(65 * p / (64 * p + 1), rel=1e-12)
    assert scores.f1_8 > 10 * scores.f8


@pytest.mark.parametrize("function", [prd_curve, prd_scores])
@pytest.mark.parametrize(
    ("hypers", "argument"), [({"clusters": 1}, "clusters"), ({"clusters": 99}, "clusters"), ({"repeats": 0}, "repeats")]
)
def test_unusable_settings_are_named(function, hypers, argument):
    with pytest.raises(InputError, match=f"'{argument}'"):
        function(normal(40, 2, seed=0), normal(40, 2, seed=1), **hypers)
