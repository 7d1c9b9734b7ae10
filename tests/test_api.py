"""The public jobs from Python: run, run again, load, report."""

import importlib.resources

import pandas as pd
import pytest
from overriding import over

import ganbench
from ganbench import api
from ganbench.errors import UserError


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
