import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from ganbench.analysis.statistics import wilson
from ganbench.analysis.survival import kaplan_meier, logrank_p, times


def product_limit(at, failed):
    """The product-limit estimator straight from its definition."""
    alive, points = 1.0, {}
    for step in sorted(set(at)):
        risk = sum(a >= step for a in at)
        alive *= 1 - sum(f for a, f in zip(at, failed, strict=True) if a == step) / risk
        points[step] = alive
    return points


def test_a_textbook_example():
    # 6 runs: failures at 500, 1000, 2000, censored at 1000, 3000, 3000: 5/6, then 4/5 of it, then 2/3 of it
    curve = kaplan_meier([500, 1000, 1000, 2000, 3000, 3000], [True, True, False, True, False, False])
    assert curve.steps.tolist() == [500, 1000, 2000, 3000]
    assert curve.alive == pytest.approx([5 / 6, 4 / 6, 4 / 9, 4 / 9])
    assert (curve.failures, curve.runs) == (3, 6)
    assert (curve.low <= curve.alive).all()
    assert (curve.alive <= curve.high).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 500, 1000, 1500, 2000]), st.booleans()), min_size=1, max_size=12))
def test_equals_the_definition(runs):
    at, failed = zip(*runs, strict=True)
    curve = kaplan_meier(at, failed)
    assert dict(zip(curve.steps, curve.alive, strict=True)) == pytest.approx(product_limit(at, failed))
    assert np.isfinite(curve.low).all()
    assert ((curve.low >= 0) & (curve.low <= curve.alive + 1e-9)).all()
    assert ((curve.alive <= curve.high + 1e-9) & (curve.high <= 1)).all()


def test_nobody_failed():
    curve = kaplan_meier([4000] * 5, [False] * 5)
    assert curve.alive.tolist() == [1.0]
    # Wilson's lower end for 5 of 5: 5 / (5 + 1.96^2)
    assert (curve.low[0], curve.high[0]) == (pytest.approx(5 / (5 + 1.959964**2), abs=1e-6), 1.0)
    assert logrank_p(([4000] * 5, [False] * 5), ([4000] * 3, [False] * 3)) == 1.0


def test_logrank_is_the_chi_square_of_observed_against_expected():
    first = ([1, 3, 5, 8, 10, 10], [True, True, True, True, False, False])
    second = ([4, 9, 10, 10, 10, 10], [True, True, False, False, False, False])
    observed = expected = variance = 0.0
    for step in range(1, 11):
        n = [sum(a >= step for a in at) for at, _ in (first, second)]
        d = [sum(f for a, f in zip(*group, strict=True) if a == step) for group in (first, second)]
        total, dead = sum(n), sum(d)
        if dead:
            observed, expected = observed + d[0], expected + dead * n[0] / total
            variance += dead * n[0] / total * n[1] / total * (total - dead) / (total - 1)
    assert logrank_p(first, second) == pytest.approx(chi2.sf((observed - expected) ** 2 / variance, 1), rel=1e-9)


def test_healthy_runs_are_censored_at_their_last_step():
    runs = pd.DataFrame(
        {"steps": [4000, 4000, 4000], "failed": [True, False, True], "onset": pd.array([1500, 3000, None], "Int64")}
    )
    at, failed = times(runs)
    assert at.tolist() == [1500, 4000, 0]
    assert failed.tolist() == [True, False, True]


def test_everybody_failed():
    curve = kaplan_meier([100] * 5, [True] * 5)
    assert curve.alive.tolist() == [0.0]
    assert (curve.low[0], curve.high[0]) == (0.0, pytest.approx(1 - wilson(5, 5)[0]))
    assert (curve.failures, curve.runs) == (5, 5)
    # where all fail at once there is nothing to compare
    assert logrank_p(([100] * 5, [True] * 5), ([100] * 3, [True] * 3)) == 1.0


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_is_greenwoods_on_the_log_log_scale(confidence):
    # 3 of 12 fail at 10 and 3 of the other 9 at 20: the variance of log alive is the sum of d / (n (n - d))
    at, failed = [10] * 3 + [20] * 3 + [30] * 6, [True] * 6 + [False] * 6
    curve = kaplan_meier(at, failed, confidence)
    assert curve.alive.tolist() == pytest.approx([0.75, 0.5, 0.5])
    assert curve.steps.tolist() == [10.0, 20.0, 30.0]
    for place, variance in ((0, 3 / (12 * 9)), (1, 3 / (12 * 9) + 3 / (9 * 6))):
        alive = curve.alive[place]
        reach = norm.ppf(0.5 + confidence / 2) * np.sqrt(variance) / abs(np.log(alive))
        assert curve.low[place] == pytest.approx(alive ** np.exp(reach))
        assert curve.high[place] == pytest.approx(alive ** np.exp(-reach))


def test_before_the_first_failure_and_after_the_last_the_interval_is_wilsons():
    # a run that ends healthy before anybody fails: nothing is lost yet
    curve = kaplan_meier([5, 10, 10], [False, True, True])
    low, _ = wilson(3, 3)
    assert curve.alive.tolist() == [1.0, 0.0]
    assert (curve.low.tolist(), curve.high.tolist()) == ([pytest.approx(low), 0.0], [1.0, pytest.approx(1 - low)])
    assert kaplan_meier([5, 10, 10], [False, True, True], 0.8).low[0] == pytest.approx(wilson(3, 3, 0.8)[0])
