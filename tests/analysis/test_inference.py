"""Over what a finding holds: intervals, pairs and the set of the best by hand, by enumeration and in simulations."""

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from operator import mul
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from ganbench.analysis import findings
from ganbench.analysis.gate import holm
from ganbench.analysis.inference import matched_pairs, may_be_best, rate_over_seeds, rate_over_variants
from ganbench.analysis.statistics import wilson

Z = float(stats.norm.ppf(0.975))


def score_interval(rate: float, runs: float, z: float = Z) -> Any:
    """Where a rate is z standard errors from what was seen: the roots of (rate - p)^2 = z^2 p (1 - p) / runs."""
    roots = np.roots([1 + z**2 / runs, -2 * rate - z**2 / runs, rate**2])
    return pytest.approx(sorted(np.real(roots)), abs=1e-6)


def quantile(freedom: float, confidence: float = 0.95) -> float:
    return float(stats.t.ppf(0.5 + confidence / 2, freedom))


# ------------------------------------------------------------------------------------------------ rates for new seeds


def test_a_rate_for_new_seeds_by_hand() -> None:
    # 3, 1, 0 and 0 of three variants fail with four seeds. The rates of seeds have the variance 2/9 and their mean
    # 1/18, as that of four coins of 1/3 has
    failed = [True] * 3 + [True, False, False] + [False] * 6
    runs = 4 * (Z / quantile(3)) ** 2
    assert rate_over_seeds(failed, np.repeat([7, 1, 5, 2], 3)) == score_interval(1 / 3, runs)
    z = stats.norm.ppf(0.9)
    narrower = rate_over_seeds(failed, np.repeat([7, 1, 5, 2], 3), confidence=0.8)
    assert narrower == score_interval(1 / 3, 4 * (z / quantile(3, 0.8)) ** 2, z)


def test_a_rate_for_new_seeds_of_which_some_lack_runs_by_hand() -> None:
    # 2 of 3, 0 of 1 and 1 of 1: beyond 3/5 of each there are 0.2, -0.6 and 0.4; 3/2 of their squares over 5^2
    variance = 3 / 2 * (0.04 + 0.36 + 0.16) / 25
    runs = 0.24 / variance * (Z / quantile(2)) ** 2
    assert rate_over_seeds([1, 1, 0, 0, 1], ["a", "a", "a", "b", "c"]) == score_interval(0.6, runs)


TABLES = st.tuples(st.integers(2, 5), st.integers(2, 5)).flatmap(
    lambda shape: st.lists(st.lists(st.booleans(), min_size=shape[1], max_size=shape[1]), min_size=shape[0],
                           max_size=shape[0]))  # fmt: skip


def long(table: Any) -> tuple[Any, Any, Any]:
    """A table [variants, seeds] as runs: failed, variants, seeds."""
    failed = np.array(table, dtype=bool)
    variants, seeds = np.indices(failed.shape)
    return failed.ravel(), variants.ravel(), seeds.ravel()


@settings(max_examples=60, deadline=None)
@given(TABLES, st.randoms(use_true_random=False))
def test_rates_ignore_the_order_of_runs_and_the_names_of_groups(table: Any, random: Any) -> None:
    failed, variants, seeds = long(table)
    order = random.sample(range(failed.size), failed.size)
    named = np.array([f"variant {10 - v}" for v in variants])[order], (1000 - 7 * seeds)[order]
    assert rate_over_seeds(failed[order], named[1]) == pytest.approx(rate_over_seeds(failed, seeds))
    found = rate_over_variants(failed[order], *named)
    assert found == pytest.approx(rate_over_variants(failed, variants, seeds))
    # what fails is what does not survive
    assert rate_over_seeds(~failed, seeds) == pytest.approx(
        tuple(1 - end for end in rate_over_seeds(failed, seeds)[::-1])
    )
    assert rate_over_variants(~failed, variants, seeds) == pytest.approx(
        tuple(1 - end for end in rate_over_variants(failed, variants, seeds)[::-1])
    )


@settings(max_examples=60, deadline=None)
@given(TABLES)
def test_a_rate_lies_in_its_interval_and_that_within_0_and_1(table: Any) -> None:
    failed, variants, seeds = long(table)
    for low, high in (rate_over_seeds(failed, seeds), rate_over_variants(failed, variants, seeds)):
        assert 0 <= low <= failed.mean() <= high <= 1
        assert low < high


@settings(max_examples=60, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=8), st.integers(1, 6))
def test_copies_of_a_variant_tell_nothing_more_of_new_seeds(fails: Any, copies: int) -> None:
    failed, _, seeds = long([fails] * copies)
    found, rate, count = rate_over_seeds(failed, seeds), np.mean(fails), len(fails)
    if 0 < rate < 1:
        # the variance of the mean of n coins, without bias, is p (1 - p) / (n - 1)
        assert found == score_interval(rate, (count - 1) * (Z / quantile(count - 1)) ** 2)
    else:
        assert found == wilson(int(failed.sum()), failed.size)


def test_rates_are_wilsons_where_nothing_scatters() -> None:
    # every seed has one failure of three; every variant too
    failed, variants, seeds = long(np.eye(3, dtype=bool))
    assert rate_over_seeds(failed, seeds) == wilson(3, 9)
    assert rate_over_variants(failed, variants, seeds) == wilson(3, 9)
    for lost in (np.zeros(9, dtype=bool), np.ones(9, dtype=bool)):
        assert rate_over_seeds(lost, seeds) == wilson(int(lost.sum()), 9)
        # whether the runs of a variant are alike is not known: each counts once
        assert rate_over_variants(lost, variants, seeds) == wilson(int(lost.sum()) // 3, 3)
    # of one group nothing is known to scatter
    assert rate_over_seeds([True, False, False], [4, 4, 4]) == wilson(1, 3)
    assert rate_over_variants([True, False, False], ["a"] * 3, [1, 2, 3]) == wilson(1, 3)
    assert rate_over_seeds([], []) == (0.0, 1.0)
    assert rate_over_variants([], [], []) == (0.0, 1.0)


def test_a_rate_is_less_sure_where_runs_of_a_seed_agree() -> None:
    apart, alike = np.zeros((6, 6), dtype=bool), np.zeros((6, 6), dtype=bool)
    apart[np.arange(6), np.arange(6)] = apart[np.arange(5), np.arange(1, 6)] = apart[5, 1] = True
    alike[:, :2] = True
    assert apart.sum() == alike.sum() == 12
    width = {name: np.ptp(rate_over_seeds(*long(table)[::2])) for name, table in (("apart", apart), ("alike", alike))}
    assert width["apart"] < np.ptp(wilson(12, 36)) < width["alike"]
    # and of new variants where those of a variant agree
    failed, variants, seeds = long(alike.T)
    assert np.ptp(rate_over_variants(failed, variants, seeds)) > np.ptp(wilson(12, 36))


# --------------------------------------------------------------------------------------------- rates for new variants


def test_a_rate_for_new_variants_by_hand() -> None:
    # three variants, two seeds: the first seed fails for all, the second for the last
    failed, variants, seeds = long([[True, False], [True, False], [True, True]])
    # variants: 1/2, 1/2, 1 have the variance 1/12, their mean 1/36; seeds: 1, 1/3 have 2/9, their mean 1/9; six
    # coins of 2/3 would have 2/9 / 5 of it
    by_variant, by_seed = Fraction(1, 36), Fraction(1, 9) - Fraction(2, 45)
    variance = by_variant + by_seed
    freedom = variance**2 / (by_variant**2 / 2 + by_seed**2 / 1)
    assert (variance, freedom) == (Fraction(17, 180), Fraction(578, 313))
    runs = float(Fraction(2, 9) / variance) * (Z / quantile(float(freedom))) ** 2
    assert rate_over_variants(failed, variants, seeds) == score_interval(2 / 3, runs)


def test_seeds_that_scatter_as_coins_do_add_nothing_for_new_variants() -> None:
    # variants: 1, 1/2, 0 have 1/4, their mean 1/12; seeds: 2/3 and 1/3 scatter by 1/36, less than the 1/20 of coins
    failed, variants, seeds = long([[True, True], [True, False], [False, False]])
    known = score_interval(1 / 2, 1 / 4 / (1 / 12) * (Z / quantile(2)) ** 2)
    assert rate_over_variants(failed, variants, seeds) == known
    # nor does a single seed
    assert rate_over_variants([True, True, False], [0, 1, 2], [5, 5, 5]) == score_interval(
        2 / 3, 2 / 9 / (1 / 9) * (Z / quantile(2)) ** 2
    )


def test_variants_that_are_all_alike_leave_the_scatter_of_seeds() -> None:
    # seeds: 1 and 0 have 1/2, their mean 1/4, of which 1/4 / 5 is what six coins have; with one degree of freedom
    failed, variants, seeds = long([[True, False]] * 3)
    known = score_interval(1 / 2, 1 / 4 / (1 / 4 - 1 / 20) * (Z / quantile(1)) ** 2)
    assert rate_over_variants(failed, variants, seeds) == known


# ---------------------------------------------------------------------------------------------------- levels in pairs

SIGNS = st.lists(st.sampled_from([-1, 0, 1]), max_size=30)
GAPS = st.lists(st.sampled_from([-1, -0.5, -0.25, 0, 0.5, 0.75, 1]), min_size=1, max_size=10)


def by_enumeration(gaps: Any) -> float:
    """The two-sided p-value of the sum of differences, all of them quarters, over all changes of sign."""
    quarters = [int(4 * gap) for gap in gaps if gap]
    sums = [abs(sum(map(mul, quarters, signs))) for signs in product((1, -1), repeat=len(quarters))]
    return sum(found >= abs(sum(quarters)) for found in sums) / len(sums)


@settings(max_examples=80, deadline=None)
@given(SIGNS)
def test_pairs_are_compared_by_mcnemars_exact_test(gaps: Any) -> None:
    worse, better = gaps.count(1), gaps.count(-1)
    found = matched_pairs(gaps, range(len(gaps)))
    # twice the tail of fair coins, by hand
    tail = sum(math.comb(worse + better, k) for k in range(min(worse, better) + 1)) / 2 ** (worse + better)
    assert found.p == pytest.approx(min(1.0, 2 * tail))
    if worse + better:
        assert found.p == pytest.approx(stats.binomtest(worse, worse + better).pvalue)
    assert (found.pairs, found.worse, found.better) == (len(gaps), worse, better)


@settings(max_examples=60, deadline=None)
@given(GAPS.filter(lambda gaps: any(abs(gap) not in (0, 1) for gap in gaps)))
def test_rates_of_several_runs_are_compared_by_all_changes_of_sign(gaps: Any) -> None:
    found = matched_pairs(gaps, range(len(gaps)))
    assert found.p == pytest.approx(by_enumeration(gaps))
    # every pair is a setting of its own
    assert found.p_settings == found.p


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([-1, -0.5, 0, 1]), st.sampled_from([("a", 1), ("a", 2), "b", None, 3, 4])),
                min_size=1, max_size=40), st.randoms(use_true_random=False))  # fmt: skip
def test_settings_are_compared_by_their_sums(rows: Any, random: Any) -> None:
    sums: dict[Any, Any] = {}
    for gap, setting in rows:
        sums[setting] = sums.get(setting, 0) + Fraction(gap)
    found = matched_pairs(*zip(*rows, strict=True))
    assert found.worse == sum(total > 0 for total in sums.values())
    assert found.better == sum(total < 0 for total in sums.values())
    assert found.p_settings == pytest.approx(by_enumeration(sums.values()))
    # neither order nor names matter
    again = [(gap, f"setting {setting}") for gap, setting in random.sample(rows, len(rows))]
    other = matched_pairs(*zip(*again, strict=True))
    assert (other.p, other.p_settings) == pytest.approx((found.p, found.p_settings))
    # what is worse on one side is better on the other
    swapped = matched_pairs([-gap for gap, _ in rows], [setting for _, setting in rows])
    assert (swapped.worse, swapped.better, swapped.p) == (found.better, found.worse, pytest.approx(found.p))
    assert swapped.p_settings == pytest.approx(found.p_settings)


@pytest.mark.parametrize("size", [12, 13, 14])
@pytest.mark.parametrize("seed", range(3))
def test_beyond_twelve_settings_signs_are_drawn(size: int, seed: int) -> None:
    gaps = np.random.default_rng(seed).choice([-3, -1, 1, 2, 4, 5], size).tolist()
    found, known = matched_pairs(gaps, range(size)).p_settings, by_enumeration(gaps)
    # 20 000 draws, and the signs that were seen
    error = 0 if size == 12 else 4 * math.sqrt(known * (1 - known) / 20_000) + 1 / 20_001
    assert found == pytest.approx(known, abs=error + 1e-12)
    assert matched_pairs(gaps, range(size)).p_settings == found
    # never 0, and the same for the other side
    assert matched_pairs([1] * size, range(size)).p_settings >= min(2 / 2**12, 1 / 20_001)
    assert matched_pairs([-gap for gap in gaps], range(size)).p_settings == found


def test_what_never_differs_is_not_told_apart() -> None:
    assert matched_pairs([], []).p == matched_pairs([], []).p_settings == 1
    found = matched_pairs([0, 0, 1, -1], ["a", "a", "b", "b"])
    # the two of b cancel within their setting
    assert (found.p, found.worse, found.better, found.p_settings) == (1, 0, 0, 1)


# ----------------------------------------------------------------------------------------- which variants may be best

FINE = np.linspace(0.001, 0.999, 999)


@pytest.mark.parametrize("seeds", [(3, 3, 3), (2, 3, 1), (4, 2, 4)])
def test_the_best_may_be_what_chance_leaves(seeds: Any) -> None:
    # every outcome, its law for every common rate, and how far another leads over each of the three
    outcomes = list(product(*(range(n + 1) for n in seeds)))
    law = np.array([np.prod([stats.binom.pmf(k, n, FINE) for k, n in zip(counts, seeds, strict=True)], axis=0)
                    for counts in outcomes])  # fmt: skip
    rates = [[Fraction(k, n) for k, n in zip(counts, seeds, strict=True)] for counts in outcomes]
    lead = [[max(of[place] - of[i] for i in range(3) if i != place) for place in range(3)] for of in rates]
    decided = set()
    for failures, seen in zip(outcomes, lead, strict=True):
        as_far = [[one[place] >= seen[place] for one in lead] for place in range(3)]
        chances = [law[which].sum(axis=0).max() for which in as_far]
        for confidence in (0.5, 0.8, 0.95):
            found = may_be_best(failures, seeds, confidence).tolist()
            # on a finer grid of rates, which moves no chance by more than this
            sure = [place for place in range(3) if abs(chances[place] - (1 - confidence)) > 2e-4]
            assert [found[place] for place in sure] == [chances[place] > 1 - confidence for place in sure], failures
            decided |= {(confidence, one) for one in found}
    assert decided >= {(0.5, True), (0.5, False), (0.8, False), (0.95, True)}


COUNTS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)).map(lambda pair: (min(pair), pair[1])), min_size=1,
                  max_size=8)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.data())
def test_the_lowest_rate_may_be_best_and_a_failure_more_lets_none_in(counts: Any, data: Any) -> None:
    failures, seeds = map(np.array, zip(*counts, strict=True))
    found = may_be_best(failures, seeds)
    assert found[failures / seeds == (failures / seeds).min()].all()
    place = data.draw(st.integers(0, len(counts) - 1))
    if failures[place] < seeds[place]:
        more = failures + (np.arange(len(counts)) == place)
        assert not may_be_best(more, seeds)[place] > found[place]
        # and drops none of the others
        others = np.arange(len(counts)) != place
        assert (may_be_best(more, seeds)[others] >= found[others]).all()
    # more confidence leaves more of them
    assert (may_be_best(failures, seeds, 0.99) >= found).all()
    order = np.array(data.draw(st.permutations(range(len(counts)))))
    assert may_be_best(failures[order], seeds[order]).tolist() == found[order].tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.data())
def test_of_the_same_number_of_seeds_only_the_lead_of_the_lowest_counts(runs: int, variants: int, data: Any) -> None:
    failures = data.draw(st.lists(st.integers(0, runs), min_size=variants + 1, max_size=variants + 1))
    allowed = leads(variants + 1, runs)
    assert (
        may_be_best(failures, [runs] * (variants + 1)).tolist() == allowed[np.array(failures) - min(failures)].tolist()
    )


def leads(variants: int, runs: int) -> Any:
    """Whether a variant may be best [0 to all runs] that fails in so many runs more than the lowest."""
    rest = [runs] * (variants - 2)
    return np.array([bool(may_be_best([0, lead, *rest], [runs] * variants)[1]) for lead in range(runs + 1)])


def test_equal_rates_may_all_be_best_and_one_variant_is() -> None:
    assert may_be_best([3], [5]).tolist() == [True]
    assert may_be_best([], []).tolist() == []
    assert may_be_best([5] * 4, [5] * 4).all()
    assert may_be_best([1, 2, 4], [2, 4, 8]).all()
    # 0 of 5 against 5 of 5 is far apart, 0 of 1 against 1 of 1 is not
    assert may_be_best([0, 5], [5, 5]).tolist() == [True, False]
    assert may_be_best([0, 1], [1, 1]).all()
    # of what has not run nothing is known, and it leads over nothing
    assert may_be_best([0, 5, 0], [5, 5, 0]).tolist() == [True, False, True]
    assert may_be_best([5, 0], [5, 0]).all()


# ------------------------------------------------------------------------------------------------------- simulations

SEEDS, DRAWS = (5, 10, 20), 2000
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def rate_cell(over: str, variants: int, seed_sd: float, rare: bool, runs: int, draws: int) -> tuple[float, float]:
    """Return how often the interval holds its truth, and how often Wilson's over all runs does.

    The log-odds of a failure are those of a study, 0 (or -4 where failures are rare), of a variant (standard deviation
    2) and of a seed. New seeds are of the variants that were drawn; new variants of all.
    """
    generator, centre = np.random.default_rng(11), -4.0 if rare else 0.0
    of_seeds = lambda logits: expit(logits[..., None] + seed_sd * NODES) @ WEIGHTS  # noqa: E731
    everywhere = float(of_seeds(centre + 2 * NODES) @ WEIGHTS)
    held = np.zeros(2)
    for _ in range(draws):
        logits = centre + 2 * generator.normal(size=variants)
        chances = expit(logits[:, None] + seed_sd * generator.normal(size=runs))
        failed, kinds, seeds = long(generator.random(chances.shape) < chances)
        new_seeds = over == "seeds"
        truth = float(of_seeds(logits).mean()) if new_seeds else everywhere
        ours = rate_over_seeds(failed, seeds) if new_seeds else rate_over_variants(failed, kinds, seeds)
        held += [low <= truth <= high for low, high in (ours, wilson(int(failed.sum()), failed.size))]
    return float(held[0] / draws), float(held[1] / draws)


RATE_ROWS = {
    f"new {over}, {variants} variants, {'seeds differ' if sd else 'seeds alike'}": (over, variants, sd, False)
    for over, variants, sd in product(("seeds", "variants"), (6, 30, 66), (0.0, 0.7))
} | {
    f"new {over}, {variants} variants, seeds differ, rare failures": (over, variants, 0.7, True)
    for over, variants in product(("seeds", "variants"), (6, 66))
}

GRID = (11, 3, 2)


def page(failed: Any, gaps_of_truth: Any = None) -> tuple[bool, bool, bool]:
    """Whether a page on failures [*GRID, seeds] tells levels apart: at all, against the truth, for new settings too.

    As `findings` does it, without its words. gaps_of_truth: mean true gap of each comparison; all 0 if not given.
    """
    compared, settings_of = [], np.arange(failed[..., 0].size).reshape(GRID)
    for axis, levels in enumerate(GRID):
        table = np.moveaxis(failed, axis, 0).astype(int)
        named = np.moveaxis(settings_of, axis, 0)[0]
        for place in range(1, levels):
            gaps = table[place] - table[0]
            names = np.broadcast_to(named[..., None], gaps.shape)
            compared.append((gaps.sum(), matched_pairs(gaps.ravel(), names.ravel().tolist())))
    p, p_settings = (
        np.array(holm([getattr(one, name) for _, one in compared], [1.0] * len(compared))) <= 0.05
        for name in ("p", "p_settings")
    )
    truth = np.zeros(len(compared)) if gaps_of_truth is None else np.array(gaps_of_truth)
    against = p & (np.sign([total for total, _ in compared]) != np.sign(truth))
    return bool(p.any()), bool(against.any()), bool((p & p_settings).any())


def comparisons(rates: Any) -> list[float]:
    """The mean gap of every comparison of a page, of rates [*GRID]."""
    tables = [np.moveaxis(rates, axis, 0) for axis in range(len(GRID))]
    return [float((table[place] - table[0]).mean()) for table in tables for place in range(1, len(table))]


def of_equal_rates(seed_sd: float, level_sd: float = 0.0) -> Any:
    """Rates that differ by seed, and by seed and level, but not by level over all seeds."""

    def draw(generator: Any) -> Any:
        logits = np.zeros((*GRID, 5)) + seed_sd * generator.normal(size=5)
        for axis, levels in enumerate(GRID):
            own = level_sd * generator.normal(size=(levels, 5))
            logits = logits + own.reshape([levels if at == axis else 1 for at in range(len(GRID))] + [5])
        return expit(logits), None

    return draw


def of_interactions(generator: Any) -> Any:
    """Rates of settings that differ by up to 35 points around a half, and by seed by up to 15, with equal levels."""
    own = generator.normal(size=GRID)
    for axis in range(len(GRID)):
        own = own - own.mean(axis=tuple(at for at in range(len(GRID)) if at != axis), keepdims=True)
    rates = 0.5 + 0.35 * own / np.abs(own).max()
    return rates[..., None] + generator.uniform(-0.15, 0.15, size=5), None


def of_variants(generator: Any) -> Any:
    """Rates of every variant's own: levels differ in these settings, and for new settings they do not."""
    logits = 2 * generator.normal(size=GRID)
    return expit(logits[..., None] + 0.7 * generator.normal(size=5)), comparisons(expit(logits))


PAGE_ROWS = {
    "equal rates, seeds alike": of_equal_rates(0.0),
    "equal rates, seeds differ": of_equal_rates(0.7),
    "settings differ, levels do not": of_interactions,
    "every variant has a rate of its own": of_variants,
    "every level has hard seeds of its own": of_equal_rates(0.0, 0.7),
}


def page_cells(name: str, draws: int) -> Any:
    generator, found = np.random.default_rng(12), np.zeros(3)
    for _ in range(draws):
        rates, truth = PAGE_ROWS[name](generator)
        found += page(generator.random(rates.shape) < rates, truth)
    return [float(share) for share in found / draws]


def best_cell(variants: int, rates: Any, seed_sd: float, runs: int, draws: int) -> tuple[float, float]:
    """Return how often the set holds the best, and a hundredth of the mean number of variants in it."""
    generator, allowed = np.random.default_rng(13), leads(variants, runs)
    held, size = 0, 0
    for place in range(draws):
        own = generator.random(variants) if rates is None else np.full(variants, rates)
        chances = expit(np.log(own / (1 - own))[:, None] + seed_sd * generator.normal(size=runs))
        failures = (generator.random((variants, runs)) < chances).sum(axis=1)
        inside = allowed[failures - failures.min()]
        if place < 5:
            assert inside.tolist() == may_be_best(failures, [runs] * variants).tolist()
        # of equal rates any one may be named the best, such as the first
        held, size = held + int(inside[own.argmin()]), size + int(inside.sum())
    return held / draws, size / draws / 100


BEST_ROWS = {
    f"{variants} variants, {'rates from 0 to 1' if rate is None else f'all rates {rate}'}": (variants, rate, 0.0)
    for variants, rate in product((10, 66), (0.1, 0.5, 0.9, None))
} | {"66 variants, all rates 0.5, seeds differ": (66, 0.5, 0.7)}


def documented(name: str) -> list[float]:
    """Return the numbers of a row of docs/statistics.md, as shares."""
    text = (Path(__file__).parents[2] / "docs" / "statistics.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {re.escape(name)} \|(.+)\|$", text, flags=re.MULTILINE)
    return [float(number) / 100 for number in re.findall(r"[\d.]+", row)]


def cells(name: str, draws: int, seeds: Any = SEEDS) -> Any:
    if name in PAGE_ROWS:
        return page_cells(name, draws)
    made = [rate_cell(*RATE_ROWS[name], runs, draws) if name in RATE_ROWS else best_cell(*BEST_ROWS[name], runs, draws)
            for runs in seeds]  # fmt: skip
    return np.ravel(made).tolist()


def margins(name: str, known: Any, samples: float) -> list[float]:
    """Four standard errors of shares, beside what was rounded; a fiftieth of the variants for the size of a set."""
    found = [4 * math.sqrt(known * (1 - known) / samples) + 4 / samples for known in known if known <= 1]
    if name in BEST_ROWS:
        found[1::2] = [BEST_ROWS[name][0] / 5000] * len(found[1::2])
    return found


def test_the_page_of_the_simulation_is_that_of_the_findings() -> None:
    generator, axes = np.random.default_rng(3), ("loss", "normalization", "regularizer")
    rates = np.full((*GRID, 5), 0.3)
    rates[1], rates[:, 2], rates[:, :, 1] = 0.8, 0.5, 0.95
    seen = set()
    for share in (0.0, 0.5, 1.0):
        failed = generator.random(rates.shape) < 0.3 + share * (rates - 0.3)
        places = np.argwhere(np.ones_like(failed))
        runs = pd.DataFrame(places, columns=[*axes, "seed"]).assign(
            problem="p", failed=failed.ravel(), verdict="collapsed", status="done", seconds=0.0
        )
        study: Any = SimpleNamespace(axes=list(axes), tuned=[], runs=runs)
        text = " ".join(findings._by_axes(findings.compare_levels(study, runs), tuned=False))
        told = bool(re.search(r"(more|fewer) \(p = ", text))
        assert (told, "and so it is for new settings" in text) == page(failed)[::2]
        assert "Holm for the 13 comparisons" in text
        seen.add((told, "and so it is" in text))
    assert seen >= {(False, False), (True, True)}


@pytest.mark.parametrize("name", ["new seeds, 30 variants, seeds differ", "new variants, 30 variants, seeds differ",
                                  "66 variants, all rates 0.5", "10 variants, rates from 0 to 1"])  # fmt: skip
def test_at_ten_seeds_it_is_as_documented(name: str) -> None:
    known = documented(name)[2:4]
    for found, one, margin in zip(cells(name, 300, (10,)), known, margins(name, known, 300), strict=True):
        assert found == pytest.approx(one, abs=margin)


@pytest.fixture(scope="module")
def rows() -> Iterator[dict[str, str]]:
    """Rows by name, printed at the end as the tables of docs/statistics.md."""
    found: dict[str, str] = {}
    yield found
    for names in (RATE_ROWS, PAGE_ROWS, BEST_ROWS):
        print("\n".join(["", *[found[name] for name in names if name in found]]), flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RATE_ROWS, *PAGE_ROWS, *BEST_ROWS])
def test_every_row_over_what_it_holds_in_full(name: str, rows: dict[str, str]) -> None:
    """Every cell of the tables of docs/statistics.md on over what it holds; `-s` shows the tables."""
    found = cells(name, DRAWS)
    pairs = found if name in PAGE_ROWS else np.reshape(found, (-1, 2))
    told = [", ".join(f"{100 * number:.1f}" for number in np.atleast_1d(cell)) for cell in pairs]
    rows[name] = f"| {' | '.join([name, *told])} |"
    known = documented(name)
    for cell, one, margin in zip(found, known, margins(name, known, DRAWS / 2), strict=True):
        assert cell == pytest.approx(one, abs=margin), name
