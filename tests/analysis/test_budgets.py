"""What more steps change: pairs that share seed and all settings but the steps, counted by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest

from ganbench.analysis.budgets import moves, sentences, table

VERDICTS = {
    # (loss, seed): at 1000, at 2000, at 4000 steps
    ("hinge", 0): ("too short", "converged", "converged"),
    ("hinge", 1): ("too short", "too short", "collapsed"),
    ("minimax", 0): ("never learned", "never learned", "never learned"),
    ("minimax", 1): ("converged", "late collapse", "converged"),
}

JUDGED = ["run", "verdict", "failed", "undecided", "onset", "evidence", "also"]


def study_of(verdicts=VERDICTS, axes=("loss", "steps"), left_out=()):
    """Return a study and its verdicts, made by hand; left_out: (loss, seed, steps) that have not finished."""
    rows, found = [], []
    for (loss, seed), of_steps in verdicts.items():
        for steps, verdict in zip((1000, 2000, 4000), of_steps, strict=True):
            run = f"{loss}-{steps}-{seed}"
            status = "pending" if (loss, seed, steps) in left_out else "done"
            rows.append(
                {"run": run, "variant": f"{loss}-{steps}", "problem": "ring8", "loss": loss, "seed": seed,
                 "steps": steps, "status": status, "reason": ""}
            )  # fmt: skip
            if status == "done":
                failed = verdict in ("never learned", "late collapse", "collapsed")
                found.append(
                    {"run": run, "verdict": verdict, "failed": failed, "undecided": verdict == "too short",
                     "onset": pd.NA, "evidence": "", "also": ""}
                )  # fmt: skip
    return SimpleNamespace(axes=list(axes), runs=pd.DataFrame(rows), tuned=[]), pd.DataFrame(found, columns=JUDGED)


def test_pairs_are_of_neighbouring_budgets_and_equal_otherwise():
    moved = moves(*study_of())
    assert moved[["short", "long"]].drop_duplicates().to_numpy().tolist() == [[1000, 2000], [2000, 4000]]
    first = moved[moved["short"] == 1000]
    told = {(v, seed): (before, after) for v, seed, before, after in zip(
        first["variant"], first["seed"], first["before"], first["after"], strict=True)}  # fmt: skip
    assert told == {(f"{loss}-1000", seed): v[:2] for (loss, seed), v in VERDICTS.items()}


def test_sentences_count_who_survives_with_more_steps():
    text, more = sentences(moves(*study_of()))
    assert text.startswith("Budget on ring8: with 2000 instead of 1000 steps")
    assert "of the runs that were too short to tell, 1 of 2 runs (50 %" in text
    assert "of the runs that had never learned, 0 of 1 runs (0 %" in text
    assert "of the runs that survived, 0 of 1 runs (0 %" in text
    assert "failed otherwise" not in text
    assert "of the runs that had failed otherwise, 1 of 1 runs (100 %" in more


def test_the_table_counts_every_pair_once():
    moved = moves(*study_of())
    counts = table(moved[moved["short"] == 2000])
    assert counts.to_numpy().sum() == 4
    assert counts.loc["too short", "collapsed"] == 1
    assert counts.loc["late collapse", "converged"] == 1


def test_a_run_without_its_pair_is_in_no_count():
    moved = moves(*study_of(left_out={("hinge", 1, 2000)}))
    assert len(moved[moved["short"] == 1000]) == 3
    assert len(moved[moved["short"] == 2000]) == 3


NOTHING = {(*key, steps) for key in VERDICTS for steps in (1000, 2000, 4000)}


@pytest.mark.parametrize(("study", "verdicts"), [study_of(axes=("loss",)), study_of(left_out=NOTHING)])
def test_one_budget_or_no_run_says_nothing(study, verdicts):
    assert sentences(moves(study, verdicts)) == []
