"""Scores of fixed samples: whatever is drawn has a fixed seed, so that studies of different years can be compared."""

from functools import partial

import pytest
import torch

from ganbench import metrics as m
from ganbench.metrics.diversity import _some
from ganbench.metrics.transport import directions
from ganbench.problems.base import Modes

pytestmark = pytest.mark.usefixtures("own_generators")


def wave(n, d, start):
    """Samples that no generator has to draw."""
    return torch.sin(1.7 * torch.arange(n * d, dtype=torch.float64) ** 1.3 + start).reshape(n, d)


REAL, FAKE, HELD = wave(60, 2, 0.0), 0.8 * wave(45, 2, 1.0) + 0.1, wave(30, 2, 2.0)
FLAT = torch.cat([REAL[:, :1], 0.1 * REAL[:, 1:]], 1)
WIDE, WIDE_FAKE = wave(60, 6, 0.0), 0.8 * wave(45, 6, 1.0) + 0.1
MODES = Modes(0.5 * torch.eye(2, dtype=torch.float64), 0.5, torch.tensor([0.3, 0.7], dtype=torch.float64))
SCORES = {
    "feature likelihood": (partial(m.feature_likelihood_divergence, REAL, FAKE, held_out=HELD), -9.3651103),
    "feature likelihood of few": (partial(m.feature_likelihood_divergence, REAL, FAKE[:10], held_out=HELD), -7.0309059),
    "feature likelihood of a line": (
        partial(m.feature_likelihood_divergence, FLAT, FAKE, held_out=torch.cat([HELD[:, :1], 0 * HELD[:, :1]], 1)),
        87.116686,
    ),
    "data copying": (partial(m.c_t_score, REAL, FAKE, held_out=HELD), -0.68132997),
    "radius ratio": (partial(m.neighbour_radius_ratio, REAL, FAKE), 0.72254686),
    "radius ratio of many fakes": (partial(m.neighbour_radius_ratio, HELD, FAKE), 0.75105347),
    "unique": (partial(m.unique_share, REAL, FAKE, tolerance=0.05), 0.88888889),
    "likelihood": (partial(m.negative_log_likelihood, MODES, FAKE), 2.0758792),
    "critic": (partial(m.critic_divergence, MODES, FAKE), 0.076932306),
    "critic's gap": (partial(m.critic_gap, MODES, FAKE, torch.zeros(90)), 0.16249284),
    "infinitely many": (partial(m.frechet_infinity, REAL, FAKE), 0.016224455),
    "from 20 on": (partial(m.frechet_infinity, WIDE, WIDE_FAKE, smallest=20, points=4), 0.4227605),
    "subsets": (partial(m.kernel_distance, WIDE, WIDE_FAKE, subsets=3, subset_size=9), 0.10355315),
    "other subsets": (partial(m.kernel_distance, WIDE, WIDE_FAKE, subsets=3, subset_size=9, seed=1), 0.30798443),
    "gaussian": (partial(m.gaussian_mmd, WIDE, WIDE_FAKE), 0.012489643),
    "sliced": (partial(m.sliced_wasserstein, WIDE, WIDE_FAKE), 0.17155899),
    "few slices": (partial(m.sliced_wasserstein, REAL, FAKE, projections=3), 0.16412192),
    "vendi": (partial(m.vendi_score, FAKE, bandwidth=0.5), 7.5982816),
    "cosine": (partial(m.vendi_score, WIDE_FAKE), 5.7634321),
    "frechet": (partial(m.frechet_distance, WIDE, WIDE_FAKE), 0.34862364),
    "cubic": (partial(m.kernel_distance, REAL, FAKE), 0.019254331),
    "floor": (partial(m.frechet_floor, torch.tensor([[2.0, 0.5], [0.5, 1.0]]), 50, 70), 0.17428571),
}


@pytest.mark.parametrize("what", SCORES)
def test_a_score_is_what_it_always_was(what):
    metric, score = SCORES[what]
    assert metric().item() == pytest.approx(score, rel=1e-5, abs=1e-9)


def test_what_is_drawn_is_what_it_always_was():
    assert directions(3, 2)[0].tolist() == pytest.approx([0.9200177, 0.6647198], rel=1e-5)
    assert _some(torch.arange(20.0)[:, None], 5).flatten().tolist() == [2, 13, 15, 4, 18]
    assert m.critic_points(MODES, FAKE[:2])[:2].flatten().tolist() == pytest.approx(
        [-0.1178337, -0.1105466, 0.5940064, 0.7115498], rel=1e-5
    )
