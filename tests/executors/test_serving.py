"""Processes that stay for the next job of a plan, by a stand-in that speaks as a worker does: which, and until when."""

import os
import signal
import sys
from pathlib import Path

import pytest

from ganbench.executors import serving
from ganbench.executors.serving import Server, worker_command

SCRIPT = """
import json, os, sys
def say(**event): print(json.dumps({**event, "pid": os.getpid()}), flush=True)
first = os.environ.get("FIRST", "ready")
if first == "nothing": sys.exit(0)
say(event=first, error="it has torch 1.0")
for line in sys.stdin:
    asked = json.loads(line)
    say(event="progress", asked=asked)
    if asked["name"] == "dies": sys.exit(3)
    say(event="failed" if asked["name"] == "fails" else "finished")
"""


@pytest.fixture
def started(monkeypatch):
    """What processes were started for; none is left behind."""
    found = []

    def command(*words):
        found.append(words)
        return [sys.executable, "-S", "-c", SCRIPT], dict(os.environ)

    monkeypatch.setattr(serving, "worker_command", command)
    serving.close()
    yield found
    serving.close()


@pytest.fixture
def attempt(tmp_path):
    """Lay out the place of an attempt."""

    def make(name, plan="plan", environment="torch"):
        place = tmp_path / name
        place.mkdir()
        (place / "plan.yaml").write_text(plan)
        (place / "environments.jsonl").write_text(environment)
        return place

    return make


def ask(server, name="fine"):
    """Have a job done; return its last event and those before it."""
    events = []
    last = server.perform({"name": name, "runs": ["a"]}, events.append)
    return last, events


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_a_process_stays_for_the_next_attempt_of_the_same_plan(started, attempt, end):
    first, second = attempt("first"), attempt("second")
    last, events = ask(Server(first, "cpu", []), {"finished": "fine", "failed": "fails"}[end])
    assert last == {"event": end, "pid": last["pid"]}
    assert events == [
        {"event": "progress", "pid": last["pid"], "asked": {"name": "fine" if end == "finished" else "fails",
                                                            "runs": ["a"], "into": str(first)}}
    ]  # fmt: skip
    again, events = ask(Server(second, "cpu", []))
    assert again["pid"] == last["pid"]
    assert events[0]["asked"]["into"] == str(second), "each writes into its own place"
    assert started == [(first, "cpu", ())]


@pytest.mark.parametrize("change", ["plan", "environment", "device", "file"])
def test_for_anything_else_that_trains_a_new_process_takes_its_place(started, attempt, change, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("x = 1")
    pid = ask(Server(attempt("first"), "cpu", [str(file)]))[0]["pid"]
    (worker,) = next(iter(serving._idle.values()))
    other = attempt("second", **({change: "another"} if change in ("plan", "environment") else {}))
    if change == "file":
        file.write_text("x = 2")
    device = "cuda" if change == "device" else "cpu"
    assert ask(Server(other, device, [str(file)]))[0]["pid"] != pid
    assert started[1:] == [(other, device, (str(file),))]
    assert not alive(pid)
    assert worker.process.stdin.closed
    assert worker.process.stdout.closed


def test_a_process_that_died_at_work_is_told_and_not_asked_again(started, attempt):
    server = Server(attempt("first"), "cpu", [])
    last, events = ask(server, "dies")
    assert last == {"event": "failed", "error": "the worker process ended with code 3 (out of memory?)"}
    assert len(events) == 1
    assert ask(server)[0]["pid"] != events[0]["pid"]


def test_a_process_that_died_meanwhile_is_replaced(started, attempt):
    server = Server(attempt("first"), "cpu", [])
    pid = ask(server)[0]["pid"]
    ((worker,),) = serving._idle.values()
    os.kill(pid, signal.SIGKILL)
    # waited for as a stranger does, so that it is left to be noticed
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    last = ask(server)[0]
    assert (last["event"], last["pid"] == pid) == ("finished", False)
    assert worker.process.stdin.closed
    assert worker.process.stdout.closed


@pytest.mark.parametrize(("first", "told"), [
    ("unfit", "it has torch 1.0"), ("nothing", "no worker process could be started")
])  # fmt: skip
def test_a_process_that_refuses_is_ended(started, attempt, monkeypatch, first, told):
    processes = []
    popen = serving.subprocess.Popen
    monkeypatch.setattr(serving.subprocess, "Popen", lambda *a, **k: processes.append(popen(*a, **k)) or processes[-1])
    monkeypatch.setenv("FIRST", first)
    assert ask(Server(attempt("first"), "cpu", [])) == ({"event": "unfit", "error": told}, [])
    (process,) = processes
    assert not alive(process.pid)
    assert not any(serving._idle.values())


def test_all_that_wait_are_ended_when_told_so(started, attempt):
    pid = ask(Server(attempt("first"), "cpu", []))[0]["pid"]
    assert alive(pid)
    serving.close()
    assert not alive(pid)
    assert serving._idle == {}


def test_the_command_of_a_worker_has_the_paths_of_this_process_and_one_core(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    package = str(Path(serving.__file__).parents[2])
    monkeypatch.setattr(sys, "path", ["", "own", "/a", package, "/a"])
    command, environment = worker_command(Path("/s"), "cuda", ["f.py", "g.py"])
    assert command == [
        sys.executable, "-P", "-m", "ganbench.executors.worker", "/s", "cuda", "f.py", "g.py"
    ]  # fmt: skip
    assert environment["PYTHONPATH"] == os.pathsep.join([str(tmp_path / "own"), "/a", package])
    assert (environment["OMP_NUM_THREADS"], environment["MKL_NUM_THREADS"]) == ("1", "1")
    assert environment["PATH"] == os.environ["PATH"]
    # where it is installed beside a library, an installed copy must not come first
    monkeypatch.setattr(sys, "path", ["/a"])
    assert worker_command(Path("/s"), "cpu", [])[1]["PYTHONPATH"] == os.pathsep.join([package, "/a"])
