"""A study's two tables: one row a run, one row a run and probe, and a column for every measurement."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from ganbench import api, registry
from ganbench.measure.diagnostics import affordable
from ganbench.results.store import Store
from ganbench.results.study import Study
from ganbench.suite import resolve


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    overrides = [
        "problem=ring8", "steps=25", "seeds=5,2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
        "network.mlp.width=8", "loss=hinge,minimax", "loss.hinge.margin=1,2", "normalization=none,instance",
    ]  # fmt: skip
    return api.run(None, overrides, out=tmp_path_factory.mktemp("study") / "it", workers=1)


def test_runs_have_a_row_a_run_and_one_for_each_skipped_combination(study):
    runs = study.runs
    assert len(runs) == 3 * 2 + 3
    assert runs["run"].is_unique
    assert runs["status"].value_counts().to_dict() == {"done": 6, "skipped": 3}
    assert runs["seed"].dropna().tolist() == [5, 2] * 3
    assert runs.loc[runs["status"] == "skipped", "seed"].isna().all()
    assert list(runs.columns) == [
        "run", "variant", "problem", "model", "network", "loss", "normalization", "g_normalization", "regularizer",
        "g_regularizer", "optimizer", "update", "trick", "term", "steps", "loss.hinge.margin", "seed", "status",
        "reason",
        "diverged_step", "seconds", "gflop", "memory_mb", "verdict", "onset", "evidence", "failed",
        "undecided", "also", "so_far", "findings",
    ]  # fmt: skip
    assert set(runs.loc[runs["loss"] == "hinge", "loss.hinge.margin"]) == {1.0, 2.0}
    assert runs.loc[runs["loss"] == "minimax", "loss.hinge.margin"].isna().all()


def test_costs_are_recorded_and_may_be_missing(study, tmp_path):
    done = study.runs[study.runs["status"] == "done"]
    assert (done["gflop"] > 0).all()
    populations = done.groupby("normalization")["memory_mb"]
    assert (populations.nunique() == 1).all(), "runs of a population share its memory"
    assert study.provenance["training_gflop"] == pytest.approx(done["gflop"].sum())
    # a study of an earlier version has not counted them
    old = shutil.copytree(study.path, tmp_path / "old")
    for file in old.glob("populations/*/done.json"):
        file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "cost"}))
    loaded = api.load(old)
    assert loaded.runs[["gflop", "memory_mb"]].isna().all().all()
    assert "training_gflop" not in loaded.provenance
    ranking = loaded.ranking()
    assert ranking[["gflop", "gflop_per_survivor", "memory_mb"]].isna().all().all()
    assert (study.ranking()["gflop"] > 0).all()


def test_series_has_a_row_a_run_and_probe(study):
    series = study.series
    assert len(series) == 6 * 4
    assert series.groupby("run", sort=False)["step"].agg(list).tolist() == [[0, 10, 20, 25]] * 6
    assert series["run"].unique().tolist() == [run.id for run in study.plan.runs]
    columns = set(series.columns) - {"run", "step", "seconds_per_step"}
    always = [metric for metric in registry.plugins("metric") if not metric.declared("asked")]
    plugins = [*always, *affordable("cheap")]
    declared = {name for plugin in plugins for name in plugin.meta["measures"]}
    elsewhere = {name for name in declared if name.endswith(("_pixels", "_classifier"))}
    elsewhere |= set(registry.get("diagnostic", "equilibrium").meta["measures"])
    needs = {
        "classes",
        "label",
        "factors",
        "truth",
        "choices",
        "several",
        "reversible",
        "targets",
        "there_and_back",
        "source",
    }
    elsewhere |= {name for plugin in plugins if needs & plugin.needs.keys() for name in plugin.meta["measures"]}
    # a column of a layer or of a mode belongs to a measure
    assert {column.partition(".")[0] for column in columns} == declared - elsewhere


def test_measured_values_are_within_their_bounds(study):
    for name, measure in registry.measures().items():
        if name in study.series:
            values = study.series[name].dropna()
            assert values.between(*measure.bounds).all(), name


def test_oracle_stands_beside_every_metric(study):
    assert study.oracle.keys() == {"ring8"}
    metrics = {name for plugin in registry.plugins("metric") for name in plugin.meta["measures"]}
    measured = {column for column in study.series if column.partition(".")[0] in metrics}
    assert set(study.oracle["ring8"]) == measured
    # P(within 3 sigma) of a 2-D Gaussian is 1 - exp(-9/2) = 0.98889; 32 draws of 64 samples: standard error 0.0023
    assert study.oracle["ring8"]["high_quality"] == pytest.approx(0.98889, abs=0.0075)
    assert study.modes == {"ring8": 8}


def test_samples_are_there_for_every_run_and_probe(study):
    for run in study.plan.runs:
        samples = study.samples(run.id)
        assert list(samples) == [0, 10, 20, 25]
        assert {array.shape for array in samples.values()} == {(64, 2)}
    assert study.samples("no such run") == {}


def test_first_probe_shows_the_common_initial_weights(study):
    # runs of one seed start from the same generator, so the metrics of their samples are the same numbers
    first = study.series[study.series["step"] == 0].merge(study.runs[["run", "seed"]], on="run")
    for name in ("frechet", "high_quality", "sliced_wasserstein"):
        assert (first.groupby("seed")[name].nunique() == 1).all()
        assert first[name].nunique() == 2 or name == "high_quality"


def test_provenance(study):
    known = study.provenance
    assert known["plan_hash"] == study.plan.hash
    assert known["seeds"] == [5, 2]
    assert known["sessions"] == 1
    assert known["plugin_versions"] == dict(study.plan.versions)
    assert known["training_seconds"] > 0
    for key in ("torch", "ganbench", "python", "device", "git_revision", "started", "finished"):
        assert key in known


def test_unfinished_study_reads(study, tmp_path):
    """A study of which nothing but the plan is there, then one whose first population has begun."""
    store = Store(tmp_path / "begun")
    store.begin(study.plan)
    empty = api.load(store.path)
    assert set(empty.runs["status"]) == {"pending", "skipped"}
    assert empty.series.empty
    assert list(empty.series.columns) == ["run", "step"]
    assert empty.oracle == {"ring8": {}}
    store.population("p").begin(study.plan.runs[:2])
    begun = api.load(store.path)
    assert begun.runs["status"].tolist() == ["running"] * 2 + ["pending"] * 4 + ["skipped"] * 3


def test_a_loaded_study_equals_the_one_that_was_returned(study):
    again = api.load(study.path)
    pd.testing.assert_frame_equal(again.runs, study.runs)
    pd.testing.assert_frame_equal(again.series, study.series)


# ---------------------------------------------------------------------------------------------- written by hand


PLAN = resolve(
    None, ["problem=ring8,line", "loss=hinge", "seeds=2", "steps=20", "probe_every=10", "samples=64", "neighbours=32"]
)
RUNS = {label: [run.id for run in PLAN.runs if run.variant.problem == label] for label in ("ring8", "line")}


@pytest.fixture
def store(tmp_path):
    """A study of two problems in which nothing has been trained."""
    store = Store(tmp_path / "hand")
    store.begin(PLAN)
    return store


def described(store, *labels, **more):
    for label in labels:
        record = {"oracle": {"high_quality": 0.9}, "modes": 8, "centres": [[0.0, 1.0], [1.0, 0.0]], "std": 0.5, **more}
        store.problem(label).write(record, np.full((3, 2), 7.0))


def trained(store, name, label, *, steps=(0, 10, 20), value=0.5, finish=True, diverged=(-1, -1), cost=None, columns=()):
    """A population of the runs of a problem: its second run scores 0.25 more than the first."""
    folder = store.population(name)
    folder.begin([run for run in PLAN.runs if run.id in RUNS[label]])
    for step in steps:
        values = {"high_quality": [value, value + 0.25], **{column: [0.1, 0.2] for column in columns}}
        folder.append(step, values, np.stack([np.full((4, 2), step), np.full((4, 2), step + 1)]).astype(np.float16))
    if finish:
        folder.finish({"train": 3.0, "probe": 1.0}, diverged, cost)
    return folder


def test_what_became_of_every_run(store):
    described(store, "ring8", "line")
    trained(store, "p", "ring8", diverged=[-1, 0], cost={"gflop": [2.0, 5.0], "peak_bytes": 6e6})
    line = trained(store, "q", "line", finish=False)
    study = Study(store.path)
    columns = ["run", "seed", "status", "reason", "diverged_step", "seconds", "gflop", "memory_mb", "steps", "problem"]
    rows = (
        study.runs.set_index("run", drop=False)[columns]
        .astype(object)
        .where(study.runs[columns].notna().to_numpy(), None)
    )
    first, second = RUNS["ring8"]
    assert rows.loc[first].tolist() == [first, 0, "done", "", None, 1.5, 2.0, 3.0, 20, "ring8"]
    assert rows.loc[second].tolist() == [second, 1, "diverged", "", 0, 1.5, 5.0, 3.0, 20, "ring8"]
    for run in RUNS["line"]:
        assert rows.loc[run].tolist()[2:8] == ["running", "", None, None, None, None]
    assert study.damage == []
    line.fail("out of luck")
    failed = Study(store.path).runs.set_index("run")
    assert failed.loc[RUNS["line"], ["status", "reason"]].to_numpy().tolist() == [["failed", "out of luck"]] * 2
    (line.path / "series.jsonl").write_text("x\n")
    (line.path / "failed.json").unlink()
    (line.path / "runs.json").unlink()
    assert Study(store.path).runs.set_index("run").loc[RUNS["line"], "status"].tolist() == ["pending"] * 2


def test_runs_whose_problem_is_lost_are_not_judged(store):
    described(store, "ring8")
    trained(store, "p", "ring8")
    trained(store, "q", "line")
    study = Study(store.path)
    rows = study.runs.set_index("run")
    assert rows.loc[RUNS["ring8"], "status"].tolist() == ["done"] * 2
    assert rows.loc[RUNS["line"], "status"].tolist() == ["running"] * 2
    (damage,) = study.damage
    assert damage.file.name == "line.json"
    assert rows.loc[RUNS["line"], "reason"].tolist() == [str(damage)] * 2
    # where nothing has ended, nothing is missed
    other = Store(store.path.parent / "other")
    other.begin(PLAN)
    trained(other, "q", "line", finish=False)
    assert Study(other.path).damage == []


def test_damage_of_all_parts_is_told(store):
    described(store, "ring8", "line")
    trained(store, "p", "ring8")
    for name in ("problems/ring8.npy", "populations/p/samples-10.npy"):
        (store.path / name).write_text("x")
    (store.path / "sessions.jsonl").write_text("x\n")
    study = Study(store.path)
    assert set(study.runs["status"]) == {"done", "pending"}
    assert study.samples(RUNS["ring8"][0]).keys() == {0, 20}
    assert study.real_samples("ring8").shape == (0, 2)
    assert [damage.file.name for damage in Study(store.path).damage] == [
        "sessions.jsonl",
        "ring8.npy",
        "samples-10.npy",
    ]


def test_rows_of_the_series_are_in_the_plans_order_and_by_step(store):
    described(store, "ring8", "line")
    # populations are read by their names, and the later has what the first has not
    trained(store, "a", "line", steps=(10, 0), finish=False, columns=("recall",))
    trained(store, "b", "ring8", steps=(20, 0, 10))
    series = Study(store.path).series
    runs = [*RUNS["ring8"], *RUNS["line"]]
    order = [run.id for run in PLAN.runs]
    assert sorted(runs, key=order.index) == order
    assert series["run"].drop_duplicates().tolist() == order
    assert series.groupby("run")["step"].agg(list).loc[RUNS["ring8"][0]] == [0, 10, 20]
    assert series.groupby("run")["step"].agg(list).loc[RUNS["line"][0]] == [0, 10]
    assert series.groupby("run")["high_quality"].agg(set).loc[order].tolist() == [{0.5}, {0.75}] * 2
    assert series.set_index("run").loc[RUNS["ring8"], "recall"].isna().all()
    assert series.set_index("run").loc[RUNS["line"][1], "recall"].tolist() == [0.2, 0.2]
    assert series.index.tolist() == list(range(len(series)))
    assert (series["step"].dtype.kind, series["high_quality"].dtype) == ("i", float)


@pytest.mark.parametrize(("first", "second", "value"), [
    # the complete one counts, whichever is read first; of two others the one that has not failed
    ("done", "open", 0.1), ("open", "done", 0.6), ("failed", "open", 0.6), ("open", "failed", 0.1),
    ("done", "failed", 0.1), ("failed", "done", 0.6),
])  # fmt: skip
def test_a_run_that_two_populations_hold_is_read_from_one(store, first, second, value):
    described(store, "ring8", "line")
    for name, state, score in (("a", first, 0.1), ("b", second, 0.6)):
        folder = trained(store, name, "ring8", value=score, finish=state == "done")
        if state == "failed":
            folder.fail("out of luck")
    study = Study(store.path)
    assert study.series["high_quality"].tolist() == [value] * 3 + [value + 0.25] * 3
    states = {"done": "done", "open": "running", "failed": "failed"}
    told = states[first] if value == 0.1 else states[second]
    assert study.runs.set_index("run").loc[RUNS["ring8"], "status"].tolist() == [told] * 2


def test_samples_are_those_of_the_runs_own_row(store):
    described(store, "ring8", "line")
    trained(store, "p", "ring8")
    study = Study(store.path)
    for row, run in enumerate(RUNS["ring8"]):
        assert {step: float(array[0, 0]) for step, array in study.samples(run).items()} == {
            0: row, 10: 10 + row, 20: 20 + row,
        }  # fmt: skip
    assert study.samples(RUNS["line"][0]) == {}


def test_what_is_recorded_of_a_problem(store):
    described(store, "ring8")
    described(store, "line", modes=None, centres=None, oracle={"high_quality": 0.8, "recall": 0.5})
    trained(store, "p", "ring8", columns=("high_quality_ema",))
    study = Study(store.path)
    # an average of G's weights has its measure's oracle, where one was measured
    assert study.oracle == {
        "ring8": {"high_quality": 0.9, "high_quality_ema": 0.9},
        "line": {"high_quality": 0.8, "high_quality_ema": 0.8, "recall": 0.5},
    }
    assert study.modes == {"ring8": 8}
    centres, std = study.centres("ring8")
    assert (centres.tolist(), std) == ([[0.0, 1.0], [1.0, 0.0]], 0.5)
    assert study.centres("line") is None
    assert study.centres("unknown") is None
    assert study.real_samples("ring8").tolist() == [[7.0, 7.0]] * 3
    assert study.real_samples("unknown").shape == (0, 2)


def test_provenance_adds_up_what_is_complete(store):
    described(store, "ring8", "line")
    bare = Study(store.path).provenance
    assert (bare["sessions"], bare["wall_seconds"], bare["training_seconds"], bare["mixed"]) == (0, 0, 0, "")
    store.log_session({"command": "first", "wall_seconds": 2.5, "torch": "1.0"})
    store.log_session({"command": "second", "torch": "1.0"})
    trained(store, "p", "ring8", cost={"gflop": [2.0, 5.0], "peak_bytes": 6e6})
    trained(store, "q", "line", cost={"gflop": [1.0, 1.0], "peak_bytes": 2e6})
    known = Study(store.path).provenance
    assert (known["command"], known["sessions"], known["wall_seconds"]) == ("second", 2, 2.5)
    assert (known["training_seconds"], known["probing_seconds"]) == (6.0, 2.0)
    assert (known["training_gflop"], known["peak_mb"]) == (9.0, 6.0)
    assert (known["suite"], known["plan_hash"], known["seeds"]) == (PLAN.name, PLAN.hash, [0, 1])
    assert (known["probe_every"], known["samples"]) == (10, 64)
    assert known["environments"] == [{"torch": "1.0"}]
    assert known["plugin_files"] == []


def test_settings_that_vary_are_axes_and_those_that_do_not_are_none(store):
    study = Study(store.path)
    assert study.axes == ["problem"]
    assert (study.name, study.description) == (PLAN.name, PLAN.description)
    assert study.settings[PLAN.variants[0].id]["loss"] == "hinge"
    assert study.settings[PLAN.variants[0].id]["samples"] == 64
    assert study.settings.keys() == {variant.id for variant in PLAN.variants}
    assert study.commands.keys() == {run.id for run in PLAN.runs}
    # what differs between problems tells no two variants apart
    plan = resolve(
        None, ["problem=ring8", "loss=hinge,minimax", "batch_size=16,32", "loss.hinge.margin=1,2", "seeds=1"]
    )
    other = Store(store.path.parent / "other")
    other.begin(plan)
    assert Study(other.path).axes == ["loss", "batch_size", "loss.hinge.margin"]
