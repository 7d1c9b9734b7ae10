"""The scores of a run: by hand on short curves, and which runs and measures have one."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganbench.analysis.scores import area_under_curve, scores, three_scores, worst_value
from ganbench.registry import Measure

UP, DOWN = Measure("up", "up", (0, 1)), Measure("down", "down", (0, float("inf")))


def test_area_under_a_curve_by_hand() -> None:
    steps = [0, 100, 400]
    # trapezoids: 100 * 1/2 + 300 * 3/4, over 400
    assert area_under_curve(steps, [0.0, 1.0, 0.5], UP) == pytest.approx((50 + 225) / 400)
    assert area_under_curve(steps, [0.0, np.nan, 0.5], UP) == pytest.approx(0.25)
    # lost after step 100: worth nothing at 400
    assert area_under_curve(steps, [0.0, 1.0, np.nan], UP, lost=True) == pytest.approx((50 + 150) / 400)
    assert area_under_curve(steps, [0.0, 1.0, 0.5], UP, lost=True) == pytest.approx((50 + 150) / 400)
    assert area_under_curve(steps, [2.0, 1.0, np.nan], DOWN, lost=True) == np.inf
    assert area_under_curve(steps, [np.nan] * 3, UP, lost=True) == 0
    assert np.isnan(area_under_curve(steps, [np.nan] * 3, UP))
    assert area_under_curve([7], [0.3], UP) == 0.3
    assert area_under_curve([], [], UP, lost=True) == 0
    many = area_under_curve(steps, [[0.0, 1.0, 0.5], [0.0, 1.0, np.nan]], UP, lost=[False, True])
    assert many == pytest.approx([275 / 400, 200 / 400])


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
    assert quality.loc["r0002", "area"] == 0
    assert 0 < quality.loc["r0001", "area"] < quality.loc["r0000", "area"] < 1


def test_the_probe_before_training_is_no_best_score(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of([({}, "collapsed")], tmp_path)
    trained = study.series.loc[study.series["step"] > 0, "high_quality"].max()
    study.series.loc[study.series["step"] == 0, "high_quality"] = 2.0
    table = scores(study, ["high_quality"]).set_index("measure")
    assert table.loc["high_quality", "best"] == trained


def hand_made(series: pd.DataFrame, runs: list[tuple[str, str, str, str]], oracle: dict[str, Any]) -> Any:
    """A study of runs (run, variant, problem, status) with measures up to 1 and their averages of G's weights."""
    table = pd.DataFrame(runs, columns=["run", "variant", "problem", "status"])
    measures = {"good": UP, "good_ema": UP, "neither": Measure("neither"), "seldom": UP}
    return SimpleNamespace(runs=table, series=series, measures=measures, oracle=oracle)


def test_scores_of_averages_are_those_of_variants_that_keep_one() -> None:
    nan = np.nan
    series = pd.DataFrame(
        [("a", 0, 0.9, 0.9), ("a", 10, 0.2, 0.3), ("a", 30, 0.6, 0.5), ("b", 0, 0.9, nan), ("b", 10, 0.4, nan),
         ("d", 10, 0.3, nan), ("d", 0, 0.9, 0.9)],
        columns=["run", "step", "good", "good_ema"],
    )  # fmt: skip
    runs = [("a", "keeps", "p", "done"), ("b", "plain", "p", "done"), ("c", "plain", "p", "failed"),
            ("d", "keeps", "p", "diverged"), ("e", "keeps", "p", "pending")]  # fmt: skip
    table = scores(hand_made(series.assign(neither=1.0), runs, {"p": {}}))
    assert list(table.columns) == ["run", "measure", "final", "best", "worst_after_best", "area"]
    found = {(row.run, row.measure): (row.final, row.best, row.worst_after_best) for row in table.itertuples()}
    assert found == {
        ("a", "good"): (0.6, 0.6, 0.6), ("a", "good_ema"): (0.5, 0.5, 0.5), ("b", "good"): (0.4, 0.4, 0.4),
        ("c", "good"): (0.0, 0.0, 0.0), ("d", "good"): (0.0, 0.3, 0.0), ("d", "good_ema"): (0.0, 0.0, 0.0),
    }  # fmt: skip
    # the trapezium over steps 10 to 30, and what is lost counts as 0 from its only value on
    areas = table.set_index(["run", "measure"])["area"]
    assert areas["a", "good"] == pytest.approx(0.4)
    assert areas["b", "good"] == pytest.approx(0.4)


def test_a_measure_that_the_oracle_defines_has_rows_without_any_value() -> None:
    series = pd.DataFrame({"run": ["a"], "step": [10], "good": [0.5], "seldom": [np.nan]})
    runs = [("a", "v", "p", "done")]
    assert set(scores(hand_made(series, runs, {"p": {}}))["measure"]) == {"good"}
    table = scores(hand_made(series, runs, {"p": {"seldom": 1.0}})).set_index("measure")
    assert set(table.index) == {"good", "seldom"}
    assert table.loc["seldom", ["final", "best", "worst_after_best", "area"]].isna().all()
    assert scores(hand_made(series, runs, {"p": {}}), ["seldom", "unknown"]).empty
    # the only probe counts, though training had not begun
    early = series.assign(step=0)
    assert scores(hand_made(early, runs, {"p": {}}))["final"].tolist() == [0.5]


@pytest.mark.parametrize(("measure", "worst"), [
    (UP, 0.0), (DOWN, math.inf), (Measure("above", "up", (-3.0, 5.0)), -3.0),
    (Measure("below", "down", (-3.0, 5.0)), 5.0), (Measure("neither"), math.nan), (None, math.nan),
])  # fmt: skip
def test_the_worst_value_is_the_bad_end(measure: Measure | None, worst: float) -> None:
    assert worst_value(measure) == pytest.approx(worst, nan_ok=True)


def test_rows_are_in_the_order_of_the_runs_and_their_steps_in_theirs() -> None:
    # problem q before p, runs that are not in alphabetical order, and probes that are recorded backwards
    series = pd.DataFrame(
        [("z", 20, 0.2), ("z", 10, 0.8), ("z", 0, 1.0), ("b", 10, 0.4), ("b", 0, 0.9), ("a", 10, 0.6)],
        columns=["run", "step", "good"],
    )  # fmt: skip
    runs = [("z", "v", "q", "done"), ("b", "v", "p", "done"), ("a", "w", "q", "done")]
    table = scores(hand_made(series, runs, {}))
    assert [(row.run, row.final, row.best) for row in table.itertuples()] == [
        ("z", 0.2, 0.8), ("a", 0.6, 0.6), ("b", 0.4, 0.4),
    ]  # fmt: skip
    assert table["area"].tolist() == [0.5, 0.6, 0.4]


def test_what_is_measured_on_one_problem_has_no_row_on_another() -> None:
    series = pd.DataFrame({"run": ["a", "b"], "step": 10, "good": [0.5, np.nan], "seldom": [np.nan, 0.25]})
    runs = [("a", "v", "p", "done"), ("b", "v", "q", "done"), ("c", "v", "q", "pending")]
    table = scores(hand_made(series, runs, {}))
    assert [(row.run, row.measure, row.final) for row in table.itertuples()] == [
        ("a", "good", 0.5), ("b", "seldom", 0.25),
    ]  # fmt: skip
    # measures are those asked for, in that order
    both = scores(hand_made(series, runs, {"p": {"seldom": 1.0}}), ["seldom", "good"])
    assert both[["run", "measure"]].to_numpy().tolist() == [["a", "seldom"], ["a", "good"], ["b", "seldom"]]


def test_a_lost_run_without_a_bad_end_stops_its_curve() -> None:
    neither = Measure("neither")
    assert area_under_curve([0, 10, 20], [1.0, 3.0, 5.0], neither, lost=True) == pytest.approx(2.0)
    assert math.isnan(area_under_curve([0, 10], [math.nan, math.nan], neither, lost=True))
    assert area_under_curve([0, 10], [math.nan, math.nan], UP, lost=True) == 0.0
    # lost after its last probe it loses that one, lost before keeps what it had
    assert area_under_curve([0, 10, 20], [1.0, 1.0, 1.0], UP, lost=True) == pytest.approx(0.75)
    assert area_under_curve([0, 10, 20], [1.0, math.nan, math.nan], UP, lost=True) == pytest.approx(0.25)
    assert area_under_curve([0, 10, 20], [1.0, math.nan, 0.5], UP) == pytest.approx(0.75)
    both = area_under_curve([0, 10], [[1.0, 1.0], [1.0, 1.0]], UP, lost=[True, False])
    assert both == pytest.approx([0.5, 1.0])
