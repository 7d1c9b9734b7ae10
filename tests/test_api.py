"""The public jobs from Python: run, run again, load, report."""

import importlib.resources
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from overriding import over

import ganbench
from ganbench import api
from ganbench.errors import UserError
from ganbench.results.store import Store


def stamps(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_public_names():
    assert ganbench.run is api.run
    assert ganbench.load is api.load
    assert ganbench.Study is api.Study
    assert set(ganbench.__all__) <= {*dir(ganbench), "Study", "load", "run"}
    with pytest.raises(AttributeError, match="module 'ganbench' has no attribute 'runn'"):
        ganbench.runn  # noqa: B018


def test_what_is_shipped_beside_the_code():
    shipped = importlib.resources.files("ganbench")
    for name in ("py.typed", "serve.html", "serve.css", "report/page/template.html"):
        assert shipped.joinpath(name).is_file(), name


def test_run_and_run_again(tiny, tmp_path):
    events = []
    study = ganbench.run(
        overrides=[*tiny, "loss=hinge,minimax"], out=tmp_path / "study", workers=1,
        watch=lambda name, event: events.append((name, event)),
    )  # fmt: skip
    assert isinstance(study, ganbench.Study)
    assert study.path == tmp_path / "study"
    assert len(study.runs) == 4
    assert set(study.runs["status"]) == {"done"}
    assert len(study.series) == 4 * 3
    assert len({name for name, _ in events}) == 1
    assert [event["event"] for _, event in events][-1] == "finished"
    assert events[-2][1] == {"event": "progress", "step": 20, "alive": 4}
    assert len(study.runs["seconds"].unique()) == 1, "runs of a population share its time"
    assert study.report() == tmp_path / "study" / "report.html"

    before = stamps(study.path)
    events.clear()
    again = ganbench.run(
        overrides=[*tiny, "loss=hinge,minimax"], out=tmp_path / "study", workers=1,
        watch=lambda name, event: events.append(event),
    )  # fmt: skip
    after = stamps(study.path)
    assert events == []
    assert {file for file in after if before.get(file) != after[file]} <= {study.path / "lock"}
    pd.testing.assert_frame_equal(again.runs, study.runs)
    pd.testing.assert_frame_equal(again.series, study.series)
    pd.testing.assert_frame_equal(ganbench.load(study.path).series, study.series)

    # only a command that trains is a session, each of them
    assert len(Store(study.path).sessions()) == 1
    (done,) = study.path.glob("populations/*/done.json")
    done.unlink()
    ganbench.run(overrides=[*tiny, "loss=hinge,minimax"], out=study.path, workers=1)
    assert len(Store(study.path).sessions()) == 2


def test_default_folder_is_the_plans(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = api.make_plan(None, tiny)
    study = api.execute_plan(plan, workers=1)
    assert str(study.path) == f"reports/custom-{plan.hash[:8]}"
    assert len(list((tmp_path / "reports").iterdir())) == 1


def test_fresh_starts_over(tiny, tmp_path):
    study = ganbench.run(overrides=tiny, out=tmp_path / "study", workers=1)
    before = stamps(study.path)
    again = ganbench.run(overrides=tiny, out=tmp_path / "study", workers=1, fresh=True)
    after = stamps(study.path)
    done = next(study.path.glob("populations/*/done.json"))
    assert after[done] != before[done]
    pd.testing.assert_frame_equal(
        again.series.drop(columns="seconds_per_step"), study.series.drop(columns="seconds_per_step")
    )
    other = ganbench.run(overrides=[*tiny, "loss=hinge"], out=tmp_path / "study", workers=1, fresh=True)
    assert set(other.runs["loss"]) == {"hinge"}
    assert len(other.series) == 2 * 3


def test_ranking_keeps_every_seed(tiny, tmp_path):
    study = ganbench.run(overrides=over([*tiny, "seeds=3", "loss=hinge,minimax"]), out=tmp_path / "study", workers=1)
    ranking = study.ranking()
    assert ranking["seeds"].tolist() == [3, 3]
    # 20 steps teach nobody anything
    assert ranking["failures"].tolist() == [3, 3]
    assert set(study.runs["verdict"]) == {"never learned"}


def test_suite_given_twice():
    with pytest.raises(UserError, match=r"^One suite at a time, got smoke, stability\.$"):
        api.make_plan("smoke", ["suite=stability"])


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(tiny, workers):
    with pytest.raises(UserError, match=rf"^The number of workers must be at least 1, got {workers}\.$"):
        ganbench.run(overrides=tiny, workers=workers)


def test_load_where_there_is_nothing(tmp_path):
    with pytest.raises(UserError) as caught:
        ganbench.load(tmp_path)
    assert str(caught.value) == f"There is no study in '{tmp_path}' (no plan.yaml)."


def test_unknown_device(tiny):
    with pytest.raises(UserError) as caught:
        ganbench.run(overrides=tiny, device="cudaa")
    assert str(caught.value) == "Unknown device 'cudaa'. Did you mean 'cuda'? Available: auto, cpu, cuda."


# ------------------------------------------------------------------------------------------ without training


@pytest.mark.parametrize(("asked", "there", "device"), [
    ("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda"),
    ("cuda", False, None), ("gpu", True, None), ("", False, None),
])  # fmt: skip
def test_devices(monkeypatch, asked, there, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    if device:
        assert api.pick_device(asked) == device
    else:
        with pytest.raises(UserError, match=r"^(There is no CUDA device here|Unknown device ')"):
            api.pick_device(asked)


def test_the_same_plan_finds_its_study_again():
    plan = api.make_plan(None, ["loss=hinge"])
    assert api.default_folder(plan) == Path("reports") / f"custom-{plan.hash[:8]}"
    assert api.default_folder(api.make_plan("smoke")).name.startswith("smoke-")


def test_a_suite_is_named_once_as_an_argument_or_among_the_overrides():
    named = api.make_plan(None, ["seeds=1", "suite=smoke"])
    assert named == api.make_plan("smoke", ["seeds=1"])
    assert (named.name, named.seeds) == ("smoke", (0,))
    for suite, overrides, told in (
        ("smoke", ["suite=stability"], "smoke, stability"), (None, ["suite=smoke", "suite=smoke"], "smoke, smoke"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=rf"^One suite at a time, got {told}\.$"):
            api.make_plan(suite, overrides)


def test_a_plugin_that_is_missing_is_named_by_the_study_that_was_made_with_it(tmp_path, monkeypatch):
    store = Store(tmp_path / "study")
    store.begin(replace(api.make_plan(None, ["loss=hinge"]), plugin_files=("/there/my loss.py", "/there/b.py")))
    told = "Unknown loss 'mine'.*The study in '.*study' was trained with plug-ins: add "
    with pytest.raises(UserError, match=rf"{told}--plugin '/there/my loss.py' --plugin /there/b.py\.$"):
        api.make_plan(None, ["loss=mine"], out=store.path)
    monkeypatch.setattr(api.registry, "loaded_files", lambda: ["/there/b.py"])
    with pytest.raises(UserError, match=rf"{told}--plugin '/there/my loss.py'\.$"):
        api.make_plan(None, ["loss=mine"], out=store.path)
    for out in (None, tmp_path / "nothing"):
        with pytest.raises(UserError, match=r"Available: [a-z_, ]+\.$"):
            api.make_plan(None, ["loss=mine"], out=out)


def test_what_remains_of_a_plan(tmp_path):
    plan = api.make_plan(None, ["loss=hinge,minimax", "normalization=none,layer", "seeds=2"])
    every = api.remaining(plan, "cpu", None)
    assert sorted(run.id for runs in every.values() for run in runs) == sorted(run.id for run in plan.runs)
    assert api.remaining(plan, "cpu", tmp_path / "nothing") == every
    store = Store(tmp_path / "study")
    store.begin(plan)
    assert api.remaining(plan, "cpu", store.path) == every
    (name, runs), *_ = every.items()
    first = [run for run in runs if run.variant == runs[0].variant]
    store.population("a part").begin(first)
    parted = api.remaining(plan, "cpu", store.path)
    assert len(parted) == len(every) + 1
    assert name not in parted
    other = Store(tmp_path / "other")
    other.begin(api.make_plan(None, ["loss=hinge"]))
    assert api.remaining(plan, "cpu", other.path) == every
