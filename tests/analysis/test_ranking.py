"""The ranking on tables that are written by hand: every column of a row, its order, and what settings are called."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganbench.analysis import ranking
from ganbench.analysis.ranking import axes, joined, labels, level, rank
from ganbench.analysis.statistics import bootstrap, iqm, wilson
from ganbench.analysis.verdicts import VERDICTS
from ganbench.registry import measures

NAN = math.nan
MEASURES = ("modes_covered", "high_quality", "recall", "frechet")


def finished(variant: str, *runs: Any, problem: str = "p", **settings: Any) -> list[dict[str, Any]]:
    """A variant's runs, each (verdict, finals of MEASURES) and costs; their status is told by the verdict."""
    rows = []
    for seed, (verdict, *finals, costs) in enumerate(runs):
        status = verdict if verdict in ("diverged", "failed", "skipped", "pending") else "done"
        costs = dict(zip(("seconds", "gflop", "memory_mb"), costs, strict=True))
        rows.append({"problem": problem, "variant": variant, "seed": seed, "status": status, "verdict": verdict,
                     "finals": finals, **costs, **settings})  # fmt: skip
    return rows


def study(*variants: list[dict[str, Any]], varying: tuple[str, ...] = ("loss",)) -> tuple[Any, Any, Any]:
    """A study with its verdicts and scores: best is the final, the worst after it 0.1 and the area 0.2 above."""
    rows = [{**row, "run": f"r{place}"} for place, row in enumerate(row for rows in variants for row in rows)]
    table = pd.DataFrame(rows)
    good = ("converged", "unconverged", "too short")
    verdicts = table.assign(onset=0, evidence="", failed=~table["verdict"].isin(good), also="")
    verdicts["undecided"] = verdicts["verdict"] == "too short"
    verdicts = verdicts.loc[~table["status"].isin(["skipped", "pending"]), [
        "run", "verdict", "onset", "evidence", "failed", "undecided", "also"]]  # fmt: skip
    scored = [(row["run"], name, value, value, value + 0.1, value + 0.2)
              for row in rows for name, value in zip(MEASURES, row["finals"], strict=False)]  # fmt: skip
    scored = pd.DataFrame(scored, columns=["run", "measure", "final", "best", "worst_after_best", "area"])
    oracle = {"p": {"modes_covered": 8.0, "high_quality": 1.0}, "q": {}}
    made = SimpleNamespace(
        runs=table.drop(columns=["verdict", "finals"]), series=pd.DataFrame({"run": [], "step": []}), oracle=oracle,
        axes=["problem", *varying], measures=measures(), variants=(),
    )  # fmt: skip
    return made, verdicts, scored


def test_every_column_of_a_row_by_hand() -> None:
    runs = [
        ("converged", 8.0, 0.9, 0.5, 1.0, (10.0, 1.0, 100.0)), ("unconverged", 6.0, 0.7, 0.4, 2.0, (20.0, 3.0, 300.0)),
        ("collapsed", 1.0, 0.8, 0.1, 5.0, (12.0, 2.0, 200.0)), ("failed", 0.0, 0.0, NAN, NAN, (0.0, NAN, NAN)),
        ("pending", (0.0, NAN, NAN)),
    ]  # fmt: skip
    (row,) = rank(*study(finished("v", *runs, loss="hinge"))).to_dict("records")
    low, high = wilson(2, 4)
    expected = {
        "problem": "p", "rank": 1, "variant": "v", "label": "hinge", "seeds": 4, "planned": 5, "failures": 2,
        "failure_rate": 0.5, "failure_low": low, "failure_high": high, "undecided": 0, "tied": True,
        **dict.fromkeys(VERDICTS, 0), "converged": 1, "unconverged": 1, "collapsed": 1, "failed": 1,
        "covered_of": "modes_covered", "quality_of": "high_quality", "covered_area": pytest.approx(3.7),
        "frechet_final": 2.0, "frechet_best": 2.0, "frechet_worst_after_best": pytest.approx(2.1),
        # a machine's failure costs nothing; three were trained, and two of them came through
        "seconds": 12.0, "seconds_per_survivor": 21.0, "gflop": 2.0, "gflop_per_survivor": 3.0, "memory_mb": 200.0,
    }  # fmt: skip
    for name, values in (("covered", [8, 6, 1, 0]), ("quality", [0.9, 0.7, 0.8, 0]), ("recall", [0.5, 0.4, 0.1])):
        low, high = bootstrap(values)
        expected |= {name: np.median(values), f"{name}_iqm": pytest.approx(iqm(values)), f"{name}_low": low,
                     f"{name}_high": high}  # fmt: skip
    assert set(row) == set(expected)
    assert row == expected


def test_costs_that_an_earlier_version_has_not_recorded_are_not_told() -> None:
    runs = [("converged", 8.0, 0.9, (10.0, NAN, NAN)), ("collapsed", 8.0, 0.9, (30.0, NAN, 5.0))]
    made = study(finished("v", *runs, loss="a"))
    (row,) = rank(*made).to_dict("records")
    assert (row["seconds"], row["seconds_per_survivor"], row["memory_mb"]) == (20.0, 40.0, 5.0)
    assert np.isnan(
        [row["gflop"], row["gflop_per_survivor"], row["recall"], row["recall_low"], row["frechet_best"]]
    ).all()
    made[0].runs = made[0].runs.drop(columns=["gflop", "memory_mb"])
    (row,) = rank(*made).to_dict("records")
    assert np.isnan([row["gflop"], row["gflop_per_survivor"], row["memory_mb"]]).all()
    # what only one run has recorded is still shared by the survivors
    half = [("converged", 8.0, 0.9, (10.0, 4.0, 1.0)), ("converged", 8.0, 0.9, (10.0, NAN, 1.0))]
    (row,) = rank(*study(finished("v", *half, loss="a"))).to_dict("records")
    assert (row["gflop"], row["gflop_per_survivor"]) == (4.0, 2.0)


def test_rows_go_by_failures_then_coverage_then_quality_within_their_problem() -> None:
    free = (1.0, 1.0, 1.0)
    ends = {
        "quality": [("converged", 8.0, 0.8, free)] * 5, "coverage": [("converged", 7.0, 1.0, free)] * 5,
        "first": [("converged", 8.0, 0.9, free)] * 5, "same": [("converged", 8.0, 0.9, free)] * 5,
        "blank": [("converged", NAN, NAN, free)] * 5, "unsure": [("converged", 8.0, NAN, free)] * 5,
        "bad": [("collapsed", 8.0, 1.0, free)] * 5, "one": [("collapsed", 8.0, 1.0, free)] + [
            ("converged", 8.0, 1.0, free)] * 4,
        # no failure, and no success either: behind all that survive, before what fails as often
        "short": [("too short", 8.0, 1.0, free)] + [("converged", 8.0, 1.0, free)] * 4,
    }  # fmt: skip
    other = finished("other", ("collapsed", free), problem="q", loss="other")
    table = rank(*study(other, *(finished(name, *runs, loss=name) for name, runs in ends.items())))
    order = ["other", "first", "same", "quality", "unsure", "coverage", "blank", "short", "one", "bad"]
    assert table["variant"].tolist() == order
    # equal rows share the better place
    assert table["rank"].tolist() == [1, 1, 1, 3, 4, 5, 6, 7, 8, 9]
    assert table["problem"].tolist() == ["q", *["p"] * 9]
    assert table["tied"].tolist() == [True] * 9 + [False]
    assert table.index.tolist() == list(range(10))
    # a problem that nothing measures is ranked by its failures alone
    assert table.loc[0, ["covered_of", "quality_of", "covered", "quality"]].isna().all()


def test_skipped_runs_are_not_planned_and_variants_without_an_end_have_no_row() -> None:
    free = (1.0, 1.0, 1.0)
    rows = finished("v", ("converged", 8.0, 0.9, free), ("skipped", free), ("pending", free), loss="a")
    table = rank(*study(rows, finished("w", ("pending", free), loss="b")))
    assert table[["variant", "seeds", "planned"]].to_numpy().tolist() == [["v", 1, 2]]
    nothing = rank(*study(finished("w", ("pending", free), loss="b")))
    assert nothing.empty
    assert list(nothing.columns) == ["problem", "rank", "variant", "label"]


def test_scores_that_are_not_given_are_made_of_what_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    made, verdicts, scored = study(finished("v", ("converged", 8.0, 0.9, 0.5, 1.0, (1.0, 1.0, 1.0)), loss="a"))
    asked = []

    def scores(study: Any, wanted: Any) -> pd.DataFrame:
        asked.append((study, wanted))
        return scored

    monkeypatch.setattr(ranking, "scores", scores)
    assert rank(made, verdicts).equals(rank(made, verdicts, scored))
    ((of, wanted),) = asked
    assert of is made
    assert wanted == ["frechet", "high_quality", "modes_covered", "recall"]


@pytest.mark.parametrize(("axis", "value", "told"), [
    ("loss", "hinge", "hinge"), ("loss", NAN, ""), ("loss", None, ""), ("regularizer", "none", "no regularizer"),
    ("regularizer.r1.gamma", 0.1, "gamma=0.1"), ("steps", 500, "steps=500"), ("g_normalization", "batch",
    "batch in the generator"), ("g_normalization", "none", "no generator normalization"),
    ("g_regularizer", "r1", "r1 in the generator"), ("loop.variant", "mine", "mine"), ("loop.variant", NAN, ""),
])  # fmt: skip
def test_what_a_level_is_called(axis: str, value: Any, told: str) -> None:
    assert level(axis, value) == told


def test_settings_are_told_the_best_known_first() -> None:
    varying = ("steps", "trick", "optimizer", "network", "regularizer", "normalization", "loss", "seed", "run",
               "variant", "unheard")  # fmt: skip
    known = dict.fromkeys(("trick", "optimizer", "network", "regularizer", "normalization", "loss"), "x")
    made = study(finished("v", ("converged", (1.0, 1.0, 1.0)), steps=5, **known), varying=varying)[0]
    order = ["loss", "normalization", "regularizer", "network", "optimizer", "trick", "steps"]
    assert axes(made) == order
    assert labels(made) == {"v": "x, x, x, x, x, x, steps=5"}
    made.axes = ["problem"]
    assert labels(made) == {"v": "x"}
    assert joined(["loss", "regularizer.r1.gamma", "regularizer"], ["hinge", NAN, "none"]) == "hinge, no regularizer"
    with pytest.raises(ValueError, match="shorter"):
        joined(["loss", "regularizer"], ["hinge"])


def test_scores_that_are_looked_up_by_place_are_those_of_the_table():
    draw = np.random.default_rng(3)
    rows = [
        {"run": run, "measure": measure, **dict(zip((*ranking.SCORES, "area"), draw.random(4), strict=True))}
        for run in ("b", "a", "d", "c") for measure in ("x", "y") if (run, measure) != ("d", "y")
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[2, "final"] = NAN
    wide = table.pivot(index="run", columns="measure", values=[*ranking.SCORES, "area"])
    found = ranking._Scores(table)
    for runs in (["a"], ["d", "a", "b"], ["c", "unknown", "b"], []):
        for score in (*ranking.SCORES, "area"):
            for measure in ("x", "y"):
                expected = wide[score, measure].reindex(runs).dropna().to_numpy(dtype=float)
                assert found.of(runs, score, measure).tolist() == expected.tolist()
            assert found.of(runs, score, None).size == found.of(runs, score, "z").size == 0


def test_what_follows_from_the_model_is_no_axis(fake, tmp_path):
    of_gan = {"model": "gan", "loss": "hinge", "regularizer": "r1"}
    of_vae = {"model": "vae", "loss": "nonsaturating", "regularizer": "none"}
    one = fake.study_of([(of_gan, "converged"), (of_vae, "collapsed")], tmp_path / "one", axes=list(of_gan))
    assert ranking.axes(one) == ["model"]
    assert sorted(ranking.labels(one).values()) == ["gan", "vae"]
    # one model that is tried with two losses has an axis more
    other = of_gan | {"loss": "minimax"}
    fates = [(of_gan, "converged"), (other, "converged"), (of_vae, "collapsed")]
    two = fake.study_of(fates, tmp_path / "two", axes=list(of_gan))
    assert ranking.axes(two) == ["model", "loss"]
