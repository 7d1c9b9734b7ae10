"""Whole jobs of `ganbench bench --jobs`: a study beside ordinary loops, and the figures that follow from seconds."""

import io
import itertools
import json
import os
import runpy
import sys
from types import SimpleNamespace

import pytest
import torch

from ganbench import bench, whole_job
from ganbench.suite import resolve
from ganbench.whole_job import Job, Spent

SMALL = bench.Work(4, 1, 16, seeds=2)


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(whole_job, "cores", lambda: 2)


def test_what_is_run_and_for_how_long():
    jobs = [(work.name, steps) for work, steps in whole_job.JOBS]
    assert jobs == [("30 runs of 2 x 64, batch 128", 5000), ("30 runs of 3 x 128, batch 256", 1000)]
    assert whole_job.LOOP_SECONDS == 3.0


@pytest.mark.usefixtures("two_cores")
def test_two_rows_are_of_the_wall_and_one_of_processors():
    """Ratios 10, 6, 6 and 4, 8, 4 of the wall and 11, 1, 10 of processors."""
    ours = Spent(2, 3), Spent(4, 30), Spent(5, 6)
    script = Spent(20, 1), Spent(24, 1), Spent(30, 1)
    job = Job(SMALL, 3, ours, script, (Spent(8, 33), Spent(32, 30), Spent(20, 60)))
    assert job.rows() == [
        (
            "12 runs of 1 x 4, batch 16, 3 steps: s, over one script",
            "4.0",
            "24.0",
            "6.0 (6.0 to 10.0)",
            "",
        ),
        ("over a script on each of 2 cores: s", "4.0", "20.0", "4.0 (4.0 to 8.0)", ""),
        ("the same: processor s", "6.0", "33.0", "10.0 (1.0 to 11.0)", ""),
    ]


@pytest.mark.parametrize(("seen", "count", "cores"), [({0, 3}, 8, 2), (None, 8, 8), (None, None, 1)])
def test_cores_are_those_that_may_be_used(monkeypatch, seen, count, cores):
    if seen is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0: seen}[process], raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert whole_job.cores() == cores


def test_rounds_alternate(monkeypatch):
    log = []
    monkeypatch.setattr(whole_job, "_as_study", lambda *asked: log.append(asked) or Spent(len(log), 0))
    monkeypatch.setattr(whole_job, "_as_loops", lambda *asked: log.append(asked) or Spent(len(log), 0))
    monkeypatch.setattr(whole_job, "cores", lambda: 3)
    found = whole_job.whole_job(SMALL, 7, 2)
    assert found == Job(SMALL, 7, *((Spent(at, 0), Spent(at + 3, 0)) for at in (1, 2, 3)))
    assert log == [(SMALL, 7), (SMALL, 7, 1, 3), (SMALL, 7, 3, 1)] * 2


def test_a_study_is_timed_with_all_that_belongs_to_it(monkeypatch):
    """Five seconds of the wall; of processors two by itself and three by those that it waited for."""
    now, used, asked = (
        [10.0],
        {whole_job.resource.RUSAGE_SELF: [1.0, 2.0], whole_job.resource.RUSAGE_CHILDREN: [4, 8]},
        {},
    )
    monkeypatch.setattr(whole_job.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(
        whole_job.resource, "getrusage", lambda who: SimpleNamespace(ru_utime=used[who][0], ru_stime=used[who][1])
    )

    def run(suite, overrides, out, device):
        assert out.parent.is_dir()
        asked.update(plan=resolve(suite, overrides), out=out, device=device)
        now[0] += 5.0
        for seconds, more in zip(used.values(), ((0.5, 1.5), (1.0, 2.0)), strict=True):
            seconds[:] = [a + b for a, b in zip(seconds, more, strict=True)]

    monkeypatch.setattr(whole_job.api, "run", run)
    assert whole_job._processor() == 15.0
    assert whole_job._as_study(SMALL, 2) == Spent(5.0, 5.0)
    assert (len(asked["plan"].runs), asked["plan"].variants[0].steps, asked["device"]) == (12, 2, "cpu")
    assert asked["out"].name == "study"
    assert not asked["out"].parent.exists()


def test_scripts_begin_together(monkeypatch):
    """Two and four run-steps a second together do 12 x 100 in 200 s; each costs 0.25 and 0.75 s of a processor."""
    log = []

    class Process:
        def __init__(self, command, **words):
            self.number = sum(word == "start" for word, _ in log)
            log.append(("start", self.number))
            assert command == [sys.executable, "-m", "ganbench.whole_job", "4", "1", "16", "5"]
            assert words["text"] is True
            assert (words["stdin"], words["stdout"]) == (whole_job.subprocess.PIPE,) * 2
            own = {"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "5"}
            assert words["env"] == {**os.environ, **own}
            self.stdin, self.stdout = self, io.StringIO("ready\n")
            self.stdout.readline = lambda: log.append(("ready", self.number))

        def write(self, text):
            log.append((text, self.number))

        def flush(self):
            log.append(("flush", self.number))

        def communicate(self):
            log.append(("wait", self.number))
            return json.dumps({"wall": (0.5, 0.25)[self.number], "processor": (0.25, 0.75)[self.number]}), None

    monkeypatch.setattr(whole_job.subprocess, "Popen", Process)
    assert whole_job._as_loops(SMALL, 100, 2, 5) == Spent(200.0, 600.0)
    first = [(word, 0) for word in ("start", "ready", "go\n", "flush", "wait")]
    second = [(word, 1) for word, _ in first]
    assert log == [first[0], second[0], first[1], second[1], *first[2:4], *second[2:4], first[4], second[4]]


@pytest.mark.parametrize("asked", [lambda: whole_job._loop(bench.Work(2, 1, 4, seeds=1), 3), None])
def test_a_loop_tells_seconds_of_a_run_step(monkeypatch, capsys, asked):
    """Begun at 0 of a clock whose looks are 1 s apart, it goes on below 3 s; told at 4 s of two steps of six losses."""
    made, heard, threads = [], io.StringIO("go\nmore\n"), set()
    monkeypatch.setattr("sys.stdin", heard)
    clock, used = itertools.count(0.0, 1.0), iter((10.0, 16.0))
    monkeypatch.setattr(whole_job.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(whole_job.time, "process_time", lambda: next(used))

    class Loop:
        def __init__(self, *words):
            self.words = words

        def step(self):
            made.append(self.words)
            threads.add(torch.get_num_threads())

    monkeypatch.setattr(bench, "OrdinaryLoop", Loop)
    monkeypatch.setattr(whole_job, "OrdinaryLoop", Loop)
    if asked:
        asked()
    else:
        monkeypatch.setattr(sys, "argv", ["it", "2", "1", "4", "3"])
        runpy.run_path(whole_job.__file__, run_name="__main__")
    ready, told = capsys.readouterr().out.splitlines()
    assert (ready, json.loads(told)) == ("ready", {"wall": 4.0 / 12, "processor": 6.0 / 12})
    assert heard.read() == "more\n"
    assert threads == {3}
    # one to warm up, and two
    assert [words[0] for words in made] == [*bench.LOSSES] * 3
    sizes = {(work.width, work.depth, work.batch, work.seeds, str(device)) for _, work, device in made}
    assert sizes == {(2, 1, 4, 1, "cpu")}
