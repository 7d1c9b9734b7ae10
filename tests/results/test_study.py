"""A study's two tables: one row a run, one row a run and probe, and a column for every measurement."""

import json
import shutil

import pandas as pd
import pytest

from ganbench import api, registry
from ganbench.measure.diagnostics import affordable


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
        "g_regularizer", "optimizer", "update", "trick", "steps", "loss.hinge.margin", "seed", "status", "reason",
        "diverged_step", "seconds", "gflop", "memory_mb", "verdict", "onset", "evidence", "failed", "also",
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
    plugins = [*registry.plugins("metric"), *affordable("cheap")]
    declared = {name for plugin in plugins for name in plugin.meta["measures"]}
    elsewhere = {name for name in declared if name.endswith(("_pixels", "_classifier"))}
    elsewhere |= set(registry.get("diagnostic", "equilibrium").meta["measures"])
    needs = {"classes", "label"}
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
    from ganbench.results.store import Store

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
