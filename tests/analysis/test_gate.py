"""The gate's tests against independent computations, and its error rates in simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact

from ganbench.analysis.gate import (
    FEWEST,
    LOOKS,
    SPENT,
    WEIGHTS,
    Policy,
    compare,
    holm,
    pooled_rise,
    rate_bound,
    score_bound,
    tail,
    worse_rate,
)

HEALTHY, FAILING = (0.92, 0.04), (0.0, 0.4)


def table(variants, seeds, generator):
    """Per-seed results of variants with a true failure rate each."""
    parts = []
    for name, rate in variants.items():
        failed = generator.random(len(seeds)) < rate
        good = np.clip(generator.normal(*HEALTHY, len(seeds)), 0, 1)
        score = np.where(failed, generator.uniform(*FAILING, len(seeds)), good)
        parts.append(pd.DataFrame({"variant": name, "seed": seeds, "failed": failed, "score": score}))
    return pd.concat(parts, ignore_index=True)


def fixed(failures, runs, score=0.9, name="hinge"):
    failed = np.arange(runs) < failures
    return pd.DataFrame({"variant": name, "seed": range(runs), "failed": failed, "score": np.where(failed, 0.1, score)})


def verdicts(judgement):
    return {(c.variant, c.measure): c.verdict for c in judgement.comparisons}


# ---------------------------------------------------------------------------------------------- statistics


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1e-6, 1), st.floats(0.05, 1)), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_weighted_bonferroni(pairs):
    p, w = zip(*pairs, strict=True)
    every = [s for n in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), n)]
    closed = [max(min(p[j] / w[j] for j in s) * sum(w[j] for j in s) for s in every if i in s) for i in range(len(p))]
    assert holm(p, w) == pytest.approx(np.minimum(closed, 1), rel=1e-9)


def test_boschloo_is_exact_and_beats_fisher():
    n, grid = 12, np.linspace(0.005, 0.995, 199)
    laws = np.array([np.outer(*[binom.pmf(range(n + 1), n, rate)] * 2) for rate in grid])
    fisher = np.array(
        [[fisher_exact([[a, b], [n - a, n - b]], "greater").pvalue for b in range(n + 1)] for a in range(n + 1)]
    )
    for a, b in ((6, 1), (4, 0), (9, 3), (12, 2)):
        expected = (laws * (fisher <= fisher[a, b] * (1 + 1e-9))).sum((1, 2)).max()
        assert worse_rate(a, n, b, n) == pytest.approx(expected, abs=2e-4)
        assert worse_rate(a, n, b, n) < fisher[a, b]
    assert worse_rate(3, 12, 3, 12) == worse_rate(2, 12, 3, 12) == 1.0


def test_pooled_test_is_the_permutation_test_within_strata():
    strata = [(4, 5, 1, 5), (2, 5, 1, 6)]
    generator, hits, draws = np.random.default_rng(0), 0, 40_000
    urns = [np.r_[np.ones(a + b), np.zeros(n + m - a - b)] for a, n, b, m in strata]
    for _ in range(draws):
        hits += sum(generator.permutation(urn)[:n].sum() for urn, (_, n, _, _) in zip(urns, strata, strict=True)) >= 6
    assert pooled_rise(strata) == pytest.approx(hits / draws, abs=4 * np.sqrt(0.1 * 0.9 / draws))


def test_one_stratum_is_fishers_test():
    assert pooled_rise([(9, 20, 2, 20)]) == pytest.approx(fisher_exact([[9, 2], [11, 18]], "greater").pvalue, rel=1e-9)


@pytest.mark.parametrize(("old", "new"), [(0.1, 0.1), (0.3, 0.4), (0.5, 0.5)])
def test_bound_on_the_rise_holds_in_95_of_100(old, new):
    generator, missed, times = np.random.default_rng(1), 0, 2000
    for _ in range(times):
        before, now = ((generator.random(20) < rate).astype(float) for rate in (old, new))
        missed += rate_bound(before, now, (before, now)) < new - old
    assert missed / times <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)


def test_identical_seeds_bound_the_rise_by_the_pairs_alone():
    half = (np.arange(20) % 2).astype(float)
    # no run of 20 fails that did not before: 1 - 0.025^(1/20)
    assert rate_bound(half, half, (half, half)) == pytest.approx(1 - 0.025 ** (1 / 20), rel=1e-9)
    unpaired = (np.empty(0), np.empty(0))
    assert rate_bound(half, half, unpaired) > 0.2


def test_tail_is_the_mean_of_the_worst_quarter():
    assert tail(np.array([0.9, 0.1, 0.5, 0.8, 0.2, 0.7, 0.6, 0.4])) == pytest.approx(0.15)
    assert tail(np.array([0.3, 0.1, 0.2])) == 0.1


def test_unchanged_scores_lose_nothing():
    scores = np.linspace(0.5, 1, 20)
    assert score_bound(scores, scores, (scores, scores), "typical score") == 0.0


# ---------------------------------------------------------------------------------------------- verdicts


def test_a_rise_is_regressed_and_no_change_passes():
    old = fixed(1, 20)
    assert verdicts(compare(old, fixed(10, 20), Policy()))["hinge", "failure rate"] == "regressed"
    same = compare(old, old, Policy())
    assert set(verdicts(same).values()) == {"pass"}
    assert same.verdict == "pass"


@pytest.mark.slow
def test_a_rise_within_the_margin_is_no_regression_however_sure():
    old, new = fixed(100, 1000), fixed(200, 1000)
    judged = verdicts(compare(old, new, Policy(failure_rate=0.2)))
    assert judged["hinge", "failure rate"] == "pass"
    assert verdicts(compare(old, new, Policy(failure_rate=0.05)))["hinge", "failure rate"] == "regressed"


def test_a_fall_is_an_improvement():
    judgement = compare(fixed(12, 20), fixed(0, 20), Policy())
    assert verdicts(judgement)["hinge", "failure rate"] == "improved"
    assert judgement.verdict == "pass"


def test_lower_quality_without_failures_is_regressed():
    old, new = fixed(0, 20, 0.95), fixed(0, 20, 0.7)
    old["score"] += np.linspace(-0.02, 0.02, 20)
    new["score"] += np.linspace(-0.02, 0.02, 20)
    assert verdicts(compare(old, new, Policy()))["hinge", "typical score"] == "regressed"


@pytest.mark.parametrize("seeds", range(1, FEWEST))
def test_few_seeds_are_inconclusive_unless_the_failure_is_total(seeds):
    old = fixed(0, 20)
    for failures in range(seeds):
        assert compare(old, fixed(failures, seeds), Policy()).verdict == "inconclusive"
    expected = "regressed" if seeds >= 3 else "inconclusive"
    assert compare(old, fixed(seeds, seeds), Policy()).verdict == expected


def test_one_of_many_variants_is_named():
    names = [f"v{i}" for i in range(8)]
    old = pd.concat([fixed(1, 20, name=name) for name in names])
    new = pd.concat([fixed(14 if name == "v3" else 1, 20, name=name) for name in names])
    judgement = compare(old, new, Policy())
    regressed = {variant for (variant, _), verdict in verdicts(judgement).items() if verdict == "regressed"}
    assert "v3" in regressed
    assert regressed <= {"v3", "all 8 variants"}
    assert len([c for c in judgement.comparisons if c.variant != "all 8 variants"]) == 24


def test_sentence_has_numbers_margin_and_seeds():
    (comparison, *_) = compare(fixed(1, 20), fixed(10, 20), Policy()).comparisons
    assert comparison.sentence.startswith(
        "hinge: failure rate 50 % in 20 seeds, baseline 5 % in 20 (+45 points): regressed, worse beyond the margin of "
        "20 points (p = 0.00"
    )


# ---------------------------------------------------------------------------------------------- error rates

BASE = dict(zip([f"v{i}" for i in range(8)], (0, 0, 0.05, 0.1, 0.3, 0.5, 0.8, 1), strict=True))


def rate_of(verdict, old, new, seeds, times, look=None, generator=None):
    generator = generator or np.random.default_rng(2)
    found = [
        compare(table(old, range(20), generator), table(new, range(seeds), generator), Policy(), look).verdict
        for _ in range(times)
    ]
    return found.count(verdict) / times


def sure(times, rate):
    """Twice the standard error of a share."""
    return 2 * np.sqrt(rate * (1 - rate) / times)


def test_looks_spend_all_of_alpha_and_no_more():
    assert len(LOOKS) == len(SPENT)
    assert sum(SPENT) == pytest.approx(1)
    assert sum(WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize("seeds", [3, 20])
def test_unchanged_candidates_raise_few_alarms(seeds):
    assert rate_of("regressed", BASE, BASE, seeds, 40) <= 0.05 + sure(40, 0.05)


def test_half_against_a_tenth_is_found_alone():
    assert rate_of("regressed", {"v": 0.1}, {"v": 0.5}, 20, 150) >= 0.8 - sure(150, 0.8)


def test_half_against_a_tenth_is_found_in_all_variants():
    tenth, half = dict.fromkeys(BASE, 0.1), dict.fromkeys(BASE, 0.5)
    assert rate_of("regressed", tenth, half, 20, 10) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "look"), [(3, None), (5, 0), (10, 1), (20, 2), (20, None)])
def test_unchanged_candidates_raise_few_alarms_in_full(seeds, look):
    assert rate_of("regressed", BASE, BASE, seeds, 1000, look) <= 0.05 + sure(1000, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("look", [None, 2])
def test_power_in_full(look):
    assert rate_of("regressed", {"v": 0.1}, {"v": 0.5}, 20, 1000, look) >= 0.8
