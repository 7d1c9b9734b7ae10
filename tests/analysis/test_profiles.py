"""Scores over problems on a study whose scores are set by hand."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ganbench.analysis.profiles import Scores, collect, improvement, profiles
from ganbench.analysis.seeds import final_scores
from ganbench.analysis.statistics import bootstrap, bootstrap_improvement, iqm, wilson

PLAIN, NORMED, ALONE = "hinge, no normalization", "hinge, spectral", "minimax, no normalization"


@pytest.fixture
def study(fake: Any, tmp_path: Any) -> Any:
    """Two variants on two problems and one on the ring alone; seed 2 of the plain one diverges on the ring."""
    fates = []
    for problem in ("ring8", "grid25"):
        for loss, norm in (("hinge", "spectral"), ("hinge", "none"), ("minimax", "none")):
            if (problem, loss) != ("grid25", "minimax"):
                for seed in range(3):
                    lost = (problem, loss, norm, seed) == ("ring8", "hinge", "none", 2)
                    given = {"problem": problem, "loss": loss, "normalization": norm, "seed": seed}
                    fates.append((given, "diverged" if lost else "converged"))
    made = fake.study_of(fates, tmp_path, axes=["problem", "loss", "normalization"])
    for place, run in enumerate(made.runs.to_dict("records")):
        # half of the modes, and a quality of 0.1 times the run's place of a perfect sampler's
        here = (made.series["run"] == run["run"]) & (made.series["step"] == fake.STEPS)
        oracle = fake.ORACLE[run["problem"]]
        if run["status"] == "done":
            made.series.loc[here, "modes_covered"] = oracle["modes_covered"] / 2
            made.series.loc[here, "high_quality"] = oracle["high_quality"] * min(1.2, 0.1 * place)
    return made


def test_final_scores_by_hand(study: Any) -> None:
    # ring: spectral 0, 1, 2; plain 3, 4, lost; minimax 6, 7, 8; grid: spectral 9, 10, 11; plain above a perfect sampler
    expected = [0, 0.05, 0.1, 0.15, 0.2, 0, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert list(final_scores(study).values()) == pytest.approx(expected)
    assert list(final_scores(study)) == list(study.runs["run"])


def test_runs_without_a_measure_score_nothing(study: Any) -> None:
    study.series = study.series.drop(columns="modes_covered")
    assert set(final_scores(study).values()) == {0.0}


def test_the_reference_is_the_plainest_and_not_the_first(study: Any) -> None:
    scores = collect(study)
    assert scores.reference == PLAIN
    assert scores.problems == ["ring8", "grid25"]
    assert scores.of(NORMED, scores.problems) == pytest.approx(np.array([[0, 0.45], [0.05, 0.5], [0.1, 0.5]]))
    assert scores.shared(ALONE, PLAIN) == ["ring8"]


def test_improvement_is_mann_whitneys_averaged_over_shared_problems(study: Any) -> None:
    scores = collect(study)
    table = improvement(scores).set_index("label")
    # those with both problems first, the reference where one half would be
    assert list(table.index) == [PLAIN, NORMED, ALONE]
    assert np.isnan(table.loc[PLAIN, "better"])
    plain, normed = (scores.of(name, scores.problems) for name in (PLAIN, NORMED))
    each = [stats.mannwhitneyu(a, b).statistic / 9 for a, b in zip(normed.T, plain.T, strict=True)]
    # on the ring 0 = 0 (half), 0.05 > 0 and 0.1 > 0; on the grid two of three tie with all three
    assert each == pytest.approx([2.5 / 9, 3 / 9])
    assert table.loc[NORMED, "better"] == pytest.approx(np.mean(each))
    # three seeds are too few for an interval, and a probability has no range
    assert np.isnan([table.loc[NORMED, "better_low"], table.loc[NORMED, "better_high"]]).all()
    assert (table.loc[NORMED, "iqm_low"], table.loc[NORMED, "iqm_high"]) == (0, 0.5)
    assert list(table["seeds"]) == [3, 3, 3]
    assert (table.loc[ALONE, "shared"], table.loc[ALONE, "better"]) == (1, 1.0)
    assert table.loc[NORMED, "iqm"] == pytest.approx(iqm([0, 0.05, 0.1, 0.45, 0.5, 0.5]))
    assert list(table["runs"]) == [6, 6, 3]


def test_from_five_seeds_on_scores_and_improvements_have_intervals() -> None:
    drawn = np.random.default_rng(0).random((2, 5))
    by_label = {name: pd.DataFrame({"ring8": values}) for name, values in zip((PLAIN, NORMED), drawn, strict=True)}
    table = improvement(Scores(by_label, ["ring8"], PLAIN)).set_index("label")
    assert (table.loc[NORMED, "iqm_low"], table.loc[NORMED, "iqm_high"]) == bootstrap(drawn[1])
    assert (table.loc[NORMED, "better_low"], table.loc[NORMED, "better_high"]) == bootstrap_improvement(*drawn[::-1])


def test_profiles_count_runs_at_or_above_every_score(study: Any) -> None:
    scores = collect(study)
    both = profiles(scores, scores.problems)
    assert list(both) == [NORMED, PLAIN]
    at, profile = both[NORMED]
    assert at == pytest.approx([0, 0.05, 0.1, 0.45, 0.5, 1])
    assert profile.share == pytest.approx(np.array([6, 5, 4, 3, 2, 0]) / 6)
    assert (profile.low[3], profile.high[3]) == pytest.approx(wilson(3, 6))
    assert list(profiles(scores, ["ring8"])) == [NORMED, PLAIN, ALONE]


def test_a_seed_that_has_not_finished_on_every_problem_is_left_out(study: Any) -> None:
    study.runs.loc[study.runs.index[0], "status"] = "running"
    scores = collect(study)
    assert scores.of(NORMED, scores.problems).shape == (2, 2)
    assert scores.of(NORMED, ["grid25"]).shape == (3, 1)


def test_nothing_has_finished(study: Any) -> None:
    study.runs["status"] = "pending"
    scores = collect(study)
    assert scores.reference is None
    assert improvement(scores).empty
    assert profiles(scores, scores.problems) == {}
    assert isinstance(improvement(scores), pd.DataFrame)
