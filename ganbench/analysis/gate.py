"""The gate: has a variant become worse than a baseline, over training seeds, by more than is declared to matter?

Three comparisons a variant: its failure rate, then its tail (the mean of its worst quarter of runs), then its typical
score (the interquartile mean). A comparison is regressed where it is worse significantly and by more than its margin;
it passes where it is shown not to be worse by more than the margin; otherwise it is inconclusive, an answer like the
others. The false alarms of a whole check stay under `alpha`: Holm's correction over variants and measures, weighted so
that the failure rate comes first, a share of `alpha` for one pooled test of all failure rates, and a part of it for
each look. What is told to be better is corrected in the same way, by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import beta, boschloo_exact, hypergeom, mannwhitneyu

from ganbench.analysis.statistics import FEWEST, iqm, quantile_mean, wilson
from ganbench.arrays import Values
from ganbench.plan import MARGINS

MEASURES = ("failure rate", "tail", "typical score")
WEIGHTS = {"failure rate": 0.8, "tail": 0.1, "typical score": 0.1}
"""What each measure of a variant may spend of alpha, at first: a gate is there for failures before anything else."""
LOOKS = (5, 10, 20)
"""Seeds after which a sequential check looks at its results."""
SPENT = (0.1, 0.3, 0.6)
"""The share of alpha that each look may spend; they sum to 1, so that the looks together keep to alpha."""


_Rows = dict[str, Values]
"""What was measured of a variant's runs: a number a seed by MEASURES."""


@dataclass(frozen=True)
class _Pair:
    """A variant in the baseline and in the candidate; `shared` has both at the seeds that both have, in one order."""

    name: str
    old: _Rows
    new: _Rows
    shared: tuple[_Rows, _Rows]

    @classmethod
    def of(cls, name: str, old: pd.DataFrame, new: pd.DataFrame) -> _Pair:
        """Return the pair of two tables of one variant."""
        old, new = old.set_index("seed"), new.set_index("seed")
        both = old.index.intersection(new.index)
        return cls(name, _rows(old), _rows(new), (_rows(old.loc[both]), _rows(new.loc[both])))


def _rows(table: pd.DataFrame) -> _Rows:
    columns = ("failed", "score", "score")
    return {measure: table[key].to_numpy(dtype=float) for measure, key in zip(MEASURES, columns, strict=True)}


@dataclass(frozen=True)
class Policy:
    """What matters, and how sure to be: margins (as shares of 1), alpha of the whole check, the pooled test's share."""

    failure_rate: float = MARGINS["failure_rate"]
    score: float = MARGINS["score"]
    alpha: float = 0.05
    pooled: float = 0.2

    def margin(self, measure: str) -> float:
        """Return by how much a measure may become worse without being a regression."""
        return self.failure_rate if measure == MEASURES[0] else self.score


@dataclass(frozen=True)
class Comparison:
    """One measure of one variant (or of all, pooled) against the baseline. `worse` is positive where it got worse.

    `at_most` bounds `worse` from above with 95 % confidence; `p` is the one-sided probability of so bad a result
    without a change, `p_better` of so good a one, `adjusted` and `adjusted_better` are the same after Holm. With fewer
    seeds than FEWEST nothing passes, and nothing but a total failure (of three seeds or more) is a regression. `equal`
    says that the variant's runs are the same on both sides, number by number: nothing has changed that could be tested.
    """

    variant: str
    measure: str
    baseline: float
    candidate: float
    counts: tuple[int, int]
    worse: float
    at_most: float
    p: float
    p_better: float
    margin: float
    total: bool = False
    adjusted: float = float("nan")
    adjusted_better: float = float("nan")
    equal: bool = False
    verdict: str = "inconclusive"

    @property
    def sentence(self) -> str:
        """The comparison in words and numbers."""
        before, now = self.counts
        rate = self.measure == MEASURES[0]
        shown = [f"{100 * v:.0f} %" if rate else f"{v:.2f}" for v in (self.candidate, self.baseline)]
        unit = f"{100 * self.worse:+.0f} points" if rate else f"{-self.worse:+.2f}"
        margin = f"{100 * self.margin:.0f} points" if rate else f"{self.margin:.2f}"
        proof = {
            "regressed": f"worse beyond the margin of {margin} (p = {self.adjusted:.2g})",
            "improved": f"better (p = {self.adjusted_better:.2g})",
            "pass": "the same number by number" if self.equal else f"not worse by more than {margin}",
            "inconclusive": f"{now} seeds cannot exclude a loss of {margin}",
        }[self.verdict]
        return (
            f"{self.variant}: {self.measure} {shown[0]} in {now} seeds, baseline {shown[1]} in {before} ({unit}): "
            f"{self.verdict}, {proof}."
        )


@dataclass(frozen=True)
class Judgement:
    """What a check says: its comparisons, the pooled one first, and one verdict for all of them."""

    comparisons: tuple[Comparison, ...]
    seeds: int

    @property
    def verdict(self) -> str:
        """Regressed where anything is; else inconclusive where anything is; else pass."""
        found = {comparison.verdict for comparison in self.comparisons}
        return next((name for name in ("regressed", "inconclusive") if name in found), "pass")


def compare(
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    policy: Policy,
    look: int | None = None,
    equal: Collection[str] = (),
) -> Judgement:
    """Compare per-seed results: columns variant, seed, failed (bool), score (0 to 1); every variant in both tables.

    `look` is the index into LOOKS of a sequential check, None for a single one that may spend all of alpha. Variants in
    `equal` have the same runs on both sides: they pass from FEWEST seeds on, and cost the others nothing, since which
    variants a change reaches is no matter of chance.
    """
    alpha = policy.alpha * (1.0 if look is None else SPENT[look])
    seeds = candidate.groupby("variant", sort=False)["seed"].nunique()
    same = {name for name in equal if name in seeds.index and seeds[name] >= FEWEST}
    old = dict(list(baseline.groupby("variant")))
    pairs = [_Pair.of(str(name), old[name], rows) for name, rows in candidate.groupby("variant", sort=False)]
    judged = _family([pair for pair in pairs if pair.name not in same], policy, alpha)
    judged += [
        replace(_compare(pair, measure, policy), adjusted=1.0, adjusted_better=1.0, equal=True, verdict="pass")
        for pair in pairs if pair.name in same for measure in MEASURES
    ]  # fmt: skip
    return Judgement(tuple(judged), int(seeds.drop(sorted(same)).min() if len(same) < len(seeds) else seeds.min()))


def _family(pairs: Sequence[_Pair], policy: Policy, alpha: float) -> list[Comparison]:
    """Return the comparisons of variants that share an alpha, the pooled one first."""
    single = [_compare(pair, measure, policy) for pair in pairs for measure in MEASURES]
    pooled = [replace(c, adjusted=c.p, adjusted_better=c.p_better) for c in _pooled(pairs, policy)]
    share = policy.pooled if pooled else 0.0
    weights = [WEIGHTS[comparison.measure] for comparison in single]
    worse, better = (holm([getattr(c, key) for c in single], weights) for key in ("p", "p_better"))
    raised = [replace(c, adjusted=p, adjusted_better=q) for c, p, q in zip(single, worse, better, strict=True)]
    return [_judge(c, alpha * share) for c in pooled] + [_judge(c, alpha * (1 - share)) for c in raised]


def holm(p: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the adjusted p-values of Holm's weighted step-down method (Holm 1979, section 4): the smallest p / weight
    first, times the weights not yet passed, made monotone. Equal weights give the ordinary method.

    >>> holm([0.01, 0.04], [1.0, 1.0])
    [0.02, 0.04]
    """
    given, weight = np.asarray(p, dtype=float), np.asarray(weights, dtype=float)
    order = np.argsort(given / weight, kind="stable")
    left = np.cumsum(weight[order][::-1])[::-1]
    raised = np.maximum.accumulate(given[order] / weight[order] * left)
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(raised, 1.0)
    return [float(value) for value in adjusted]


@lru_cache(maxsize=65536)
def worse_rate(failures: int, runs: int, before: int, before_runs: int) -> float:
    """Return the one-sided p-value of Boschloo's exact test that the failure rate has risen.

    Unconditional and exact, and more powerful than Fisher's at these numbers of runs (Boschloo 1970).

    >>> round(worse_rate(5, 5, 0, 5), 4)
    0.001
    """
    if failures * before_runs <= before * runs:
        return 1.0
    table = [[failures, before], [runs - failures, before_runs - before]]
    return float(boschloo_exact(table, alternative="greater").pvalue)


def rate_bound(old: Values, new: Values, shared: tuple[Values, Values], confidence: float = 0.95) -> float:
    """Return an upper bound on the rise of the failure rate; old, new: 0/1 a run; shared: those of seeds in both.

    The better of two bounds, each at half the error: Newcombe's for independent samples (1998, method 10), and for
    shared seeds the Clopper-Pearson bound on runs that fail now and did not before, which is above their difference.

    >>> same = np.zeros(5)
    >>> round(rate_bound(same, same, (np.array([]), np.array([]))), 4)
    0.4345
    """
    level = 1 - (1 - confidence) / 2
    lows, highs = zip(*(wilson(int(x.sum()), len(x), 2 * level - 1) for x in (old, new)), strict=True)
    gap = new.mean() - old.mean()
    independent = gap + np.sqrt((highs[1] - new.mean()) ** 2 + (old.mean() - lows[0]) ** 2)
    before, now = shared
    lost = int(((now == 1) & (before == 0)).sum())
    pairs = len(now)
    paired = 1.0 if lost == pairs else float(beta.ppf(level, lost + 1, pairs - lost))
    return float(min(independent, paired, 1.0))


def pooled_rise(strata: Sequence[tuple[int, int, int, int]]) -> float:
    """Return the exact p-value that failures rose over all strata (failures, runs, before, before_runs), conditional
    on each stratum's total: the sum of independent hypergeometric counts (the exact Cochran-Mantel-Haenszel test).

    >>> round(pooled_rise([(5, 5, 0, 5)]), 4)
    0.004
    """
    law, observed = np.ones(1), 0
    for failures, runs, before, before_runs in strata:
        total = failures + before
        law = np.convolve(law, hypergeom.pmf(np.arange(runs + 1), runs + before_runs, total, runs))
        observed += failures
    return float(min(1.0, law[observed:].sum()))


def _compare(pair: _Pair, measure: str, policy: Policy) -> Comparison:
    old, new = pair.old[measure], pair.new[measure]
    shared = (pair.shared[0][measure], pair.shared[1][measure])
    numbers: dict[str, Any] = {"counts": (len(old), len(new)), "margin": policy.margin(measure)}
    if measure == MEASURES[0]:
        at, before = int(new.sum()), int(old.sum())
        p, p_better = worse_rate(at, len(new), before, len(old)), worse_rate(before, len(old), at, len(new))
        bound = rate_bound(old, new, shared)
        worse = float(new.mean() - old.mean())
        numbers |= {"baseline": old.mean(), "candidate": new.mean(), "total": at == len(new) >= 3}
    else:
        summary = tail if measure == MEASURES[1] else _iqm
        p, p_better = (_lower(new, old, measure), _lower(old, new, measure))
        worse, bound = float(summary(old) - summary(new)), score_bound(old, new, shared, measure)
        numbers |= {"baseline": float(summary(old)), "candidate": float(summary(new))}
    return Comparison(pair.name, measure, worse=worse, at_most=bound, p=p, p_better=p_better, **numbers)


def tail(values: Values) -> Values:
    """Return the mean of the worst quarter over the last axis, with the part of a value that is within it.

    >>> float(tail(np.array([4.0, 1.0, 3.0, 2.0])))
    1.0
    """
    return np.asarray(quantile_mean(values, 0.0, 0.25))


def _iqm(values: Values) -> Values:
    return np.asarray(iqm(values))


def _lower(these: Values, those: Values, measure: str) -> float:
    """Return the p-value that these scores are lower: by ranks; for the tail by how many are in the lowest quarter."""
    if measure == MEASURES[1]:
        edge = np.quantile(np.concatenate([these, those]), 0.25, method="inverted_cdf")
        return worse_rate(int((these <= edge).sum()), len(these), int((those <= edge).sum()), len(those))
    if np.ptp(np.concatenate([these, those])) == 0:
        return 1.0
    return float(mannwhitneyu(these, those, alternative="less").pvalue)


def score_bound(
    old: Values, new: Values, shared: tuple[Values, Values], measure: str, resamples: int = 2000, seed: int = 0
) -> float:
    """Return a 95 % upper bound on the loss of a score, by the bootstrap over seeds; pairs stay together where all
    seeds are shared. The bound is the same at every call."""
    summary = tail if measure == MEASURES[1] else _iqm
    generator = np.random.default_rng(seed)
    if len(shared[0]) == len(old) == len(new):
        index = generator.integers(0, len(old), (resamples, len(old)))
        losses = summary(shared[0][index]) - summary(shared[1][index])
    else:
        drawn = [values[generator.integers(0, len(values), (resamples, len(values)))] for values in (old, new)]
        losses = summary(drawn[0]) - summary(drawn[1])
    return float(np.quantile(losses, 0.95, method="higher"))


def _pooled(pairs: Sequence[_Pair], policy: Policy) -> list[Comparison]:
    if len(pairs) < 2:
        return []
    failed = [(pair.old[MEASURES[0]], pair.new[MEASURES[0]]) for pair in pairs]
    strata = [(int(new.sum()), len(new), int(old.sum()), len(old)) for old, new in failed]
    before, now = (float(np.mean([rates[side].mean() for rates in failed])) for side in (0, 1))
    counts = (min(n for *_, n in strata), min(n for _, n, *_ in strata))
    opposite = [(b, m, a, n) for a, n, b, m in strata]
    spread = sum(r.mean() * (1 - r.mean()) / len(r) for rates in failed for r in rates) / len(pairs) ** 2
    pooled = Comparison(
        f"all {len(pairs)} variants", MEASURES[0], baseline=before, candidate=now, counts=counts, worse=now - before,
        # a rise of all rates at once needs a smaller margin than that of one: half of it
        at_most=now - before + 1.645 * float(np.sqrt(spread)), p=pooled_rise(strata), p_better=pooled_rise(opposite),
        margin=policy.failure_rate / 2,
    )  # fmt: skip
    return [pooled]


def _judge(comparison: Comparison, alpha: float) -> Comparison:
    """Give a comparison its verdict at the alpha that it may spend."""
    few = min(comparison.counts) < FEWEST
    beyond = comparison.worse > comparison.margin
    if comparison.adjusted <= alpha and beyond and (comparison.total or not few):
        verdict = "regressed"
    elif few or (beyond and comparison.at_most > comparison.margin):
        verdict = "inconclusive"
    elif comparison.adjusted_better <= alpha and comparison.worse < 0:
        verdict = "improved"
    else:
        verdict = "pass" if comparison.at_most <= comparison.margin else "inconclusive"
    return replace(comparison, verdict=verdict)
