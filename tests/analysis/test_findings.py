from typing import Any

import pandas as pd
import pytest

from ganbench.analysis.findings import matched, sentences
from ganbench.analysis.ranking import labels, rank
from ganbench.analysis.statistics import wilson


def five(fates: list[str], **given: Any) -> list[tuple[dict[str, Any], str]]:
    return [({**given, "seed": seed}, fate) for seed, fate in enumerate(fates)]


@pytest.fixture
def study(fake: Any, tmp_path: Any) -> Any:
    good = five(["converged"] * 5, loss="hinge", regularizer="r1")
    mixed = five(["converged", "diverged", "failed", "collapsed", "converged"], loss="hinge")
    bad = five(["vanished"] * 5, loss="minimax")
    skipped = [({"loss": "minimax", "regularizer": "r1", "seed": None, "reason": "no"}, "skipped")]
    return fake.study_of(bad + mixed + good + skipped, tmp_path)


def test_lost_runs_stay_in_every_denominator(study: Any) -> None:
    row = rank(study).set_index("label").loc["hinge, no normalization, no regularizer"]
    assert (row["seeds"], row["failures"], row["diverged"], row["failed"], row["collapsed"]) == (5, 3, 1, 1, 1)
    assert (row["failure_low"], row["failure_high"]) == wilson(3, 5)
    # two good runs, one collapsed, two lost: the median is the collapsed one
    assert row["covered"] == 1
    assert row["frechet_final"] > 1


def test_a_survivor_costs_the_time_of_those_that_failed_too(study: Any) -> None:
    price = rank(study).set_index("label")["seconds_per_survivor"]
    # of 6 + 4 + (failed by the machine) + 6 + 4 seconds two runs came through
    assert price["hinge, no normalization, no regularizer"] == 10
    assert price["minimax, no normalization, no regularizer"] == float("inf")
    assert price["hinge, no normalization, r1"] == pytest.approx((5 + 6 + 4 + 5 + 6) / 5)


def test_rank_goes_by_failures_then_coverage_and_leaves_out_what_was_skipped(study: Any) -> None:
    table = rank(study)
    assert list(table["failures"]) == [0, 3, 5]
    assert list(table["rank"]) == [1, 2, 3]
    assert list(table["tied"]) == [True, True, False]


def test_frechet_never_decides(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of(five(["dropping modes"] * 5, loss="a") + five(["unconverged"] * 5, loss="b"), tmp_path)
    dropping = study.series["run"].isin(study.runs.loc[study.runs["loss"] == "a", "run"])
    study.series.loc[dropping, "frechet"] = 0.0005
    table = rank(study)
    assert list(table["failures"]) == [0, 5]
    study.series.loc[~dropping, "high_quality"] = study.series.loc[~dropping, "high_quality"].mask(
        study.series["step"] == 4000, 0.95
    )
    assert any("Frechet alone would mislead: 5 of 5" in text for text in sentences(study))


def test_sentences_carry_counts_and_intervals(study: Any) -> None:
    text = sentences(study)
    assert text[0].startswith("8 of 15 runs (53 %, 30 to 75 %) fail: 5 vanished gradients")
    assert any(
        t.startswith("ring8: 1 of 3 variants survive in all of their seeds, 1 fails in all of them") for t in text
    )
    assert any("up to 43 % possible" in t for t in text)
    assert any(t.startswith("1 variant was skipped") for t in text)


def test_axis_effects_compare_only_what_both_levels_ran(study: Any) -> None:
    text = " ".join(sentences(study))
    # minimax has no r1 runs: its five failures are not held against "no regularizer"
    assert "r1, 0 of 5 runs (0 %, 0 to 43 %)" in text
    assert "no regularizer, 3 of 5 runs" in text
    assert "Not told apart from r1: no regularizer" in text


def test_levels_that_do_not_share_all_combinations_are_compared_in_pairs(fake: Any, tmp_path: Any) -> None:
    # batch runs without a regularizer only: what it shares with all levels is not where the others are judged
    rows = five(["converged"] * 5, normalization="none", regularizer="none")
    rows += five(["collapsed"] * 5, normalization="none", regularizer="r1")
    rows += five(["collapsed"] * 5, normalization="batch", regularizer="none")
    rows += five(["converged"] * 5, normalization="layer", regularizer="none")
    rows += five(["converged"] * 5, normalization="layer", regularizer="r1")
    text = " ".join(sentences(fake.study_of(rows, tmp_path)))
    assert "Failures by normalization: each against no normalization, on the combinations" in text
    assert "layer 0/10 against 5/10" in text
    assert "batch 5/5 against 0/5" in text
    assert "batch 5/5 against 0/5, not told apart" not in text


def test_a_study_with_verdicts_in_its_table_can_be_judged_again(study: Any) -> None:
    before = sentences(study)
    study.runs["verdict"], study.runs["failed"] = "stale", False
    assert sentences(study) == before


def test_matched_without_common_ground() -> None:
    runs = pd.DataFrame({"problem": "p", "loss": ["a", "b"], "norm": ["x", "y"], "seed": 0})
    assert matched(runs, ["norm"], "loss")[1] == 0


def test_single_seed_everything_diverged_and_nothing(fake: Any, tmp_path: Any) -> None:
    single = fake.study_of([({"seed": 0}, "converged")], tmp_path)
    assert any("With 1 seed a variant" in text for text in sentences(single))
    lost = fake.study_of(five(["diverged"] * 5) + five(["failed"] * 5, loss="b"), tmp_path)
    assert rank(lost)["failures"].tolist() == [5, 5]
    assert sentences(lost)[0].startswith("10 of 10 runs (100 %")
    nothing = fake.study_of([({"seed": 0}, "pending"), ({"seed": None}, "skipped")], tmp_path)
    assert rank(nothing).empty
    assert sentences(nothing)[0].startswith("No run has finished")


def test_labels_name_what_varies(study: Any) -> None:
    assert "minimax, no normalization, r1" in labels(study).values()


def test_a_hyperparameter_of_one_level_neither_hides_nor_confounds_it(fake: Any, tmp_path: Any) -> None:
    name = "regularizer.r1.gamma"
    fates = five(["collapsed"] * 5)
    fates += five(["converged"] * 5, regularizer="r1", **{name: 0.1})
    fates += five(["converged"] * 4 + ["diverged"], regularizer="r1", **{name: 10.0})
    study = fake.study_of(fates, tmp_path, axes=["regularizer", name])
    assert sorted(labels(study).values()) == ["no regularizer", "r1, gamma=0.1", "r1, gamma=10.0"]
    text = " ".join(sentences(study))
    assert "r1, 1 of 10 runs" in text
    assert "no regularizer, 5 of 5 runs" in text
    assert "gamma=0.1, 0 of 5 runs" in text
    assert "gamma=10.0, 1 of 5 runs" in text


def test_late_degradation_is_counted_against_each_runs_own_best(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of([*five(["converged"] * 5), ({"seed": 5}, "diverged")], tmp_path)
    study.oracle["ring8"]["frechet"] = 0.01
    runs = study.runs["run"].tolist()
    # best and final: 1.51 and 1.49 times, better at the end, below 1.5 times the oracle's own, above it
    for run, (best, final) in zip(
        runs, [(0.1, 0.151), (0.1, 0.149), (0.2, 0.1), (0.001, 0.0149), (0.001, 0.0151)], strict=False
    ):
        own = study.series["run"] == run
        steps = study.series.loc[own, "step"]
        study.series.loc[own, "frechet"] = max(best, final)
        study.series.loc[own & (study.series["step"] == steps.iloc[3]), "frechet"] = best
        study.series.loc[own & (study.series["step"] == steps.max()), "frechet"] = final
    (late,) = [text for text in sentences(study) if text.startswith("Late degradation")]
    assert late.startswith("Late degradation: 2 of 5 ")
    assert late.endswith("above 1.5 x their own best; 2 of them count as converged by coverage and quality.")


def test_the_first_is_told_with_its_scores(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of(five(["converged"] * 5) + five(["collapsed"] * 5, loss="b"), tmp_path)
    best = rank(study).iloc[0]
    (text,) = [text for text in sentences(study) if "First is " in text]
    assert f"(0/5 fail, median modes covered 8, median high quality {best['quality']:.3g})" in text
