"""Numbers far from 1: a distance is what exact arithmetic says, or the library's own error, never 0 or NaN instead."""

import itertools
import re
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist, pdist

from ganbench import metrics as m
from ganbench.errors import InputError
from ganbench.problems.base import stream

FAR = [-149, -100, -45, 45, 100, 149]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream("scales", seed), dtype=torch.float64)


def gaussian(d, seed):
    factor = normal(d, d + 2, seed=seed)
    return normal(d, seed=seed + 100), factor @ factor.T / d


@pytest.mark.parametrize("d", [1, 2, 3, 16])
@pytest.mark.parametrize("exponent", [-480, -150, -110, 116, 150, 240])
def test_moments_far_from_one(d, exponent):
    """Of samples times 2^k the moments are times 2^k and 4^k, and so is the distance: no digit changes."""
    sides = [gaussian(d, 0), gaussian(d, 1)]
    ordinary = m.frechet_from_moments(*sides[0], *sides[1]).item()
    by = 2.0**exponent
    far = [(mean * by, covariance * by * by) for mean, covariance in sides]
    assert m.frechet_from_moments(*far[0], *far[1]).item() / by / by == pytest.approx(ordinary, rel=1e-9)


def test_moments_of_many_runs_each_at_its_scale():
    mean, covariance = gaussian(4, 0)
    scales = torch.tensor([1.0, 1e45, 1e-45, 1e60], dtype=torch.float64)
    fakes = mean * scales[:, None], covariance * scales[:, None, None] ** 2
    found = m.frechet_from_moments(mean, covariance, *fakes)
    for run, (fake_mean, fake_covariance) in enumerate(zip(*fakes, strict=True)):
        alone = m.frechet_from_moments(mean, covariance, fake_mean, fake_covariance)
        assert found[run].item() == pytest.approx(alone.item(), rel=1e-12)
    # beside what is so much larger the real side is a point, beside what is so much smaller it is all there is
    size = (mean.square().sum() + covariance.trace()).item()
    assert found.tolist() == pytest.approx([0, size * 1e90, size, size * 1e120], rel=1e-9, abs=1e-9)


def test_moments_beyond_what_can_be_squared_are_refused():
    mean, covariance = gaussian(2, 0)
    with pytest.raises(InputError, match="holds numbers beyond 1e\\+150"):
        m.frechet_from_moments(mean, covariance * 1e200, mean, covariance)
    # a difference of 1e-170 has no square in float64
    nothing = torch.zeros(2, 2, dtype=torch.float64)
    with pytest.raises(InputError, match="The distance of 'real' and 'fake' is too small for float64"):
        m.frechet_from_moments(torch.zeros(2), nothing, torch.full((2,), 1e-170, dtype=torch.float64), nothing)
    assert m.frechet_from_moments(torch.zeros(2), nothing, torch.zeros(2), nothing) == 0


@pytest.mark.parametrize("scale", [1e-250, 1e-45, 1.0, 1e45])
def test_the_floor_is_in_the_units_of_the_covariance(scale):
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    expected = m.frechet_floor(covariance, 50, 70).item()
    assert m.frechet_floor(covariance * scale, 50, 70).item() / scale == pytest.approx(expected, rel=1e-12)
    assert m.frechet_floor(0 * covariance, 50, 70) == 0


# ---- the kernel distance


def exactly(real, fake):
    """The unbiased distance with the cubic kernel in rational numbers."""
    real, fake = ([[Fraction(x) for x in row] for row in side.tolist()] for side in (real, fake))

    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    within = [
        sum(kernel(x, y) for x, y in itertools.permutations(side, 2)) / (len(side) * (len(side) - 1))
        for side in (real, fake)
    ]
    across = sum(kernel(x, y) for x in real for y in fake) / (len(real) * len(fake))
    return float(sum(within) - 2 * across)


# 5 + 6 samples: moments at d = 2, pairs at d = 9
@pytest.mark.parametrize("d", [2, 9])
@pytest.mark.parametrize("scale", [1e-149, 1e-45, 1e-9, 1.0, 1e9, 1e45])
def test_the_cubic_kernel_is_exact_at_any_scale(d, scale):
    real, fake = normal(5, d) * scale, (normal(6, d, seed=1) + 2) * scale
    expected = exactly(real, fake)
    assert expected != 0
    assert m.kernel_distance(real, fake).item() == pytest.approx(expected, rel=1e-9)
    found = m.kid(real, fake, subsets=20, subset_size=5)
    assert found.kernel_distance.item() == pytest.approx(expected, rel=1e-9)
    assert 0 < found.kid_std.item() < float("inf")


@pytest.mark.parametrize("d", [2, 9])
def test_two_data_sets_at_1e45_are_not_the_same(d):
    real, fake = normal(200, d) * 1e45, (normal(150, d, seed=1) + 1) * 1e45
    for score in (m.kernel_distance(real, fake), m.frechet_distance(real, fake)):
        assert 1e80 < score.item() < float("inf")
    with pytest.raises(InputError, match="The cubic kernel of numbers beyond 1e\\+49 is infinite"):
        m.kid(real * 1e10, fake * 1e10, subset_size=50)


@pytest.mark.parametrize("scale", [10.0**exponent for exponent in FAR])
def test_a_given_bandwidth_beside_other_distances(scale):
    """Much wider than all distances, the kernel sees their squares: the distance of means, over the width's square."""
    real, fake = normal(60, 3) * scale, (normal(50, 3, seed=1) + 1) * scale
    ordinary = m.gaussian_mmd(real / scale, fake / scale, bandwidth=1.0).item()
    assert m.gaussian_mmd(real, fake, bandwidth=scale).item() == pytest.approx(ordinary, rel=1e-9)
    width = min(scale * 1e9, 1e149)
    if width > 1e3 * scale:
        x, y = real.numpy() / width, fake.numpy() / width
        expected = (
            cdist(x, y, "sqeuclidean").mean() - (pdist(x, "sqeuclidean").mean() + pdist(y, "sqeuclidean").mean()) / 2
        )
        assert m.gaussian_mmd(real, fake, bandwidth=width).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "bandwidth"), [(1e45, 1.0), (1.0, 1e-9), (1e-100, 1e100)])
def test_a_bandwidth_that_tells_nothing_is_refused(scale, bandwidth):
    with pytest.raises(
        InputError, match=re.escape(f"'bandwidth' is {bandwidth:g}, by which no two real samples are nearer")
    ):
        m.gaussian_mmd(normal(30, 2) * scale, normal(30, 2, seed=1) * scale, bandwidth=bandwidth)


# ---- all metrics


METRICS = {
    "precision and others": lambda real, fake: torch.stack(list(m.prdc(real, fake))),
    "authenticity": m.authenticity, "unique": m.unique_share, "radius ratio": m.neighbour_radius_ratio,
    "gaussian": m.gaussian_mmd, "vendi": lambda real, fake: m.vendi_score(fake), "cmmd": m.cmmd,
    "cosine": lambda real, fake: m.mifid(real, fake).cosine_distance,
    "support": lambda real, fake: torch.stack(list(m.birthday_support(real, fake, tolerance=float(real.abs().max())))),
}  # fmt: skip


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@settings(max_examples=15, deadline=None)
@given(d=st.sampled_from([2, 5]), exponent=st.integers(-495, 495))
def test_the_unit_of_the_features_does_not_matter(metric, d, exponent):
    real, fake = normal(40, d), normal(30, d, seed=1) * 1.2 + 0.3
    ordinary = metric(real, fake)
    torch.testing.assert_close(metric(real * 2.0**exponent, fake * 2.0**exponent), ordinary, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_power_of_two_is_a_place_where_squares_are_lost(metric):
    """Squares of numbers about 2^-75 vanish in float32, in which the candidates are looked for."""
    real, fake = normal(40, 5), normal(30, 5, seed=1) * 1.2 + 0.3
    ordinary = metric(real, fake)
    for exponent in range(-82, -50):
        torch.testing.assert_close(metric(real * 2.0**exponent, fake * 2.0**exponent), ordinary, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_real_samples_whose_squares_vanish_are_refused(metric):
    if metric is METRICS["vendi"]:
        return
    with pytest.raises(InputError, match="'real' holds no number above 1e-150, and their squares vanish"):
        metric(normal(40, 2) * 1e-170, normal(30, 2, seed=1) * 1e-170)


def test_single_precision_at_its_ends():
    for scale in (1e-44, 1e-38, 1e37):
        real, fake = (normal(200, 3) * scale).float(), (normal(150, 3, seed=1) * scale).float()
        same = real.double(), fake.double()
        assert m.frechet_distance(real, fake).item() == pytest.approx(m.frechet_distance(*same).item(), rel=1e-9)
        assert m.kernel_distance(real, fake).item() == pytest.approx(m.kernel_distance(*same).item(), rel=1e-9)
        np.testing.assert_allclose(torch.stack(list(m.prdc(real, fake))), torch.stack(list(m.prdc(*same))), atol=1e-12)
