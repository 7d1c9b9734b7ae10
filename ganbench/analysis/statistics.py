"""Statistics over training seeds: intervals for failure rates and typical scores, and the three scores of a run.

The unit is always the training seed. Nothing here averages over samples of one generator or over re-evaluations of
one checkpoint: that would be the noise of measuring, not the noise of training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from ganbench.analysis import Study
from ganbench.registry import Measure

CONFIDENCE = 0.95
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


def bootstrap_iqm(
    values: ArrayLike, *, confidence: float = CONFIDENCE, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the interquartile mean over seeds, the same at every call.

    Fewer than two values say nothing about their spread: (NaN, NaN). With about five seeds the interval is known to be
    too narrow (a bootstrap sees no value that was not drawn), so read it as a lower bound of the uncertainty.
    """
    sample = np.asarray(values, dtype=float)
    if sample.size < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, sample.size, size=(resamples, sample.size))
    # an observed quantile: interpolating between two infinite values would be NaN
    low, high = np.quantile(iqm(sample[draws]), [0.5 - confidence / 2, 0.5 + confidence / 2], method="inverted_cdf")
    return float(low), float(high)


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


def scores(study: Study, measures: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the three scores of every finished run: columns run, measure, final, best, worst_after_best.

    By default for all measures that have a direction. A measure that a problem does not define has no rows there;
    one that it defines has a row for every finished run, so that diverged and failed runs stay in every average.
    The probe before the first step is no score of training and is left out.
    """
    wanted = [name for name, measure in study.measures.items() if measure.direction is not None]
    wanted = [name for name in (measures or wanted) if name in study.series.columns and name in study.measures]
    runs = study.runs[study.runs["status"].isin(FINISHED)]
    series = {str(run): rows for run, rows in study.series.groupby("run", sort=False)}
    rows: list[tuple[str, str, float, float, float]] = []
    for problem, of_problem in runs.groupby("problem", sort=False):
        seen = _measured(of_problem["run"], series, wanted)
        defined = [name for name in wanted if name in seen or name in study.oracle.get(str(problem), {})]
        for run, status in zip(of_problem["run"], of_problem["status"], strict=True):
            table = _trained(series[run]) if run in series else pd.DataFrame(columns=wanted)
            for name in defined:
                values = table[name].to_numpy(dtype=float)
                rows.append((run, name, *three_scores(values, study.measures[name], lost=status != "done")))
    return pd.DataFrame(rows, columns=["run", "measure", *SCORES])


def _trained(table: pd.DataFrame) -> pd.DataFrame:
    """Return the probes of one run after training began: a fresh generator may sit on a mode by chance."""
    after = table[table["step"] > 0]
    return (after if len(after) else table).sort_values("step")


def _measured(runs: Iterable[str], series: Mapping[str, pd.DataFrame], wanted: list[str]) -> set[str]:
    tables = [series[run][wanted] for run in runs if run in series]
    if not tables:
        return set()
    any_value = pd.concat(tables).notna().any()
    return {name for name in wanted if any_value[name]}
