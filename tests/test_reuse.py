"""What is read back instead of trained: only what the same plan, code, torch and device made, and that is said."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import ganbench
from ganbench import api, checking, cli, registry, reuse
from ganbench.errors import Exit, UserError
from ganbench.results.store import Store
from ganbench.versions import drifted

LOSS = '''
from helper import scale
from ganbench import register

@register("loss")
def mine(real, fake):
    """A hinge of one's own."""
    return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -scale(fake).mean()
'''


PROGRAM = """
import sys
import ganbench
try:
    study = ganbench.run(None, sys.argv[1:], plugins=["mine.py"], workers=1, tell=print)
except ganbench.UserError as error:
    sys.exit(str(error))
print(study.path)
"""


@pytest.fixture
def train(tiny, tmp_path):
    """Train with a plug-in's file in a process of its own; return exit code, output, errors."""
    (tmp_path / "mine.py").write_text(LOSS)
    (tmp_path / "helper.py").write_text("def scale(x):\n    return x\n")

    def train(program=PROGRAM):
        paths = os.pathsep.join([str(Path(ganbench.__file__).parents[1]), str(tmp_path)])
        done = subprocess.run(
            [sys.executable, "-c", program, *tiny, "loss=mine"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout.splitlines(), done.stderr

    return train


def test_only_what_is_unchanged_is_reused_and_it_is_said(train, tmp_path):
    code, out, err = train()
    assert (code, len(out)) == (0, 1), err
    first = api.load(tmp_path / out[0])
    code, out, _ = train()
    assert code == 0
    assert out[0].startswith("Reused 2 of 2 runs, trained until 20")
    assert out[0].endswith("nothing is left to train.")
    assert tmp_path / out[1] == first.path
    (tmp_path / "helper.py").write_text("def scale(x):\n    return 0.5 * x\n")
    code, out, _ = train()
    assert (code, len(out)) == (0, 1)
    second = api.load(tmp_path / out[0])
    assert second.plan.hash != first.plan.hash
    start = [study.series["g_gradient_norm"].iloc[0] for study in (first, second)]
    assert start[1] == pytest.approx(start[0] / 2, rel=1e-5)


@pytest.mark.slow
def test_a_study_in_a_named_place_is_not_continued_by_a_changed_plugin(train, tmp_path):
    program = PROGRAM.replace("tell=print", "tell=print, out='study'")
    assert train(program)[0] == 0
    (tmp_path / "helper.py").write_text("def scale(x):\n    return 0.5 * x\n")
    code, _, err = train(program)
    assert code == 1
    assert "changed: loss.mine)" in err
    assert train(program.replace("out=", "fresh=True, out="))[0] == 0


def main(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["ganbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def test_the_command_line_says_what_is_reused(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "Reused" not in main(monkeypatch, capsys, "run", *tiny)[1]
    assert "Reused 2 of 2 runs" in main(monkeypatch, capsys, "run", *tiny)[1]
    code, out, _ = main(monkeypatch, capsys, "run", *tiny, "--dry-run")
    assert code == 0
    assert "Nothing is left to do: all runs have ended in reports/" in out
    assert "Nothing is left" not in main(monkeypatch, capsys, "run", *tiny, "--dry-run", "--fresh")[1]


def altered(study, **changes):
    """Make a study one that something else has trained."""
    file = study / "environments.jsonl"
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, **changes}) + "\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "0123456789ab"}, "another code of ganbench (0123456789ab, now "),
        ({"torch": "1.0"}, "another torch (1.0, now "),
        ({"device": "Z80"}, "another device (Z80, now "),
        ({"torch": "1.0", "device": "Z80"}, " and another device (Z80, now "),
    ],
)
def test_a_study_of_other_code_torch_or_device_is_not_silently_continued(tiny, tmp_path, changes, words):
    out = tmp_path / "study"
    before = api.run(None, tiny, out=out, workers=1).series
    altered(out, **changes)
    with pytest.raises(UserError, match="was trained by another") as raised:
        api.run(None, tiny, out=out, workers=1)
    assert words in str(raised.value)
    assert "--fresh" in str(raised.value)
    assert "--continue-anyway" in str(raised.value)
    told = []
    study = api.run(None, tiny, out=out, workers=1, continue_anyway=True, tell=told.append)
    assert study.series.equals(before)
    assert "in 2 environments" in told[0]
    assert [record[key] for record in Store(out).environments()[:1] for key in changes] == list(changes.values())
    api.run(None, tiny, out=out, workers=1)  # the mix is known now, and nothing differs from its latest
    assert len(api.run(None, tiny, out=out, workers=1, fresh=True).store.environments()) == 1


def test_what_a_session_defines_is_never_reused(own_registry, tiny, tmp_path):
    def of_the_session(real, fake):
        """A loss of a notebook."""
        return fake.mean() - real.mean(), -fake.mean()

    of_the_session.__module__ = "__main__"
    registry.register("loss")(of_the_session)
    overrides = [*tiny, "loss=of_the_session"]
    plan = api.make_plan(None, overrides)
    assert plan.uncovered == ["loss.of_the_session"]
    assert api.make_plan(None, overrides).hash != plan.hash
    out = tmp_path / "study"
    api.execute_plan(plan, out=out, workers=1)
    with pytest.raises(UserError, match=r"is never reused \(.*it is defined in a notebook or a script"):
        api.execute_plan(plan, out=out, workers=1)
    assert api.execute_plan(plan, out=out, workers=1, fresh=True).runs["status"].eq("done").all()


def test_a_check_trains_anew_unless_told_otherwise(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = api.run(None, tiny, out="base", workers=1)
    checking.make_baseline(base.path, tmp_path / "base.json", {})
    check = ["check", *tiny, "--baseline", "base.json", "--allow-inconclusive", "--workers", "1"]
    code, out, err = main(monkeypatch, capsys, *check)
    assert (code, "Reused" in out) == (0, False), err
    (checked,) = (tmp_path / "reports" / "checks").iterdir()
    stamp = (checked / "plan.yaml").stat().st_mtime_ns
    code, out, _ = main(monkeypatch, capsys, *check)
    assert (code, "Reused" in out) == (0, False)
    assert (checked / "plan.yaml").stat().st_mtime_ns > stamp
    code, out, _ = main(monkeypatch, capsys, *check, "--reuse")
    assert (code, "Reused 2 of 2 runs" in out) == (0, True)
    code, _, err = main(monkeypatch, capsys, *check, "--out", "base")
    assert code == Exit.USAGE
    assert "holds a study that no check has made" in err
    assert api.load("base").runs["status"].eq("done").all()
    altered(checked, torch="1.0")
    code, _, err = main(monkeypatch, capsys, *check, "--reuse")
    assert code == Exit.USAGE
    assert "another torch (1.0, now" in err
    assert "without --reuse it is trained anew" in err


def test_a_worker_notices_what_is_not_as_the_plan_was_made_with(own_registry, tiny, tmp_path):
    (tmp_path / "plain.py").write_text(LOSS.replace("from helper import scale", "scale = float"))
    plan = api.make_plan(None, [*tiny, "loss=hinge,mine"], plugins=[tmp_path / "plain.py"])
    assert drifted(plan) == []
    assert drifted(replace(plan, code="0123456789ab")) == ["ganbench"]
    assert drifted(replace(plan, versions={**plan.versions, "loss.mine": "0" * 12})) == ["loss.mine"]


# ------------------------------------------------------------------------------------------ what is said and kept

NOW = {"code": "c", "torch": "2", "device": "cpu"}


def store(known=(), populations=(), sessions=()):
    """A study that keeps what is recorded of it."""
    records = list(known)
    return SimpleNamespace(
        path="there", environments=lambda: records, populations=lambda: list(populations),
        sessions=lambda: list(sessions), log_environment=records.append,
    )  # fmt: skip


@pytest.mark.parametrize(("known", "trained", "anyway", "logged"), [
    ([], False, False, True), ([], True, False, True), ([NOW], True, False, False), ([NOW], False, False, False),
    ([{**NOW, "torch": "1"}], False, False, True), ([{**NOW, "torch": "1"}], True, True, True),
    ([{**NOW, "torch": "1"}], True, False, None), ([{**NOW, "torch": "1"}, NOW], True, False, False),
    ([NOW, {**NOW, "torch": "1"}], True, False, None),
])  # fmt: skip
def test_what_trains_is_recorded_where_it_is_new_and_refused_where_it_differs(
    monkeypatch, known, trained, anyway, logged
):
    monkeypatch.setattr(reuse, "environment", lambda device: {**NOW, "device": device})
    study = store(known, ["population"] * trained)
    if logged is None:
        with pytest.raises(
            UserError, match=r"^The study 'there' was trained by another torch \(1, now 2\): without --reu"
        ):
            reuse.enter(study, "cpu", "check", anyway=anyway)
        assert study.environments() == known
        return
    reuse.enter(study, "cpu", "check", anyway=anyway)
    added = study.environments()[len(known) :]
    assert len(added) == logged
    for record in added:
        assert {**record, "since": ""} == {**NOW, "by": "check", "since": ""}
        assert record["since"].endswith("+00:00")


@pytest.mark.parametrize(("environments", "sessions", "planned", "waiting", "said"), [
    ([NOW], [{"finished": "F", "since": "S", "ganbench": "1.0", "git_revision": "abc"}], 5, 2,
     "Reused 3 of 5 runs, trained until F by ganbench 1.0 abc, torch 2 on cpu; 2 to train."),
    ([{**NOW, "since": "S"}], [], 5, 0,
     "Reused 5 of 5 runs, trained until S by ganbench, torch 2 on cpu, nothing is left to train."),
    ([NOW], [{}], 1, 0,
     "Reused 1 of 1 runs, trained until an unknown date by ganbench, torch 2 on cpu, nothing is left to train."),
    ([NOW, {**NOW, "torch": "3"}], [{"finished": "F"}, {"finished": "G", "ganbench": "2"}], 9, 1,
     "Reused 8 of 9 runs, trained until G by ganbench 2, torch 3 on cpu, in 2 environments; 1 to train."),
])  # fmt: skip
def test_what_is_reused_is_said_in_one_sentence(environments, sessions, planned, waiting, said):
    assert reuse.sentence(store(environments, sessions=sessions), planned, waiting) == said


@pytest.mark.parametrize(("by", "checks"), [
    ([], False), (["check"], True), (["check", "check"], True), (["run"], False), (["check", "run"], False),
    (["run", "check"], False), ([None], False),
])  # fmt: skip
def test_a_study_of_checks_is_one_that_nothing_else_hpenalties(by, checks):
    assert reuse.made_by_checks(store([{"by": one} if one else {} for one in by])) is checks
