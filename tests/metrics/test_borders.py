"""Each number that a metric takes: at its last value on either side, and just beyond. So too the number of samples."""

import inspect
import math
from functools import partial

import pytest
import torch

from ganbench import metrics as m
from ganbench.errors import InputError
from ganbench.problems.base import Modes, stream

pytestmark = pytest.mark.usefixtures("own_generators")


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=stream("borders", seed), dtype=torch.float64)


FEW, MANY, HELD = normal(12, 2), normal(20, 2, seed=1), normal(15, 2, seed=2)
MODES = Modes(torch.eye(2, dtype=torch.float64), 0.5, torch.tensor([0.4, 0.6], dtype=torch.float64))
POSITIVE = ([1e-9, 1.0, 1e9], [0, -1.0, math.inf, math.nan, 1e-200, 1e200])
# samples that are ones to thousands of bandwidths apart
WIDTHS = ([0.2, 1.0, 1e9], [0, -1.0, math.inf, math.nan, 1e-9, 1e-200, 1e200])
SHARE = ([1e-9, 0.5, 1 - 1e-9], [0, 1, -0.1, 1.1, math.nan])
# a metric, the argument, values that are taken, values that are not
BORDERS = [
    (partial(m.birthday_support, FEW, MANY), "tolerance", *POSITIVE),
    (partial(m.unique_share, FEW, MANY), "tolerance", *POSITIVE),
    (partial(m.gaussian_mmd, FEW, MANY), "bandwidth", *WIDTHS),
    (partial(m.kernel_distance, FEW, MANY, kernel="gaussian"), "bandwidth", *WIDTHS),
    (partial(m.kernel_distance, FEW, MANY), "kernel", ["cubic", "gaussian"], ["linear", "", None]),
    (partial(m.kernel_distance, FEW, MANY, subset_size=5), "subsets", [1, 3, None], [0, -1, 1.5, True]),
    (partial(m.kernel_distance, FEW, MANY, subsets=2), "subset_size", [2, 12], [1, 0, 13, 2.5]),
    (partial(m.kernel_distance, MANY, FEW, subsets=2), "subset_size", [2, 12], [1, 13, 20]),
    (partial(m.frechet_infinity, FEW, MANY), "points", [2, 15], [1, 0, 2.5]),
    (partial(m.frechet_infinity, FEW, MANY), "smallest", [2, 19, None], [1, 20, 21, 2.5]),
    (partial(m.frechet_floor, torch.eye(2), m=5), "n", [2, 3], [1, 0, 2.5]),
    (partial(m.frechet_floor, torch.eye(2), n=5), "m", [2, 3], [1, 0, 2.5]),
    (partial(m.ndb, FEW, MANY), "bins", [2], [1, 3, 0]),
    (partial(m.ndb, MANY, normal(50, 2)), "bins", [2, 4], [1, 5]),
    (partial(m.ndb, normal(50, 2), MANY), "bins", [2, 4], [1, 5]),
    (partial(m.ndb, FEW, MANY, bins=2), "level", *SHARE),
    (partial(m.statistically_different_modes, MODES, MANY), "level", *SHARE),
    (partial(m.vendi_score, MANY), "bandwidth", *POSITIVE),
    (partial(m.neighbour_radius_ratio, FEW, MANY), "k", [1, 11], [0, 12, 1.5, True]),
    (partial(m.neighbour_radius_ratio, MANY, FEW), "k", [1, 11], [0, 12]),
    (partial(m.precision_recall, FEW, MANY), "k", [1, 11], [0, 12, 1.5]),
    (partial(m.precision_recall, MANY, FEW), "k", [1, 11], [0, 12]),
    (partial(m.density_coverage, FEW, MANY), "k", [1, 11], [0, 12, 1.5]),
    (partial(m.prdc, FEW, MANY, density_k=1), "k", [1, 11], [0, 12, 1.5]),
    (partial(m.prdc, FEW, MANY, k=1), "density_k", [1, 11], [0, 12, 1.5]),
    (partial(m.prd_scores, FEW, MANY, repeats=1), "clusters", [2, 32], [1, 33, 2.5]),
    (partial(m.prd_scores, FEW, MANY, clusters=3), "repeats", [1, 2], [0, 1.5]),
    (partial(m.prd_curve, FEW, MANY, clusters=3, angles=9), "repeats", [1, 2], [0, 1.5]),
    (partial(m.prd_curve, FEW, MANY, clusters=3, repeats=1), "angles", [3, 9], [2, 0, 3.5]),
    (partial(m.sliced_wasserstein, FEW, MANY), "projections", [1, 33], [0, 1.5]),
    (partial(m.c_t_score, FEW, MANY, held_out=HELD), "cells", [1], [0, 13, 1.5]),
    (partial(m.feature_likelihood_divergence, FEW, MANY, held_out=HELD), "steps", [1, 5], [0, -1, 1.5]),
    (partial(m.inception_score, torch.full((7, 2), 0.5)), "splits", [1, 7], [0, 8, 1.5]),
    (partial(m.kl_floor, 3), "n", [1, 2], [0, 1.5]),
    (partial(m.kl_floor, n=2), "weights", [1, 2, [0.5, 0.5], [1e-9]], [0, [0.0], [-1.0], [math.inf], [[1.0]], []]),
]
NAMES = [f"{metric.func.__name__}-{name}" for metric, name, *_ in BORDERS]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("metric", "name", "taken", "refused"), BORDERS, ids=NAMES)
def test_numbers_are_taken_to_their_borders(metric, name, taken, refused):
    for value in taken:
        metric(**{name: value})
    for value in refused:
        with pytest.raises(InputError):
            metric(**{name: value})


# how many samples of each a metric needs at the least: real, fake
LEAST = {
    m.authenticity: (2, 1), m.birthday_support: (2, 2), m.unique_share: (2, 2), m.frechet_distance: (2, 2),
    m.frechet_infinity: (4, 4), m.kernel_distance: (2, 2), m.gaussian_mmd: (2, 2), m.precision_recall: (4, 4),
    m.density_coverage: (6, 6), m.prdc: (6, 6), m.sliced_wasserstein: (1, 1), m.neighbour_radius_ratio: (4, 4),
}  # fmt: skip


@pytest.mark.parametrize("metric", LEAST, ids=lambda metric: metric.__name__)
def test_a_metric_says_how_many_samples_it_needs(metric):
    real, fake = LEAST[metric]
    more = {"tolerance": 0.1} if "tolerance" in inspect.signature(metric).parameters else {}
    metric(MANY[:real], FEW[:fake], **more)
    for few in ((max(real - 1, 0), fake), (real, fake - 1)):
        with pytest.raises(InputError):
            metric(MANY[: few[0]], FEW[: few[1]], **more)


@pytest.mark.parametrize(
    "metric", [m.negative_log_likelihood, m.critic_divergence, m.critic_points], ids=lambda f: f.__name__
)
def test_what_takes_modes_needs_few_samples(metric):
    least = 2 if metric is m.critic_divergence else 1
    metric(MODES, FEW[:least])
    with pytest.raises(InputError):
        metric(MODES, FEW[: least - 1])
    with pytest.raises(InputError, match="'fake' has dimension 3 and 'modes' 2"):
        metric(MODES, normal(5, 3))
    with pytest.raises(InputError, match=r"'modes' must be a problem's Modes \(centres, std and weights\), got int\."):
        metric(3, FEW)


def test_the_samples_that_are_held_out_suffice():
    for held, real, fits in ((2, 4, True), (1, 4, False), (2, 3, False)):
        if fits:
            m.feature_likelihood_divergence(MANY[:real], FEW, held_out=HELD[:held])
        else:
            with pytest.raises(InputError):
                m.feature_likelihood_divergence(MANY[:real], FEW, held_out=HELD[:held])
    m.c_t_score(MANY[:1], FEW[:1], held_out=HELD[:1])
    for odd in (HELD[:, :1], HELD[None], HELD[:0]):
        with pytest.raises(InputError, match="'held_out'"):
            m.c_t_score(MANY, FEW, held_out=odd)
