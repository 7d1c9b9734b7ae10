import math
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ganbench.analysis.statistics import (
    bootstrap,
    bootstrap_difference,
    bootstrap_improvement,
    cost_per_survivor,
    iqm,
    median,
    newcombe,
    overlap,
    pair_correlation,
    performance_profile,
    probability_of_improvement,
    quantile_mean,
    spread,
    spread_of_difference,
    wilson,
)
from ganbench.analysis.survival import kaplan_meier


@pytest.mark.parametrize(("failures", "runs"), [(0, 5), (5, 5), (1, 5), (3, 180), (96, 180), (1, 1), (0, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_equals_scipy(failures: int, runs: int, confidence: float) -> None:
    known = stats.binomtest(failures, runs).proportion_ci(confidence, method="wilson")
    assert wilson(failures, runs, confidence) == pytest.approx((known.low, known.high), abs=1e-12)


def test_wilson_at_its_borders() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0
    # closed form at 0 of n: z^2 / (n + z^2)
    z2 = stats.norm.ppf(0.975) ** 2
    assert wilson(0, 5)[1] == pytest.approx(z2 / (5 + z2))
    with pytest.raises(ValueError, match="6 failures of 5 runs"):
        wilson(6, 5)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11, 20])
def test_iqm_is_the_trimmed_mean_of_the_same_law_at_every_n(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(3, n))
    # each value four times has the same empirical law, and a number that a quarter divides
    expected = stats.trim_mean(np.repeat(values, 4, axis=-1), 0.25, axis=-1)
    assert iqm(values) == pytest.approx(expected)
    assert iqm(values[0]) == pytest.approx(expected[0])
    assert iqm(np.full(n, 0.9)) == 0.9


@pytest.mark.parametrize("n", [1, 3, 4, 5, 10, 20])
def test_the_tail_is_the_mean_of_the_worst_quarter_at_every_n(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    worst = np.sort(np.repeat(values, 4))[:n].mean()
    assert quantile_mean(values, 0.0, 0.25) == pytest.approx(worst)


def test_below_five_runs_a_score_has_the_range_of_its_runs_and_from_five_on_an_interval() -> None:
    for n in range(2, 8):
        a, b = np.random.default_rng(n).normal(size=(2, n))
        few = n < 5
        assert spread(a) == ((a.min(), a.max()) if few else bootstrap(a))
        paired = (min(a - b), max(a - b)) if few else bootstrap_difference(a, b, paired=True)
        assert spread_of_difference(a, b, paired=True) == pytest.approx(paired)
        every = [x - y for x in a for y in b]
        alone = (min(every), max(every)) if few else bootstrap_difference(a, b)
        assert spread_of_difference(a, b) == pytest.approx(alone)
    assert np.isnan(spread([0.3])).all()
    assert np.isnan(spread_of_difference([0.3], [0.2, 0.1])).all()


@pytest.mark.parametrize(("n", "held"), [(3, 0.75), (4, 0.875), (5, 0.9375)])
def test_a_range_holds_the_median_as_often_as_it_is_said(n: int, held: float) -> None:
    # both ends miss it only where all runs are on one side: 2 / 2^n
    values = np.random.default_rng(1).normal(size=(40_000, n))
    within = (values.min(axis=1) < 0) & (values.max(axis=1) > 0)
    assert 1 - 2 / 2**n == held
    assert within.mean() == pytest.approx(held, abs=4 * math.sqrt(held * (1 - held) / 40_000))


def test_iqm_shows_lost_runs_only_beyond_a_quarter() -> None:
    assert iqm([1.0, 1.0, 1.0, np.inf]) == 1.0
    assert iqm([1.0, 1.0, np.inf, np.inf]) == np.inf
    assert np.isnan(iqm([]))


def expanded_level(confidence: float, runs: int, samples: int = 1) -> float:
    """The nominal level whose plain percentiles are the expanded ones (Hesterberg 2015)."""
    reach = stats.t.ppf(0.5 + confidence / 2, samples * (runs - 1)) * math.sqrt(runs / (runs - 1))
    return float(2 * stats.norm.cdf(reach) - 1)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(iqm, lambda x, axis: stats.trim_mean(x, 0.25, axis=axis)), (median, np.median)]
)
@pytest.mark.parametrize("runs", [6, 20])
def test_bootstrap_is_scipys_at_the_expanded_level(ours: Any, theirs: Any, runs: int) -> None:
    values = np.random.default_rng(0).normal(size=runs)
    known = stats.bootstrap(
        (values,), theirs, method="percentile", n_resamples=20_000, confidence_level=expanded_level(0.8, runs), rng=1
    ).confidence_interval
    assert bootstrap(values, ours, confidence=0.8, resamples=20_000) == pytest.approx((known.low, known.high), abs=0.03)


def test_bootstrap_of_two_samples_is_scipys_at_the_expanded_level() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    b = b + 0.8 * a

    def difference(x: Any, y: Any, axis: int) -> Any:
        return stats.trim_mean(x, 0.25, axis=axis) - stats.trim_mean(y, 0.25, axis=axis)

    for paired in (True, False):
        known = stats.bootstrap(
            (a, b), difference, paired=paired, method="percentile", n_resamples=20_000, rng=1,
            confidence_level=expanded_level(0.8, 12, 1 if paired else 2),
        ).confidence_interval  # fmt: skip
        found = bootstrap_difference(a, b, paired=paired, confidence=0.8, resamples=20_000)
        assert found == pytest.approx((known.low, known.high), abs=0.04)


def test_bootstrap_draws_within_problems() -> None:
    # two values a problem, far apart: a draw that mixed problems could pool four tens, and a median of 10
    values = np.array([[0.0, 10.0], [0.1, 10.1]])
    low, high = bootstrap(values, lambda pooled: (pooled > 5).mean(axis=-1))
    assert (low, high) == (0.5, 0.5)
    # the mean of two problems by the law of its draws: each problem's mean is 0, 1/2 or 1 with 1/4, 1/2, 1/4
    pairs = np.array([[0.0, 0.0], [1.0, 1.0]])
    level = 2 * stats.norm.cdf(stats.t.ppf(0.5 + 0.6 / 2, 2) * math.sqrt(2)) - 1
    law = np.convolve([1, 2, 1], [1, 2, 1]) / 16
    edges = [np.arange(5)[np.cumsum(law) >= tail - 1e-12][0] / 4 for tail in ((1 - level) / 2, (1 + level) / 2)]
    assert bootstrap(pairs, lambda pooled: pooled.mean(axis=-1), confidence=0.6, resamples=50_000) == tuple(edges)


def test_bootstrap_depends_on_its_seed_alone() -> None:
    values, others = np.random.default_rng(3).normal(size=(2, 9, 4))
    for interval in (
        lambda seed: bootstrap(values, seed=seed),
        lambda seed: bootstrap_difference(values, others, seed=seed),
        lambda seed: bootstrap_difference(values, others, paired=True, seed=seed),
        lambda seed: bootstrap_improvement(values, others, seed=seed),
    ):
        assert interval(5) == interval(5)
        assert len({interval(seed) for seed in range(5)}) > 1


def test_bootstrap_of_one_seed_says_nothing_and_survives_infinity() -> None:
    assert np.isnan(bootstrap([0.3])).all()
    assert np.isnan(bootstrap([])).all()
    assert np.isnan(bootstrap_difference([0.3], [0.1, 0.2])).all()
    assert np.isnan(bootstrap_improvement([], [0.1, 0.2])).all()
    assert bootstrap([0.3] * 5) == (0.3, 0.3)
    assert bootstrap([np.inf] * 5) == (np.inf, np.inf)
    low, high = bootstrap([1.0, 1.0, 1.0, np.inf, np.inf], median)
    assert low == 1.0
    assert high == np.inf


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match="same shape"):
        bootstrap_difference([1.0, 2.0], [1.0, 2.0, 3.0], paired=True)
    with pytest.raises(ValueError, match="same problems, not 2 and 1"):
        probability_of_improvement(np.ones((3, 2)), np.ones(3))
    with pytest.raises(ValueError, match=r"not of shape \(1, 1, 1\)"):
        bootstrap(np.ones((1, 1, 1)))


def test_pairs_take_out_what_seeds_have_in_common() -> None:
    luck = np.random.default_rng(0).normal(size=12)
    assert bootstrap_difference(luck + 0.5, luck, paired=True) == pytest.approx((0.5, 0.5))
    low, high = bootstrap_difference(luck + 0.5, luck)
    assert low < 0 < 1 < high


# ---------------------------------------------------------------------------------------------- differences of rates


@pytest.mark.parametrize(
    ("failures", "runs", "low", "high"),
    # table II of Newcombe 1998, method 10
    [((56, 48), (70, 80), 0.0524, 0.3339), ((9, 3), (10, 10), 0.1705, 0.8090), ((6, 2), (7, 7), 0.0582, 0.8062),
     ((5, 0), (56, 29), -0.0381, 0.1926), ((0, 0), (10, 10), -0.2775, 0.2775), ((10, 0), (10, 20), 0.6791, 1.0)],
)  # fmt: skip
def test_newcombe_equals_the_published_table(failures: Any, runs: Any, low: float, high: float) -> None:
    assert newcombe(failures, runs) == pytest.approx((low, high), abs=6e-5)
    assert newcombe(failures[::-1], runs[::-1]) == pytest.approx((-high, -low), abs=6e-5)


def test_paired_newcombe_equals_the_published_value() -> None:
    # 36, 12, 2, 0 of 50 pairs: the worked example of Newcombe's second paper of 1998, method 10
    a, b = np.repeat([[1, 1], [1, 0], [0, 1]], [36, 12, 2], axis=0).T
    phi = pair_correlation(a, b)
    assert phi == pytest.approx(-24 / math.sqrt(48 * 2 * 38 * 12))
    assert newcombe((48, 38), (50, 50), phi=phi) == pytest.approx((0.0569, 0.3404), abs=6e-5)


def test_pair_correlation_is_shrunk_and_defined_everywhere() -> None:
    assert pair_correlation([True] * 5, [True, False] * 2 + [True]) == 0
    # 5 and 5 of 10 that agree throughout: 25 less 10 / 2, over 25
    assert pair_correlation([True] * 5 + [False] * 5, [True] * 5 + [False] * 5) == pytest.approx(0.8)
    assert pair_correlation([True] * 5 + [False] * 5, [False] * 5 + [True] * 5) == -1
    assert newcombe((0, 0), (0, 4)) == (-1.0, 1.0)


# ---------------------------------------------------------------------------------------------- comparisons, profiles

WHOLE = st.lists(st.integers(-6, 6), min_size=1, max_size=9)


@settings(max_examples=100, deadline=None)
@given(WHOLE, WHOLE)
def test_probability_of_improvement_is_the_mann_whitney_statistic(a: Any, b: Any) -> None:
    found = probability_of_improvement(a, b)
    assert found == pytest.approx(stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    assert found + probability_of_improvement(b, a) == pytest.approx(1)
    # only the order counts: of values, not of runs, and not their scale
    assert probability_of_improvement(np.exp(a), np.exp(b)) == found
    assert probability_of_improvement(a[::-1], sorted(b)) == found


def test_probability_of_improvement_averages_problems_by_hand() -> None:
    # first problem: 1 > 0, 1 = 1 (half), 3 > 0, 3 > 1: 3.5 of 4; second: none of 4
    assert probability_of_improvement([[1, 0], [3, 0]], [[0, 5], [1, 5]]) == pytest.approx((3.5 / 4 + 0) / 2)
    assert np.isnan(probability_of_improvement([], [1.0]))
    assert bootstrap_improvement([2.0, 3.0], [0.0, 1.0]) == (1.0, 1.0)


def test_probability_of_improvement_has_the_interval_of_its_bootstrap() -> None:
    a, b = np.random.default_rng(4).normal(loc=[[0.7], [0]], size=(2, 15))
    known = stats.bootstrap(
        (a, b), lambda x, y, axis: np.mean(x[..., :, None] > y[..., None, :], axis=(-2, -1)), method="percentile",
        n_resamples=20_000, confidence_level=expanded_level(0.9, 15, 2), rng=1, vectorized=True,
    ).confidence_interval  # fmt: skip
    found = bootstrap_improvement(a, b, confidence=0.9, resamples=20_000)
    assert found == pytest.approx((known.low, known.high), abs=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-100, 100), min_size=2, max_size=9), st.randoms())
def test_intervals_follow_scale_and_ignore_the_order_of_runs(values: Any, random: Any) -> None:
    shuffled = random.sample(values, len(values))
    for statistic in (iqm, median):
        low, high = bootstrap(values, statistic, resamples=200)
        assert bootstrap(shuffled, statistic, resamples=200) == (low, high)
        assert bootstrap([2 * v for v in values], statistic, resamples=200) == (2 * low, 2 * high)
        assert min(values) <= low <= high <= max(values)
    pairs = list(zip(values, shuffled, strict=True))
    again = random.sample(pairs, len(pairs))
    both = [bootstrap_difference(*np.array(rows).T, paired=True, resamples=200) for rows in (pairs, again)]
    assert both[0] == both[1]


def test_performance_profile_is_one_less_the_distribution() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3))
    at = np.array([-9.0, -1.0, 0.0, 0.5, 9.0])
    share, low, high = performance_profile(values, at)
    assert share == pytest.approx([stats.percentileofscore(-values.ravel(), -t, kind="weak") / 100 for t in at])
    assert (low[0], high[-1]) == pytest.approx((21 / (21 + stats.norm.ppf(0.975) ** 2), 1 - low[0]))
    # at a threshold that a run meets exactly it counts
    assert performance_profile([1.0, 2.0, 3.0], [2.0]).share.tolist() == [2 / 3]
    assert ((low <= share) & (share <= high)).all()


def test_cost_of_a_survivor() -> None:
    assert cost_per_survivor([1.0, 2.0, 3.0, 4.0], [False, True, False, True]) == 5.0
    assert cost_per_survivor([1.0, 2.0], [True, True]) == math.inf
    assert math.isnan(cost_per_survivor([], []))


def test_overlap() -> None:
    assert overlap((0, 0.4), (0.4, 1))
    assert not overlap((0, 0.3), (0.4, 1))
    assert overlap((0, 1), (0.2, 0.3))


# ---------------------------------------------------------------------------------------------- defaults and ends


def test_defaults_are_what_they_are_said_to_be() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 9))
    stated = {"confidence": 0.95, "resamples": 2000, "seed": 0}
    assert bootstrap(a) == bootstrap(a, iqm, **stated)
    assert bootstrap_difference(a, b) == bootstrap_difference(a, b, iqm, paired=False, **stated)
    assert bootstrap_difference(a, b) != bootstrap_difference(a, b, paired=True)
    assert bootstrap_improvement(a, b) == bootstrap_improvement(a, b, **stated)
    assert wilson(2, 9) == wilson(2, 9, 0.95)
    assert newcombe((2, 3), (9, 9)) == newcombe((2, 3), (9, 9), 0.95, phi=0.0)
    assert performance_profile(a, [0.0]).low == performance_profile(a, [0.0], 0.95).low


@pytest.mark.parametrize(("values", "shape"), [([], ()), (np.zeros((0,)), ()), (np.zeros((3, 0)), (3,)),
                                               (np.zeros((2, 3, 0)), (2, 3))])  # fmt: skip
def test_of_no_runs_there_is_no_mean(values: Any, shape: Any) -> None:
    found = iqm(values)
    assert np.shape(found) == shape
    assert np.isnan(found).all()


def test_of_no_runs_there_is_no_comparison() -> None:
    for a, b in (([], [1.0, 2.0]), ([1.0, 2.0], []), ([], [])):
        assert math.isnan(probability_of_improvement(a, b))
        assert np.isnan(bootstrap_improvement(a, b)).all()
    assert np.isnan(cost_per_survivor([], []))
    empty = performance_profile([], [0.0, 0.5])
    assert np.isnan(empty.share).all()
    assert (empty.low.tolist(), empty.high.tolist()) == ([0.0, 0.0], [1.0, 1.0])
    assert newcombe((0, 0), (0, 5)) == newcombe((0, 0), (5, 0)) == (-1.0, 1.0)


def test_failures_may_be_numbers() -> None:
    assert cost_per_survivor([10, 20], [1, 0]) == 30.0
    assert pair_correlation([1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]) == pytest.approx((8 - 3) / 8)
    # a correlation that is no more than half a pair is none: two pairs that agree
    assert pair_correlation([1, 0], [1, 0]) == pair_correlation([0, 0], [1, 0]) == 0.0
    assert pair_correlation([1, 0], [0, 1]) == -1.0


def test_differences_of_rates_end_at_one() -> None:
    low, high = newcombe((5, 0), (5, 5))
    assert (low, high) == (pytest.approx(1 - np.hypot(1 - wilson(5, 5)[0], wilson(0, 5)[1])), 1.0)
    assert newcombe((0, 5), (5, 5)) == (-1.0, pytest.approx(-low))
    # fully correlated pairs of equal rates do not differ
    assert newcombe((2, 2), (5, 5), phi=1.0)[1] == pytest.approx(
        math.sqrt((wilson(2, 5)[1] - 0.4) ** 2 - 2 * (wilson(2, 5)[1] - 0.4) * (0.4 - wilson(2, 5)[0])
                  + (0.4 - wilson(2, 5)[0]) ** 2)
    )  # fmt: skip


@pytest.mark.parametrize(("first", "second", "shared"), [
    ((0, 1), (1, 2), True), ((1, 2), (0, 1), True), ((0, 1), (1.01, 2), False), ((1.01, 2), (0, 1), False),
    ((0, 9), (3, 4), True), ((3, 4), (0, 9), True),
])  # fmt: skip
def test_intervals_that_share_a_point(first: Any, second: Any, shared: bool) -> None:
    assert overlap(first, second) is shared


def test_two_runs_are_enough_for_an_interval_and_one_is_not() -> None:
    assert bootstrap([0.0, 1.0]) == (0.0, 1.0)
    assert np.isnan(bootstrap_difference([0.0, 1.0], [1.0])).all()
    assert np.isnan(bootstrap_improvement([0.0], [1.0, 2.0])).all()
    three = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    low, high = bootstrap(three)
    assert 0.0 <= low < high <= 0.5
    for wrong in (np.zeros(()), np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="values are"):
            bootstrap(wrong)


# ---------------------------------------------------------------------------------------------- coverage of intervals

TRAINING = "a fifth of the runs fails"
POPULATIONS: dict[str, Any] = {
    "normal": lambda generator, shape: generator.normal(size=shape),
    "lognormal": lambda generator, shape: generator.lognormal(size=shape),
    TRAINING: lambda generator, shape: np.where(
        generator.random(shape) < 0.2, generator.uniform(0, 0.4, shape), generator.normal(0.92, 0.04, shape)
    ),
}


def exact_coverage(rates: Any, runs: int, holds: Any) -> Any:
    """Return P(the interval holds the truth) for each true rate, summed over all outcomes: holds(failures, rate)."""
    return np.array([sum(stats.binom.pmf(k, runs, p) * holds(k, p) for k in range(runs + 1)) for p in rates])


FINE = np.linspace(0.05, 0.95, 901)
RATES = np.linspace(0.05, 0.95, 19)


def wilson_coverage(runs: int, rates: Any = FINE) -> Any:
    intervals = [wilson(k, runs) for k in range(runs + 1)]
    return exact_coverage(rates, runs, lambda k, p: intervals[k][0] <= p <= intervals[k][1])


def survival_coverage(runs: int, rates: Any = FINE) -> Any:
    """The same for Kaplan-Meier at one step, as runs that do not fail before it are censored after it."""
    curves = [kaplan_meier(np.r_[np.ones(k), np.full(runs - k, 2.0)], np.arange(runs) < k) for k in range(runs + 1)]
    ends = [(curve.low[0], curve.high[0]) for curve in curves]
    return exact_coverage(rates, runs, lambda k, p: ends[k][0] <= 1 - p <= ends[k][1])


def newcombe_coverage(runs: int) -> Any:
    outcomes = list(product(range(runs + 1), repeat=2))
    low, high = np.array([newcombe(both, (runs, runs)) for both in outcomes]).T
    law = stats.binom.pmf(np.arange(runs + 1)[:, None], runs, RATES)
    found = []
    for (i, p), (j, q) in product(enumerate(RATES), repeat=2):
        held = (low <= p - q + 1e-12) & (p - q - 1e-12 <= high)
        found.append(float(np.outer(law[:, i], law[:, j]).ravel() @ held))
    return np.array(found)


def pair_outcomes(runs: int) -> Any:
    """Return every outcome [outcomes, 4] of pairs: both, only a, only b and neither has failed."""
    counts = [c for c in product(range(runs + 1), repeat=3) if sum(c) <= runs]
    return np.array([(*c, runs - sum(c)) for c in counts])


def pair_law(outcomes: Any, p: float, q: float, phi: float) -> Any:
    """Return the probability of every outcome; None where phi cannot be."""
    both = p * q + phi * math.sqrt(p * (1 - p) * q * (1 - q))
    cells = np.array([both, p - both, q - both, 1 - p - q + both])
    if (cells < -1e-12).any():
        return None
    cells = np.maximum(cells, 0) / np.maximum(cells, 0).sum()
    return stats.multinomial.pmf(outcomes, outcomes[0].sum(), cells)


def pairs_of(cells: Any) -> tuple[Any, Any]:
    return tuple(np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], cells, axis=0).T)


def paired_newcombe_coverage(runs: int, phi: float) -> Any:
    outcomes, found = pair_outcomes(runs), []
    pairs = [pairs_of(cells) for cells in outcomes]
    ends = [newcombe((a.sum(), b.sum()), (runs, runs), phi=pair_correlation(a, b)) for a, b in pairs]
    low, high = np.array(ends).T
    for p, q in product(RATES, repeat=2):
        law = pair_law(outcomes, p, q, phi)
        if law is not None:
            found.append(float(law @ ((low <= p - q + 1e-12) & (p - q - 1e-12 <= high))))
    return np.array(found)


def simulated(draw: Any, interval: Any, truth: float, simulations: int) -> float:
    generator = np.random.default_rng(7)
    held = 0
    for seed in range(simulations):
        low, high = interval(draw(generator), seed)
        held += low <= truth <= high
    return held / simulations


def expanded(values: Any, statistic: Any, seed: int) -> tuple[float, float]:
    return bootstrap(values, statistic, seed=seed)


def plain(values: Any, statistic: Any, seed: int) -> tuple[float, float]:
    """Plain percentiles: the expanded ones at the level that expands to 95 %."""
    runs = len(values)
    reach = stats.norm.ppf(0.975) * math.sqrt((runs - 1) / runs)
    return bootstrap(values, statistic, confidence=2 * stats.t.cdf(reach, runs - 1) - 1, seed=seed)


def accelerated(values: Any, statistic: Any, seed: int) -> tuple[float, float]:
    """SciPy's BCa interval."""
    sample = (values.ravel(),)
    found = stats.bootstrap(sample, lambda x, axis: statistic(x), n_resamples=2000, method="BCa", rng=seed)
    return found.confidence_interval.low, found.confidence_interval.high


def bootstrap_coverage(
    statistic: Any, population: str, runs: int, simulations: int, problems: int = 1, interval: Any = expanded
) -> float:
    make = POPULATIONS[population]
    truth = float(statistic(make(np.random.default_rng(1), 2_000_000)))
    return simulated(
        lambda generator: make(generator, (runs, problems)),
        lambda v, seed: interval(v, statistic, seed),
        truth,
        simulations,
    )


def difference_coverage(shared: float, paired: bool, runs: int, simulations: int) -> float:
    """Two normal samples that share a part of their variance by seed; their true difference is 0."""

    def draw(generator: Any) -> Any:
        seeds, own = generator.normal(size=runs), generator.normal(size=(2, runs))
        return math.sqrt(shared) * seeds + math.sqrt(1 - shared) * own

    return simulated(draw, lambda v, seed: bootstrap_difference(*v, paired=paired, seed=seed), 0.0, simulations)


def improvement_coverage(shift: float, runs: int, simulations: int, problems: int = 1) -> float:
    truth = float(stats.norm.cdf(shift / math.sqrt(2)))
    return simulated(
        lambda generator: generator.normal(loc=[[[shift]], [[0]]], size=(2, runs, problems)),
        lambda v, seed: bootstrap_improvement(*v, seed=seed), truth, simulations,
    )  # fmt: skip


def profile_coverage(runs: int, simulations: int, rates: tuple[float, ...]) -> float:
    """The band of a profile at one score that runs reach with a rate of each problem's own."""

    def at_one(passed: Any, seed: int) -> tuple[float, float]:
        profile = performance_profile(passed, [1.0])
        return profile.low[0], profile.high[0]

    return simulated(
        lambda generator: generator.random((runs, len(rates))) < rates, at_one, np.mean(rates), simulations
    )


def censored_coverage(runs: int, simulations: int) -> float:
    """Kaplan-Meier at the median time to failure of exponential times, where half of the runs may stop before."""

    def draw(generator: Any) -> Any:
        times, ends = generator.exponential(size=runs) / math.log(2), generator.uniform(0.2, 2, size=runs)
        return np.minimum(times, ends), times <= ends

    def at_one(sample: Any, seed: int) -> tuple[float, float]:
        curve = kaplan_meier(*sample)
        before = np.searchsorted(curve.steps, 1.0, side="right") - 1
        return (curve.low[before], curve.high[before]) if before >= 0 else (wilson(runs, runs)[0], 1.0)

    return simulated(draw, at_one, 0.5, simulations)


EXACT: dict[str, Any] = {
    "failure rate, Wilson": wilson_coverage,
    "share alive, Kaplan-Meier": survival_coverage,
    "difference of rates, Newcombe": newcombe_coverage,
    "the same, paired, correlation 0": lambda runs: paired_newcombe_coverage(runs, 0.0),
    "the same, paired, correlation 0.5": lambda runs: paired_newcombe_coverage(runs, 0.5),
}
SIMULATED: dict[str, Any] = {
    **{
        f"{statistic.__name__}, {population}": lambda runs, n, f=statistic, p=population: bootstrap_coverage(
            f, p, runs, n
        )
        for statistic, population in product((iqm, median), POPULATIONS)
    },
    "iqm, normal, 5 problems": lambda runs, n: bootstrap_coverage(iqm, "normal", runs, n, 5),
    f"iqm, {TRAINING}, 5 problems": lambda runs, n: bootstrap_coverage(iqm, TRAINING, runs, n, 5),
    f"iqm, {TRAINING}, plain percentiles": lambda runs, n: bootstrap_coverage(iqm, TRAINING, runs, n, 1, plain),
    f"iqm, {TRAINING}, BCa": lambda runs, n: bootstrap_coverage(iqm, TRAINING, runs, n, 1, accelerated),
    "difference of iqm": lambda runs, n: difference_coverage(0.0, False, runs, n),
    "difference of iqm, paired": lambda runs, n: difference_coverage(0.6, True, runs, n),
    "probability of improvement, true value 0.5": lambda runs, n: improvement_coverage(0.0, runs, n),
    "probability of improvement, true value 0.76": lambda runs, n: improvement_coverage(1.0, runs, n),
    "probability of improvement, true value 0.92": lambda runs, n: improvement_coverage(2.0, runs, n),
    **{
        f"probability of improvement, true value {truth}, 3 problems": (
            lambda runs, n, s=shift: improvement_coverage(s, runs, n, 3)
        )
        for truth, shift in ((0.76, 1.0), (0.92, 2.0))
    },
    "performance profile, 3 equal problems": lambda runs, n: profile_coverage(runs, n, (0.5, 0.5, 0.5)),
    "performance profile, 3 unequal problems": lambda runs, n: profile_coverage(runs, n, (0.1, 0.5, 0.9)),
    "share alive, half of the runs may stop early": censored_coverage,
}
SEEDS = (5, 10, 20)


def documented(name: str) -> list[float]:
    """Return the numbers of a row of docs/statistics.md, as shares."""
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {re.escape(name)} \|(.+)\|$", text, flags=re.MULTILINE)
    return [float(number) / 100 for number in re.findall(r"[\d.]+", row)]


def row(name: str, cells: Any) -> str:
    """Return a row of the docs' tables, cells in per cent."""
    numbers = [", ".join(f"{100 * number:.1f}" for number in np.atleast_1d(cell)) for cell in cells]
    return f"| {' | '.join([name, *numbers])} |"


def exact_cells(name: str) -> Any:
    """Return the mean and the worst coverage over true rates of 5 to 95 % for each number of seeds."""
    return [(found.mean(), found.min()) for found in (EXACT[name](runs) for runs in SEEDS)]


@pytest.mark.parametrize("name", EXACT)
def test_exact_coverage_is_as_documented(name: str) -> None:
    assert np.ravel(exact_cells(name)) == pytest.approx(documented(name), abs=0.00051)


RARE = "worst at rates below 5 %, 10 seeds"


def rare_cells() -> list[float]:
    return [
        float(coverage(10, np.linspace(0.001, 0.05, 491)).min()) for coverage in (wilson_coverage, survival_coverage)
    ]


def test_exact_coverage_at_rare_failures_is_as_documented() -> None:
    assert rare_cells() == pytest.approx(documented(RARE), abs=0.00051)


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_coverage_at_ten_seeds_is_as_documented(name: str) -> None:
    found, known = SIMULATED[name](10, 500), documented(name)[SEEDS.index(10)]
    assert found == pytest.approx(known, abs=4 * math.sqrt(known * (1 - known) / 500) + 0.0005)


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, str]]:
    """Rows by name, printed at the end as the tables of docs/statistics.md."""
    found: dict[str, str] = {}
    yield found
    seeds = " | ".join(f"{runs} seeds" for runs in SEEDS)
    for names, columns in ((EXACT, seeds), ((RARE,), "Wilson | Kaplan-Meier"), (SIMULATED, seeds)):
        table = [found[name] for name in names if name in found]
        head = [f"| {'' if RARE in names else 'interval'} | {columns} |", "|---" * (columns.count("|") + 2) + "|"]
        print("\n".join(["", *(head if table else []), *table]), flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXACT, RARE, *SIMULATED])
def test_every_row_of_the_docs_in_full(name: str, rows: dict[str, str]) -> None:
    """Every cell of the tables of docs/statistics.md on coverage, each within its margin; `-s` shows the tables."""
    if name in SIMULATED:
        cells: Any = [SIMULATED[name](runs, 10_000) for runs in SEEDS]
        margins = [4 * math.sqrt(2 * known * (1 - known) / 10_000) + 0.0005 for known in documented(name)]
    else:
        cells = exact_cells(name) if name in EXACT else rare_cells()
        margins = [0.00051] * np.size(cells)
    rows[name] = row(name, cells)
    for found, known, margin in zip(np.ravel(cells), documented(name), margins, strict=True):
        assert found == pytest.approx(known, abs=margin), name
