from typing import Any

import numpy as np
import pytest
from scipy import stats

from ganbench.analysis.statistics import bootstrap_iqm, iqm, overlap, scores, three_scores, wilson
from ganbench.registry import Measure

UP, DOWN = Measure("up", "up", (0, 1)), Measure("down", "down", (0, float("inf")))


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


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 11])
def test_iqm_equals_trimmed_mean(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(3, n))
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=-1))
    assert iqm(values[0]) == pytest.approx(stats.trim_mean(values[0], 0.25))


def test_iqm_shows_lost_runs_only_beyond_a_quarter() -> None:
    assert iqm([1.0, 1.0, 1.0, np.inf]) == 1.0
    assert iqm([1.0, 1.0, np.inf, np.inf]) == np.inf
    assert np.isnan(iqm([]))


def test_bootstrap_agrees_with_scipy_and_repeats() -> None:
    values = np.random.default_rng(0).normal(size=20)
    known = stats.bootstrap(
        (values,), lambda x, axis: stats.trim_mean(x, 0.25, axis=axis), method="percentile", n_resamples=9000, rng=1
    ).confidence_interval
    assert bootstrap_iqm(values, resamples=9000) == pytest.approx((known.low, known.high), abs=0.03)
    assert bootstrap_iqm(values) == bootstrap_iqm(values)


def test_bootstrap_of_one_seed_says_nothing_and_survives_infinity() -> None:
    assert np.isnan(bootstrap_iqm([0.3])).all()
    assert bootstrap_iqm([0.3] * 5) == (0.3, 0.3)
    assert bootstrap_iqm([np.inf] * 5) == (np.inf, np.inf)
    low, high = bootstrap_iqm([1.0, 1.0, 1.0, np.inf, np.inf])
    assert low == 1.0
    assert high == np.inf


def test_overlap() -> None:
    assert overlap((0, 0.4), (0.4, 1))
    assert not overlap((0, 0.3), (0.4, 1))
    assert overlap((0, 1), (0.2, 0.3))


def test_three_scores_follow_the_direction() -> None:
    assert three_scores([0.1, 0.9, 0.2, 0.5], UP) == (0.5, 0.9, 0.2)
    assert three_scores([9.0, 1.0, 7.0, 2.0], DOWN) == (2.0, 1.0, 7.0)
    # the worst before the best does not count
    assert three_scores([0.0, 0.5, 0.9], UP) == (0.9, 0.9, 0.9)


def test_three_scores_of_lost_and_empty_runs() -> None:
    assert three_scores([0.1, 0.9, np.nan], UP, lost=True) == (0.0, 0.9, 0.0)
    assert three_scores([9.0, 1.0, np.nan], DOWN, lost=True) == (np.inf, 1.0, np.inf)
    assert three_scores([], DOWN, lost=True) == (np.inf, np.inf, np.inf)
    assert np.isnan(three_scores([np.nan], UP)).all()
    final, best, worst = three_scores([1.0, 2.0], Measure("neither"))
    assert final == 2.0
    assert np.isnan(best)
    assert np.isnan(worst)


def test_scores_keep_lost_runs_and_skip_undefined_measures(fake: Any, tmp_path: Any) -> None:
    fates = ["converged", "diverged", "failed", "skipped", "pending"]
    study = fake.study_of([({"seed": i}, fate) for i, fate in enumerate(fates)], tmp_path)
    table = scores(study, ["high_quality", "classes_covered", "frechet"])
    assert set(table["run"]) == {"r0000", "r0001", "r0002"}
    assert set(table["measure"]) == {"high_quality", "frechet"}
    quality = table[table["measure"] == "high_quality"].set_index("run")
    assert quality.loc["r0001", "final"] == 0
    assert quality.loc["r0002", "best"] == 0
    assert quality.loc["r0001", "best"] > 0.5
    assert quality.loc["r0001", "worst_after_best"] == 0


def test_the_probe_before_training_is_no_best_score(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of([({}, "collapsed")], tmp_path)
    trained = study.series.loc[study.series["step"] > 0, "high_quality"].max()
    study.series.loc[study.series["step"] == 0, "high_quality"] = 2.0
    table = scores(study, ["high_quality"]).set_index("measure")
    assert table.loc["high_quality", "best"] == trained
