import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ganbench.analysis import findings
from ganbench.analysis.findings import sentences
from ganbench.analysis.levels import matched
from ganbench.analysis.ranking import labels, rank
from ganbench.analysis.scores import scores
from ganbench.analysis.statistics import wilson
from ganbench.analysis.verdicts import judge
from ganbench.registry import playing


def five(fates: list[str], **given: Any) -> list[tuple[dict[str, Any], str]]:
    return [({**given, "seed": seed}, fate) for seed, fate in enumerate(fates)]


def mcnemar(one: int, other: int) -> float:
    """McNemar's exact p-value of so many pairs that differ to each side."""
    return float(stats.binomtest(one, one + other).pvalue)


def spread(failures: list[int], runs: int) -> str:
    """The interval of a rate by how it scatters between groups of so many runs, in the words of a sentence."""
    rates = np.array(failures) / runs
    p, z, t = rates.mean(), stats.norm.ppf(0.975), stats.t.ppf(0.975, len(rates) - 1)
    # the variance of the mean of the groups' rates, and how many coins scatter as much
    n = p * (1 - p) / (rates.var(ddof=1) / len(rates)) * (z / t) ** 2
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((centre + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return f"{findings.percent(low)} to {findings.percent(high)} %"


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
    # every mode at its weight, so that these have converged
    study.series.loc[~dropping & (study.series["step"] == 4000), "mode_kl"] = 0.0014
    assert any("Frechet alone would mislead: 5 of 5" in text for text in sentences(study))


def test_sentences_carry_counts_and_intervals(study: Any) -> None:
    text = sentences(study)
    # 1, 2, 2, 2 and 1 of 3 fail by seed; 5, 3 and 0 of 5 by variant: see `spread`
    seeds, variants = spread([1, 2, 2, 2, 1], 3), spread([5, 3, 0], 5)
    assert (seeds, variants) == ("32 to 73 %", "4 to 97 %")
    told = f"8 of 15 runs (53 %; {seeds} for new seeds of these variants, {variants} for new variants) fail: "
    assert text[0].startswith(f"{told}5 vanished gradients")
    assert any(
        t.startswith("ring8: 1 of 3 variants survive in all of their seeds, 1 fails in all of them") for t in text
    )
    assert any("up to 43 % possible" in t for t in text)
    assert any(t.startswith("1 variant was skipped") for t in text)


def test_axis_effects_compare_only_what_both_levels_ran(study: Any) -> None:
    by_loss, by_regularizer, how = [text for text in sentences(study) if text.startswith(("Failures by", "How levels"))]
    # minimax has no r1 runs: its five failures are not held against "no regularizer", nor hinge's r1 runs for hinge
    assert by_regularizer.startswith(
        "Failures by regularizer, against no regularizer: r1 0/5 against 3/5, not told apart."
    )
    assert by_loss.startswith("Failures by loss, against minimax: hinge 3/5 against 5/5, not told apart.")
    assert "adjusted by Holm for the 2 comparisons above." in how


def test_levels_that_do_not_share_all_combinations_are_compared_in_pairs(fake: Any, tmp_path: Any) -> None:
    # batch runs without a regularizer only: what it shares with all levels is not where the others are judged
    rows = five([C] * 10, normalization="none", regularizer="none")
    rows += five([K] * 10, normalization="none", regularizer="r1")
    rows += five([K] * 10, normalization="batch", regularizer="none")
    rows += five([C] * 10, normalization="layer", regularizer="none")
    rows += five([C] * 10, normalization="layer", regularizer="r1")
    text = sentences(fake.study_of(rows, tmp_path, axes=["normalization", "regularizer"]))
    # each has 10 pairs that differ, all to one side, and is one of three on the page
    p = f"{3 * mcnemar(10, 0):.2g}"
    assert p == "0.0059"
    seeds = "for new seeds, but for new settings not told apart"
    assert [t for t in text if t.startswith(("Failures by", "How levels"))] == [
        f"Failures by normalization, against no normalization: layer 0/20 against 10/20, fewer (p = {p}) {seeds} "
        f"(fewer in the one that differs); batch 10/10 (all collapsed) against 0/10, more (p = {p}) {seeds} (more in "
        "the one that differs).",
        f"Failures by regularizer, against no regularizer: r1 10/20 (all collapsed) against 0/20, more (p = {p}) "
        f"{seeds} (more in the one that differs).",
        "How levels were compared: in pairs of runs that share seed and all other settings, by McNemar's exact test, "
        "adjusted by Holm for the 3 comparisons above. What holds for new seeds holds for these settings; for new "
        "ones each setting counts once. Pairs count as independent: seeds that are hard for "
        "one level alone may tell it apart. No method was tuned: at other learning rates the order may be another.",
    ]


def test_a_study_with_verdicts_in_its_table_can_be_judged_again(study: Any) -> None:
    before = sentences(study)
    study.runs["verdict"], study.runs["failed"] = "stale", False
    assert sentences(study) == before


def test_matched_without_common_ground() -> None:
    runs = pd.DataFrame({"problem": "p", "loss": ["a", "b"], "norm": ["x", "y"], "seed": 0})
    assert matched(runs, ["norm"], "loss")[1] == 0


def test_of_one_seed_nothing_is_claimed_for_others(fake: Any, tmp_path: Any) -> None:
    runs = [({"loss": loss, "seed": 3}, fate) for loss, fate in (("a", C), ("b", K), ("c", C))]
    text = all_but_late(fake.study_of(runs, tmp_path, axes=["loss"]))
    assert text[0].startswith("1 of 3 runs (33 %; of one seed, which tells nothing of others) fail: 1 collapsed.")
    assert "b 1/1 against 0/1, not told apart" in " ".join(text)


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
    assert "Failures by regularizer, against no regularizer: r1 1/10 against 5/5, not told apart." in text
    assert f"Failures by {name}, against gamma=0.1: gamma=10.0 1/5 against 0/5, not told apart." in text


def test_a_level_that_ran_several_times_in_a_setting_is_one_of_a_pair(fake: Any, tmp_path: Any) -> None:
    name = "regularizer.r1.gamma"
    fates = five([K] * 8) + five([C] * 8, regularizer="r1", **{name: 0.1})
    fates += five([C] * 7 + [D], regularizer="r1", **{name: 10.0})
    text = " ".join(sentences(fake.study_of(fates, tmp_path, axes=["regularizer", name])))
    # 8 pairs, not 16: in seven r1 fails less, in one half as often; of 2^8 changes of sign two are as far, and p is
    # one of two on the page
    assert f"r1 1/16 against 8/8, fewer (p = {2 * 2 / 2**8:.2g}) for new seeds" in text
    # gamma=0.1 and 10.0 differ in one pair
    assert "gamma=10.0 1/8 against 0/8, not told apart." in text


def test_more_or_fewer_is_said_of_pairs_where_the_counts_say_the_opposite(fake: Any, tmp_path: Any) -> None:
    # with hinge r1 has run with ten gammas that never fail where its base always does; with three other losses with
    # one gamma, which always fails where its base never does
    name, seeds = "regularizer.r1.gamma", range(12)
    rows = [({"loss": "hinge", "seed": s}, K) for s in seeds]
    rows += [({"loss": "hinge", "regularizer": "r1", name: g, "seed": s}, C) for s in seeds for g in range(1, 11)]
    for loss in ("a", "b", "c"):
        rows += [({"loss": loss, "seed": s}, C) for s in seeds]
        rows += [({"loss": loss, "regularizer": "r1", name: 1, "seed": s}, K) for s in seeds]
    study = fake.study_of(rows, tmp_path, axes=["loss", "regularizer", name])
    (text,) = [t for t in sentences(study) if t.startswith("Failures by regularizer,")]
    # of three losses, one regularizer and nine gammas the smallest p
    assert f"r1 36/156 (all collapsed) against 12/48, more (p = {13 * mcnemar(36, 12):.2g}) for new seeds" in text
    assert "but for new settings not told apart (more in 3 of the 4 that differ)." in text


def test_a_difference_in_most_settings_is_one_for_new_settings(fake: Any, tmp_path: Any) -> None:
    rows = [({"loss": loss, "regularizer": what, "seed": s}, D if what == "r1" and s else C)
            for loss in "abcdefghij" for what in ("none", "r1") for s in range(2)]  # fmt: skip
    text = " ".join(sentences(fake.study_of(rows, tmp_path, axes=["loss", "regularizer"])))
    # one pair of each of ten settings, and of ten comparisons the smallest p: nine losses do not differ from the first
    p = f"{10 * mcnemar(10, 0):.2g}"
    assert f"r1 10/20 (all diverged) against 0/20, more (p = {p}), and so it is for new settings (p = {p})." in text
    assert "9 levels 1/4 against 1/4, not told apart." in text
    assert "for the 10 comparisons above" in text


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


def all_but_late(study: Any) -> list[str]:
    """All that is said of a study but its distances, which have tests of their own."""
    return [text for text in sentences(study) if not text.startswith(("Late", "Frechet"))]


C, U, K, D = "converged", "unconverged", "collapsed", "diverged"
BARE = "With 5 seeds a variant, none failing still leaves a failure rate of up to 43 % possible (95 % Wilson interval)."


@pytest.mark.parametrize(("fates", "overview", "outcomes"), [
    ([C] * 5,
     "0 of 5 runs (0 %, 0 to 43 % for new seeds) fail. Variants that survive in all of their seeds: 1 of 1.",
     "0 of 5 seeds (5 converged)"),
    ([C] * 3 + [U] * 2,
     "0 of 5 runs (0 %, 0 to 43 % for new seeds) fail. 2 more are unconverged: not a failure, but below the quality "
     "bar. Variants that survive in all of their seeds: 1 of 1.", "0 of 5 seeds (3 converged, 2 unconverged)"),
    (["vanished", "failed", "failed", D, U],
     "4 of 5 runs (80 %, 38 to 96 % for new seeds) fail: 2 machine failures, 1 vanished gradient, 1 diverged. "
     "1 more are unconverged: not a failure, but below the quality bar. "
     "Variants that survive in all of their seeds: 0 of 1.",
     "4 of 5 seeds (2 machine failures, 1 vanished gradient, 1 unconverged, 1 diverged)"),
])  # fmt: skip
def test_a_single_variant_is_told_with_all_its_ends(fake: Any, tmp_path: Any, fates: Any, overview: str, outcomes: str):
    study = fake.study_of(five(fates), tmp_path, axes=["problem"])
    assert all_but_late(study) == [overview, f"ring8: hinge fails in {outcomes}.", BARE]


def test_two_losses_of_which_either_may_be_best_and_a_last_one(fake: Any, tmp_path: Any) -> None:
    runs = five([C] * 5, loss="a") + five([K, K, C, C, C], loss="b") + five([K] * 5, loss="c")
    study = fake.study_of(runs, tmp_path, axes=["loss"])
    quality = rank(study)["quality"].iloc[0]
    seeds, variants = spread([2, 2, 1, 1, 1], 3), spread([0, 2, 5], 5)
    assert all_but_late(study) == [
        f"7 of 15 runs (47 %; {seeds} for new seeds of these variants, {variants} for new variants) fail: 7 collapsed. "
        "Variants that survive in all of their seeds: 1 of 3.",
        "ring8: 1 of 3 variants survive in all of their seeds, 1 fails in all of them. First is a (0/5 fail, "
        f"median modes covered 8, median high quality {quality:.3g}); the best is it or 1 other (95 % sure, for new "
        "seeds). Last is c (5/5 fail: 5 collapsed).",
        # five pairs of which all differ are too few: 2 / 2^5 is above 5 %
        "Failures by loss, against a: b 2/5 (all collapsed) against 0/5, not told apart; c 5/5 (all collapsed) against "
        "0/5, not told apart.",
        "How levels were compared: in pairs of runs that share seed and all other settings, by McNemar's exact test, "
        "adjusted by Holm for the 2 comparisons above. What holds for new seeds holds for these settings; for new "
        "ones each setting counts once. Pairs count as independent: seeds that are hard for "
        "one level alone may tell it apart. No method was tuned: at other learning rates the order may be another.",
        BARE,
    ]


def test_levels_are_told_from_the_least_failing_on_whatever_their_order_in_the_plan(fake: Any, tmp_path: Any) -> None:
    runs = five([K, K, K, D, C], loss="e") + five([K] * 5, loss="c") + five([D, C, C, C, C], loss="b")
    text = " ".join(all_but_late(fake.study_of(runs + five([C] * 5, loss="a"), tmp_path, axes=["loss"])))
    assert (
        "Failures by loss, against e: a 0/5 against 4/5, not told apart; b 1/5 against 4/5, not told apart; "
        "c 5/5 (all collapsed) against 4/5, not told apart."
    ) in text
    assert "; the best is it or 1 other (95 % sure, for new seeds). Last is c (5/5 fail: 5 collapsed)." in text


def test_of_many_levels_those_that_are_not_told_apart_are_told_at_once(fake: Any, tmp_path: Any) -> None:
    """One of twelve seeds more or less is chance; twelve of twelve are not, adjusted for nine comparisons."""

    def text_of(failures: dict[str, int]) -> str:
        runs = [({"loss": loss, "seed": seed}, K if seed < failed else C)
                for loss, failed in failures.items() for seed in range(12)]  # fmt: skip
        return " ".join(all_but_late(fake.study_of(runs, tmp_path / str(len(failures)), axes=["loss"])))

    few = {"a": 0, **dict.fromkeys("bcdefgh", 1), "i": 2}
    assert "h 1/12 against 0/12, not told apart; i 2/12 (all collapsed) against 0/12, not told apart." in text_of(few)
    told = "Failures by loss, against a:"
    assert f"{told} 9 levels 1/12 to 3/12 against 0/12, not told apart." in text_of({**few, "j": 3})
    p = f"{10 * mcnemar(12, 0):.2g}"
    text = text_of({**few, "j": 1, "k": 12})
    assert f"{told} k 12/12 (all collapsed) against 0/12, more (p = {p}) for new seeds, but for new settings" in text
    assert "; 9 others 1/12 to 2/12 against 0/12, not told apart." in text


def test_how_most_failures_of_a_level_look(fake: Any, tmp_path: Any) -> None:
    # one failure has no most, several have where more than half are alike
    runs = five([C] * 5, loss="a") + five([D, C, C, C, C], loss="b") + five([K, D, C, C, C], loss="c")
    runs += five([K, K, D, C, C], loss="d") + five([K, K, D, "failed", C], loss="e") + five([D] * 5, loss="f")
    text = " ".join(all_but_late(fake.study_of(runs, tmp_path, axes=["loss"])))
    told = ["b 1/5 against", "c 2/5 against", "d 3/5 (mostly collapsed) against", "e 4/5 against",
            "f 5/5 (all diverged) against"]  # fmt: skip
    assert "; ".join(f"{one} 0/5, not told apart" for one in told) in text
    assert "ring8: 1 of 6 variants survive in all of their seeds, 1 fails in all of them. First is a (0/5" in text


def test_levels_far_apart_are_ahead_and_told_apart(fake: Any, tmp_path: Any) -> None:
    nine = [({"loss": loss, "seed": seed}, fate) for loss, fate in zip("abc", (C, K, K), strict=True)
            for seed in range(9)]  # fmt: skip
    text = " ".join(all_but_late(fake.study_of(nine, tmp_path, axes=["loss"])))
    assert "1 of 3 variants survive in all of their seeds, 2 fail in all of them. First is a (0/9 fail, " in text
    assert re.search(
        r"\); it is the best \(95 % sure, for new seeds\)\. Last is [bc] \(9/9 fail: 9 collapsed\)\.", text
    )
    p = f"{2 * mcnemar(9, 0):.2g}"
    assert f"b 9/9 (all collapsed) against 0/9, more (p = {p}) for new seeds, but for new settings not told" in text
    assert f"c 9/9 (all collapsed) against 0/9, more (p = {p}) for new seeds, but for new settings not told" in text
    assert text.endswith("With 9 seeds a variant, none failing still leaves a failure rate of up to 30 % possible "
                         "(95 % Wilson interval).")  # fmt: skip


def test_where_no_run_survives_none_is_told_to_be_the_best(fake: Any, tmp_path: Any) -> None:
    text = " ".join(
        all_but_late(fake.study_of(five([K] * 5, loss="a") + five([D] * 5, loss="b"), tmp_path, axes=["loss"]))
    )
    assert "0 of 2 variants survive in all of their seeds, 2 fail in all of them. First is " in text
    assert "best" not in text.split("First is")[1].split("Failures by")[0]
    assert "sure" not in text


def test_several_others_may_be_the_best(fake: Any, tmp_path: Any) -> None:
    runs = [run for loss, failed in (("a", 0), ("b", 1), ("c", 1), ("d", 5))
            for run in five([K] * failed + [C] * (5 - failed), loss=loss)]  # fmt: skip
    text = " ".join(all_but_late(fake.study_of(runs, tmp_path, axes=["loss"])))
    assert "; the best is it or one of 2 others (95 % sure, for new seeds). Last is d (5/5" in text


@pytest.mark.parametrize(("differing", "told"), [(5, "not told apart"), (6, "more (p = 0.031) for new seeds, but")])
def test_one_comparison_is_told_from_six_pairs_that_differ_on(
    fake: Any, tmp_path: Any, differing: int, told: str
) -> None:
    # 2 / 2^5 is 6 %, 2 / 2^6 is 3 %, whatever the number of pairs that are alike
    runs = five([C] * 9, loss="a") + five([D] * differing + [C] * (9 - differing), loss="b")
    text = " ".join(sentences(fake.study_of(runs, tmp_path, axes=["loss"])))
    assert f"b {differing}/9 (all diverged) against 0/9, {told}" in text
    assert "adjusted by Holm for the comparison above." in text


def test_holm_goes_over_all_settings_of_the_page(fake: Any, tmp_path: Any) -> None:
    # 9, 8 and 6 pairs that differ, of three settings that were varied one at a time
    runs = five([C] * 9)
    for (axis, value), count in ((("loss", "b"), 6), (("normalization", "batch"), 9), (("regularizer", "r1"), 8)):
        runs += five([D] * count + [C] * (9 - count), **{axis: value})
    text = " ".join(sentences(fake.study_of(runs, tmp_path, axes=["loss", "normalization", "regularizer"])))
    smallest = 3 * mcnemar(9, 0)
    middle = max(smallest, 2 * mcnemar(8, 0))
    largest = max(middle, mcnemar(6, 0))
    assert smallest < middle < largest <= 0.05 < 3 * mcnemar(6, 0)
    assert f"b 6/9 (all diverged) against 0/9, more (p = {largest:.2g}) for new seeds" in text
    assert f"batch 9/9 (all diverged) against 0/9, more (p = {smallest:.2g}) for new seeds" in text
    assert f"r1 8/9 (all diverged) against 0/9, more (p = {middle:.2g}) for new seeds" in text


def test_variants_that_are_all_alike_have_no_last(fake: Any, tmp_path: Any) -> None:
    text = " ".join(all_but_late(fake.study_of(five([C] * 5) + five([C] * 5, loss="b"), tmp_path, axes=["loss"])))
    assert "ring8: 2 of 2 variants survive in all of their seeds. First is " in text
    assert "Last is" not in text
    failing = five([K] * 5, loss="b") + five([D] * 5, loss="c")
    text = " ".join(all_but_late(fake.study_of(failing, tmp_path, axes=["loss"])))
    assert "ring8: 0 of 2 variants survive in all of their seeds, 2 fail in all of them. First is " in text
    assert "Last is" not in text


def test_the_last_is_told_with_its_three_most_frequent_failures(fake: Any, tmp_path: Any) -> None:
    ends = [K, K, K, K, D, D, D, "vanished", "vanished", "failed", *[U] * 5]
    runs = five([C] * 15, loss="a") + five(ends, loss="b")
    (text,) = [t for t in all_but_late(fake.study_of(runs, tmp_path, axes=["loss"])) if t.startswith("ring8")]
    assert text.endswith("Last is b (10/15 fail: 4 collapsed, 3 diverged, 2 vanished gradients).")


def test_a_problem_without_modes_is_told_with_what_it_has(fake: Any, tmp_path: Any) -> None:
    runs = five([C] * 5, loss="a", problem="user") + five([D] * 5, loss="b", problem="user")
    study = fake.study_of(runs, tmp_path, axes=["loss"])
    best = rank(study).iloc[0]
    assert (best["covered_of"], best["quality_of"]) == ("coverage", "precision")
    (text,) = [t for t in all_but_late(study) if t.startswith("user")]
    score = f"median coverage {best['covered']:.3g}, median precision {best['quality']:.3g}"
    assert f"First is a (0/5 fail, {score}); it is the best (95 % sure, for new seeds)." in text
    study.oracle = {}
    study.series = study.series.assign(precision=np.nan, recall=np.nan, coverage=np.nan, high_quality=np.nan)
    (text,) = [t for t in all_but_late(study) if t.startswith("user")]
    assert "(0/5 fail, no score)" in text


def test_the_generators_normalization_is_called_so(fake: Any, tmp_path: Any) -> None:
    runs = five([C] * 5, g_normalization="none") + five([K] * 5, g_normalization="batch")
    text = " ".join(all_but_late(fake.study_of(runs, tmp_path, axes=["g_normalization"])))
    assert (
        "Failures by generator normalization, against no generator normalization: batch in the generator 5/5 (all "
        "collapsed) against 0/5, not told apart."
    ) in text


@pytest.mark.parametrize(("other", "told"), [
    (5.99, ""), (6.0, " Training takes 1.2 x as long with b as with a."),
    (12.5, " Training takes 2.5 x as long with b as with a."), (0.0, ""),
    (0.5, " Training takes 10.0 x as long with a as with b."),
])  # fmt: skip
def test_what_a_level_costs_from_a_fifth_more_on(fake: Any, tmp_path: Any, other: float, told: str) -> None:
    # the median of what was trained to its end
    runs = five([C] * 4 + [D], loss="a") + five([C] * 4 + [D], loss="b")
    study = fake.study_of(runs, tmp_path, axes=["loss"])
    study.runs["seconds"] = [5.0, 5.0, 5.0, 99.0, 500.0, other, other, other, 99.0 if other else 0.0, 500.0]
    (text,) = [t for t in sentences(study) if t.startswith("Failures by loss")]
    assert text == f"Failures by loss, against a: b 1/5 against 1/5, not told apart.{told}"


def test_what_levels_cost_is_counted_where_all_of_them_have_run(fake: Any, tmp_path: Any) -> None:
    # b takes three times as long in the setting that all share, and c has not run in the other
    rows = [({"loss": loss, "regularizer": what, "seed": s}, C) for loss, what in
            (("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("b", "y")) for s in range(2)]  # fmt: skip
    study = fake.study_of(rows, tmp_path, axes=["loss", "regularizer"])
    study.runs["seconds"] = [5.0, 5.0, 15.0, 15.0, 6.0, 6.0, 90.0, 90.0, 1.0, 1.0]
    (text,) = [t for t in sentences(study) if t.startswith("Failures by loss")]
    assert text.endswith("not told apart. Training takes 3.0 x as long with b as with a.")


def test_without_a_level_called_none_pairs_are_against_the_first(fake: Any, tmp_path: Any) -> None:
    runs = [({"loss": loss, "regularizer": what, "seed": seed}, C) for loss, what in
            (("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x")) for seed in range(5)]  # fmt: skip
    study = fake.study_of(runs, tmp_path, axes=["loss", "regularizer"])
    (text,) = [t for t in sentences(study) if t.startswith("Failures by loss")]
    assert text == (
        "Failures by loss, against a: b 0/10 against 0/10, not told apart; c 0/5 against 0/5, not told apart."
    )


def test_pairs_are_against_none_wherever_it_stands_in_the_plan(fake: Any, tmp_path: Any) -> None:
    runs = five([C] * 2, normalization="batch") + five([C] * 2, normalization="none")
    text = " ".join(sentences(fake.study_of(runs, tmp_path, axes=["normalization"])))
    assert "Failures by normalization, against no normalization: batch 0/2 against 0/2, not told apart." in text


def test_levels_that_have_nothing_in_common_are_not_compared(fake: Any, tmp_path: Any) -> None:
    two = [({"loss": loss, "regularizer": what, "seed": seed}, C) for loss, what in (("a", "x"), ("b", "y"))
           for seed in range(2)]  # fmt: skip
    nothing = [
        "Failures by loss: no setting has run with a and another level, so they are not compared.",
        "Failures by regularizer: no setting has run with x and another level, so they are not compared.",
    ]
    three = [*two, *[({"loss": "c", "regularizer": "z", "seed": seed}, C) for seed in range(2)]]
    for rows in (two, three):
        text = sentences(fake.study_of(rows, tmp_path, axes=["loss", "regularizer"]))
        # and nothing is said of how
        assert [t for t in text if t.startswith(("Failures", "How"))] == nothing
    # a level that shares a setting with the base is compared, and what has none in common is left out
    shared = [*three, *[({"loss": "b", "regularizer": "x", "seed": seed}, C) for seed in range(2)]]
    text = sentences(fake.study_of(shared, tmp_path, axes=["loss", "regularizer"]))
    assert [t for t in text if t.startswith("Failures")] == [
        "Failures by loss, against a: b 0/2 against 0/2, not told apart.",
        "Failures by regularizer, against x: y 0/2 against 0/2, not told apart.",
    ]


def test_runs_of_different_seeds_are_no_pairs(fake: Any, tmp_path: Any) -> None:
    rows = [({"loss": loss, "seed": seed}, C) for loss, seed in (("a", 0), ("a", 1), ("b", 1), ("b", 2))]
    text = " ".join(sentences(fake.study_of(rows, tmp_path, axes=["loss"])))
    assert "Failures by loss, against a: b 0/1 against 0/1, not told apart." in text


def test_a_setting_with_one_level_that_has_run_is_not_told(fake: Any, tmp_path: Any) -> None:
    runs = [*five([C] * 5, loss="a"), *five(["pending"] * 5, loss="b")]
    assert not [t for t in sentences(fake.study_of(runs, tmp_path, axes=["loss"])) if t.startswith("Failures")]


@pytest.mark.parametrize(("waiting", "skipped", "told"), [
    (0, 0, []), (1, 0, ["Not the last word: without 1 planned run that did not finish yet."]),
    (2, 1, ["Not the last word: without 2 planned runs that did not finish yet.",
            "1 variant was skipped, because the parts cannot be combined; the reasons are listed."]),
    (0, 2, ["2 variants were skipped, because the parts cannot be combined; the reasons are listed."]),
])  # fmt: skip
def test_what_did_not_run_is_told(fake: Any, tmp_path: Any, waiting: int, skipped: int, told: list[str]) -> None:
    runs = five([C, C, *["pending", "running"][:waiting]])
    runs += [({"loss": f"z{place}", "seed": None}, "skipped") for place in range(skipped)]
    found = all_but_late(fake.study_of(runs, tmp_path, axes=["loss"]))
    assert found[2:-1] == told
    assert found[-1].startswith("With 2 seeds a variant")


def test_nothing_more_is_said_where_nothing_has_finished(fake: Any, tmp_path: Any) -> None:
    assert sentences(fake.study_of([({"seed": 0}, "pending")], tmp_path)) == [
        "No run has finished yet, so there is nothing to say.",
        "Not the last word: without 1 planned run that did not finish yet.",
    ]


def test_a_distance_misleads_where_bad_runs_are_nearer_than_the_median_good_one(fake: Any, tmp_path: Any) -> None:
    bad = ["dropping modes", "late collapse", K, "dropping modes"]
    study = fake.study_of(five([C, C, C, *bad, "never learned"]), tmp_path, axes=["problem"])
    runs = study.runs["run"].tolist()

    def told(*finals: float) -> list[str]:
        for run, final in zip(runs, finals, strict=True):
            study.series.loc[study.series["run"] == run, "frechet"] = final
        return [t for t in sentences(study) if "alone would mislead" in t]

    # the median is 0.2: two bad ones are below it, one is at it; what never learned does not drop modes
    assert told(0.1, 0.2, 0.9, 0.19, 0.1, 0.2, 0.3, 0.01) == [
        "Frechet alone would mislead: 2 of 4 runs that drop modes or collapse score better on it than the median "
        "converged run."
    ]
    assert told(0.1, 0.2, 0.9, 0.2, 0.2, 0.2, 0.3, 0.01) == []
    only = fake.study_of(five(bad), tmp_path, axes=["problem"])
    assert not [t for t in sentences(only) if "alone would mislead" in t]


def test_late_degradation_is_of_runs_that_ended_with_a_distance(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of(five([C, C, K, D, "failed"]), tmp_path, axes=["problem"])
    study.oracle = {"ring8": {**study.oracle["ring8"], "frechet": 0.0}}
    runs, steps = study.runs["run"].tolist(), study.series["step"]
    for run, final in ((runs[0], 0.15), (runs[1], 0.1501), (runs[2], 0.2)):
        own = study.series["run"] == run
        study.series.loc[own, "frechet"] = 0.1
        study.series.loc[own & (steps == steps.max()), "frechet"] = final
    (late,) = [t for t in sentences(study) if t.startswith("Late")]
    assert late == (
        "Late degradation: 2 of 3 runs (67 %, 21 to 94 % for new seeds) that stayed finite end with a Frechet distance "
        "above 1.5 x their own best; 1 of them count as converged by coverage and quality."
    )
    study.series.loc[study.series["run"] == runs[1], "frechet"] = 0.1
    (late,) = [t for t in sentences(study) if t.startswith("Late")]
    assert late.endswith("above 1.5 x their own best.")
    study.series["frechet"] = np.nan
    assert not [t for t in sentences(study) if t.startswith("Late")]


def test_what_is_given_is_not_computed_again(study: Any, monkeypatch: Any) -> None:
    known = judge(study)
    ranking, scored = rank(study, known), scores(study, playing("distance"))
    expected = sentences(study)
    for name in ("judge", "rank", "scores"):
        monkeypatch.setattr(findings, name, None)
    assert sentences(study, known, ranking, scored) == expected
    # a report's table of scores has more columns, of the same names as those of the runs
    more = scored.merge(study.runs[["run", "problem", "variant", "seed", "status"]], on="run")
    assert sentences(study, known, ranking, more) == expected


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0"), (0.004, "0.4"), (0.0199, "2.0"), (0.02, "2"), (0.025, "2"), (1.0, "100"),
])  # fmt: skip
def test_small_rates_have_a_digit_more(value: float, shown: str) -> None:
    assert findings.percent(value) == shown


@pytest.mark.parametrize(("axis", "name"), [
    ("batch_size", "batch size"), ("optimizer.adam.g_lr", "optimizer.adam.g_lr"),
    ("g_normalization", "generator normalization"), ("g_regularizer", "g regularizer"),
])  # fmt: skip
def test_settings_are_called_in_words_and_hyper_parameters_as_they_are_set(
    fake: Any, tmp_path: Any, axis: str, name: str
) -> None:
    study = fake.study_of(five([C] * 5, **{axis: "1"}) + five([C] * 5, **{axis: "2"}), tmp_path, axes=[axis])
    assert [t for t in sentences(study) if t.startswith(f"Failures by {name}, against ")]


def test_problems_are_told_in_their_order_and_apart(fake: Any, tmp_path: Any) -> None:
    runs = five([C] * 5, loss="a", problem="ring8") + five([K] * 5, loss="b", problem="ring8")
    runs += five([K] * 5, loss="a", problem="grid25") + five([K] * 5, loss="b", problem="grid25")
    study = fake.study_of(runs, tmp_path, axes=["problem", "loss"])
    text = sentences(study)
    assert [t.split(":")[0] for t in text[1:3]] == ["ring8", "grid25"]
    # every seed is alike, so the runs count; the variants of two problems are four
    told = f"(75 %; 53 to 89 % for new seeds of these variants, {spread([0, 5, 5, 5], 5)} for new variants)"
    assert text[0].startswith(f"15 of 20 runs {told} fail: 15 collapsed. Variants that survive in all of ")
    assert text[0].endswith("1 of 4.")
    # what a distance prefers is asked within a problem: all bad runs are nearer than the good ones of another
    bad = study.series["run"].isin(study.runs.loc[study.runs["problem"] == "grid25", "run"])
    study.series["frechet"] = np.where(bad, 0.001, 1.0)
    assert not [t for t in sentences(study) if "alone would mislead" in t]
    # a distance below the oracle's own is noise, of each problem by itself
    study.oracle = {"ring8": {**study.oracle["ring8"], "frechet": 0.1}, "grid25": study.oracle["grid25"]}
    study.series["frechet"] = np.where(study.series["step"] == study.series["step"].max(), 0.14, 0.01)
    (late,) = [t for t in sentences(study) if t.startswith("Late")]
    assert late.startswith("Late degradation: 10 of 20 runs")


def test_combinations_without_a_hyper_parameter_are_combinations_too(fake: Any, tmp_path: Any) -> None:
    name = "regularizer.r1.gamma"
    runs = [({"loss": loss, "regularizer": what, "seed": seed, **gamma}, C) for loss in "ab" for seed in range(5)
            for what, gamma in (("none", {}), ("r1", {name: 0.1}))]  # fmt: skip
    text = " ".join(sentences(fake.study_of(runs, tmp_path, axes=["loss", "regularizer", name])))
    assert "Failures by loss, against a: b 0/10 against 0/10, not told apart." in text
