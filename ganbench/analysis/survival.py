"""Time to failure over training seeds: a run that ends healthy is censored at its last step, not left out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import CensoredData, ecdf, logrank

from ganbench.analysis.statistics import CONFIDENCE, wilson
from ganbench.arrays import Flags, Values


@dataclass(frozen=True)
class Survival:
    """A Kaplan-Meier curve: the share of runs that have not failed after each step [events], with its interval."""

    steps: Values
    alive: Values
    low: Values
    high: Values
    failures: int
    runs: int


def times(runs: pd.DataFrame) -> tuple[Values, Flags]:
    """Return the step of failure or of the end, and whether it is a failure, for judged runs.

    Columns: steps, failed, onset (a failure that was never different has onset 0 or none, and fails at step 0).
    """
    failed = runs["failed"].to_numpy(dtype=bool)
    onset = runs["onset"].fillna(0).to_numpy(dtype=float)
    return np.where(failed, onset, runs["steps"].to_numpy(dtype=float)), failed


def kaplan_meier(at: ArrayLike, failed: ArrayLike, confidence: float = CONFIDENCE) -> Survival:
    """Return the Kaplan-Meier curve of runs that failed, or ended healthy, at a step [runs] (Kaplan & Meier 1958).

    The interval is the log-log transformed Greenwood one; where that is undefined (nobody or everybody has failed) it
    is Wilson's for the share of all runs.

    >>> curve = kaplan_meier([5, 10, 10, 10], [True, False, False, False])
    >>> curve.steps.tolist(), curve.alive.tolist()
    ([5.0, 10.0], [0.75, 0.75])
    """
    at, failed = np.asarray(at, dtype=float), np.asarray(failed, dtype=bool)
    curve = ecdf(CensoredData(uncensored=at[failed], right=at[~failed])).sf
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # says that it is undefined in places, which is seen to below
        interval: Any = curve.confidence_interval(confidence, method="log-log")
    low, high = interval.low.probabilities, interval.high.probabilities
    steps, alive = np.asarray(curve.quantiles, dtype=np.float64), np.asarray(curve.probabilities, dtype=np.float64)
    everybody = wilson(len(at), len(at), confidence)[0]
    low = np.where(np.isnan(low), np.where(alive > 0.5, everybody, 0.0), low)
    high = np.where(np.isnan(high), np.where(alive > 0.5, 1.0, 1 - everybody), high)
    return Survival(steps, alive, low, high, int(failed.sum()), len(at))


def logrank_p(first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike]) -> float:
    """Return the two-sided p-value of the log-rank test between two groups of (steps, failed); 1 if it is undefined.

    >>> group = [5, 10, 10], [True, False, False]
    >>> logrank_p(group, group)
    1.0
    """
    groups = [(np.asarray(at, dtype=float), np.asarray(failed, dtype=bool)) for at, failed in (first, second)]
    if not any(failed.any() for _, failed in groups):
        return 1.0
    one, other = (CensoredData(uncensored=at[failed], right=at[~failed]) for at, failed in groups)
    # where all fail at once nothing is left to compare, and the statistic is 0 / 0
    with np.errstate(invalid="ignore"):
        p = float(logrank(one, other).pvalue)
    return 1.0 if np.isnan(p) else p
