from typing import Any

import numpy as np
import pandas as pd
import pytest

from ganbench.analysis.verdicts import FAILURES, THRESHOLDS, VERDICTS, Verdict, judge, judge_series, since

FATES = ["converged", "unconverged", "collapsed", "dropping modes", "degraded", "vanished", "never learned"]


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("problem", ["ring8", "grid25", "line", "digits"])
@pytest.mark.parametrize("onset", [6, 9, 15])
def test_scripted_fates_are_recognised_with_their_onset(fake: Any, fate: str, problem: str, onset: int) -> None:
    for seed in range(5):
        series = fake.scripted(fate, problem, onset=onset, seed=seed)
        verdict = judge_series(series, fake.ORACLE[problem], fake.MODES[problem])
        assert verdict.verdict == fate, verdict.evidence
        if fate in ("collapsed", "dropping modes", "degraded", "vanished"):
            probe = int(np.flatnonzero(series["step"] == verdict.onset)[0])
            assert abs(probe - onset) <= 1
        assert verdict.failed == (fate not in ("converged", "unconverged"))


def test_never_learned_holds_from_the_start(fake: Any) -> None:
    assert judge_series(fake.scripted("never learned"), fake.ORACLE["ring8"], 8).onset == 0


def test_evidence_shows_numbers_beside_the_oracle(fake: Any) -> None:
    verdict = judge_series(fake.scripted("collapsed"), fake.ORACLE["ring8"], 8)
    assert verdict.evidence.startswith("1 of 8 modes covered, high quality 0.9")
    assert "(oracle 0.99)" in verdict.evidence
    assert "8 of 8 modes covered" in verdict.evidence


@pytest.mark.parametrize(("covered", "verdict"), [(1, "collapsed"), (2, "collapsed"), (3, "dropping modes"),
                                                  (7, "dropping modes"), (8, "converged")])  # fmt: skip
def test_a_quarter_of_the_modes_parts_collapse_from_dropping(covered: int, verdict: str, fake: Any) -> None:
    series = pd.DataFrame({"step": [0, 100], "modes_covered": [0, covered], "high_quality": [0.0, 0.95]})
    assert judge_series(series, fake.ORACLE["ring8"], 8).verdict == verdict


@pytest.mark.parametrize(("quality", "verdict"), [(0.86, "converged"), (0.83, "unconverged"), (0.51, "unconverged"),
                                                  (0.48, "never learned")])  # fmt: skip
def test_quality_is_measured_against_the_oracle(quality: float, verdict: str) -> None:
    oracle = {"modes_covered": 8.0, "high_quality": 0.9}
    series = pd.DataFrame({"step": [0, 100], "modes_covered": [0, 8], "high_quality": [0.0, quality * 0.9]})
    assert judge_series(series, oracle, 8).verdict == verdict


def test_collapse_onto_the_mean_is_seen_by_recall() -> None:
    series = pd.DataFrame({"step": [0, 50, 100], "precision": 1.0, "coverage": 1.0, "recall": [0.0, 0.8, 0.0]})
    verdict = judge_series(series, {"precision": 0.7, "coverage": 0.96, "recall": 0.7})
    assert (verdict.verdict, verdict.onset) == ("collapsed", 100)


def test_an_untrained_generator_has_not_learned() -> None:
    series = pd.DataFrame({"step": [0, 50, 100], "high_quality": [0.9, 0.1, 0.1], "modes_covered": [8, 1, 1]})
    assert judge_series(series, {"high_quality": 0.99}, 8).verdict == "never learned"


def test_vanished_by_gradient_alone_and_only_while_bad() -> None:
    series = pd.DataFrame(
        {"step": range(5), "high_quality": 0.1, "modes_covered": 1, "g_gradient_norm": [1, 1, 1, 1e-5, 1e-6]}
    )
    assert judge_series(series, {"high_quality": 0.99}, 8) == Verdict(
        "vanished", 3, "1 of 8 modes covered, high quality 0.1 (oracle 0.99), g gradient norm 1e-06 (early 1)."
    )
    good = series.assign(high_quality=0.95, modes_covered=8)
    assert judge_series(good, {"high_quality": 0.99}, 8).verdict == "converged"


def test_too_tight_samples_are_flagged() -> None:
    series = pd.DataFrame({"step": [0, 1], "high_quality": 1.0, "modes_covered": 8})
    verdict = judge_series(series, {"high_quality": 0.9889}, 8)
    assert verdict.verdict == "converged"
    assert "too tight" in verdict.evidence


def test_nothing_measured_is_no_failure() -> None:
    verdict = judge_series(pd.DataFrame({"step": [0, 1], "d_loss": 1.0}), {})
    assert verdict.verdict == "unconverged"
    assert verdict.onset is None


def test_since() -> None:
    steps = np.array([0, 10, 20, 30])
    assert since(np.array([True, False, True, True]), steps) == 20
    assert since(np.array([True, True, True, True]), steps) == 0
    assert since(np.array([True, True, True, False]), steps) is None


def test_judge_tells_diverged_failed_and_skipped_apart(fake: Any, tmp_path: Any) -> None:
    fates = ["converged", "diverged", "failed", "skipped", "pending", "running"]
    given = [({"seed": None if fate == "skipped" else 0}, fate) for fate in fates]
    table = judge(fake.study_of(given, tmp_path)).set_index("run")
    assert list(table["verdict"]) == ["converged", "diverged", "failed"]
    assert list(table["failed"]) == [False, True, True]
    assert table.loc["r0001", "onset"] == int(np.linspace(0, 4000, 18)[9]) - 1
    assert table.loc["r0001", "evidence"].startswith("Left the finite numbers at step 2116; last measured at step 1882")
    assert "because it is failed" in table.loc["r0002", "evidence"]


def test_judge_of_nothing(fake: Any, tmp_path: Any) -> None:
    table = judge(fake.study_of([({"seed": None}, "skipped")], tmp_path))
    assert table.empty
    assert list(table.columns) == ["run", "verdict", "onset", "evidence", "failed"]


def test_every_failure_is_a_verdict_and_every_threshold_has_a_reason() -> None:
    assert set(VERDICTS) > FAILURES
    assert {"converged", "unconverged"} == set(VERDICTS) - FAILURES
    assert all(0 < t.value < 1 and len(t.reason) > 20 for t in THRESHOLDS.values())
