"""Does the generator repeat itself or its training data? In all of them `real` are the samples it was trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.special import betainc
from torch import Tensor

from ganbench.errors import InputError
from ganbench.metrics.clusters import k_means
from ganbench.metrics.distances import neighbour_radii, squared_distances
from ganbench.metrics.gaussian import frechet_distance
from ganbench.metrics.inputs import Samples, measured, samples, whole
from ganbench.metrics.pairwise import (
    blocks,
    directions,
    earlier_twins,
    held_out_samples,
    nearest,
    runs_of,
    sides,
    twin_tolerance,
)  # fmt: skip
from ganbench.metrics.reference import Reference, prepared
from ganbench.problems.base import stream
from ganbench.registry import Measure, positive, share

# fakes that a cell of the C_T test needs before its score counts
CELL_FAKES = 20
# beside the cosine distance that MiFID divides by
TINY = 1e-15
# kernels' variances in units of the features': the first ones above an exact copy, and the least
FIRST_VARIANCE, LEAST_VARIANCE = 1e-3, 1e-6


class BirthdaySupport(NamedTuple):
    """Effective number of different samples, and the batch in which a duplicate is as likely as not, each [...]."""

    support: Tensor
    batch: Tensor


@measured(
    support=Measure("effective number of different samples, by near-duplicates", "up", (1.0, math.inf), "samples"),
    batch=Measure("samples among which a near-duplicate is as likely as not", "up", (1.0, math.inf), "samples"),
)
def birthday_support(real: Samples, fake: Samples, *, tolerance: float | None = None) -> BirthdaySupport:
    """Support size of a generator by the birthday paradox (Arora and Zhang 2018).

    real [n, d], fake [..., m, d]. c = the share of all pairs of fakes that lie within the tolerance (by default a tenth
    of the median distance between nearest real samples); support = 1 / c, of which the expectation of c is exactly 1/K
    for a uniform choice among K points; batch = 1/2 + sqrt(1/4 + 2 log(2) / c), 23 for 365 birthdays. Both are infinite
    without a single duplicate: then the support is more than about m^2 / 2, all that m fakes can tell.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> fakes = np.array([[0.0], [0.0], [9.0], [9.0]])
    >>> round(float(birthday_support(line, fakes).support), 6)
    3.0
    """
    real, fake = sides(real, fake, least=2)
    m = fake.shape[-2]
    pairs = earlier_twins(fake, twin_tolerance(real, tolerance)).sum(-1).double()
    rarity = m * (m - 1) / 2 / pairs
    return BirthdaySupport(rarity, 0.5 + (0.25 + 2 * math.log(2) * rarity).sqrt())


@measured(authenticity=share("share of fakes that are no closer to a training sample than its nearest other", "up"))
def authenticity(real: Samples | Reference, fake: Samples) -> Tensor:
    """AuthPct (Alaa et al. 2022, section 3): share of authentic fakes, [...], 0 to 1.

    real [n, d]: the training samples; fake [..., m, d]. A fake whose nearest training sample is y is authentic when it
    is further from y than y's nearest other training sample. Copies: 0; fakes far from all data: 1, so that more is not
    better. A perfect sampler: `expected_authenticity(d)`, at most a half, in the few dimensions that samples can fill;
    more in many (.69 at d = 16, n = 4000): there, read it beside held-out samples in the fakes' place.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> float(authenticity(line, line)), float(authenticity(line, line + 10))
    (0.0, 1.0)
    """
    real, fake = sides(real, fake)
    samples(real, "real", least=2)
    distance, index = nearest(fake, real)
    return (distance > neighbour_radii(real, 1)[index]).double().mean(-1)


class MiFID(NamedTuple):
    """The penalised Frechet distance, and the mean cosine distance that decides on the penalty, each [...]."""

    mifid: Tensor
    cosine_distance: Tensor


@measured(
    mifid=positive(
        "Frechet distance, over the mean cosine distance to the nearest training sample where that is small", "down",
        scale="log",
        blind="In few dimensions every direction is taken, so that everybody pays the penalty; and it jumps where the "
        "distance passes its threshold.",
    ),
    cosine_distance=share(
        "mean cosine distance from a fake to the training sample nearest in direction", "up",
        blind="0 for copies, and for whatever points the same way.",
    ),
)  # fmt: skip
def mifid(real: Samples | Reference, fake: Samples, *, threshold: float = 0.1) -> MiFID:
    """MiFID (Bai et al. 2021, section 3; Kaggle's Generative Dog Images 2019): FID over a penalty for copies, [...].

    real [n, d]: the training samples, or their Reference; fake [..., m, d]; float64. cosine_distance: the mean over
    fakes of the least 1 - |cos(fake, training sample)|, from 0 to 1. mifid: `frechet_distance`, divided by that mean
    plus 1e-15 where it is below the threshold (0.1 in the competition), as it is elsewhere. Made for features of many
    dimensions that are 0 or more; a sample at the origin is at distance 1 from all others. Raises InputError for a
    threshold outside of 0 to 1.

    >>> cross = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> turned = cross @ np.array([[3.0, 4.0], [-4.0, 3.0]]) / 5
    >>> round(float(mifid(cross, turned).cosine_distance), 4)
    0.2
    """
    if not 0 < threshold < 1:
        raise InputError(f"'threshold' must be between 0 and 1, got {threshold}.")
    reference, fake = prepared(real, fake, least=2)
    known = reference.once("directions", lambda: directions(reference.real))
    flat = directions(fake.reshape(-1, *fake.shape[-2:]))
    closest = flat.new_empty(flat.shape[:2])
    for run, row in blocks(len(flat), flat.shape[1], len(known)):
        closest[run, row] = (flat[run, row] @ known.T).abs_().amax(-1)
    distance = (1 - closest).clamp(min=0).mean(-1).reshape(fake.shape[:-2])
    penalty = torch.where(distance < threshold, distance + TINY, 1.0)
    return MiFID(frechet_distance(reference, fake) / penalty, distance)


def expected_authenticity(dimension: int) -> float:
    """Authenticity that a perfect sampler of any continuous law in d dimensions tends to with more samples.

    A fake is not authentic when it and a training sample are each other's nearest neighbours, which has the probability
    of a ball's volume over that of the union of two whose centres are a radius apart: 1/3 is left for d = 1, .378 for
    d = 2, 1/2 for d to infinity.

    >>> round(expected_authenticity(1), 4)
    0.3333
    """
    return float(1 - 1 / (2 - betainc((dimension + 1) / 2, 0.5, 0.75)))


@measured(
    c_t_score=Measure(
        "C_T: below -3 copies the training data, above 3 is far from it", unit="standard deviations", perfect=0.0
    )
)
def c_t_score(real: Samples, fake: Samples, *, held_out: Samples, cells: int = 1) -> Tensor:
    """Data-copying test C_T (Meehan et al. 2020): z-score of fakes' against held-out samples' distances to training.

    real [l, d]: the training samples; fake [..., m, d]; held_out [n, d]: real samples it was not trained on; [...], in
    standard deviations. Mann-Whitney's U of the distances to the nearest training sample, (U - mn/2) / sqrt(mn(m+n+1) /
    12): negative where fakes are closer than held-out samples are (copying), positive where they are further, N(0, 1)
    for a perfect sampler. cells > 1: the test in each k-means cell of the training samples with 20 fakes or more, and
    the mean of the scores weighted by the cells' held-out samples; it sees copying in one region that another hides.

    >>> line = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> round(float(c_t_score(line, line, held_out=line + 0.25)), 4)
    -2.3094
    """
    real, fake = sides(real, fake)
    held = held_out_samples(real, held_out)
    if whole(cells, "cells") > len(real):
        raise InputError(f"'cells' must be at most the {len(real)} samples of 'real', got {cells}.")
    if cells > 1:
        return _in_cells(real, fake, held, cells)
    return _mann_whitney(nearest(fake, real)[0], nearest(held, real)[0])


def _in_cells(real: Tensor, fake: Tensor, held: Tensor, cells: int) -> Tensor:
    centres = torch.from_numpy(k_means(real.double().cpu().numpy(), cells, 0).cluster_centers_).to(real.device)
    of_real, of_held = nearest(real, centres)[1], nearest(held, centres)[1]
    scores = []
    for run in runs_of(fake):
        of_fake = nearest(run, centres)[1]
        total, weight = 0.0, 0
        for cell in range(cells):
            inside, known, trained = run[of_fake == cell], held[of_held == cell], real[of_real == cell]
            if len(inside) >= CELL_FAKES and len(known) and len(trained):
                score = _mann_whitney(nearest(inside, trained)[0], nearest(known, trained)[0])
                total += len(known) * float(score)
                weight += len(known)
        if not weight:
            raise InputError(f"'cells' = {cells} leaves no cell {CELL_FAKES} fakes and a held-out sample: use fewer.")
        scores.append(total / weight)
    return torch.tensor(scores, dtype=torch.float64, device=fake.device).reshape(fake.shape[:-2])


def _mann_whitney(fake: Tensor, held: Tensor) -> Tensor:
    """Return the z-score of how often fake [..., m] exceed held [n], ties by half."""
    m, n = fake.shape[-1], len(held)
    ordered = held.sort().values
    below = torch.searchsorted(ordered, fake.contiguous()) + torch.searchsorted(ordered, fake.contiguous(), right=True)
    return (below.double().sum(-1) / 2 - m * n / 2) / math.sqrt(m * n * (m + n + 1) / 12)


@measured(
    feature_likelihood_divergence=Measure("FLD: held-out likelihood under kernels at the fakes", "down", perfect=0.0)
)
def feature_likelihood_divergence(real: Samples, fake: Samples, *, held_out: Samples, steps: int = 50) -> Tensor:
    """FLD (Jiralerspong et al. 2023): 100/d nats by which kernels at the fakes explain held-out samples worse, [...].

    real [l, d]: the training samples; fake [..., m, d]; held_out [n, d]. One isotropic Gaussian at each fake, its
    variance of greatest likelihood for the training samples; then the mean negative log likelihood of the held-out
    samples, less what one half of the training samples fitted to the other half reaches (as many of them as fakes,
    where there are). Fakes that copy shrink their variance and explain nothing else; bad or collapsed ones explain
    little. A perfect sampler: about 0. It cannot see fakes collapsed onto the centre of data that are one round cloud,
    which one wide kernel explains (below 0): read a diversity statistic beside it.
    Features are scaled by the held-out samples' mean and deviation. Simplified against the authors' programme: the
    variances come from `steps` of expectation maximisation, deterministic, instead of a gradient method; the background
    component that takes up outliers while fitting has a fixed half of the weight; no variance is below 1e-6, so that
    pure copies score high but finite.

    >>> real, fresh, held = np.random.default_rng(0).normal(size=(3, 40, 2))
    >>> copied, own = (feature_likelihood_divergence(real, fake, held_out=held) for fake in (real, fresh))
    >>> bool(copied > own)
    True
    """
    real, fake = sides(real, fake)
    samples(real, "real", least=4)
    held = held_out_samples(real, held_out, least=2)
    whole(steps, "steps")
    mean, scale = held.double().mean(0), held.double().std(0)
    # a feature without spread counts in its own unit
    scale = torch.where(scale > 0, scale, 1.0)
    real, held = (real - mean) / scale, (held - mean) / scale
    scores = [_held_out_cost(real, (run - mean) / scale, held, steps) for run in runs_of(fake)]
    order = torch.randperm(len(real), generator=stream("fld", 0)).to(real.device)
    size = min(fake.shape[-2], len(real) // 2)
    baseline = _held_out_cost(real[order[size:]], real[order[:size]], held, steps)
    return 100 * (torch.stack(scores) - baseline).reshape(fake.shape[:-2])


def _held_out_cost(train: Tensor, centres: Tensor, held: Tensor, steps: int) -> Tensor:
    """Return the held-out samples' mean negative log likelihood per dimension, a scalar."""
    variance = _fit(train, centres, steps)
    total = held.new_zeros(())
    for _, row in blocks(1, len(held), len(centres)):
        total = total - torch.logsumexp(_log_kernels(squared_distances(held[row], centres), variance, held), -1).sum()
    return (total / len(held) + math.log(len(centres))) / held.shape[1]


def _fit(train: Tensor, centres: Tensor, steps: int) -> Tensor:
    """Return the kernels' variances [m] of greatest likelihood for the training samples, found by EM."""
    d = train.shape[1]
    # the last component is the background, at the mean of the training samples, with half of all weight
    means = torch.cat([centres, train.mean(0, keepdim=True)])
    weights = torch.full((len(means),), -math.log(2 * len(centres)), dtype=torch.float64, device=train.device)
    weights[-1] = -math.log(2)
    variance = torch.cat([nearest(centres, train)[0] / d + FIRST_VARIANCE, means.new_ones(1)])
    for _ in range(steps):
        taken, spread = torch.zeros_like(variance), torch.zeros_like(variance)
        for _, row in blocks(1, len(train), len(means)):
            apart = squared_distances(train[row], means)
            share_of = torch.softmax(_log_kernels(apart, variance, train) + weights, -1)
            taken += share_of.sum(0)
            spread += (share_of * apart).sum(0)
        # a kernel too far from all training samples to take any keeps its variance
        variance = torch.where(taken > 0, spread / (d * taken), variance).clamp(min=LEAST_VARIANCE)
    return variance[:-1]


def _log_kernels(apart: Tensor, variance: Tensor, like: Tensor) -> Tensor:
    return -apart / (2 * variance) - like.shape[1] / 2 * (2 * math.pi * variance).log()
