"""The evidence of verdicts, word for word, on runs of a few probes."""

import numpy as np
import pandas as pd
import pytest

from ganbench.analysis.verdicts import judge_series

RING = {"high_quality": 0.99, "modes_covered": 8.0}
BALLS = {"precision": 0.9, "recall": 0.9, "coverage": 0.95}


def told(columns, oracle=RING, modes=8, every=10, **how):
    """The evidence of the verdict that counts, for columns of a probe each `every` steps."""
    series = pd.DataFrame(columns)
    series.insert(0, "step", np.arange(len(series)) * every)
    first = judge_series(series, oracle, modes, **how)[0]
    return first.verdict, first.evidence


@pytest.mark.parametrize(("columns", "evidence"), [
    # the best of all probes but the first, by quality and modes together; not where it is the last
    ({"high_quality": [0.99, 0.9, 0.9], "modes_covered": [8, 8, 2]},
     "2 of 8 modes covered, high quality 0.9 (oracle 0.99); at its best (step 10): high quality 0.90, 8 of 8 modes "
     "covered."),
    ({"high_quality": [0.99, 0.9, 0.95], "modes_covered": [8, 2, 2]},
     "2 of 8 modes covered, high quality 0.95 (oracle 0.99)."),
    ({"high_quality": [0.0, 0.9, 0.6, 0.7], "modes_covered": [0, 1, 2, 2]},
     "2 of 8 modes covered, high quality 0.7 (oracle 0.99); at its best (step 10): high quality 0.90, 1 of 8 modes "
     "covered."),
])  # fmt: skip
def test_a_collapse_is_told_beside_the_best_probe(columns, evidence):
    name, text = told(columns)
    assert name in ("collapsed", "late collapse")
    assert text == evidence


def test_what_was_lost_is_told_beside_the_decent_probe_with_the_most_modes():
    columns = {"high_quality": [0.0, 0.6, 0.99, 0.3, 0.9], "modes_covered": [0, 8, 6, 8, 3]}
    assert told(columns) == (
        "late collapse",
        "3 of 8 modes covered, high quality 0.9 (oracle 0.99); at its best (step 10): high quality 0.60, 8 of 8 modes "
        "covered.",
    )


def test_diversity_and_fidelity_are_told_where_they_are_measured():
    columns = {"precision": [0.0, 0.85], "recall": [0.0, 0.8], "coverage": [0.0, 0.9]}
    assert told(columns, BALLS, None) == (
        "converged", "precision 0.85 (oracle 0.9), coverage 0.9 (oracle 0.95), recall 0.8 (oracle 0.9)."
    )  # fmt: skip
    assert told(columns, {}, None)[1] == "precision 0.85, coverage 0.9, recall 0.8."
    labelled = {"high_quality": [0.0, 0.99], "modes_covered": 8, "label_fidelity": 1.0}
    assert told(labelled, {**RING, "label_fidelity": 1.0}) == (
        "converged", "8 of 8 modes covered, high quality 0.99 (oracle 0.99), label fidelity 1 (oracle 1)."
    )  # fmt: skip


@pytest.mark.parametrize(("quality", "tight"), [
    ([0.0, *[1.0] * 5], True), ([0.0, *[1.0] * 4], False), ([0.0, 0.99, *[1.0] * 5], True),
    ([0.0, 1.0, *[1.0] * 3, 0.99], False), ([0.0, 0.99, *[1.0] * 4], False), ([1.0] * 5, False),
    ([0.0, *[0.9949] * 5], False), ([0.0, *[0.9951] * 5], True),
])  # fmt: skip
def test_samples_are_too_tight_from_half_a_percent_above_the_oracle_on(quality, tight):
    # 0.99 times 1.005 is 0.99495
    columns = {"high_quality": quality, "modes_covered": 8}
    ending = "; above the oracle in the last 5 probes: the samples are too tight around their modes."
    assert told(columns)[1].endswith(ending) is tight
    # precision is an estimate that may be above it
    balls = {"precision": [0.0, *[1.0] * 6], "recall": 0.9, "coverage": 0.95}
    assert "tight" not in told(balls, BALLS, None)[1]


def test_what_chance_may_miss_is_told_where_a_mode_is_missing():
    columns = {"high_quality": [0.0, 0.99], "modes_covered": [0, 24]}
    oracle = {"high_quality": 0.99, "modes_covered": 24.5, "mode_kl": 24 / 256}
    assert told(columns, oracle, 25) == (
        "converged",
        "24 of 25 modes covered, high quality 0.99 (oracle 0.99); with so few good samples a probe misses up to 5 by "
        "chance.",
    )
    assert told({**columns, "modes_covered": [0, 25]}, oracle, 25)[1].endswith("(oracle 0.99).")
    low = {"high_quality": [0.0, 0.8, 0.7], "modes_covered": [0, 24, 24]}
    assert told(low, oracle, 25) == (
        "unconverged",
        "24 of 25 modes covered, high quality 0.7 (oracle 0.99); at its best (step 10): high quality 0.80, 24 of 25 "
        "modes covered; with so few good samples a probe misses up to 9 by chance.",
    )


@pytest.mark.parametrize(("columns", "evidence"), [
    ({"saturation": [0.0, 1.0, 0.97]}, ", saturation 0.97."),
    ({"g_gradient_norm": [np.nan, 2.0, 1e-4]}, ", g gradient norm 0.0001 (early 2)."),
    ({"saturation": 1.0, "g_gradient_norm": [4.0, 0.5, 1e-3, 1e-3, 1e-3]},
     ", saturation 1, g gradient norm 0.001 (early 4)."),
])  # fmt: skip
def test_what_tells_that_a_gradient_is_gone(columns, evidence):
    probes = max(np.size(column) for column in columns.values())
    name, text = told({"high_quality": [0.1] * probes, "modes_covered": 1, **columns})
    assert (name, text) == ("vanished", f"1 of 8 modes covered, high quality 0.1 (oracle 0.99){evidence}")


@pytest.mark.parametrize(("columns", "evidence"), [
    ({"high_quality": [0.0, 0.5, np.nan], "modes_covered": [0, 3, np.nan]},
     "Left the finite numbers at step 20; last measured at step 10: high quality 0.50, 3 modes covered."),
    ({"precision": [0.0, 0.5, np.nan], "recall": 0.5, "coverage": 0.5},
     "Left the finite numbers at step 20; last measured at step 10: precision 0.50."),
])  # fmt: skip
def test_the_last_finite_probe_is_told(columns, evidence):
    modes = 8 if "modes_covered" in columns else None
    assert told(columns, {}, modes) == ("diverged", evidence)
    assert told({"d_loss": [1.0, 1.0]}, {}, None, diverged_step=7)[1] == "Left the finite numbers at step 7."


def test_between_what_a_run_swings():
    quality = {"nearness": [0.0, *[0.9, 0.45] * 3]}
    assert told(quality, {"nearness": 0.9}, None) == (
        "oscillating",
        "Nearness swings between 0.45 and 0.90 since step 20, with 5 falls and rises; at the end nearness 0.45 "
        "(oracle 0.9).",
    )
    modes = {"high_quality": [0.0, *[0.99] * 6], "modes_covered": [0, *[8, 4] * 3]}
    assert told(modes)[1].startswith("Modes covered swings between 4 and 8 since step 20, with 5 falls and rises; at")
    wide = {"precision": [0.0, *[0.9] * 6], "recall": [0.0, *[0.9, 0.36] * 3], "coverage": 0.95}
    assert told(wide, BALLS, None)[1].startswith("Diversity swings between 0.40 and 1.00 since step 20, with 5 falls")


def test_how_the_modes_move_on():
    def holding(*sets):
        rows = [{"high_quality": 0.99 * bool(names), "modes_covered": len(names)} | {
            f"mode_share.{k}": 0.99 / len(names) * (chr(97 + k) in names) if names else 0.0 for k in range(8)}
            for names in sets]  # fmt: skip
        return pd.DataFrame(rows)

    assert told(holding("", "ab", "cd", "ef", "gh")) == (
        "rotating",
        "Holds at most 2 modes at any probe since step 10 and 8 of 8 over all of them: moves on to others, 3 times; at "
        "the end 2 of 8 modes covered, high quality 0.99 (oracle 0.99).",
    )
    assert told(holding("", "ab", "cd", "ab", "cd", "ab"))[1].startswith(
        "Holds at most 2 modes at any probe since step 10 and 4 of 8 over all of them: moves between two sets of them, "
        "4 times; at the end 2 of 8"
    )


def test_of_what_was_not_measured_nothing_is_told():
    assert told({"d_loss": [1.0]}, {}, None) == (
        "unconverged", "No quality was measured, so there is nothing to judge by."
    )  # fmt: skip
