"""Statistics over training seeds: intervals for failure rates and typical scores, and the scores of a run.

The unit is always the training seed. Nothing here averages over samples of one generator or over re-evaluations of
one checkpoint: that would be the noise of measuring, not the noise of training. Arrays are [runs, problems], or [runs]
for one problem; what is drawn at random is the same at every call with the same seed. How often the intervals hold the
truth is measured in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import sqrt
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from ganbench.analysis import Study
from ganbench.registry import Measure, averaged

Values = NDArray[np.float64]
Statistic = Callable[[Values], ArrayLike]
"""A summary over the last axis, [..., n] -> [...]."""

CONFIDENCE = 0.95
RESAMPLES = 2000
FINISHED = ("done", "diverged", "failed")
SCORES = ("final", "best", "worst_after_best")


def wilson(failures: int, runs: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a failure rate, in [0, 1].

    Unlike k/n plus or minus its standard error it is not empty at 0 of 5 (0 to 43 %), which is the case that matters.
    No runs at all give (0, 1). ValueError where failures are not within 0..runs.
    Reference: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not 0 <= failures <= runs:
        raise ValueError(f"{failures} failures of {runs} runs")
    if runs == 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + confidence / 2))
    rate = failures / runs
    centre = (rate + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    # at the ends the closed form is exact up to rounding, and -1e-17 would print as "-0 %"
    low = 0.0 if failures == 0 else max(0.0, centre - half)
    high = 1.0 if failures == runs else min(1.0, centre + half)
    return low, high


def newcombe(
    failures: tuple[int, int], runs: tuple[int, int], confidence: float = CONFIDENCE, *, phi: float = 0.0
) -> tuple[float, float]:
    """Return the interval of the first failure rate less the second, in [-1, 1], from their Wilson intervals.

    Closed form, and sensible at 0 of 5. `phi` is the correlation of paired runs (see `pair_correlation`), 0 for
    independent ones. References: Newcombe, Interval estimation for the difference between independent proportions,
    1998 (method 10), and Improved confidence intervals for the difference ... based on paired data, 1998 (method 10).
    """
    if 0 in runs:
        return -1.0, 1.0
    rates = [k / n for k, n in zip(failures, runs, strict=True)]
    (low, high), (other_low, other_high) = (wilson(k, n, confidence) for k, n in zip(failures, runs, strict=True))
    down, up = rates[0] - low, high - rates[0]
    other_down, other_up = rates[1] - other_low, other_high - rates[1]
    gap = rates[0] - rates[1]
    below = sqrt(max(0.0, down**2 - 2 * phi * down * other_up + other_up**2))
    above = sqrt(max(0.0, up**2 - 2 * phi * up * other_down + other_down**2))
    return max(-1.0, gap - below), min(1.0, gap + above)


def pair_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Newcombe's correlation phi of paired failures [pairs] (bool), in [-1, 1]: towards 0 where it is small.

    0 where one side always fails or never does: such a side tells nothing about a correlation.
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
    """Tell whether two intervals share a point: then the data do not tell the two apart."""
    return first[0] <= second[1] and second[0] <= first[1]


def iqm(values: ArrayLike) -> NDArray[np.float64] | float:
    """Return the interquartile mean over the last axis [..., n] -> [...]: the mean without a quarter at each end.

    As scipy's `trim_mean(., 0.25)`: floor(n / 4) values leave at each end. Infinite values are allowed (a run without
    a score), and show as soon as more than a quarter of the runs has one. NaN for n = 0.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    n = ordered.shape[-1]
    if n == 0:
        return np.full(ordered.shape[:-1], np.nan) if ordered.ndim > 1 else float("nan")
    middle = ordered[..., n // 4 : n - n // 4].mean(axis=-1)
    return float(middle) if ordered.ndim == 1 else middle


def median(values: ArrayLike) -> NDArray[np.float64] | float:
    """Return the median over the last axis [..., n] -> [...]. Infinite values are allowed, as in `iqm`; n >= 1."""
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


def probability_of_improvement(a: ArrayLike, b: ArrayLike) -> float:
    """Return the probability that a run of `a` scores above one of `b`, ties counting half, in [0, 1].

    [runs_a, problems] and [runs_b, problems]: the Mann-Whitney statistic over runs_a * runs_b, averaged over problems
    (Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, 2021). Larger is taken for
    better. Depends on the order of the values alone. NaN without runs.
    """
    one, other = _two(a, b)
    return float(_improvement(one[None], other[None])[0]) if len(one) and len(other) else float("nan")


def bootstrap_improvement(
    a: ArrayLike, b: ArrayLike, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the probability of improvement, seeds drawn anew within problem and sample.

    Samples that do not overlap give (1, 1) or (0, 0), whatever the number of runs.
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
    """
    sample = np.asarray(values, dtype=float).ravel()
    counts = (sample[:, None] >= np.asarray(thresholds, dtype=float).ravel()).sum(axis=0)
    band = np.array([wilson(int(count), sample.size, confidence) for count in counts]).reshape(-1, 2)
    share = counts / sample.size if sample.size else np.full(len(counts), np.nan)
    return Profile(share, band[:, 0], band[:, 1])


def cost_per_survivor(costs: ArrayLike, failed: ArrayLike) -> float:
    """Return what a run that survives costs: the costs of all runs (seconds, GFLOP) over the number that did not fail.

    Infinite where all have failed, NaN without runs. A peak, as of memory, is no sum and has no such price.
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


def worst_value(measure: Measure | None) -> float:
    """Return the score of a run that has none: the bad end of the measure's range; NaN where neither end is bad."""
    if measure is None or measure.direction is None:
        return float("nan")
    return float(measure.bounds[0] if measure.direction == "up" else measure.bounds[1])


def three_scores(values: ArrayLike, measure: Measure, *, lost: bool = False) -> tuple[float, float, float]:
    """Return (final, best, worst after best) of one run's values over its probes, by the measure's direction.

    `lost` marks a run without a usable generator at its end (diverged, failed): its final score and its worst after
    best are the bad end of the range, whatever it had reached before. A run without any value gives NaN, or where
    lost the bad end throughout. Without a direction best and worst after best are NaN.
    """
    series = np.asarray(values, dtype=float)
    series = series[~np.isnan(series)]
    nothing = worst_value(measure) if lost else float("nan")
    if series.size == 0:
        return nothing, nothing, nothing
    final = nothing if lost else float(series[-1])
    if measure.direction is None:
        return final, float("nan"), float("nan")
    sign = 1.0 if measure.direction == "up" else -1.0
    best = int(np.argmax(sign * series))
    worst = nothing if lost else sign * float(np.min(sign * series[best:]))
    return final, float(series[best]), worst


def area_under_curve(
    steps: ArrayLike, values: ArrayLike, measure: Measure, *, lost: ArrayLike = False
) -> NDArray[np.float64] | float:
    """Return the mean height of curves [..., probes] over their steps [probes]: the trapezoidal area over its length.

    In the measure's unit. `lost` [...] marks runs without a usable generator at their end: from their last value on
    they count as the bad end of the measure's range, infinite for a distance; without a bad end the curve stops. Other
    probes without a value (NaN) are passed over. NaN without any value.
    """
    at, curves = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    ended = np.broadcast_to(np.asarray(lost, dtype=bool), curves.shape[:-1]).ravel()
    worst = worst_value(measure)
    rows = zip(curves.reshape(ended.size, at.size), ended, strict=True)
    areas = np.array([_area(at, _ended(row, worst) if gone else row, worst if gone else np.nan) for row, gone in rows])
    return float(areas[0]) if curves.ndim == 1 else areas.reshape(curves.shape[:-1])


def _ended(values: Values, worst: float) -> Values:
    """Return the probes of a lost run with its end filled in; lost after its last probe, it loses that one."""
    have = np.flatnonzero(~np.isnan(values))
    end = min(int(have[-1]) + 1, len(values) - 1) if have.size else 0
    return np.where(np.arange(len(values)) < end, values, worst)


def _area(steps: Values, values: Values, nothing: float) -> float:
    have = ~np.isnan(values)
    at, height = steps[have], values[have]
    if at.size < 2:
        return float(height[0]) if at.size else nothing
    return float(np.trapezoid(height, at) / (at[-1] - at[0]))


def scores(study: Study, measures: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the scores of every finished run: columns run, measure, final, best, worst_after_best, area.

    By default for all measures that have a direction. A measure that a problem does not define has no rows there;
    one that it defines has a row for every finished run, so that diverged and failed runs stay in every average. An
    average of G's weights is defined for the variants that keep one.
    The probe before the first step is no score of training and is left out.
    """
    known, have = study.measures, study.series.columns
    wanted = [name for name, measure in known.items() if measure.direction is not None]
    wanted = [name for name in (measures or wanted) if name in have and name in known]
    averages = {averaged(name) for name in known} & set(wanted)
    runs = study.runs[study.runs["status"].isin(FINISHED)]
    series = study.series[study.series["run"].isin(runs["run"])]
    trained, nothing = _trained(series, wanted), (np.empty(0), np.empty((0, len(wanted))))
    rows: list[tuple[object, ...]] = []
    for problem, of_problem in runs.groupby("problem", sort=False):
        seen = series.loc[series["run"].isin(of_problem["run"]), wanted].notna().any()
        defined = [name for name in wanted if seen[name] or name in study.oracle.get(str(problem), {})]
        keeping = _keeping(of_problem, series, sorted(averages.intersection(defined)))
        for run, variant, status in of_problem[["run", "variant", "status"]].to_numpy():
            steps, values = trained.get(run, nothing)
            for name in defined:
                if name in averages and variant not in keeping[name]:
                    continue
                curve, measure, lost = values[:, wanted.index(name)], known[name], status != "done"
                area = area_under_curve(steps, curve, measure, lost=lost)
                rows.append((run, name, *three_scores(curve, measure, lost=lost), area))
    return pd.DataFrame(rows, columns=["run", "measure", *SCORES, "area"])


def _keeping(runs: pd.DataFrame, series: pd.DataFrame, averages: list[str]) -> dict[str, set[str]]:
    """Return by average of G's weights the variants that keep one: they measure it before the first step."""
    table = series.merge(runs[["run", "variant"]], on="run") if averages else series
    return {name: set(table.loc[table[name].notna(), "variant"]) for name in averages}


def _trained(series: pd.DataFrame, wanted: list[str]) -> dict[str, tuple[Values, Values]]:
    """Return steps [probes] and values [probes, wanted] of every run after training began.

    A fresh generator may sit on a mode by chance, so its probe counts only where there is no other.
    """
    table = series.sort_values(["run", "step"], kind="stable")
    steps, values = table["step"].to_numpy(dtype=float), table[wanted].to_numpy(dtype=float)
    found, start = {}, 0
    for run, length in table.groupby("run", sort=True).size().items():
        end = start + int(length)
        first = start + int(np.searchsorted(steps[start:end], 0.0, side="right"))
        own = slice(first if first < end else start, end)
        found[str(run)], start = (steps[own], values[own]), end
    return found
