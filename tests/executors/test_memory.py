"""Where memory is too little for a population it goes on with fewer runs at once, and says so; nobody else pays."""

import os
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from same import equal

from ganbench import api
from ganbench.advancing import Course
from ganbench.executors import isolate, work
from ganbench.executors.blame import Failure, Schedule, units
from ganbench.executors.work import Job, name_of, populations
from ganbench.results.store import Store
from ganbench.suite import resolve
from ganbench.training import loop

GRID = ["problem=ring8", "seeds=4", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=4",
        "probe_every=2"]  # fmt: skip
SHORT = Failure("not enough memory", memory=True)
KILLED = Failure("ended by the signal SIGKILL", killed=True)


# ------------------------------------------------------------------------------------------ what an error says


def raised(work):
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def too_large_for_a_cpu():
    return torch.empty(10**15)


@pytest.mark.parametrize("error", [
    raised(too_large_for_a_cpu), raised(lambda: bytearray(2**62)), torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), RuntimeError("CUDA error: out of memory\nCompile with"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
])  # fmt: skip
def test_what_says_that_memory_was_too_little(error):
    assert work.is_for_memory(error)


class MuteError(RuntimeError):
    def __str__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize("error", [
    ValueError("out of memory"), RuntimeError("shapes differ"), SystemExit("out of memory"), MuteError(),
])  # fmt: skip
def test_what_does_not(error):
    assert not work.is_for_memory(error)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are split")
def test_who_is_killed_by_another_may_have_lacked_memory_and_who_is_late_or_ends_otherwise_has_not():
    def did(work, **more):
        return isolate.run(work, lambda event: None, **more).killed

    assert did(lambda emit: os.kill(os.getpid(), signal.SIGKILL))
    assert not did(lambda emit: os.kill(os.getpid(), signal.SIGTERM))
    assert not did(lambda emit: os._exit(9))
    assert not did(lambda emit: time.sleep(100), limit=0.1), "this package has killed it"


# ------------------------------------------------------------------------------------------ what follows


@pytest.fixture
def planned(tmp_path):
    """A function that lays out a study of one population of losses with some seeds, and its schedule."""

    def make(losses, seeds):
        plan = resolve(None, [text for text in GRID if "seeds" not in text] + [f"loss={losses}", f"seeds={seeds}"])
        store, told = Store(tmp_path / "study"), []
        store.begin(plan)
        ((name, runs),) = populations(plan, "cpu").items()
        schedule = Schedule(store, plan, {name: runs}, lambda *words: told.append(words))
        job = schedule.next()
        store.population(name).begin(runs)
        return SimpleNamespace(store=store, plan=plan, schedule=schedule, job=job, runs=runs, told=told)

    return make


def left(schedule):
    jobs = []
    while job := schedule.next():
        jobs.append(job)
    return sorted(jobs, key=lambda job: [run.id for run in job.runs])


def jobs(*parts):
    return sorted((Job(name_of(runs), tuple(runs)) for runs in parts), key=lambda job: [run.id for run in job.runs])


def failed(store):
    return {folder.id for folder in store.populations() if folder.failed()}


@pytest.mark.parametrize(("losses", "seeds", "failure"), [
    ("hinge", 5, SHORT), ("hinge", 5, KILLED), ("hinge,minimax,focal", 3, SHORT),
])  # fmt: skip
def test_a_population_goes_on_in_halves_and_nobody_has_failed(planned, losses, seeds, failure):
    one = planned(losses, seeds)
    assert list(one.schedule.ended(one.job, failure)) == []
    half = (len(one.runs) + 1) // 2
    assert left(one.schedule) == jobs(one.runs[:half], one.runs[half:])
    assert failed(one.store) == set()
    ((name, text),) = one.told
    assert name == one.job.name
    sizes = f"{half} and {len(one.runs) - half}"
    assert text == f"{name}: {failure.error}, with {len(one.runs)} runs at once; {sizes} of them go on apart."
    # a command that is ended now, and repeated, goes on with the halves
    again = units(one.store, populations(one.plan, "cpu"))
    assert sorted(map(len, again.values())) == sorted([half, len(one.runs) - half])


def test_halves_are_halved_again_until_a_run_is_alone_and_that_has_failed(planned):
    one = planned("hinge", 4)
    final, todo, sizes = [], [one.job], []
    while todo:
        sizes.append(len(todo[0].runs))
        final += one.schedule.ended(todo[0], SHORT)
        todo = [*todo[1:], *left(one.schedule)]
    assert sorted(sizes) == [1, 1, 1, 1, 2, 2, 4]
    assert sorted(name for name, _ in final) == sorted(name_of([run]) for run in one.runs) == sorted(failed(one.store))


def test_whose_loss_asked_for_too_much_goes_on_apart_and_then_in_halves(planned):
    one = planned("hinge,minimax", 3)
    first, second = one.runs[:3], one.runs[3:]
    guilty = Failure("MemoryError", guilty=tuple(run.id for run in second), memory=True)
    assert list(one.schedule.ended(one.job, guilty)) == []
    assert left(one.schedule) == jobs(first, second)
    assert list(one.schedule.ended(Job(name_of(second), tuple(second)), guilty)) == []
    assert left(one.schedule) == jobs(second[:2], second[2:])
    assert failed(one.store) == set()


def test_of_several_variants_that_were_killed_each_is_tried_alone_first(planned):
    one = planned("hinge,minimax", 3)
    assert list(one.schedule.ended(one.job, KILLED)) == []
    first, second = left(one.schedule)
    assert first.until > 0
    assert list(one.schedule.ended(first, None)) == []
    assert list(one.schedule.ended(second, KILLED)) == []
    assert left(one.schedule) == jobs(first.runs, second.runs[:2], second.runs[2:])
    assert failed(one.store) == set()


def test_what_breaks_for_another_reason_is_not_halved(planned):
    one = planned("hinge", 4)
    assert [name for name, _ in one.schedule.ended(one.job, Failure("ValueError"))] == [one.job.name]
    assert left(one.schedule) == []
    assert one.told == []


# ------------------------------------------------------------------------------------------ trained


def test_a_population_too_large_for_the_device_ends_with_the_same_numbers(tmp_path, monkeypatch):
    """At sizes that fill registers, where a run's bits do not depend on who trains with it."""
    grid = [*GRID, "loss=hinge,wasserstein"]
    clean = api.run(None, grid, out=tmp_path / "clean", workers=1)
    make, sizes, told = loop.make_learner, [], []

    def small(runs, problem, device):
        learner = make(runs, problem, device)
        sizes.append(len(runs))
        advance = learner.advance

        def checked():
            if len(runs) > 2 and learner.step == 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB.")
            advance()

        learner.advance = checked
        return learner

    monkeypatch.setattr(loop, "make_learner", small)
    study = api.run(
        None, grid, out=tmp_path / "study", workers=1,
        watch=lambda name, event: told.append(event["text"]) if event["event"] == "told" else None,
    )  # fmt: skip
    assert sorted(sizes) == [2, 2, 2, 2, 4, 4, 8]
    assert [text.partition(": ")[2] for text in told] == [
        f"not enough memory for 1 TiB, with {runs} runs at once; {half} and {half} of them go on apart."
        for runs, half in ((8, 4), (4, 2), (4, 2))
    ]
    equal(study, clean, apart=["memory_mb"])


PLANTED = '''
import os
import signal

import torch

from ganbench.training import loop

make = loop.make_learner


def small(runs, problem, device):
    """A population that breaks in the middle of its training where it has more than two runs."""
    learner = make(runs, problem, device)
    advance = learner.advance

    def checked():
        if len(runs) > 2 and learner.step == 3:
            BODY
        advance()

    learner.advance = checked
    return learner


loop.make_learner = small
'''


@pytest.mark.slow
@pytest.mark.parametrize("body", ["raise torch.OutOfMemoryError('CUDA out of memory')", "torch.empty(10**15)",
                                  "bytearray(2**62)", "os.kill(os.getpid(), signal.SIGKILL)"])  # fmt: skip
def test_workers_go_on_with_fewer_runs_at_once(own_registry, tmp_path, monkeypatch, body):
    monkeypatch.setattr(loop, "make_learner", loop.make_learner)
    file, told = tmp_path / "planted.py", []
    clean = api.run(None, GRID, out=tmp_path / "clean", workers=1)
    file.write_text(PLANTED.replace("BODY", body))
    study = api.run(
        None, GRID, plugins=[file], out=tmp_path / "study", workers=2,
        watch=lambda name, event: told.append(event["text"]) if event["event"] == "told" else None,
    )  # fmt: skip
    assert len(told) == 1
    assert told[0].endswith(", with 4 runs at once; 2 and 2 of them go on apart.")
    equal(study, clean, apart=["memory_mb"])


def test_what_is_said_of_a_part_of_a_population_is_shown_too(planned):
    one = planned("hinge", 4)
    course = Course(one.plan, "cpu", one.store.path)
    for name in (one.job.name, "a-half-of-it"):
        assert course.take(name, {"event": "told", "text": "it goes on"}) == "it goes on"
