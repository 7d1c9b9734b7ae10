"""Who does what in a pool of workers, and what follows when one ends or cannot start: with workers of paper."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ganbench import registry
from ganbench.errors import UserError
from ganbench.executors import local
from ganbench.executors.local import Local, _Pool, _Worker, choose, pick_workers
from ganbench.suite import resolve


class Paper:
    """A task that notes what becomes of it."""

    def __init__(self, name, log):
        self.job, self.log, self.last = SimpleNamespace(name=name, asked={"name": name}), log, None

    def take(self, event):
        self.log.append((self.job.name, event["event"]))
        if event["event"] in ("finished", "failed"):
            self.last = event

    def end(self, lost="without a word"):
        self.log.append((self.job.name, "ends" if self.last else lost))


class PaperTasks:
    plan = SimpleNamespace(plugin_files=["somebody's"])

    def __init__(self, names, log):
        self.left = [Paper(name, log) for name in names]

    @property
    def waiting(self):
        return len(self.left)

    def next(self):
        return self.left.pop(0) if self.left else None


class PaperProcess:
    def __init__(self):
        self.stdin, self.returncode, self.ended, self.asked = io.StringIO(), 9, 0, ""

    def kill(self):
        self.ended += 1
        self.asked = self.stdin.getvalue()

    def wait(self):
        pass


def played(monkeypatch, names, workers, script):
    """What happens when workers say so: a script of the worker's place, counted from the first, and what it says."""
    log = []
    pool = _Pool(PaperTasks(names, log))
    every = []

    def start():
        every.append(_Worker(PaperProcess()))
        pool.workers.append(every[-1])

    def get():
        place, said = script.pop(0)
        return every[place], {"event": said} if said else None

    monkeypatch.setattr(pool, "_start", start)
    monkeypatch.setattr(pool, "events", SimpleNamespace(get=get))
    # a task that is ended for a worker that is gone is one that has said nothing
    monkeypatch.setattr(local, "Task", lambda job, tasks: Paper(job.name, log))
    pool.run(workers)
    assert script == [], "it goes on to the end and no further"
    assert all(worker.process.ended == 1 and worker.process.stdin.closed for worker in every)
    return log, [[json.loads(line)["name"] for line in worker.process.asked.splitlines()] for worker in every]


def test_a_worker_takes_one_job_after_another_when_it_is_ready(monkeypatch):
    log, asked = played(monkeypatch, ["a", "b", "c"], 2, [
        (1, "ready"), (1, "progress"), (0, "ready"), (1, "finished"), (0, "failed"), (1, "finished"),
    ])  # fmt: skip
    assert log == [
        ("a", "progress"), ("a", "finished"), ("a", "ends"), ("b", "failed"), ("b", "ends"), ("c", "finished"),
        ("c", "ends"),
    ]  # fmt: skip
    assert asked == [["b"], ["a", "c"]]


def test_a_worker_that_ends_costs_its_job_and_another_takes_its_place(monkeypatch):
    lost = "the worker process ended with code 9 (out of memory?)"
    log, asked = played(monkeypatch, ["a", "b"], 1, [(0, "ready"), (0, None), (1, "ready"), (1, "finished")])
    assert log == [("a", lost), ("b", "finished"), ("b", "ends")]
    assert asked == [["a"], ["b"]]
    # where nothing waits nobody is started
    log, asked = played(monkeypatch, ["a"], 1, [(0, "ready"), (0, "progress"), (0, None)])
    assert log == [("a", "progress"), ("a", lost)]
    assert asked == [["a"]]


def test_where_workers_end_before_they_are_ready_it_is_given_up(monkeypatch):
    assert local.STARTS == 3
    log, asked = played(monkeypatch, ["a", "b"], 1, [(0, None), (1, None), (2, None)])
    assert log == [("a", "no worker process could be started"), ("b", "no worker process could be started")]
    assert asked == [[], [], []]
    # one that is ready breaks the row
    gone = [(0, None), (1, None), (2, "ready"), (3, None), (2, None), (4, None), (5, None), (6, None)]
    log, asked = played(monkeypatch, ["a", "b"], 2, gone)
    assert [name for name, _ in log] == ["a", "b"]
    assert log[0][1].startswith("the worker process ended")
    assert log[1][1] == "no worker process could be started"
    assert asked == [[], [], ["a"], [], [], [], []]


def test_workers_that_are_not_as_the_plan_do_nothing(monkeypatch):
    log = []
    pool = _Pool(PaperTasks(["a", "b"], log))
    worker = _Worker(PaperProcess())
    monkeypatch.setattr(pool, "_start", lambda: pool.workers.append(worker))
    said = [(worker, {"event": "unfit", "error": "loss.mine changed"}), (worker, None)]
    monkeypatch.setattr(pool, "events", SimpleNamespace(get=lambda: said.pop(0)))
    pool.run(1)
    assert log == [("a", "loss.mine changed"), ("b", "loss.mine changed")]


def test_a_pool_is_no_larger_than_its_work(monkeypatch):
    started = []
    monkeypatch.setattr(_Pool, "run", lambda self, workers: started.append(workers))
    Local(4).run(PaperTasks(["a", "b"], []))
    Local(2).run(PaperTasks(["a", "b", "c"], []))
    assert started == [2, 2]
    assert [Local(n).workers for n in (0, 1, 3)] == [1, 1, 3]


def test_without_processes_the_work_is_done_here():
    log = []
    tasks = PaperTasks(["a", "b"], log)
    for task in tasks.left:
        task.perform = lambda task=task: task.take({"event": "finished"})
    Local(0).run(tasks)
    assert log == [("a", "finished"), ("a", "ends"), ("b", "finished"), ("b", "ends")]


@pytest.mark.parametrize(("device", "workers", "own", "known", "expected"), [
    ("cpu", None, False, False, 5), ("cpu", 1, False, False, 0), ("cpu", 2, False, False, 2),
    ("cpu", 1, True, True, 1), ("cpu", None, True, True, 5), ("cpu", 3, True, False, 0), ("cpu", 1, True, False, 0),
    ("cuda", None, False, False, 0), ("cuda", 3, True, True, 3), ("cuda", None, True, True, 0),
    ("cuda", 3, True, False, 0), ("cuda", 1, False, False, 0),
])  # fmt: skip
def test_the_number_of_workers(own_registry, monkeypatch, tmp_path, device, workers, own, known, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(5)), raising=False)
    overrides = []
    if own:
        file = tmp_path / "mine.py"
        file.write_text(
            "from ganbench import register\n\n@register('loss')\ndef mine(real_logits, fake_logits):\n"
            "    return fake_logits.mean() - real_logits.mean(), -fake_logits.mean()\n"
        )
        registry.load_file(file)
        overrides = ["loss=mine"]
    plan = resolve(None, overrides)
    plan = replace(plan, plugin_files=plan.plugin_files if known else ())
    assert pick_workers(plan, device, workers) == expected
    assert choose(plan, device, workers) == Local(expected)


@pytest.mark.parametrize("workers", [0, -1, True, 1.0, "2"])
def test_an_odd_number_of_workers_is_refused(workers):
    with pytest.raises(UserError, match=r"^The number of workers must be at least 1, got "):
        pick_workers(resolve(None), "cpu", workers)


def test_where_the_system_counts_no_cores_there_is_one(monkeypatch):
    plan = resolve(None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    for count, expected in ((7, 7), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert pick_workers(plan, "cpu", None) == expected


def test_a_worker_is_this_interpreter_on_one_core_with_the_paths_of_this_process(monkeypatch, tmp_path):
    started = {}

    class Process(PaperProcess):
        def __init__(self, words, **more):
            super().__init__()
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            started.update(more, words=words, held_back=signal.SIGINT in blocked)
            self.stdout = io.StringIO('{"event": "ready"}\n{"event": "finished"}\n')

    monkeypatch.setattr(local.subprocess, "Popen", Process)
    monkeypatch.setattr(sys, "path", ["", "/a", "relative", "/a"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEPT", "1")
    store = SimpleNamespace(path=Path("study"))
    tasks = SimpleNamespace(store=store, device="cpu", plan=SimpleNamespace(plugin_files=("/x.py", "/y.py")))
    pool = _Pool(tasks)
    pool._start()
    (worker,) = pool.workers
    said = [pool.events.get(timeout=30) for _ in range(3)]
    assert said == [(worker, {"event": "ready"}), (worker, {"event": "finished"}), (worker, None)]
    assert started["words"] == [
        sys.executable, "-P", "-m", "ganbench.executors.worker", str(tmp_path / "study"), "cpu", "/x.py", "/y.py",
    ]  # fmt: skip
    environment = started["env"]
    assert {key: environment[key] for key in ("KEPT", "OMP_NUM_THREADS", "MKL_NUM_THREADS")} == {
        "KEPT": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
    }  # fmt: skip
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(local.PACKAGE.parent), "/a", str(tmp_path / "relative")]
    assert (started["text"], started["stdin"], started["stdout"]) == (True, subprocess.PIPE, subprocess.PIPE)
    # it inherits that Ctrl-C waits, and this process goes on to hear it
    assert started["held_back"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert (worker.task, worker.ready) == (None, False)


def test_ending_a_process_waits_for_it_and_closes_what_it_reads(monkeypatch):
    done = []
    pipe = SimpleNamespace(close=lambda: done.append("close") or raise_broken())

    def raise_broken():
        raise BrokenPipeError

    local._end(SimpleNamespace(kill=lambda: done.append("kill"), wait=lambda: done.append("wait"), stdin=pipe))
    assert done == ["kill", "wait", "close"]
