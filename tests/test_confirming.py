"""The leaders of a study on new seeds: which they are, that their seeds chose nobody, and what is told."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ganbench import api
from ganbench.analysis.statistics import wilson
from ganbench.confirming import confirm, confirmation, confirmed
from ganbench.errors import UserError
from ganbench.plan import OWN_NAME, Variant
from ganbench.report.context import Context
from ganbench.report.leaders import leaders
from ganbench.suite import resolve


@pytest.fixture(scope="module")
def tiny_study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("confirm") / "study"
    tiny = ["problem=ring8", "steps=20", "seeds=[3, 5]", "batch_size=16", "probe_every=10", "samples=64",
            "neighbours=32", "network.mlp.width=8", "loss=minimax,hinge,wasserstein"]  # fmt: skip
    return api.run(None, tiny, out=folder, workers=1)


def test_leaders_are_the_first_of_the_ranking_on_seeds_that_chose_nobody(tiny_study):
    asked = confirmation(tiny_study, top=2, seeds=4)
    assert {variant.id for variant in asked.plan.variants} == set(tiny_study.ranking()["variant"][:2])
    assert asked.plan.seeds == (6, 7, 8, 9)
    assert asked.folder == tiny_study.path.with_name("study-confirmed")
    assert asked.plan.name == f"{tiny_study.plan.name}-confirmed"
    assert asked.plan.samples == tiny_study.plan.samples
    assert asked.changed == []
    first = tiny_study.ranking()[["variant", "label", "failures", "seeds"]][:2]
    assert asked.shown.to_numpy().tolist() == first.to_numpy().tolist()


def test_more_leaders_than_variants_are_all_variants(tiny_study):
    assert len(confirmation(tiny_study, top=9).plan.variants) == 3


def test_leaders_are_taken_from_each_problem(tmp_path):
    plan = resolve(None, ["problem=ring8,grid25", "loss=hinge,minimax,wasserstein", "seeds=2"])
    rows = [{"problem": v.problem, "variant": v.id, "label": v.loss, "failures": 1, "seeds": 2} for v in plan.variants]
    study = SimpleNamespace(plan=plan, path=tmp_path / "two", ranking=lambda: pd.DataFrame(rows[::-1]))
    asked = confirmation(study, top=2, seeds=1)
    assert [(v.problem, v.loss) for v in asked.plan.variants] == [
        (problem, loss) for problem in ("ring8", "grid25") for loss in ("minimax", "wasserstein")
    ]


def test_a_study_without_a_finished_run_and_watched_loops_are_refused(tmp_path):
    plan = resolve(None, ["problem=ring8", "seeds=2"])
    study = SimpleNamespace(plan=plan, path=tmp_path / "none", ranking=lambda: pd.DataFrame(columns=["problem"]))
    with pytest.raises(UserError, match="has no finished run yet, so nothing leads"):
        confirmation(study)
    watched = [Variant(**{**plan.variants[0].values}, hypers=((OWN_NAME, "mine"),))]
    study.plan = replace(plan, variants=tuple(watched))
    with pytest.raises(UserError, match="is of training loops that ganbench only watched"):
        confirmation(study)


def test_confirming_trains_new_runs_and_tells_both_counts(tiny_study):
    assert leaders(Context(tiny_study))["command"].endswith("ganbench confirm study")
    table = confirm(tiny_study.path, top=2, seeds=3, workers=1)
    trained = api.load(tiny_study.path.with_name("study-confirmed"))
    assert sorted(set(trained.runs["seed"])) == [6, 7, 8]
    assert len(trained.runs) == 6
    assert (trained.runs["status"] == "done").all()
    assert not set(trained.runs["run"]) & set(tiny_study.runs["run"])
    assert len(table) == 2
    first = tiny_study.ranking().set_index("variant")
    for row in table.to_dict("records"):
        assert (row["shown_failures"], row["shown_seeds"]) == (first.loc[row["variant"], "failures"], 2)
        assert row["label"] == first.loc[row["variant"], "label"], "as the study calls it, which compares more"
        of_variant = trained.runs[trained.runs["variant"] == row["variant"]]
        assert (row["failures"], row["seeds"]) == (of_variant["failed"].sum(), 3)
        assert (row["failure_low"], row["failure_high"]) == pytest.approx(wilson(row["failures"], 3))
    # the report of the study tells it
    (line,) = leaders(Context(tiny_study))["lines"]
    best = table.iloc[0]
    assert (line["label"], line["of"]) == (best["label"], 2)
    assert line["now"] == f"{best['failures']}/{best['seeds']}"
    # a second call has nothing left to do, and says the same
    told = []
    again = confirm(tiny_study.path, top=2, seeds=3, workers=1, tell=told.append)
    pd.testing.assert_frame_equal(again, table)
    assert "nothing is left to train" in told[0]


def test_the_command_shows_what_was_seen_where_chosen_beside_new_seeds(tiny_study, monkeypatch, capsys, tmp_path):
    from ganbench import cli

    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "again"
    words = ["ganbench", "confirm", str(tiny_study.path), "--top", "1", "--seeds", "2", "--out", str(out),
             "--workers", "1"]  # fmt: skip
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr().out
    assert not ended.value.code
    assert "failed where chosen" in printed
    assert "on new seeds (95 %)" in printed
    assert "Changed since" not in printed
    assert (out / "report.html").exists()


@pytest.mark.parametrize(("given", "message"), [
    ({"top": 0}, "top must be a number of at least 1, got 0."),
    ({"seeds": -1}, "seeds must be a number of at least 1, got -1."),
    ({"seeds": True}, "seeds must be a number of at least 1, got True."),
    ({"top": 1.5}, "top must be a number of at least 1, got 1.5."),
    ({"seeds": 10**8}, "seeds must be at most 10000, got 100000000."),
])  # fmt: skip
def test_numbers_that_cannot_be_are_refused(tiny_study, given, message):
    with pytest.raises(UserError) as caught:
        confirmation(tiny_study, **given)
    assert str(caught.value) == message


def test_what_has_changed_since_is_named(tiny_study, monkeypatch):
    monkeypatch.setattr("ganbench.versions.code_digest", lambda: "other")
    asked = confirmation(tiny_study, top=1)
    assert asked.changed == ["ganbench"]


class Coins:
    """A study whose runs fail by chance, each variant at a rate of its own; and its confirmation."""

    def __init__(self, rates: list[float], seeds: int, generator: np.random.Generator) -> None:
        self.failures = generator.binomial(seeds, rates)
        self.seeds = seeds
        self.path = Path("coins")

    def ranking(self) -> pd.DataFrame:
        table = pd.DataFrame({"problem": "p", "variant": [str(i) for i in range(len(self.failures))],
                              "label": "", "failures": self.failures, "seeds": self.seeds})  # fmt: skip
        table["failure_rate"] = table["failures"] / self.seeds
        table["failure_low"] = table["failure_high"] = table["failure_rate"]
        return table.sort_values("failure_rate", kind="stable")


def test_new_seeds_are_without_the_bias_of_the_choice(tiny_study):
    """Of 66 equal variants of rate 1/2 the five first show .12 by five seeds (0, 0, 1, 1, 1 of 5), on new ones 1/2."""
    generator, where_chosen, on_new = np.random.default_rng(0), [], []
    base = confirmation(tiny_study)
    for _ in range(200):
        leaders = Coins([0.5] * 66, 5, generator).ranking().head(5)
        shown = leaders.rename(columns={"failures": "shown_failures", "seeds": "shown_seeds"})
        asked = replace(base, shown=shown[["variant", "label", "shown_failures", "shown_seeds"]])
        new = Coins([0.5] * 66, 20, generator)
        of_leaders = new.ranking()
        new.ranking = lambda table=of_leaders, names=shown["variant"]: table[table["variant"].isin(names)]
        table = confirmed(asked, new)
        assert len(table) == 5
        where_chosen.append((table["shown_failures"] / table["shown_seeds"]).mean())
        on_new.append(table["failure_rate"].mean())
    assert np.mean(where_chosen) == pytest.approx(0.12, abs=0.02)
    # 200 x 5 x 20 coins: a standard error of .0035
    assert np.mean(on_new) == pytest.approx(0.5, abs=0.0125)
