"""Statistics over training seeds: intervals for failure rates and typical scores.

The unit is always the training seed. Nothing here averages over samples of one generator or over re-evaluations of
one checkpoint: that would be the noise of measuring, not the noise of training. Arrays are [runs, problems], or [runs]
for one problem; what is drawn at random is the same at every call with the same seed. How often the intervals hold the
truth is measured in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, stdtrit

from ganbench.arrays import Values

Statistic = Callable[[Values], ArrayLike]
"""A summary over the last axis, [..., n] -> [...]."""

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST = 5
"""With fewer seeds a score has no interval, but a range: the lowest and the highest of three runs hold the median of
their law in 75 % of samples, of five in 94 %, and nothing can be seen beyond them."""


def wilson(failures: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a failure rate, in [0, 1].

    Unlike k/n plus or minus its standard error it is not empty at 0 of 5 (0 to 43 %), which is the case that matters.
    No runs at all give (0, 1). ValueError where failures are not within 0..runs.
    Reference: Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    >>> [round(end, 4) for end in wilson(0, 5)]
    [0.0, 0.4345]
    """
    if not 0 <= failures <= runs:
        raise ValueError(f"{failures} failures of {runs} runs")
    return wilson_of_rate(failures / runs, runs, confidence) if runs else (0.0, 1.0)


def wilson_of_rate(rate: float, runs: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return `wilson` of a rate in [0, 1] that so many independent runs stand behind, which need be no whole number.

    >>> [round(end, 4) for end in wilson_of_rate(0.0, 2.5)]
    [0.0, 0.6058]
    """
    z = float(ndtri(0.5 + confidence / 2))
    centre = (rate + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    # at the ends the closed form is exact up to rounding, and -1e-17 would print as "-0 %"
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high


def newcombe(
    failures: tuple[int, int], runs: tuple[int, int], confidence: float = CONFIDENCE, *, phi: float = 0.0
) -> tuple[float, float]:
    """Return the interval of the first failure rate less the second, in [-1, 1], from their Wilson intervals.

    Closed form, and sensible at 0 of 5. `phi` is the correlation of paired runs (see `pair_correlation`), 0 for
    independent ones. References: Newcombe, Interval estimation for the difference between independent proportions,
    1998 (method 10), and Improved confidence intervals for the difference ... based on paired data, 1998 (method 10).

    >>> [round(end, 4) for end in newcombe((0, 0), (5, 5))]
    [-0.4345, 0.4345]
    """
    if 0 in runs:
        return -1.0, 1.0
    rates = (failures[0] / runs[0], failures[1] / runs[1])
    intervals = [wilson(k, n, confidence) for k, n in zip(failures, runs, strict=True)]
    return difference_of_rates(rates, (intervals[0], intervals[1]), phi)


def difference_of_rates(
    rates: tuple[float, float], intervals: tuple[tuple[float, float], tuple[float, float]], phi: float = 0.0
) -> tuple[float, float]:
    """Return the interval of the first rate less the second, in [-1, 1], from an interval of each: see `newcombe`.

    Intervals of any kind will do, and what they hold over the difference does (Zou & Donner 2008).

    >>> difference_of_rates((0.5, 0.5), ((0.2, 0.8), (0.1, 0.9)))
    (-0.5, 0.5)
    """
    (low, high), (other_low, other_high) = intervals
    down, up = rates[0] - low, high - rates[0]
    other_down, other_up = rates[1] - other_low, other_high - rates[1]
    gap = rates[0] - rates[1]
    below = sqrt(max(0.0, down**2 - 2 * phi * down * other_up + other_up**2))
    above = sqrt(max(0.0, up**2 - 2 * phi * up * other_down + other_down**2))
    return max(-1.0, gap - below), min(1.0, gap + above)


def pair_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Newcombe's correlation phi of paired failures [pairs] (bool), in [-1, 1]: towards 0 where it is small.

    0 where one side always fails or never does: such a side tells nothing about a correlation.

    >>> pair_correlation([True, True, True], [False, True, False])
    0.0
    """
    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    only, not_one = int((one & ~other).sum()), int((~one & other).sum())
    spread = (both + only) * (not_one + neither) * (both + not_one) * (only + neither)
    excess: float = both * neither - only * not_one
    if excess > 0:
        excess = max(0.0, excess - one.size / 2)
    return excess / sqrt(spread) if spread else 0.0


def overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Tell whether two intervals share a point: then the data do not tell the two apart.

    >>> overlap((0.0, 1.0), (1.0, 2.0)), overlap((0.0, 1.0), (1.5, 2.0))
    (True, False)
    """
    return first[0] <= second[1] and second[0] <= first[1]


def iqm(values: ArrayLike) -> Values | float:
    """Return the interquartile mean over the last axis [..., n] -> [...]: the mean without a quarter at each end.

    It is `quantile_mean` of the middle half, the same quantity at every n; where n divides by 4, scipy's
    `trim_mean(., 0.25)`. Infinite values are allowed (a run without a score), and show as soon as more than a quarter
    of the runs has one. NaN for n = 0.

    >>> float(iqm([0, 1, 2, 100]))
    1.5
    """
    return quantile_mean(values, 0.25, 0.75)


def quantile_mean(values: ArrayLike, low: float, high: float) -> Values | float:
    """Return the mean of the empirical quantiles from `low` to `high` over the last axis [..., n] -> [...].

    A value that lies across an end counts with the part that is within, so that the mean depends on the law of the
    values and not on whether n divides evenly: each value twice gives the same. NaN for n = 0.

    >>> float(quantile_mean([0, 1, 2], 0.25, 0.75)), round(float(quantile_mean([1, 2, 3, 4, 5], 0, 0.25)), 12)
    (1.0, 1.2)
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    n = ordered.shape[-1]
    if n == 0:
        return np.full(ordered.shape[:-1], np.nan) if ordered.ndim > 1 else float("nan")
    weights = np.diff(np.clip(np.arange(n + 1) / n, low, high)) / (high - low)
    # an infinite value of weight 0 has no part in it
    within = ordered[..., weights > 0]
    # weights sum to 1 up to rounding only
    mean = np.clip(within @ weights[weights > 0], within[..., 0], within[..., -1])
    return float(mean) if ordered.ndim == 1 else np.asarray(mean)


def median(values: ArrayLike) -> Values | float:
    """Return the median over the last axis [..., n] -> [...]. Infinite values are allowed, as in `iqm`; n >= 1.

    >>> float(median([0, 1, float("inf")]))
    1.0
    """
    middle = np.median(np.asarray(values, dtype=float), axis=-1)
    return float(middle) if middle.ndim == 0 else middle


def bootstrap(
    values: ArrayLike,
    statistic: Statistic = iqm,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of a statistic of all values [runs] or [runs, problems], without NaN.

    Seeds are drawn anew within every problem (stratified), and the statistic sees all values of a draw pooled. It is
    the expanded percentile interval (Hesterberg, What teachers should know about the bootstrap, 2015, section 5): with
    n seeds plain percentiles are too narrow by sqrt((n - 1) / n) and by the normal law in place of Student's. Its ends
    are observed values of the statistic, so that infinite ones are no obstacle. With fewer than two runs: (NaN, NaN).

    >>> bootstrap([2.0, 2.0, 2.0])
    (2.0, 2.0)
    >>> bootstrap([2.0])
    (nan, nan)
    """
    sample = np.sort(_stratified(values), axis=0)  # so that the order of runs in a table changes nothing
    draws = _redrawn(sample, resamples, np.random.default_rng(seed))
    estimates = np.asarray(statistic(draws.reshape(resamples, -1)), dtype=float)
    return _expanded(estimates, confidence, sample)


def bootstrap_difference(
    a: ArrayLike,
    b: ArrayLike,
    statistic: Statistic = iqm,
    *,
    paired: bool = False,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the bootstrap interval of statistic(a) - statistic(b); finite values [runs] or [runs, problems].

    `paired` says that row i of both is the same training seed: then a draw takes both or neither, and what a seed does
    to both cancels. ValueError where paired values differ in shape, or where the problems differ in number.

    >>> bootstrap_difference([3.0, 3.0, 3.0], [1.0, 1.0, 1.0])
    (2.0, 2.0)
    """
    one, other = _two(a, b)
    generator = np.random.default_rng(seed)
    if paired:
        if one.shape != other.shape:
            raise ValueError(f"paired values need the same shape, not {one.shape} and {other.shape}")
        order = np.lexsort((other, one), axis=0)[..., None]
        draws = _redrawn(np.take_along_axis(np.stack([one, other], axis=-1), order, axis=0), resamples, generator)
        first, second = draws[..., 0], draws[..., 1]
    else:
        first, second = (_redrawn(np.sort(sample, axis=0), resamples, generator) for sample in (one, other))
    high, low = (np.asarray(statistic(drawn.reshape(resamples, -1)), dtype=float) for drawn in (first, second))
    return _expanded(high - low, confidence, *((one,) if paired else (one, other)))


def spread(values: ArrayLike) -> tuple[float, float]:
    """Return what is printed beside a typical score [runs] or [runs, problems]: from FEWEST runs on the 95 % interval
    of `iqm`, below the range of the values, which is no interval and is called so. With fewer than two: (NaN, NaN).

    >>> spread([0.2, 0.5, 0.4])
    (0.2, 0.5)
    """
    sample = _stratified(values)
    few = 2 <= len(sample) < FEWEST
    return (float(sample.min()), float(sample.max())) if few else bootstrap(sample)


def spread_of_difference(a: ArrayLike, b: ArrayLike, *, paired: bool = False, seed: int = 0) -> tuple[float, float]:
    """Return what is printed beside the difference of two typical scores: from FEWEST runs on a side on the 95 %
    interval of the difference of their `iqm`, below the range of the differences, of pairs or of all combinations.

    >>> spread_of_difference([3, 4], [1, 3]), spread_of_difference([3, 4], [1, 3], paired=True)
    ((0.0, 3.0), (1.0, 2.0))
    """
    one, other = _two(a, b)
    if not 2 <= min(len(one), len(other)) < FEWEST:
        return bootstrap_difference(one, other, paired=paired, seed=seed)
    gaps = one - other if paired else np.array([one.min() - other.max(), one.max() - other.min()])
    return float(gaps.min()), float(gaps.max())


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Return the probability that a run of `a` scores above one of `b`, ties counting half, in [0, 1].

    [runs_a, problems] and [runs_b, problems]: the Mann-Whitney statistic over runs_a * runs_b, averaged over problems
    (Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, 2021). Larger is taken for
    better. Depends on the order of the values alone. NaN without runs.

    >>> probability_of_improvement([1, 2], [0, 2])
    0.625
    """
    one, other = _two(a, b)
    return float(_improvement(one[None], other[None])[0]) if len(one) and len(other) else float("nan")


def bootstrap_improvement(
    a: ArrayLike, b: ArrayLike, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the probability of improvement, seeds drawn anew within problem and sample.

    Samples that do not overlap give (1, 1) or (0, 0), whatever the number of runs.

    >>> bootstrap_improvement([2, 3], [0, 1])
    (1.0, 1.0)
    """
    one, other = _two(a, b)
    generator = np.random.default_rng(seed)
    drawn = [_redrawn(np.sort(sample, axis=0), resamples, generator) for sample in (one, other)]
    estimates = _improvement(*drawn) if len(one) and len(other) else np.full(resamples, np.nan)
    return _expanded(estimates, confidence, one, other)


class Profile(NamedTuple):
    """A performance profile: the share of runs at or above each threshold [thresholds], with its pointwise band."""

    share: Values
    low: Values
    high: Values


def performance_profile(values: ArrayLike, thresholds: ArrayLike, confidence: float = CONFIDENCE) -> Profile:
    """Return the share of all runs [runs] or [runs, problems] at or above each threshold (Dolan & More 2002).

    The band is Wilson's at every threshold by itself, which unlike a bootstrap's is not empty where no run or every run
    passes. With several problems it is on the safe side: runs of unequal problems scatter less than equal coins.

    >>> performance_profile([0.2, 0.6, 0.8, 0.9], [0.0, 0.5, 0.85]).share.tolist()
    [1.0, 0.75, 0.25]
    """
    sample = np.asarray(values, dtype=float).ravel()
    counts = (sample[:, None] >= np.asarray(thresholds, dtype=float).ravel()).sum(axis=0)
    band = np.array([wilson(int(count), sample.size, confidence) for count in counts]).reshape(-1, 2)
    share = counts / sample.size if sample.size else np.full(len(counts), np.nan)
    return Profile(share, band[:, 0], band[:, 1])


def cost_per_survivor(costs: ArrayLike, failed: ArrayLike) -> float:
    """Return what a run that survives costs: the costs of all runs (seconds, GFLOP) over the number that did not fail.

    Infinite where all have failed, NaN without runs. A peak, as of memory, is no sum and has no such price.

    >>> cost_per_survivor([10, 10, 10], [True, False, False])
    15.0
    """
    spent, lost = np.asarray(costs, dtype=float), np.asarray(failed, dtype=bool)
    if not lost.size:
        return float("nan")
    survivors = int((~lost).sum())
    return float(spent.sum() / survivors) if survivors else float("inf")


def _stratified(values: ArrayLike) -> Values:
    """Return values as [runs, problems]; ValueError for more axes."""
    sample = np.asarray(values, dtype=float)
    if sample.ndim not in (1, 2):
        raise ValueError(f"values are [runs] or [runs, problems], not of shape {sample.shape}")
    return sample[:, None] if sample.ndim == 1 else sample


def _two(a: ArrayLike, b: ArrayLike) -> tuple[Values, Values]:
    one, other = _stratified(a), _stratified(b)
    if one.shape[1] != other.shape[1]:
        raise ValueError(f"both need the same problems, not {one.shape[1]} and {other.shape[1]}")
    return one, other


def _redrawn(sample: Values, resamples: int, generator: np.random.Generator) -> Values:
    """Return draws [resamples, runs, problems, ...] of rows of [runs, problems, ...], by themselves in each problem."""
    runs, problems = sample.shape[:2]
    if runs < 2:  # nothing to draw from; the interval will say so
        return np.broadcast_to(sample, (resamples, *sample.shape))
    rows = generator.integers(0, runs, size=(resamples, runs, problems))
    return sample[rows, np.arange(problems)]


def _expanded(estimates: Values, confidence: float, *samples: Values) -> tuple[float, float]:
    """Return the quantiles of estimates [resamples] at the levels of Student's law with the samples' freedom.

    By the normal law, Student's quantile times sqrt(n / (n - 1)) is at a level further out than the nominal one.
    """
    runs = min(len(sample) for sample in samples)
    if runs < 2:
        return float("nan"), float("nan")
    freedom = sum(sample.shape[1] * (len(sample) - 1) for sample in samples)
    reach = stdtrit(freedom, 0.5 + confidence / 2) * sqrt(runs / (runs - 1))
    # an observed quantile: interpolating between two infinite values would be NaN
    low, high = np.quantile(estimates, [ndtr(-reach), ndtr(reach)], method="inverted_cdf")
    return float(low), float(high)


def _improvement(one: Values, other: Values) -> Values:
    """Return P(one > other) + P(one = other) / 2, averaged over problems: [..., runs, problems] each -> [...]."""
    shares = np.zeros(one.shape[:-2])
    for problem in range(one.shape[-1]):  # one problem at a time, for all pairs of runs of all draws are many
        first, second = one[..., :, None, problem], other[..., None, :, problem]
        shares += ((first > second).mean(axis=(-2, -1)) + (first >= second).mean(axis=(-2, -1))) / 2
    return np.asarray(shares / one.shape[-1])
