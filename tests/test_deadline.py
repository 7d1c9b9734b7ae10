"""`--minutes` and `--bisect`: what is decided by then, what is not, and with which code a check ends."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from overriding import over
from typer.testing import CliRunner

import ganbench
from ganbench import api, base_side, checking, cli, supervise
from ganbench.against import Against, _Side, check_against
from ganbench.analysis.gate import Judgement
from ganbench.analysis.outcome import Check
from ganbench.deadline import Clock, EndedStudy, is_whole
from ganbench.errors import Exit, UserError
from ganbench.executors import base
from ganbench.interrupts import TimeIsUpError, at_most
from ganbench.report import verdict_files
from ganbench.results.baseline import load_baseline

# two networks of their own sizes are two populations
TINY = [
    "problem=ring8", "loss=hinge", "steps=20", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
    "network.mlp.width=4,8",
]  # fmt: skip


class FirstOnly:
    """An executor whose time is up after the first population."""

    workers = 1

    def run(self, tasks):
        task = tasks.next()
        task.perform()
        task.end()
        raise TimeIsUpError


# ---------------------------------------------------------------------------------------------- the clock


def test_a_block_is_ended_when_its_time_is_up():
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeIsUpError), at_most(0.05):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_what_is_in_time_or_has_no_end_is_left_alone():
    for seconds in (None, 3600.0):
        with at_most(seconds):
            pass
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    # the user's own Ctrl-C stays one
    with pytest.raises(KeyboardInterrupt), at_most(3600.0):
        raise KeyboardInterrupt


def test_a_clock_counts_from_its_making():
    now = [100.0]
    clock = Clock(2, lambda: now[0])
    assert (clock.left, clock.is_up) == (120, False)
    now[0] = 219.95
    assert clock.is_up
    assert (Clock(None).left, Clock(None).is_up) == (None, False)
    for minutes in (0, -1, float("nan")):
        with pytest.raises(UserError, match="A check takes more than 0 minutes, got "):
            Clock(minutes)


# ---------------------------------------------------------------------------------------------- what is decided


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return ganbench.run(None, over([*TINY, "seeds=5"]), out=tmp_path_factory.mktemp("s") / "whole", workers=1)


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s") / "half"
    with pytest.raises(TimeIsUpError):
        ganbench.run(None, over([*TINY, "seeds=5"]), out=folder, executor=FirstOnly())
    return folder


def test_variants_that_have_ended_are_those_of_which_every_run_has(whole, half):
    assert is_whole(whole.path)
    assert not is_whole(half)
    assert not is_whole(half / "nowhere")
    study = EndedStudy(half)
    assert (len(whole.plan.variants), len(study.plan.variants)) == (2, 1)
    assert set(study.runs["status"]) == {"done"}
    assert set(study.runs["variant"]) == {study.plan.variants[0].id}
    same = whole.runs[whole.runs["variant"] == study.plan.variants[0].id]
    assert study.runs["verdict"].tolist() == same["verdict"].tolist()


def ended_after_the_first(monkeypatch):
    """Have every training end with its first population, as if the time were up then."""
    execute = api.execute_plan

    def short(plan, *, workers=None, **more):
        return execute(plan, executor=FirstOnly(), **more)

    monkeypatch.setattr(api, "execute_plan", short)


def test_a_check_that_is_ended_judges_what_there_is_and_names_the_rest(whole, tmp_path, monkeypatch):
    file = tmp_path / "b.json"
    checking.make_baseline(whole.path, file, {})
    ended_after_the_first(monkeypatch)
    request = checking.Request(file, canary=True)
    result = checking.check_suite(TINY, request, out=tmp_path / "checks", minutes=10)
    labels = [variant.label for variant in load_baseline(file).variants]
    judged = {c.variant for c in result.judgement.comparisons}
    assert judged | set(result.undecided) == set(labels)
    assert (len(judged), len(result.undecided)) == (1, 1)
    # every result that is there equals the baseline's, and that does not make it a pass
    assert result.unchanged
    assert (result.verdict, result.exit_code) == ("inconclusive", 3)
    assert result.notes[0].startswith("The check was ended after 10 minutes: ")
    for told in (verdict_files.text(result), verdict_files.markdown(result), verdict_files.as_json(result)):
        assert result.undecided[0].split("width")[0][:6] in told
    assert int(verdict_files.as_junit(result).get("skipped")) >= 1


def test_a_regression_that_is_shown_by_then_is_one(whole, tmp_path, monkeypatch):
    file = tmp_path / "b.json"
    old = checking.make_baseline(whole.path, file, {})
    healthy = [replace(v, runs=tuple(replace(r, verdict="converged", failed=False, score=0.95) for r in v.runs))
               for v in old.variants]  # fmt: skip
    replace(old, variants=tuple(healthy)).save(file)
    ended_after_the_first(monkeypatch)
    result = checking.check_suite(TINY, checking.Request(file), out=tmp_path / "checks", minutes=10)
    assert len(result.undecided) == 1
    assert (result.verdict, result.exit_code) == ("regressed", 1)


@pytest.mark.usefixtures("own_registry")
def test_both_sides_count_as_far_as_both_have_come(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses.py").write_text(
        "from ganbench import register\nfrom ganbench.gan.losses import hinge\n\n"
        "@register('loss')\ndef my_loss(real_logits, fake_logits):\n    return hinge(real_logits, fake_logits)\n"
    )
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *words], check=True)
    # the other side in this process, too: its own is tested in test_against.py
    train, asked = base_side.train, []

    def in_this_process(side, order):
        asked.append(order["seconds"])
        return train({"plugins": side.plugins, **order})["files"]

    monkeypatch.setattr(_Side, "train", in_this_process)
    ended_after_the_first(monkeypatch)
    result = check_against(
        over([*TINY, "loss=my_loss"]), checking.Request(), Against("HEAD"), plugins=["losses.py"], out=tmp_path / "c",
        minutes=10,
    )  # fmt: skip
    # half of the ten minutes
    assert 250 < asked[0] <= 300
    judged = {c.variant: c.verdict for c in result.judgement.comparisons}
    assert (len(judged), set(judged.values()), len(result.undecided)) == (1, {"pass"}, 1)
    assert (result.verdict, result.exit_code) == ("inconclusive", 3)
    assert any("1 of 1 variants give the same numbers on both sides" in note for note in result.notes)


def test_nothing_is_decided_where_the_time_is_too_short_for_anything(whole, tmp_path):
    file = tmp_path / "b.json"
    checking.make_baseline(whole.path, file, {})
    words = [
        "check",
        *TINY,
        "--baseline",
        str(file),
        "--out",
        str(tmp_path / "c"),
        "--workers",
        "1",
        "--minutes",
        "1e-4",
    ]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 3, done.output
    assert done.output.count("not decided, no result by then") == 2
    assert CliRunner().invoke(cli.app, [*words, "--allow-inconclusive"]).exit_code == 0


def test_no_look_is_begun_when_the_time_is_up(tmp_path, monkeypatch):
    now, looks = [0.0], []

    def execute_plan(plan, **more):
        now[0] += 100
        return SimpleNamespace(path=more["out"])

    def check_studies(folders, request, look=None):
        looks.append(look)
        return Check(Judgement((), 5), (), (), (), "s", undecided=("a",))

    monkeypatch.setattr(checking.api, "execute_plan", execute_plan)
    monkeypatch.setattr(checking, "check_studies", check_studies)
    monkeypatch.setattr(checking, "load_baseline", lambda file: None)
    monkeypatch.setattr(
        checking, "fitting_plan", lambda _, request, words, plugins: api.make_plan(None, words, plugins)
    )
    monkeypatch.setattr(checking, "Clock", lambda minutes: Clock(minutes, lambda: now[0]))
    monkeypatch.chdir(tmp_path)
    result = checking.check_suite(["loss=hinge"], checking.Request(tmp_path / "b.json"), minutes=3)
    assert looks == [0, 1]
    assert result.notes[0].startswith("The check was ended after 3 minutes")


def test_minutes_are_for_checks_that_train(whole, tmp_path):
    file = tmp_path / "b.json"
    checking.make_baseline(whole.path, file, {})
    done = CliRunner().invoke(cli.app, ["check", str(whole.path), "--baseline", str(file), "--minutes", "3"])
    assert str(done.exception) == "--minutes is for checks that train: studies that exist are judged in no time."


def test_what_the_executor_is_told_survives(half):
    # repeating the command goes on where it was ended
    study = ganbench.run(None, over([*TINY, "seeds=5"]), out=half, workers=1)
    assert set(study.runs["status"]) == {"done"}
    assert base.ENDS


# ---------------------------------------------------------------------------------------------- bisect


@pytest.mark.parametrize("code", [*Exit, 139])
def test_git_bisect_sees_bad_in_a_regression_alone(code):
    """git-bisect(1): 0 is good, 125 skips, 1 to 127 is bad, all above ends the search."""
    expected = code if code in (0, 1, 130, 139) else 125
    assert supervise.bisected(code, ["ganbench", "check", "--bisect"]) == expected
    assert supervise.bisected(code, ["ganbench", "check"]) == code


def test_a_command_that_cannot_be_read_is_no_bad_revision(tmp_path):
    words = [sys.executable, "-m", "ganbench", "check", "--no-such-option", "--bisect"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode == 125
