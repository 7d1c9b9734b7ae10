"""Metrics where the true density is known: likelihood of the fakes, the optimal critic, and how far a trained one is.

The truth is a `Modes`: a mixture of isotropic Gaussians of one std. The fakes' density q is a Gaussian kernel estimate.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ganbench.errors import InputError
from ganbench.metrics.distances import squared_distances
from ganbench.metrics.inputs import Samples, measured, numbers, samples
from ganbench.metrics.pairwise import blocks, runs_of
from ganbench.problems.base import Modes, stream
from ganbench.registry import Measure, share


def log_density(modes: Modes, x: Samples) -> Tensor:
    """Return the log density of the mixture at x [..., n, d] in nats, [..., n], float64.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> log_density(normal, np.zeros((1, 1))).round(decimals=4).tolist()
    [-0.9189]
    """
    x = mode_samples(modes, x, "x")
    flat, centres = runs_of(x), modes.centres.to(x.device)
    result = flat.new_empty(flat.shape[:2])
    for run, row in blocks(len(flat), flat.shape[1], len(centres)):
        apart = squared_distances(flat[run, row], centres)
        result[run, row] = torch.logsumexp(modes.weights.to(x.device).log() - apart / (2 * modes.std**2), -1)
    return result.reshape(x.shape[:-1]) - _log_normaliser(modes.std, x.shape[-1])


@measured(negative_log_likelihood=Measure("mean negative log density of fakes under the truth", "down", unit="nats"))
def negative_log_likelihood(modes: Modes, fake: Samples) -> Tensor:
    """Mean of -log p(x) over fakes [..., m, d] under the true density p, in nats, [...].

    A perfect sampler scores the entropy of the truth. It sees samples off the modes and no dropped one: fakes on one
    mode's centre score lower than a perfect sampler, so that a value below the entropy is no merit.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> round(float(negative_log_likelihood(normal, np.zeros((5, 1)))), 4)
    0.9189
    """
    return -log_density(modes, mode_samples(modes, fake, "fake")).mean(-1)


def critic_points(modes: Modes, fake: Samples) -> Tensor:
    """Return points [..., 2 m, d] of the equal mixture of truth and fakes: m fixed draws of the truth, then fakes.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> critic_points(normal, np.zeros((3, 1))).shape
    torch.Size([6, 1])
    """
    fake = mode_samples(modes, fake, "fake")
    generator = stream("critic", 0)
    mode = torch.multinomial(modes.weights.cpu(), fake.shape[-2], replacement=True, generator=generator)
    noise = torch.randn(fake.shape[-2:], dtype=torch.float64, generator=generator)
    drawn = (modes.centres.cpu()[mode] + modes.std * noise).to(fake)
    return torch.cat([drawn.expand_as(fake), fake], dim=-2)


def optimal_critic(modes: Modes, fake: Samples, at: Samples | None = None) -> Tensor:
    """Return the logit log p - log q of the optimal critic D* = p / (p + q) (Goodfellow et al. 2014, prop. 1).

    fake [..., m, d] estimate q by Gaussian kernels; at [..., n, d], by default `critic_points`, where each fake is left
    out of its own estimate; the result is [..., n], float64. Bandwidth: Silverman's rule for one true mode,
    std (4 / ((d + 2) m'))^(1 / (d + 4)) with m' = m sum w^2, the fakes that a sample's mode expects. The estimate is
    wider than the fakes by that bandwidth: use it for a handful of dimensions.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> bool(optimal_critic(normal, np.full((4, 1), 10.0)).max() > 10)
    True
    """
    fake = mode_samples(modes, fake, "fake", least=2)
    if at is None:
        return _log_ratio(modes, fake)
    at = mode_samples(modes, at, "at")
    at = at.expand(*fake.shape[:-2], *at.shape[-2:]) if at.dim() == 2 else at
    if at.shape[:-2] != fake.shape[:-2]:
        raise InputError(
            f"'at' has the leading axes {list(at.shape[:-2])} and 'fake' {list(fake.shape[:-2])}: pass points [n, d] "
            "for all runs, or as many sets as there are runs."
        )
    return log_density(modes, at) - _log_kernel_density(modes, fake, at)


def _log_ratio(modes: Modes, fake: Tensor) -> Tensor:
    """Return log p - log q at `critic_points`."""
    points = critic_points(modes, fake)
    drawn = points[..., : fake.shape[-2], :]
    q = [_log_kernel_density(modes, fake, drawn), _log_kernel_density(modes, fake, fake, own=True)]
    return log_density(modes, points) - torch.cat(q, dim=-1)


@measured(
    critic_divergence=Measure("Jensen-Shannon divergence by the best critic", "down", (0.0, math.log(2)), "nats", 0.0)
)
def critic_divergence(modes: Modes, fake: Samples) -> Tensor:
    """Jensen-Shannon divergence of truth and fakes [..., m, d] by the optimal critic, in nats, [...], 0 to log 2.

    log 2 + (mean_p log D* + mean_q log(1 - D*)) / 2 over `critic_points` (Goodfellow et al. 2014, theorem 1). As q is
    an estimate, its expectation is a lower bound of the divergence.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> round(float(critic_divergence(normal, np.full((4, 1), 100.0))), 4)
    0.6931
    """
    fake = mode_samples(modes, fake, "fake", least=2)
    logits = _log_ratio(modes, fake)
    truth, faked = logits.split(fake.shape[-2], dim=-1)
    bound = math.log(2) + (logsigmoid(truth).mean(-1) + logsigmoid(-faked).mean(-1)) / 2
    return bound.clamp(min=0)


@measured(critic_gap=share("mean distance of the critic from the optimal one", "down", perfect=0.0))
def critic_gap(modes: Modes, fake: Samples, logits: Samples) -> Tensor:
    """Mean |sigmoid(logit) - D*| of a trained critic, [...], 0 to 1.

    fake [..., m, d]; logits [..., 2 m] (or [..., 2 m, 1]) of the critic at `critic_points(modes, fake)`. Only critics
    whose loss has p / (p + q) as its optimum (minimax, non-saturating) come near 0; one that says 1/2 everywhere
    scores mean |D* - 1/2|. Raises InputError for logits that do not belong to the fakes.

    >>> normal = Modes(torch.zeros(1, 1), 1.0, torch.ones(1))
    >>> round(float(critic_gap(normal, np.full((4, 1), 100.0), torch.zeros(8))), 4)
    0.5
    """
    fake = mode_samples(modes, fake, "fake", least=2)
    logits = numbers(logits)
    expected = (*fake.shape[:-2], 2 * fake.shape[-2])
    if logits.shape not in (expected, (*expected, 1)):
        raise InputError(
            f"'logits' must be the critic's at critic_points(modes, fake), {list(expected)}, got the shape "
            f"{list(logits.shape)}."
        )
    if not bool(logits.isfinite().all()):
        raise InputError("'logits' holds NaN or infinity: a critic that diverged has no score; leave its run out.")
    trained = logits.reshape(expected).to(fake.device).double().sigmoid()
    return (trained - _log_ratio(modes, fake).sigmoid()).abs().mean(-1)


def mode_samples(modes: Modes, value: object, name: str, *, least: int = 1) -> Tensor:
    """Return samples [..., n, d] in the coordinates of the modes; InputError otherwise."""
    if not isinstance(modes, Modes):
        raise InputError(f"'modes' must be a problem's Modes (centres, std and weights), got {type(modes).__name__}.")
    if modes.basis is not None:
        raise InputError("'modes' must have one std in all directions, and those of the problem have another in some.")
    points = samples(value, name, least=least)
    if points.shape[-1] != modes.centres.shape[1]:
        raise InputError(
            f"'{name}' has dimension {points.shape[-1]} and 'modes' {modes.centres.shape[1]}: both must be in the "
            "coordinates of the problem."
        )
    return points


def _log_normaliser(std: float, dimension: int) -> float:
    return dimension * (math.log(std) + math.log(2 * math.pi) / 2)


def _bandwidth(modes: Modes, count: int) -> float:
    dimension = modes.centres.shape[1]
    expected = count * float(modes.weights.square().sum())
    return modes.std * float(4 / ((dimension + 2) * expected)) ** (1 / (dimension + 4))


def _log_kernel_density(modes: Modes, fake: Tensor, at: Tensor, *, own: bool = False) -> Tensor:
    """Return the log of the fakes' kernel density at [..., n, d], as [..., n]; own: each fake leaves itself out."""
    count = fake.shape[-2] - own
    width = _bandwidth(modes, count)
    centres, flat = runs_of(fake), runs_of(at)
    result = flat.new_empty(flat.shape[:2])
    for run, row in blocks(len(flat), flat.shape[1], centres.shape[1]):
        exponent = squared_distances(flat[run, row], centres[run]).div_(-2 * width**2)
        if own:
            exponent.diagonal(row.start, 1, 2).fill_(-torch.inf)
        result[run, row] = torch.logsumexp(exponent, -1)
    return result.reshape(at.shape[:-1]) - math.log(count) - _log_normaliser(width, at.shape[-1])
