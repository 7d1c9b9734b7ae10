"""Metrics of generated samples: pure functions of `real` [n, d] and `fake` [..., m, d], batched over leading axes."""

from ganbench.metrics.classes import histogram_divergences, inception_score, kl_floor
from ganbench.metrics.density import (
    critic_divergence,
    critic_gap,
    critic_points,
    log_density,
    negative_log_likelihood,
    optimal_critic,
)
from ganbench.metrics.diversity import (
    ndb,
    neighbour_radius_ratio,
    statistically_different_modes,
    unique_share,
    vendi_score,
)
from ganbench.metrics.gaussian import (
    class_frechet,
    frechet_distance,
    frechet_floor,
    frechet_from_moments,
    frechet_infinity,
    spatial_frechet,
)
from ganbench.metrics.kernels import cmmd, gaussian_mmd, kernel_distance, kid
from ganbench.metrics.memorization import (
    authenticity,
    birthday_support,
    c_t_score,
    expected_authenticity,
    feature_likelihood_divergence,
    mifid,
)
from ganbench.metrics.neighbours import density_coverage, expected_coverage, prdc, precision_recall
from ganbench.metrics.prd import prd_curve, prd_scores
from ganbench.metrics.reference import Reference
from ganbench.metrics.transport import sliced_wasserstein, wasserstein_1d

__all__ = [
    "Reference",
    "authenticity",
    "birthday_support",
    "c_t_score",
    "class_frechet",
    "cmmd",
    "critic_divergence",
    "critic_gap",
    "critic_points",
    "density_coverage",
    "expected_authenticity",
    "expected_coverage",
    "feature_likelihood_divergence",
    "frechet_distance",
    "frechet_floor",
    "frechet_from_moments",
    "frechet_infinity",
    "gaussian_mmd",
    "histogram_divergences",
    "inception_score",
    "kernel_distance",
    "kid",
    "kl_floor",
    "log_density",
    "mifid",
    "ndb",
    "negative_log_likelihood",
    "neighbour_radius_ratio",
    "optimal_critic",
    "prd_curve",
    "prd_scores",
    "prdc",
    "precision_recall",
    "sliced_wasserstein",
    "spatial_frechet",
    "statistically_different_modes",
    "unique_share",
    "vendi_score",
    "wasserstein_1d",
]
