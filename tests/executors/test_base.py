"""The protocol of executors: a few lines give the numbers, the blame and the resumption of the local one."""

import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from same import equal

from ganbench import api, interrupts
from ganbench.errors import UserError
from ganbench.executors import isolate, work
from ganbench.executors.base import ENDS, Task, Tasks
from ganbench.executors.blame import Failure
from ganbench.executors.local import Local, choose, pick_workers
from ganbench.registry import register
from ganbench.results.store import Store
from ganbench.suite import resolve

GRID = ["problem=ring8", "seeds=2", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=20",
        "probe_every=10", "loss=hinge,wasserstein", "normalization=none,spectral"]  # fmt: skip


class InThread:
    """Performs one task after another, each in a thread of its own."""

    workers = 1

    def __init__(self):
        self.done = []

    def run(self, tasks):
        while task := tasks.next():
            thread = threading.Thread(target=task.perform)
            thread.start()
            thread.join()
            task.end()
            self.done.append(task.job)


class Elsewhere:
    """Sends what names a task and the study's directory to another process, which knows nothing else, and loses some.

    Two tasks are out at a time, as on several machines.
    """

    workers = 2

    def __init__(self, lost=()):
        self.lost = set(lost)

    def run(self, tasks):
        while out := [task for task in (tasks.next(), tasks.next()) if task]:
            letters = [json.dumps([str(tasks.store.path), tasks.device, task.job.asked]) for task in out]
            for task, letter in zip(out, letters, strict=True):
                if task.job.name in self.lost:
                    task.end("its machine is gone")
                    continue
                isolate.run(lambda emit, letter=letter: self.there(letter, emit), task.take)
                task.end()

    @staticmethod
    def there(letter, emit):
        folder, device, asked = json.loads(letter)
        store = Store(Path(folder))
        plan = store.read_plan()
        torch.set_num_threads(1)
        work.perform(store, plan, work.Job.named(plan, asked), device, emit)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return api.run(None, GRID, out=tmp_path_factory.mktemp("local") / "study", workers=1)


@pytest.mark.parametrize("executor", [InThread(), Elsewhere()], ids=["thread", "process"])
def test_another_executor_gives_the_same_tables(executor, local, tmp_path):
    events = []
    study = api.run(
        None, GRID, out=tmp_path / "study", executor=executor, watch=lambda name, event: events.append((name, event))
    )
    equal(study, local)
    ends = [name for name, event in events if event["event"] in ENDS]
    assert sorted(ends) == sorted(folder.name for folder in (study.path / "populations").iterdir())
    assert len(ends) == 2
    progress = [event["step"] for name, event in events if event["event"] == "progress" and name == ends[0]]
    assert progress[-1] == 20
    assert study.provenance["workers"] == executor.workers


def test_what_is_lost_is_failed_with_its_reason_and_done_when_repeated(local, tmp_path):
    out = tmp_path / "study"
    names = list(work.populations(api.make_plan(None, GRID), "cpu"))
    study = api.run(None, GRID, out=out, executor=Elsewhere(lost=names[:1]))
    reasons = study.runs.groupby("normalization")[["status", "reason"]].agg(set).to_dict("index")
    lost, kept = {"status": {"failed"}, "reason": {"its machine is gone"}}, {"status": {"done"}, "reason": {""}}
    assert sorted(reasons.values(), key=str) == sorted([lost, kept], key=str)
    again = InThread()
    study = api.run(None, GRID, out=out, executor=again)
    assert set(study.runs["status"]) == {"done"}
    assert sum(len(job.runs) for job in again.done) == 4, "what had ended is not done again"


def test_the_guilty_fail_alone_whoever_trains(own_registry, tmp_path):
    @register("loss")
    def spiteful(real_logits, fake_logits):
        """Raises after some updates."""
        spiteful.calls += 1
        if spiteful.calls > 40:
            raise RuntimeError("enough")
        return (fake_logits - real_logits).mean(-1), -fake_logits.mean(-1)

    spiteful.calls = 0
    overrides = [text for text in GRID if not text.startswith(("loss", "norm"))] + ["loss=hinge,spiteful"]
    overrides = ["steps=60" if text == "steps=20" else text for text in overrides]
    study = api.run(None, overrides, out=tmp_path / "study", executor=InThread())
    by = study.runs.groupby("loss")[["status", "reason"]].agg(set).to_dict("index")
    assert by["hinge"] == {"status": {"done"}, "reason": {""}}
    assert by["spiteful"] == {"status": {"failed"}, "reason": {"RuntimeError: enough"}}


def test_an_executor_that_gives_up_leaves_the_rest_to_the_next_call(local, tmp_path):
    class Weary(InThread):
        def run(self, tasks):
            task = tasks.next()
            task.perform()
            task.end()
            assert tasks.waiting == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        api.run(None, GRID, out=tmp_path / "study", executor=Weary())
    assert sorted(set(api.load(tmp_path / "study").runs["status"])) == ["done", "pending"]
    rest = InThread()
    equal(api.run(None, GRID, out=tmp_path / "study", executor=rest), local)
    assert len(rest.done) == 1


def test_an_interruption_is_no_failure_whoever_trains(local, tmp_path, monkeypatch):
    class InOrder:
        workers = 1

        def run(self, tasks):
            while task := tasks.next():
                task.perform()
                task.end()

    monkeypatch.setattr(interrupts, "_arrived", [])
    signals = [signal.SIGINT]
    # a shell has its background jobs ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(name, event):
        if event["event"] == "progress" and signals:
            os.kill(os.getpid(), signals.pop())

    try:
        with pytest.raises(KeyboardInterrupt):
            api.run(None, GRID, out=tmp_path / "study", executor=InOrder(), watch=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert sorted(set(api.load(tmp_path / "study").runs["status"])) == ["pending", "running"]
    equal(api.run(None, GRID, out=tmp_path / "study", executor=InOrder()), local)


def test_workers_and_executor_exclude_each_other(tiny):
    with pytest.raises(UserError, match=r"^An executor has its own number of workers: give one of the two"):
        api.run(None, tiny, workers=2, executor=InThread())


def test_this_machine_is_chosen_unless_another_is_given(tiny):
    plan = resolve(None, tiny)
    assert choose(plan, "cpu", 3) == Local(3)
    assert choose(plan, "cpu", 1) == Local(0), "one worker with our own plug-ins is this process"
    assert choose(plan, "cuda") == Local(0), "on a GPU nobody waits for a core"
    assert choose(plan, "cuda", 3) == Local(3)
    assert choose(plan, "cpu", 1).workers == 1
    assert pick_workers(plan, "cpu", None) >= 1
    own = InThread()
    assert choose(plan, "cpu", None, own) is own


def test_a_job_is_named_by_plain_data(tiny):
    plan = resolve(None, tiny)
    job = work.Job("name", tuple(plan.runs[1:]), until=7)
    assert work.Job.named(plan, json.loads(json.dumps(job.asked))) == job


def test_tasks_are_handed_out_the_longest_first(tiny, tmp_path):
    plan = resolve(None, [*tiny, "critic_steps=1,3", "normalization=none"])
    store = Store(tmp_path / "study")
    store.begin(plan)
    tasks = Tasks(store, plan, work.populations(plan, "cpu"), "cpu", lambda name, event: None)
    given = []
    while task := tasks.next():
        given.append(task.job.runs[0].variant.critic_steps)
    assert given == [3, 1]
    assert tasks.waiting == 0


# ------------------------------------------------------------------------------------------ one task


class Noting:
    """Stands for the tasks of a study: notes what is asked of the schedule, and what is told to who watches."""

    def __init__(self, final=()):
        self.ended, self.told = [], []
        self.board = SimpleNamespace(hear=lambda *_: None, end=lambda _: None)
        self.schedule = SimpleNamespace(ended=lambda job, failure: self.ended.append((job, failure)) or iter(final))

    def watch(self, name, event):
        self.told.append((name, event))


def task(until=0, final=()):
    tasks = Noting(final)
    return Task(work.Job("it", (), until), tasks), tasks


@pytest.mark.parametrize("until", [0, 5])
def test_events_are_passed_on_until_the_end_and_trials_are_silent(until):
    one, tasks = task(until)
    events = [{"event": "progress", "step": 3}, {"event": "told"}, {"event": "progress", "step": 7}]
    for event in events:
        one.take(event)
    assert one.step == 7
    assert one.last is None
    assert tasks.told == ([] if until else [("it", event) for event in events])
    one.take({"event": "finished"})
    assert one.last == {"event": "finished"}
    one.end()
    assert tasks.ended == [(one.job, None)]
    assert tasks.told[len(events) :] == ([] if until else [("it", {"event": "finished"})])


@pytest.mark.parametrize(("last", "lost", "failure"), [
    ({"event": "failed", "error": "E"}, (), Failure("E", step=4)),
    ({"event": "failed", "error": "E", "details": "D", "output": "O", "guilty": ["a", "b"]}, ("gone",),
     Failure("E", "D", 4, ("a", "b"), "O")),
    ({"event": "failed", "error": "E", "memory": True}, (), Failure("E", step=4, memory=True)),
    ({"event": "failed", "error": "E", "killed": True}, (), Failure("E", step=4, killed=True)),
    (None, (), Failure("it ended without a word", step=4)), (None, ("its machine is gone",),
     Failure("its machine is gone", step=4)),
])  # fmt: skip
def test_a_failure_is_what_was_said_last_and_each_that_is_final_is_told(last, lost, failure):
    one, tasks = task(final=[("a part", "so"), ("another", "as well")])
    one.take({"event": "progress", "step": 4})
    tasks.told.clear()
    if last:
        one.take(last)
    one.end(*lost)
    assert tasks.ended == [(one.job, failure)]
    assert tasks.told == [
        ("a part", {"event": "failed", "error": "so"}), ("another", {"event": "failed", "error": "as well"}),
    ]  # fmt: skip
