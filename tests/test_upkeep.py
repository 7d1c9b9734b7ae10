"""Status, archive, clean and sysinfo: what they tell of a study, and that they take nothing away that counts."""

import json
import os
import tarfile
import time

import pytest
from typer.testing import CliRunner

from ganbench import upkeep
from ganbench.cli import app
from ganbench.errors import UserError
from ganbench.executors.board import Board
from ganbench.results.store import ATTEMPTS, Store
from ganbench.suite import resolve

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tiny, tmp_path):
    """A study of two runs of which nothing is trained, with what kills and attempts leave."""
    store = Store(tmp_path / "study")
    plan = resolve(None, tiny)
    store.begin(plan)
    folder = store.population("p")
    folder.begin(plan.runs)
    folder.checkpoint.write_bytes(b"on the way")
    for name in (f"{ATTEMPTS}/token/p-1/plan.yaml", "populations/.removed.q/runs.json", ".plan.yaml.123"):
        (store.path / name).parent.mkdir(parents=True, exist_ok=True)
        (store.path / name).write_text("rest")
    return store


def clock(*moments):
    left = list(moments)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_the_status_says_what_runs_where(store):
    board = Board(store, 100.0, clock(0.0, 0.0, 0.0, 0.0, 0.0, 30.0))
    board.hand_out("p", 2, 20, 50.0, where="node7")
    board.hear("p", 10)
    board._write(force=True)
    with store.lock():
        found = upkeep.status(store.path)
    assert found["at_work"] is True
    assert found["runs"] == {"running": 2}
    (entry,) = found["work"]["out"]
    assert (entry["population"], entry["where"], entry["step"], entry["steps"]) == ("p", "node7", 10, 20)
    # half of half of the work in 30 s: three times as long is left
    assert (found["work"]["seconds"], found["work"]["left_seconds"]) == (30.0, 90.0)
    assert upkeep.status(store.path)["at_work"] is False
    shown = CliRunner().invoke(app, ["status", str(store.path)], catch_exceptions=False).output
    assert "No command is at work on it. The last one was ended before its time." in shown
    read = CliRunner().invoke(app, ["status", str(store.path), "--json"], catch_exceptions=False).output
    assert json.loads(read)["work"]["out"][0]["where"] == "node7"


def test_a_clock_that_is_off_makes_no_age_negative(store):
    store.status_file.write_text(json.dumps({"seconds": 5.0, "out": []}))
    ahead = time.time() + 5 * 3600
    os.utime(store.status_file, (ahead, ahead))
    assert upkeep.status(store.path)["told_seconds"] == 0.0
    assert upkeep.status(store.path, now=lambda: ahead + 7)["told_seconds"] == pytest.approx(7, abs=0.01)


@pytest.mark.parametrize("text", ["", "[]", '{"seconds": "x", "out": []}', '{"seconds": 1.0, "out": [{"runs": "x"}]}'])
def test_a_status_that_does_not_read_is_none(store, text):
    store.status_file.write_text(text)
    assert upkeep.status(store.path)["work"] is None


def test_a_status_that_cannot_be_written_stops_nothing(store):
    store.status_file.mkdir()
    board = Board(store, 1.0)
    board.hand_out("p", 1, 1, 1.0)
    board.end("p")
    assert board.record["out"] == []


def test_what_is_cleaned_is_shown_first_and_nothing_that_counts_goes(store):
    run = CliRunner().invoke
    shown = run(app, ["clean", str(store.path)], catch_exceptions=False).output
    assert "Would remove these 3 files and folders" in shown
    assert (store.path / ATTEMPTS).is_dir()
    removed = upkeep.clean(store.path, really=True)
    assert {path.name for path, _ in removed} == {ATTEMPTS, ".removed.q", ".plan.yaml.123"}
    assert not any(path.exists() for path, _ in removed)
    assert store.population("p").checkpoint.exists(), "it has not ended: there it goes on"
    assert "Nothing to remove." in run(app, ["clean", str(store.path)], catch_exceptions=False).output
    with store.lock(), pytest.raises(UserError, match=r"^Another command is working on the study"):
        upkeep.clean(store.path, really=True)


def test_an_archive_reads_back(store, tmp_path):
    file = upkeep.archive(store.path)
    assert file == tmp_path / "study.tar.gz"
    again = upkeep.unpack(file, tmp_path / "again")
    assert Store(again).read_plan() == store.read_plan()
    assert not (again / ATTEMPTS).exists()
    kept = {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    assert {path.as_posix() for path in kept} == {
        "plan.yaml", "populations/p/runs.json", "populations/p/checkpoint.pt"
    }  # fmt: skip
    with pytest.raises(UserError, match=r"exists; choose another --out"):
        upkeep.unpack(file, tmp_path / "again")
    with pytest.raises(UserError, match=r"would lie within the study"):
        upkeep.archive(store.path, store.path / "a.tar.gz")


@pytest.mark.parametrize("name", ["../evil/plan.yaml", "plan.yaml", "a/notes.txt"])
def test_what_is_no_archive_of_a_study_is_refused(tmp_path, name):
    (tmp_path / "content").write_text("x")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as stream:
        stream.add(tmp_path / "content", name)
    with pytest.raises(UserError, match=r"is no archive of a study"):
        upkeep.unpack(tmp_path / "bad.tar.gz")
    (tmp_path / "torn.tar.gz").write_bytes((tmp_path / "bad.tar.gz").read_bytes()[:20])
    with pytest.raises(UserError, match=r"^Cannot read the archive"):
        upkeep.unpack(tmp_path / "torn.tar.gz")


def test_this_machine_is_told():
    found = upkeep.sysinfo()
    assert {"ganbench", "code", "torch", "device", "cores", "python", "extras"} <= found.keys()
    assert set(found["extras"]) <= set(upkeep.EXTRAS)
