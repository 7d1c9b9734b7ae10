"""The first screen: its cells count runs, its marks are the variants that may be best, its lines say what is shown."""

from collections import Counter
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ganbench.report import leaders as module
from ganbench.report.colours import STEPS
from ganbench.report.context import Context
from ganbench.report.front import front
from ganbench.report.leaders import confirmed_beside, leaders

LOSSES, NORMS, PENALTIES = ("hinge", "minimax"), ("none", "spectral"), ("none", "r1")


def grid(fake: Any, path: Path, fate: Any, seeds: int = 5, **settings: Any) -> Any:
    fates = [
        ({"loss": loss, "normalization": norm, "regularizer": penalty, "seed": seed}, fate(loss, norm, penalty, seed))
        for loss, norm, penalty in product(LOSSES, NORMS, PENALTIES) for seed in range(seeds)
    ]  # fmt: skip
    return fake.study_of(fates, path, **settings)


def cells(screen: Any) -> list[dict[str, Any]]:
    return [cell for panel in screen["panels"] for row in panel["rows"] for cell in row["cells"]]


def spectral_holds(loss: str, norm: str, penalty: str, seed: int) -> str:
    return "converged" if norm == "spectral" else "collapsed"


def test_a_cell_counts_its_runs_and_leads_to_the_first_of_its_variants(fake: Any, tmp_path: Path) -> None:
    study = grid(fake, tmp_path, lambda loss, norm, penalty, seed: "collapsed" if seed < 2 and norm == "none" else
                 "diverged" if loss == "minimax" and penalty == "r1" and seed == 4 else "converged")  # fmt: skip
    context = Context(study)
    screen = front(context)
    (panel,) = screen["panels"]
    assert (screen["row_axis"], screen["column_axis"]) == ("loss", "normalization")
    assert [head["text"] for head in panel["columns"]] == list(NORMS)
    assert [row["text"] for row in panel["rows"]] == list(LOSSES)
    failed = context.runs[context.runs["failed"].astype(bool)]
    counts = Counter(zip(failed["loss"], failed["normalization"], strict=True))
    order = list(context.ranking["variant"])
    for (loss, norm), cell in zip(product(LOSSES, NORMS), cells(screen), strict=True):
        assert cell["text"] == f"{10 * counts[loss, norm]}"
        assert f": {counts[loss, norm]} of 10 runs fail (" in cell["title"]
        assert cell["shade"] == round(STEPS * (1 - counts[loss, norm] / 10))
        here = set(study.runs.loc[(study.runs["loss"] == loss) & (study.runs["normalization"] == norm), "variant"])
        assert cell["variant"] == next(variant for variant in order if variant in here)
        assert cell["words"] == f"ring8, {loss}, {'no normalization' if norm == 'none' else norm}"
    assert screen["pooled"]
    assert panel["rows"][0]["title"] == study.legends["loss.hinge"], "a term says what it is"


def test_the_marks_are_the_variants_that_may_be_best(fake: Any, tmp_path: Path) -> None:
    context = Context(grid(fake, tmp_path, spectral_holds))
    screen = front(context)
    tied = context.ranking.loc[context.ranking["tied"], "variant"]
    assert len(tied) == 4
    assert [cell["star"] for cell in cells(screen)] == [False, True, False, True]
    assert screen["panels"][0]["note"] == "★ 4 of 8 variants may be the best."
    assert "4 of which" not in cells(screen)[1]["title"]
    assert "2 variants, 2 of which may be the best" in cells(screen)[1]["title"]


def test_where_all_may_be_best_no_mark_pretends_otherwise(fake: Any, tmp_path: Path) -> None:
    screen = front(Context(grid(fake, tmp_path, lambda *_: "converged")))
    assert not screen["starred"]
    assert screen["panels"][0]["note"] == "By 5 seeds any of 8 variants may be best."
    assert dict(screen["told"])["What is best"] == "by failures any of 8 variants (95 % sure, for new seeds)."
    assert dict(screen["told"])["How many fail"] == "none of 40 runs; 8 of 8 variants survive in all their seeds."
    assert dict(screen["told"])["What matters"].startswith("nothing yet: failures tell no level apart, nor do pairs by")


def test_where_every_run_fails_the_cells_are_medians_of_what_tells_them_apart(fake: Any, tmp_path: Path) -> None:
    study = grid(fake, tmp_path, lambda *_: "collapsed")
    # spectral norm always better; the losses equal; R1 better in 8 of 20 pairs of each side: told apart by nothing
    keys = study.runs.set_index("run")[["normalization", "regularizer", "seed", "loss"]]
    distance = {
        run: (2.0 if row["normalization"] == "none" else 1.0)
        + (-0.1 if row["seed"] < 2 else 0.1) * (row["regularizer"] == "r1")
        for run, row in keys.iterrows()
    }  # fmt: skip
    last = study.series["step"] == study.series["step"].max()
    study.series.loc[last, "frechet"] = study.series.loc[last, "run"].map(distance)
    screen = front(Context(study))
    assert screen["flat"]
    assert [cell["text"] for cell in cells(screen)] == ["2", "1", "2", "1"]
    assert cells(screen)[1]["shade"] > cells(screen)[0]["shade"]
    assert cells(screen)[0]["title"].endswith("; median frechet 2")
    told = dict(screen["told"])
    # 20 pairs in one direction, the smallest of three p-values
    assert told["What matters"] == "by frechet, spectral is better than no normalization (20 of 20 pairs, p < 0.001)."
    assert screen["panels"][0]["flat"].startswith("Every run fails: medians of frechet, which of a perfect sampler is ")


def test_columns_are_of_the_setting_that_matters_where_the_second_one_does_not(fake: Any, tmp_path: Path) -> None:
    study = grid(fake, tmp_path, lambda loss, norm, penalty, seed: "converged" if penalty == "r1" else "collapsed")
    screen = front(Context(study))
    assert (screen["row_axis"], screen["column_axis"]) == ("loss", "regularizer")
    assert [cell["text"] for cell in cells(screen)] == ["100", "0"] * 2


def test_a_panel_with_a_survivor_shows_failures(fake: Any, tmp_path: Path) -> None:
    screen = front(Context(grid(fake, tmp_path, spectral_holds)))
    assert not screen["flat"]
    assert {cell["text"] for cell in cells(screen)} == {"0", "100"}


@pytest.mark.parametrize(
    ("losses", "fates", "best"),
    [
        (["hinge"], "converged", "hinge, no normalization, no regularizer, for there is no other."),
        (["hinge"], "diverged", "no run survives."),
        (["hinge", "minimax"], "diverged", "none of 2 variants, as no run survives."),
        (["hinge", "minimax"], "converged", "any of 2 variants (95 % sure, for new seeds)."),
    ],
)
def test_of_one_variant_or_of_none_that_survives_none_is_the_best(fake, tmp_path, losses, fates, best):
    # "hinge (95 % sure, for new seeds)" stood there for a single variant whose runs had all failed
    runs = [({"loss": loss, "seed": seed}, fates) for loss in losses for seed in range(5)]
    told = dict(front(Context(fake.study_of(runs, tmp_path)))["told"])
    assert told["What is best"].removeprefix("by failures ") == best


def test_three_lines_say_how_many_what_matters_and_what_is_best(fake: Any, tmp_path: Path) -> None:
    told = front(Context(grid(fake, tmp_path, spectral_holds)))["told"]
    assert [name for name, _ in told] == ["How many fail", "What matters", "What is best"]
    assert all(len(line) < 160 for _, line in told), "a line each"
    how_many, matters, best = (line for _, line in told)
    assert how_many == "50 % of 40 runs (20 collapsed); 4 of 8 variants survive in all their seeds."
    # twenty pairs that all differ in one direction: McNemar's exact p is 2 / 2^20, and Holm's third of three is times 3
    assert matters == "spectral fails less than no normalization (0 against 100 %, p < 0.001)."
    assert best == "one of 4 of 8 variants (95 % sure, for new seeds)."


def test_runs_that_were_too_short_have_not_survived(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(grid(fake, tmp_path, lambda *_: "converged"))
    context.runs["undecided"] = context.runs["loss"] == "hinge"
    screen = front(context)
    assert [(cell["text"], cell["short"], cell["shade"]) for cell in cells(screen)] == [
        ("0", 10, 0), ("0", 10, 0), ("0", 0, STEPS), ("0", 0, STEPS),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fates", "axes", "kinds"),
    [
        ([({"seed": seed}, "converged") for seed in range(3)], [], [""]),
        ([({"seed": 0, "loss": loss}, "converged") for loss in LOSSES], ["loss"], ["", ""]),
        ([({"seed": 0}, "converged"), ({"seed": 0, "loss": "minimax"}, "pending")], ["loss"], ["", "absent"]),
        ([({"seed": 0}, "converged"), ({"seed": None, "loss": "minimax", "reason": "no"}, "skipped")], ["loss"],
         ["", "skipped"]),
        ([({"seed": 0}, "pending"), ({"seed": 1}, "running")], ["loss"], ["absent"]),
        ([({"seed": 0, "normalization": "none"}, "converged"),
          ({"seed": 0, "loss": "minimax", "normalization": "spectral"}, "failed")],
         ["loss", "normalization"], ["", "absent", "absent", ""]),
    ],
    ids=["no axis", "one axis", "unfinished", "skipped", "nothing has finished", "holes"],
)  # fmt: skip
def test_smaller_studies_have_a_sensible_screen(
    fake: Any, tmp_path: Path, fates: Any, axes: list[str], kinds: list[str]
) -> None:
    screen = front(Context(fake.study_of(fates, tmp_path, axes=axes)))
    assert [cell["kind"] for cell in cells(screen)] == kinds
    assert all(cell["title"] for cell in cells(screen)), "no cell is empty without saying why"
    assert all(line for _, line in screen["told"])
    assert screen["panels"][0]["note"] == "No run has finished yet." or screen["told"][0][0] == "How many fail"


def test_claims_are_a_finding_of_their_own(fake: Any, tmp_path: Path) -> None:
    context = Context(grid(fake, tmp_path, spectral_holds))
    context.__dict__["claims"] = context.runs.head(3).assign(verdict=["supported", "not decided", "supported"])
    assert dict(front(context)["told"])["Claims"] == "of 3 on trial 2 supported, 1 not decided."


def test_leaders_are_confirmed_by_a_command_or_told_on_new_seeds(
    fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = grid(fake, tmp_path / "reports" / "my study", spectral_holds)
    study.path.mkdir(parents=True)
    assert leaders(Context(study)) == {
        "lines": [], "command": "ganbench confirm 'reports/my study'", "itself": False,
    }  # fmt: skip
    assert confirmed_beside(study) is None
    (tmp_path / "reports" / "my study-confirmed").mkdir()
    assert confirmed_beside(study) is None, "an empty folder confirms nothing"
    new = grid(fake, tmp_path, lambda loss, norm, penalty, seed: "collapsed" if (loss, seed) != ("hinge", 0) else
               "converged", seeds=20)  # fmt: skip
    monkeypatch.setattr(module, "confirmed_beside", lambda _: new)
    found = leaders(Context(study))
    assert found is not None
    (line,) = found["lines"]
    assert (line["now"], line["of"], found["command"]) == ("19/20", 8, "")
    assert line["label"].startswith("hinge")


def test_what_was_confirmed_or_is_watched_asks_for_no_confirmation(fake: Any, tmp_path: Path) -> None:
    study = grid(fake, tmp_path, spectral_holds, name="stability-confirmed")
    assert leaders(Context(study)) == {"lines": [], "command": "", "itself": True}
    only = SimpleNamespace(ranking=[1], study=study)
    assert leaders(only) is None, "one variant leads nothing"  # type: ignore[arg-type]
