from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from ganbench.analysis.verdicts import (
    FAILURES,
    ORDER,
    THRESHOLDS,
    UNDECIDED,
    VERDICTS,
    Verdict,
    judge,
    judge_series,
    judged,
    loss_quality_correlation,
    so_far,
    so_far_briefly,
    view,
)
from ganbench.analysis.verdicts.levels import since
from ganbench.analysis.verdicts.movements import swings
from ganbench.analysis.verdicts.progress import called

FATES = ["converged", "unconverged", "collapsed", "late collapse", "dropping modes", "degraded", "vanished",
         "never learned", "oscillating"]  # fmt: skip
# what a perfect sampler of 1000 samples scores on eight equal modes
RING = {"modes_covered": 8.0, "high_quality": 0.99, "recall": 0.96, "mode_kl": 7 / 2000} | {
    f"mode_share.{k}": 0.99 / 8 for k in range(8)
}


def holding(*sets: str, quality: float = 0.95, every: int = 100) -> pd.DataFrame:
    """Return the probes of a generator that holds these of the modes a to h, equally; "" stands for no good sample."""
    rows = []
    for held in sets:
        good = quality if held else 0.0
        shares = {f"mode_share.{k}": good / len(held) if name in held else 0.0 for k, name in enumerate("abcdefgh")}
        rows.append({"high_quality": good, "modes_covered": len(held), **shares})
    return pd.DataFrame(rows).assign(step=np.arange(len(rows)) * every)


def named(series: pd.DataFrame, oracle: dict[str, float] | None = None, modes: int | None = 8) -> list[str]:
    return [verdict.verdict for verdict in judge_series(series, RING if oracle is None else oracle, modes)]


def first(series: pd.DataFrame, oracle: dict[str, float] | None = None, modes: int | None = 8) -> tuple[str, Any]:
    verdict = judge_series(series, RING if oracle is None else oracle, modes)[0]
    return verdict.verdict, verdict.onset


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("problem", ["ring8", "grid25", "line", "digits"])
@pytest.mark.parametrize("onset", [6, 12])
def test_scripted_fates_are_recognised_with_their_onset(fake: Any, fate: str, problem: str, onset: int) -> None:
    for seed in range(3):
        series = fake.scripted(fate, problem, onset=onset, seed=seed)
        verdict = judge_series(series, fake.ORACLE[problem], fake.MODES[problem])[0]
        assert verdict.verdict == fate, verdict.evidence
        if fate in ("late collapse", "dropping modes", "degraded", "vanished", "oscillating"):
            probe = int(np.flatnonzero(series["step"] == verdict.onset)[0])
            assert abs(probe - onset) <= 1
        assert verdict.failed == (fate not in ("converged", "unconverged"))


def test_never_learned_holds_from_the_start(fake: Any) -> None:
    assert judge_series(fake.scripted("never learned"), fake.ORACLE["ring8"], 8)[0].onset == 0


def test_evidence_shows_numbers_beside_the_oracle(fake: Any) -> None:
    verdict = judge_series(fake.scripted("late collapse"), fake.ORACLE["ring8"], 8)[0]
    assert verdict.evidence.startswith("1 of 8 modes covered, high quality 0.9")
    assert "(oracle 0.99)" in verdict.evidence
    assert "8 of 8 modes covered" in verdict.evidence


@pytest.mark.parametrize(("covered", "verdict"), [(1, "collapsed"), (2, "collapsed"), (3, "dropping modes"),
                                                  (7, "dropping modes"), (8, "converged")])  # fmt: skip
def test_a_quarter_of_the_modes_parts_collapse_from_dropping(covered: int, verdict: str) -> None:
    series = pd.DataFrame({"step": [0, 100], "modes_covered": [0, covered], "high_quality": [0.0, 0.95]})
    assert named(series) == [verdict]


@pytest.mark.parametrize(("kept", "verdict"), [("abc", "late collapse"), ("abcd", "dropping modes")])
def test_half_of_what_was_covered_parts_late_collapse_from_dropping(kept: str, verdict: str) -> None:
    series = holding("", "abcdef", kept, kept)
    assert first(series) == (verdict, 200 if verdict == "late collapse" else 100)
    # five of eight modes were never most of them: nothing was lost late
    assert first(holding("", "abcde", "abc"))[0] == "dropping modes"


def test_late_collapse_says_what_else_it_is() -> None:
    found = judge_series(holding("", "abcdefgh", "abcdefgh", "a", "a"), RING, 8)
    assert [(v.verdict, v.onset) for v in found] == [("late collapse", 300), ("collapsed", 300)]
    assert "at its best (step 100): high quality 0.95, 8 of 8 modes covered" in found[0].evidence


@pytest.mark.parametrize(("quality", "verdict"), [(0.86, "converged"), (0.83, "unconverged"), (0.56, "unconverged"),
                                                  (0.54, "never learned"), (0.48, "never learned")])  # fmt: skip
def test_quality_is_measured_against_the_oracle(quality: float, verdict: str) -> None:
    oracle = {"modes_covered": 8.0, "high_quality": 0.9}
    series = pd.DataFrame({"step": [0, 100], "modes_covered": [0, 8], "high_quality": [0.0, quality * 0.9]})
    assert named(series, oracle) == [verdict]


def test_noise_that_hides_the_modes_is_no_collapse() -> None:
    series = holding("", *["abcdefgh"] * 2, "").assign(high_quality=[0, 0.95, 0.95, 0.1])
    assert first(series.assign(recall=0.9)) == ("degraded", 300)
    # displaced samples have no recall either: how far they lie apart among themselves tells
    assert first(series.assign(recall=[0, 0.9, 0.9, 0.01])) == ("degraded", 300)
    assert first(series.assign(sample_spread=[0.5, 1.0, 1.0, 0.04])) == ("late collapse", 300)
    assert first(series.assign(sample_spread=[0.5, 1.0, 1.0, 0.06])) == ("degraded", 300)


def test_modes_missed_by_chance_are_not_dropped_but_repeatedly_missed_ones_are() -> None:
    # binomial(128, 1 / 25) falls below a quarter of its mean with 3.6 % at each of 25 modes: five at once is the limit
    oracle = {"modes_covered": 24.1, "high_quality": 0.99, "mode_kl": 24 / 256}
    probability = stats.binom.cdf(1, 128, 0.99 / 25)
    allowed = int(stats.poisson.ppf(0.999, 25 * probability))
    shares = np.full((12, 25), 0.99 / 25)
    for place in range(12):  # at every probe the next so many modes are missing, each at one probe in five at the most
        shares[place, (np.arange(allowed) + allowed * place) % 25] = 0.0
    columns = {"step": np.arange(12) * 10, "high_quality": 0.95, "modes_covered": 25 - allowed}
    by_chance = pd.DataFrame(shares, columns=[f"mode_share.{k}" for k in range(25)]).assign(**columns)
    assert first(by_chance, oracle, 25)[0] == "converged"
    # where only their number is known, so many may be missing and no more
    counted = by_chance[["step", "high_quality", "modes_covered"]]
    assert first(counted, oracle, 25)[0] == "converged"
    assert f"misses up to {allowed} by chance" in judge_series(counted, oracle, 25)[0].evidence
    assert first(counted.assign(modes_covered=24 - allowed), oracle, 25)[0] == "dropping modes"
    one = by_chance.assign(modes_covered=24, **{"mode_share.3": [0.04] * 6 + [0.0] * 6})
    assert first(one, oracle, 25) == ("dropping modes", 60)
    # with a thousand samples the same missing mode tells at a single probe
    known = {**oracle, "mode_kl": 24 / 2000, "modes_covered": 25.0}
    full = pd.DataFrame(np.full((8, 25), 0.99 / 25), columns=by_chance.columns[:25]).assign(
        **columns | {"step": range(8)}
    )
    assert first(full.assign(**{"mode_share.3": [0.04] * 7 + [0.0]}), known, 25)[0] == "dropping modes"


def test_collapse_onto_the_mean_is_seen_by_the_spread() -> None:
    series = pd.DataFrame({"step": [0, 50, 100], "precision": 1.0, "coverage": 1.0, "recall": [0.0, 0.5, 0.0]})
    oracle = {"precision": 0.7, "coverage": 0.96, "recall": 0.7}
    # what covers all of the data has not collapsed: noise near the mean of many dimensions does
    assert first(series, oracle, None) == ("degraded", 100)
    assert first(series.assign(sample_spread=[1.0, 0.9, 0.04]), oracle, None) == ("collapsed", 100)
    assert first(series.assign(sample_spread=[0.02, 0.3, 0.2]), oracle, None) == ("degraded", 100)


def test_smooth_images_of_all_classes_are_no_collapse() -> None:
    series = pd.DataFrame({"step": [0, 50], "precision": 0.6, "coverage": 0.5, "recall": 0.03, "classes_covered": 10})
    oracle = {"precision": 0.92, "coverage": 0.96, "recall": 0.92, "classes_covered": 10.0}
    assert named(series, oracle, 10) == ["unconverged"]
    assert named(series.assign(coverage=0.05), oracle, 10) == ["collapsed"]


def test_bad_images_after_good_ones_have_degraded() -> None:
    series = pd.DataFrame({"step": [0, 50, 99], "precision": [0, 0.9, 0.1], "coverage": [0, 0.9, 0.05], "recall": 0.9})
    oracle = {"precision": 0.92, "coverage": 0.96, "recall": 0.92, "classes_covered": 10.0}
    assert named(series.assign(classes_covered=[0, 10, 3]), oracle, 10) == ["degraded"]


def test_modes_among_bad_samples_neither_swing_nor_rotate() -> None:
    flicker = ["abcdefgh", "abc", "abcdefgh", "def", "abcdefgh", "ab", "abcdefgh", "gh"]
    series = holding("", *["abcdefgh"] * 3, *flicker)
    bad = series.assign(high_quality=[0, *[0.95] * 3, *[0.3] * 8])
    assert named(bad[["step", "high_quality", "modes_covered"]]) == ["degraded"]
    # a handful of good samples is on this mode or on that
    chance = holding("", "abcdefgh", "abcdefgh", "ab", "cd", "ef", "gh", "ab", "cd", quality=0.1)
    assert named(chance.assign(high_quality=[0, 0.95, 0.95, *[0.1] * 6])) == ["degraded"]


def test_a_generator_that_has_not_learned_has_not_collapsed() -> None:
    series = pd.DataFrame({"step": [0, 50], "high_quality": 0.1, "modes_covered": 1, "recall": 0.0})
    assert named(series) == ["never learned"]


def test_an_untrained_generator_has_not_learned() -> None:
    series = pd.DataFrame({"step": [0, 50, 100], "high_quality": [0.9, 0.1, 0.1], "modes_covered": [8, 1, 1]})
    assert named(series) == ["never learned"]


def test_vanished_by_gradient_alone_and_only_while_bad() -> None:
    series = pd.DataFrame(
        {"step": range(5), "high_quality": 0.1, "modes_covered": 1, "g_gradient_norm": [1, 1, 1, 1e-5, 1e-6]}
    )
    assert judge_series(series, {"high_quality": 0.99}, 8)[0] == Verdict(
        "vanished", 3, "1 of 8 modes covered, high quality 0.1 (oracle 0.99), g gradient norm 1e-06 (early 1)."
    )
    assert named(series) == ["vanished", "never learned"]
    assert first(series.assign(saturation=[0, 0, 1, 1, 1])) == ("vanished", 2)
    assert named(series.assign(high_quality=0.95, modes_covered=8)) == ["converged"]


def test_rotation_is_a_union_that_no_single_probe_has() -> None:
    sets = ["", "ab", "ab", "cd", "ef", "gh", "ab", "cd"]
    found = judge_series(holding(*sets), RING, 8)
    assert [(v.verdict, v.onset) for v in found] == [("rotating", 100), ("collapsed", 100)]
    assert found[0].evidence.startswith("Holds at most 2 modes at any probe since step 100 and 8 of 8 over all of them")
    assert "5 times" in found[0].evidence


def test_rotation_after_covering_everything_begins_where_it_begins() -> None:
    found = judge_series(holding("", "abcd", "abcdefgh", "abcdefgh", "ab", "bc", "cd", "de", "ef"), RING, 8)
    assert [(v.verdict, v.onset) for v in found] == [("rotating", 400), ("late collapse", 400), ("collapsed", 400)]


@pytest.mark.parametrize(
    "sets",
    [
        ["", "a", "ab", "abc", "abcd", "abcd", "abcd"],  # growing
        ["", "abcdefgh", "abcdef", "abcd", "ab", "a", "a"],  # shrinking
        ["", "ab", "cd", "ef", "gh", *["gh"] * 8],  # came to rest
        ["", "abc", "abcd", "abc", "abce", "abc", "abcd"],  # the same three, and one at the border of being held
        ["", "ab", "ab", "ab", "cd", "cd", "cd"],  # one jump
    ],
)
def test_what_is_no_rotation(sets: list[str]) -> None:
    assert not {"rotating", "oscillating"} & set(named(holding(*sets)))


def test_without_shares_there_is_no_rotation() -> None:
    series = holding("", "ab", "cd", "ef", "gh", "ab", "cd")
    assert named(series[["step", "high_quality", "modes_covered"]]) == ["collapsed"]


def test_back_and_forth_between_two_sets_is_an_oscillation() -> None:
    found = judge_series(holding("", "abcd", "efgh", "abcd", "efgh", "abcd", "efgh"), RING, 8)
    assert [(v.verdict, v.onset) for v in found] == [("oscillating", 100), ("dropping modes", 100)]
    assert "moves between two sets of them, 5 times" in found[0].evidence


def test_swings_of_quality_and_of_modes() -> None:
    series = holding("", *["abcdefgh"] * 8)
    bad = series.assign(high_quality=[0, 0.9, 0.9, 0.3, 0.9, 0.3, 0.3, 0.9, 0.9])
    found = judge_series(bad, RING, 8)[0]
    assert (found.verdict, found.onset) == ("oscillating", 300)
    assert found.evidence.startswith("High quality swings between 0.30 and 0.90 since step 300, with 4 falls and rises")
    modes = holding("", "abcdefgh", "abcd", "abcdefgh", "abcd", "abcdefgh")
    assert first(modes) == ("oscillating", 200)
    # one dip is an accident, and what has settled is over
    assert named(series.assign(high_quality=[0, 0.9, 0.9, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9])) == ["converged"]
    settled = pd.concat([bad, series.iloc[1:].assign(step=lambda t: t["step"] + 800)], ignore_index=True)
    assert named(settled) == ["converged"]


@given(arrays(float, st.integers(1, 40), elements=st.floats(0, 1)), st.floats(0.05, 0.9))
def test_swings_alternate_and_are_large(values: Any, least: float) -> None:
    turns = swings(values, least)
    ends = [0, *turns, len(values) - 1]

    def leg(start: int, end: int, up: bool) -> float:
        part = values[start : end + 1]
        return values[end] - part.min() if up else part.max() - values[end]

    def explains(up: bool) -> bool:
        directions = [up if place % 2 == 0 else not up for place in range(len(turns) + 1)]
        legs = [leg(a, b, way) for a, b, way in zip(ends, turns, directions, strict=False)]
        # every turn is large, and what follows the last one is not
        return all(size >= least for size in legs) and leg(ends[-2], ends[-1], directions[-1]) < least

    assert turns == sorted(set(turns))
    assert explains(up=True) or explains(up=False)
    # a series that never leaves a band narrower than the least swing has none
    assert not swings(values * 0.99 * least, least)


def test_samples_that_end_not_finite_have_diverged() -> None:
    series = holding("", "abcdefgh", "abcdefgh", "abcdefgh").astype(float)
    series.loc[2:, series.columns != "step"] = np.nan
    assert first(series) == ("diverged", 200)
    # the engine knows the very step; what held before is told as well
    found = judge_series(holding("", "a", "a"), RING, 8, diverged_step=251)
    assert [(v.verdict, v.onset) for v in found] == [("diverged", 251), ("collapsed", 100)]
    assert found[0].evidence == (
        "Left the finite numbers at step 251; last measured at step 200: high quality 0.95, 1 modes covered."
    )
    # a hole in the middle is none
    series = holding("", *["abcdefgh"] * 3).astype(float)
    series.loc[1, "high_quality"] = np.nan
    assert named(series) == ["converged"]


def test_too_tight_samples_are_flagged_after_five_probes_in_a_row() -> None:
    series = holding("", *["abcdefgh"] * 5, quality=1.0)
    verdict = judge_series(series, {**RING, "high_quality": 0.9889}, 8)[0]
    assert verdict.verdict == "converged"
    assert "too tight" in verdict.evidence
    assert "too tight" not in judge_series(series.iloc[:-1], RING, 8)[0].evidence


@pytest.mark.parametrize(("probes", "told"), [(4, False), (5, True)])
def test_a_correlation_takes_five_probes(probes: int, told: bool) -> None:
    series = pd.DataFrame({"high_quality": np.linspace(0, 1, 9), "modes_covered": 8.0, "d_loss": np.linspace(3, 1, 9)})
    series.loc[probes:, "d_loss"] = np.nan
    found = loss_quality_correlation(series)["d_loss"]
    assert found == pytest.approx(-1) if told else np.isnan(found)


def test_nothing_measured_is_no_failure() -> None:
    (verdict,) = judge_series(pd.DataFrame({"step": [0, 1], "d_loss": 1.0}), {})
    assert (verdict.verdict, verdict.onset) == ("unconverged", None)
    assert judge_series(pd.DataFrame({"step": [0, 1]}), {}, diverged_step=7)[0].onset == 7


def test_the_order_of_probes_does_not_matter() -> None:
    series = holding("", "ab", "cd", "ef", "gh", "ab", "abcdefgh", "a")
    shuffled = series.sample(frac=1, random_state=0)
    assert judge_series(series, RING, 8) == judge_series(shuffled, RING, 8)


def test_since() -> None:
    steps = np.array([0, 10, 20, 30])
    assert since(np.array([True, False, True, True]), steps) == 20
    assert since(np.array([True, True, True, True]), steps) == 0
    assert since(np.array([True, True, True, False]), steps) is None


def test_loss_quality_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"step": range(12), "high_quality": rng.random(12), "modes_covered": 8})
    table["d_loss"], table["g_loss"] = rng.normal(size=12).round(1), -np.exp(table["high_quality"])
    found = loss_quality_correlation(table)
    assert found["d_loss"] == pytest.approx(stats.spearmanr(table["d_loss"], table["high_quality"]).statistic)
    assert found["g_loss"] == pytest.approx(-1)
    few = loss_quality_correlation(table.assign(d_loss=1.0, g_loss=[*range(4), *[np.nan] * 8]))
    assert np.isnan([few["d_loss"], few["g_loss"]]).all()
    assert loss_quality_correlation(table, "step")["d_loss"] == pytest.approx(
        stats.spearmanr(table["d_loss"], table["step"]).statistic
    )
    assert loss_quality_correlation(table[["step", "high_quality", "modes_covered"]]) == {}


def test_judge_tells_diverged_failed_and_skipped_apart(fake: Any, tmp_path: Any) -> None:
    fates = ["converged", "diverged", "failed", "skipped", "pending", "running", "late collapse"]
    given = [({"seed": None if fate == "skipped" else 0}, fate) for fate in fates]
    table = judge(fake.study_of(given, tmp_path)).set_index("run")
    assert list(table["verdict"]) == ["converged", "diverged", "failed", "late collapse"]
    assert list(table["failed"]) == [False, True, True, True]
    assert table.loc["r0001", "onset"] == int(np.linspace(0, 4000, 18)[9]) - 1
    assert table.loc["r0001", "evidence"].startswith("Left the finite numbers at step 2116; last measured at step 1882")
    assert "because it is failed" in table.loc["r0002", "evidence"]
    assert list(table["also"]) == ["", "", "", "collapsed since step 2117"]


def test_judge_judges_as_judge_series(fake: Any, tmp_path: Any) -> None:
    study = fake.study_of([({"seed": 0}, fate) for fate in FATES], tmp_path)
    table = judged(study, judge(study)).set_index("run")
    for run, rows in study.series.groupby("run"):
        verdict = judge_series(rows, study.oracle["ring8"], 8)[0]
        assert tuple(table.loc[run, ["verdict", "onset", "evidence"]]) == (
            verdict.verdict,
            verdict.onset,
            verdict.evidence,
        )


def test_judge_of_nothing(fake: Any, tmp_path: Any) -> None:
    table = judge(fake.study_of([({"seed": None}, "skipped")], tmp_path))
    assert table.empty
    assert list(table.columns) == ["run", "verdict", "onset", "evidence", "failed", "undecided", "also"]


def test_every_verdict_has_a_place_and_every_threshold_a_reason() -> None:
    assert set(VERDICTS) == set(ORDER)
    assert {"converged", "wrong weights", "too tight", "unconverged", "too short"} == set(VERDICTS) - FAILURES
    assert {"too short"} == set(UNDECIDED)
    assert all(t.value > 0 and len(t.reason) > 20 for t in THRESHOLDS.values())


def risen(*quality: float, every: int = 100) -> pd.DataFrame:
    """Return the probes of a generator of all eight modes at these qualities, of an oracle's 1."""
    rows = [{"high_quality": q, "modes_covered": 8.0, **{f"mode_share.{k}": q / 8 for k in range(8)}} for q in quality]
    return pd.DataFrame(rows).assign(step=np.arange(len(rows)) * every)


# seventeen probes, steps 0 to 1600: the last quarter begins at step 1200, the last half at 800
FLAT = [0.1] * 13


@pytest.mark.parametrize(
    ("quality", "told"),
    [
        ([*FLAT, 0.15, 0.2, 0.25, 0.3], "too short"),
        ([*FLAT, 0.1, 0.1, 0.1, 0.2], "too short"),  # just a tenth
        ([*FLAT, 0.1, 0.1, 0.1, 0.19], "never learned"),
        ([*FLAT, 0.4, 0.4, 0.4, 0.4], "too short"),  # it came after step 1200
        ([0.1] * 12 + [0.4, 0.4, 0.4, 0.4, 0.4], "never learned"),  # and here before it
        ([*FLAT, 0.3, 0.19, 0.3, 0.3], "never learned"),  # a fall of .11 is more than half of a rise of .2
        ([*FLAT, 0.3, 0.21, 0.3, 0.3], "too short"),
        ([0.1] * 9 + [0.3, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.4], "never learned"),  # it fell after step 800
        ([0.1] * 6 + [0.3] + [0.1] * 6 + [0.1, 0.2, 0.3, 0.4], "too short"),  # and here before it
        ([*FLAT, 0.3, 0.5, 0.6, 0.7], "too short"),  # learned, below the bar, and rising
        ([*FLAT, 0.6, 0.6, 0.6, 0.6], "too short"),
        ([0.1] * 8 + [0.6] * 9, "unconverged"),
        ([*FLAT, 0.3, 0.5, 0.7, 0.9], "converged"),
        ([0.1] * 4 + [0.9] * 5 + [0.1] * 4 + [0.2, 0.3, 0.4, 0.45], "degraded"),  # a failure holds
    ],
)
def test_what_still_rises_at_the_end_was_too_short(quality: list[float], told: str) -> None:
    oracle = {**RING, "high_quality": 1.0}
    assert first(risen(*quality), oracle)[0] == told


def test_too_short_holds_since_the_last_quarter_and_says_what_came() -> None:
    (verdict,) = judge_series(risen(*FLAT, 0.15, 0.2, 0.25, 0.3), {**RING, "high_quality": 1.0}, 8)
    assert verdict.onset == 1200
    assert (verdict.failed, verdict.undecided) == (False, True)
    assert "high quality was 0.1 at step 1200, and still rises." in verdict.evidence


def test_the_untrained_first_probe_is_no_start_of_a_rise() -> None:
    oracle = {**RING, "high_quality": 1.0}
    assert first(risen(0.0, 0.4), oracle)[0] == "never learned"
    assert first(risen(0.0, 0.1, 0.2, 0.4), oracle)[0] == "too short"


@given(arrays(float, 17, elements=st.floats(0, 0.49)))
def test_a_run_that_never_learned_is_either_too_short_or_a_failure(quality: Any) -> None:
    verdicts = judge_series(risen(*quality), {**RING, "high_quality": 1.0}, 8)
    undecided = [verdict.undecided for verdict in verdicts]
    assert len(set(undecided)) == 1
    assert "never learned" in [verdict.verdict for verdict in verdicts] or undecided[0] or verdicts[0].failed
    # a course that never rises from one probe to the next was not too short
    falling = judge_series(risen(*sorted(quality, reverse=True)), {**RING, "high_quality": 1.0}, 8)
    assert not falling[0].undecided


@pytest.mark.parametrize(("counts", "name"), [
    ([0, 1, 1], "not diverse yet"),
    ([0, 1, 3, 2], "not diverse yet"),
    ([0, 1, 4, 2], "collapsed"),
    ([np.nan, 4, np.nan, 2], "collapsed"),
    ([0, *[1] * 14], "not diverse yet"),
    ([0, *[1] * 15], "collapsed"),
])  # fmt: skip
def test_a_collapse_so_far_was_more_diverse_or_had_time(counts: list[float], name: str) -> None:
    columns = {"step": 10 * np.arange(len(counts)), "modes_covered": counts, "high_quality": np.ones(len(counts))}
    assert called("collapsed", columns, view(columns)) == name
    assert called("late collapse", columns, view(columns)) == "late collapse"


def test_runs_without_an_end_have_a_verdict_so_far(fake: Any, tmp_path: Any) -> None:
    fates = ["converged", "late collapse", "never learned", "unconverged", "vanished"]
    study = fake.study_of([({"seed": seed}, fate) for seed, fate in enumerate(fates)], tmp_path)
    assert so_far(study).empty
    assert so_far_briefly(study) == {}
    study.runs["status"] = ["running", "pending", "running", "failed", "done"]
    table = so_far(study).set_index("run")
    assert list(table["verdict"]) == ["converged", "late collapse", "not learned yet", "not converged yet"]
    assert (table["step"] == 4000).all()
    text = so_far_briefly(study)
    assert text["r0001"] == f"late collapse since step {table.loc['r0001', 'onset']}, at step 4000"
    # before training nothing is said
    study.series = study.series[study.series["step"] == 0]
    assert so_far(study).empty
