"""How sure, and over what: rates for new seeds or new variants, levels in matched pairs, the variants that may be best.

A study's runs are a table of variants and seeds, and a seed is the same noise for all variants. So runs are no
independent coins: what holds for new seeds of these variants, and what for new variants of the same grid, are two
questions with two intervals. How often they hold the truth is measured in docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit
from scipy.stats import binom, binomtest

from ganbench.analysis.statistics import CONFIDENCE, wilson_of_rate
from ganbench.arrays import Flags, Values

FLIPS = 12
"""Up to so many settings all changes of sign are counted; beyond, DRAWN of them."""
DRAWN = 20_000
RATES = np.linspace(0.005, 0.995, 199)


def rate_over_seeds(failed: ArrayLike, seeds: ArrayLike, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval of the failure rate of these variants for new seeds, in [0, 1]: failed (bool), seeds [runs].

    Wilson's, for as many independent runs as the scatter of the rate between seeds stands for, with Student's quantile
    (Korn & Graubard 1998, with Wilson's interval in place of Clopper and Pearson's). Where nothing scatters, the runs.
    """
    lost, groups = _table(failed, seeds)
    variance, freedom = _between(lost, groups)
    return _interval(lost, variance, freedom, confidence)


def rate_over_variants(
    failed: ArrayLike, variants: ArrayLike, seeds: ArrayLike, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the interval of the failure rate for new variants of the same kind with new seeds; all [runs].

    As `rate_over_seeds`, with the scatter between variants and that between seeds added, what single runs scatter taken
    off once (Cameron, Gelbach & Miller 2011), and Satterthwaite's degrees of freedom. Where no run fails, or every one,
    nothing scatters, and a variant counts once: whether its runs are alike is not known.
    """
    lost, groups = _table(failed, variants)
    if lost.size and lost.mean() in (0.0, 1.0):
        return wilson_of_rate(float(lost.mean()), int(groups.max()) + 1, confidence)
    by_variant, freedom = _between(lost, groups)
    by_seed, seed_freedom = _between(*_table(failed, seeds))
    beyond = by_seed - (float(lost.var()) / (lost.size - 1) if lost.size > 1 else 0.0)
    # less is rounding, and not known where there is one seed
    beyond = beyond if beyond > 1e-9 * by_seed else 0.0
    variance = by_variant + beyond
    if beyond:
        freedom = variance**2 / (by_variant**2 / max(freedom, 1) + beyond**2 / max(seed_freedom, 1))
    return _interval(lost, variance, freedom, confidence)


def _table(failed: ArrayLike, groups: ArrayLike) -> tuple[Values, NDArray[np.int64]]:
    codes, _ = pd.factorize(np.asarray(groups), use_na_sentinel=False)
    return np.asarray(failed, dtype=float), codes


def _between(lost: Values, groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return the variance of the rate of all runs by how the rates of groups scatter, and its degrees of freedom."""
    count = int(groups.max()) + 1 if groups.size else 0
    if count < 2:
        return float("nan"), 0.0
    # times the number of runs, so that equal rates give a whole 0 and no rounding
    excess = np.bincount(groups, lost, count) * lost.size - np.bincount(groups, minlength=count) * lost.sum()
    return float(count / (count - 1) * (excess**2).sum() / float(lost.size) ** 4), count - 1.0


def _interval(lost: Values, variance: float, freedom: float, confidence: float) -> tuple[float, float]:
    if not lost.size:
        return 0.0, 1.0
    rate, runs = float(lost.mean()), float(lost.size)
    if variance > 0 and 0 < rate < 1:
        ratio = float(ndtri(0.5 + confidence / 2)) / float(stdtrit(freedom, 0.5 + confidence / 2))
        runs = rate * (1 - rate) / variance * ratio**2
    return wilson_of_rate(rate, runs, confidence)


@dataclass(frozen=True)
class Matched:
    """Two levels of a setting in pairs of runs that share their seed and all other settings.

    `p` is two-sided, of McNemar's exact test over the pairs (changes of sign where a pair is of rates): whether the two
    differ for new seeds of these settings. `worse` and `better` say in how many of the other settings the level fails
    more or less often than its base, `p_settings` by changes of sign whether they differ for new settings.
    """

    pairs: int
    p: float
    worse: int
    better: int
    p_settings: float


def matched_pairs(gaps: ArrayLike, settings: Sequence[object]) -> Matched:
    """Compare a level with its base by the differences of their failures in each pair, and its settings [pairs].

    A difference is in [-1, 1]: 1 where only the level fails, 0 where both do or none, between where it stands for
    several runs.

    >>> matched_pairs([1, 1, 1], ["a", "b", "c"]).p
    0.25
    """
    found = np.asarray(gaps, dtype=float)
    differing = found[found != 0]
    if np.isin(differing, (-1, 1)).all():
        p = float(binomtest(int((differing > 0).sum()), differing.size).pvalue) if differing.size else 1.0
    else:
        p = _sign_changes(differing)
    codes, _ = pd.factorize(pd.Series(list(settings), dtype=object), use_na_sentinel=False)
    sums = np.bincount(codes, found).astype(float)
    sums = sums[np.abs(sums) > 1e-9]
    return Matched(found.size, p, int((sums > 0).sum()), int((sums < 0).sum()), _sign_changes(sums))


def _sign_changes(gaps: Values) -> float:
    """Return the two-sided p-value of a sum of differences when each might as well have the other sign."""
    if not gaps.size:
        return 1.0
    # of sizes in order, so that drawn signs do not depend on the order of runs and which side is the base
    as_far = int((np.abs(_signs(gaps.size) @ np.sort(np.abs(gaps))) >= abs(gaps.sum()) - 1e-9).sum())
    # of drawn signs, those that were seen are one more
    extra = int(gaps.size > FLIPS)
    return (as_far + extra) / (len(_signs(gaps.size)) + extra)


@lru_cache(maxsize=8)
def _signs(count: int) -> NDArray[np.int8]:
    """Return signs [changes, count]: all there are, or DRAWN that are the same at every call."""
    if count > FLIPS:
        return np.random.default_rng(0).choice(np.array([-1, 1], dtype=np.int8), size=(DRAWN, count))
    return (1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)).astype(np.int8)


def may_be_best(failures: ArrayLike, seeds: ArrayLike, confidence: float = CONFIDENCE) -> Flags:
    """Return which variants [variants] may have the lowest failure rate: with `confidence` they hold the true best.

    Multiple comparisons with the best (Hsu 1984), exact for counts: a variant is left out where the largest lead that
    any other has over it is one that, whatever the rate, fewer than 1 - confidence would show if all rates were equal.
    Runs with the same noise resemble each other, which makes such leads rarer still.

    >>> may_be_best([0, 5, 2], [5, 5, 5]).tolist()
    [True, False, True]
    """
    lost, of = np.asarray(failures, dtype=int), np.asarray(seeds, dtype=int)
    alike = {pair: place for place, pair in enumerate(zip(lost.tolist(), of.tolist(), strict=True))}
    chances = {pair: _chance_of_lead(lost, of, place) for pair, place in alike.items()}
    return np.array(
        [chances[pair] > 1 - confidence for pair in zip(lost.tolist(), of.tolist(), strict=True)], dtype=bool
    )


def _chance_of_lead(lost: NDArray[np.int64], of: NDArray[np.int64], place: int) -> float:
    """Return the largest chance, over all common rates, that some other leads as far over this variant as is seen."""
    # what has not run leads over nothing
    others = np.flatnonzero((np.arange(lost.size) != place) & (of > 0))
    if not others.size or not of[place]:
        return 1.0
    lead = float((lost[place] / of[place] - lost[others] / of[others]).max())
    if lead <= 0:
        return 1.0
    sizes, times = np.unique(of[others], return_counts=True)
    mine = np.arange(of[place] + 1)
    # for each of my counts: the counts of another with which it leads as far
    reach = np.floor((mine[:, None] / of[place] - lead) * sizes + 1e-9)
    none = np.prod(binom.sf(reach, sizes, RATES[:, None, None]) ** times, axis=-1)
    return float((binom.pmf(mine, of[place], RATES[:, None]) * (1 - none)).sum(axis=1).max())


def may_be_best_matched(rates: ArrayLike, confidence: float = CONFIDENCE) -> Flags:
    """Return which methods [methods] may have the highest mean rate over new settings; rates [methods, settings].

    Comparisons with the best (Hsu 1984) in pairs of one setting: a method is left out where the largest lead that any
    other has over it is one that fewer than 1 - confidence of all changes of sign give, a sign for a setting and all
    methods there at once (as Westfall & Young 1993). With few settings no lead is so rare, and all methods stay.

    >>> may_be_best_matched([[1.0] * 8, [0.0] * 8]).tolist()
    [True, False]
    """
    table = np.asarray(rates, dtype=float)
    methods, settings = table.shape
    if methods < 2 or not settings:
        return np.ones(methods, dtype=bool)
    signs, extra = _signs(settings), int(settings > FLIPS)
    keep = np.ones(methods, dtype=bool)
    for place in range(methods):
        leads = np.delete(table, place, axis=0) - table[place]
        as_far = int(((signs @ leads.T).max(axis=1) >= leads.sum(axis=1).max() - 1e-9).sum())
        keep[place] = (as_far + extra) / (len(signs) + extra) > 1 - confidence
    return keep
