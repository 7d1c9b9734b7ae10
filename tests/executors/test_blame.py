"""What follows from a population that failed: who is tried, who goes on with whom, and what is recorded of whom."""

from types import SimpleNamespace

import numpy as np
import pytest
from overriding import over

from ganbench.executors import blame
from ganbench.executors.blame import LANES, MARGIN, Failure, Schedule, units
from ganbench.executors.work import Job, cost, name_of, populations
from ganbench.results.store import Store
from ganbench.suite import resolve
from ganbench.training import grouping

GRID = ["problem=ring8", "batch_size=16", "samples=64", "neighbours=32", "network.mlp.width=8", "steps=1000",
        "loss=hinge,minimax,focal"]  # fmt: skip


def planned(tmp_path, *more, seeds=2):
    plan = resolve(None, over([*GRID, f"seeds={seeds}", *more]))
    store = Store(tmp_path / "study")
    store.begin(plan)
    return store, plan


@pytest.fixture
def one(tmp_path):
    """A study of one population of three variants, the schedule of it, and its first job."""
    store, plan = planned(tmp_path)
    ((name, runs),) = populations(plan, "cpu").items()
    schedule = Schedule(store, plan, {name: runs})
    job = schedule.next()
    assert job == Job(name, tuple(runs))
    store.population(name).begin(runs)
    return SimpleNamespace(store=store, plan=plan, schedule=schedule, job=job, by=by_variant(runs))


def by_variant(runs):
    found = {}
    for run in runs:
        found.setdefault(run.variant, []).append(run)
    return list(found.values())


def left(schedule):
    jobs = []
    while job := schedule.next():
        jobs.append(job)
    return jobs


def reasons(store):
    return {folder.id: folder.failed() for folder in store.populations() if folder.failed()}


def test_the_longest_is_done_first(tmp_path):
    store, plan = planned(tmp_path, "loss=hinge", "steps=10,40,20")
    work = populations(plan, "cpu")
    schedule = Schedule(store, plan, work)
    jobs = left(schedule)
    assert [job.runs[0].variant.steps for job in jobs] == [40, 20, 10]
    assert all(work[job.name] == list(job.runs) and job.until == 0 for job in jobs)
    assert sorted(map(cost, work.values()), reverse=True) == [cost(list(job.runs)) for job in jobs]
    assert schedule.next() is None


def test_nothing_follows_from_an_end_without_failure(one):
    assert list(one.schedule.ended(one.job, None)) == []
    assert left(one.schedule) == []
    assert reasons(one.store) == {}


def test_a_variant_alone_is_to_blame_itself(tmp_path):
    store, plan = planned(tmp_path, "loss=hinge")
    ((name, runs),) = populations(plan, "cpu").items()
    schedule = Schedule(store, plan, {name: runs})
    job = schedule.next()
    assert list(schedule.ended(job, Failure("it broke", "in detail", 7))) == [(name, "it broke")]
    assert reasons(store) == {name: {"error": "it broke", "details": "in detail"}}
    assert left(schedule) == []
    assert not store.population(name).output.exists()
    told = list(schedule.ended(job, Failure("it broke", output="words\n")))
    file = store.population(name).output
    assert told == [(name, f"it broke; its output is in '{file}'")]
    assert file.read_text() == "words\n"


def test_known_culprits_are_parted_from_the_others_at_once(one):
    first, second, third = one.by
    failure = Failure("it broke", guilty=tuple(run.id for run in second))
    assert list(one.schedule.ended(one.job, failure)) == [(name_of(second), "it broke")]
    rest = [*first, *third]
    assert left(one.schedule) == [Job(name_of(rest), tuple(rest))]
    assert reasons(one.store) == {name_of(second): {"error": "it broke", "details": ""}}
    assert one.store.population(name_of(second)).runs() == [run.id for run in second]
    assert not one.store.population(one.job.name).path.exists()


def test_where_all_are_known_to_be_guilty_nobody_goes_on(one):
    failure = Failure("it broke", guilty=tuple(run.id for run in one.job.runs))
    assert [name for name, _ in one.schedule.ended(one.job, failure)] == [name_of(runs) for runs in one.by]
    assert left(one.schedule) == []


@pytest.mark.parametrize(("step", "until"), [(0, MARGIN), (100, 100 + MARGIN), (799, 999), (800, 1000), (999, 1000)])
def test_unknown_culprits_are_tried_a_little_beyond_the_last_sign_of_life(one, step, until):
    assert MARGIN == 200
    one.schedule.waiting = [Job("another", one.job.runs)]
    assert list(one.schedule.ended(one.job, Failure("it broke", step=step))) == []
    assert reasons(one.store) == {one.job.name: {"error": "it broke", "details": ""}}
    jobs = left(one.schedule)
    assert jobs == [*(Job(one.job.name, tuple(runs), until) for runs in one.by), Job("another", one.job.runs)]


@pytest.mark.parametrize("guilty", [(0,), (1, 2), (0, 1, 2), ()])
def test_who_fails_when_tried_alone_is_guilty(one, guilty):
    list(one.schedule.ended(one.job, Failure("all broke")))
    trials = left(one.schedule)
    told = []
    for place, trial in enumerate(trials):
        assert told == [], "judged when all were tried"
        failure = Failure(f"{place} broke", output=f"{place}") if place in guilty else None
        told = list(one.schedule.ended(trial, failure))
    files = {place: one.store.population(name_of(one.by[place])).output for place in guilty}
    assert told == [(name_of(one.by[p]), f"{p} broke; its output is in '{files[p]}'") for p in guilty]
    jobs = left(one.schedule)
    if guilty:
        rest = [run for place, runs in enumerate(one.by) if place not in guilty for run in runs]
        assert jobs == ([Job(name_of(rest), tuple(rest))] if rest else [])
    else:  # nobody is to blame alone: each goes on alone
        assert sorted(jobs, key=str) == sorted((Job(name_of(runs), tuple(runs)) for runs in one.by), key=str)
    assert not one.store.population(one.job.name).path.exists()


@pytest.mark.parametrize(("rows", "runs", "alike"), [
    ([*range(16)], 32, True), ([*range(16, 32)], 32, True), ([*range(16)], 16, True), ([*range(16)], 20, False),
    ([*range(4)], 20, True),
    ([*range(5)], 20, False), ([*range(16, 20)], 20, True), ([*range(2, 18)], 32, False), ([*range(16, 31)], 32, False),
    ([*range(16), *range(32, 48)], 48, True), ([*range(16), *range(32, 40)], 40, True), ([*range(20)], 20, True),
    ([0, 2], 16, False),
])  # fmt: skip
def test_rows_that_move_by_whole_registers_keep_their_bits(rows, runs, alike):
    assert LANES == 16
    assert blame._computed_alike(rows, runs) is alike


def record(folder, runs, steps=(0, 20)):
    folder.begin(runs)
    for step in steps:
        values = {"a": [float(step + row) for row in range(len(runs))]}
        folder.append(
            step, values, np.zeros((len(runs), 3, 2), "float32") + np.arange(len(runs), dtype="float32")[:, None, None]
        )


@pytest.mark.parametrize(("seeds", "kept"), [(16, True), (2, False)])
def test_the_innocent_keep_what_was_recorded_where_it_would_be_the_same(tmp_path, monkeypatch, seeds, kept):
    monkeypatch.setitem(grouping.FEWEST, "cpu", 1)  # as one population
    store, plan = planned(tmp_path, seeds=seeds)
    ((name, runs),) = populations(plan, "cpu").items()
    schedule = Schedule(store, plan, {name: runs})
    job = schedule.next()
    record(store.population(name), runs)
    list(schedule.ended(job, Failure("it broke", guilty=tuple(run.id for run in runs[seeds : 2 * seeds]))))
    (rest,) = left(schedule)
    folder = store.population(rest.name)
    rows = [*range(seeds), *range(2 * seeds, 3 * seeds)]
    assert folder.series() == ({step: {"a": [float(step + row) for row in rows]} for step in (0, 20)} if kept else {})
    assert folder.runs() == ([run.id for run in rest.runs] if kept else [])
    if kept:
        assert [folder.samples(place)[20].mean() for place in (0, seeds)] == [0, 2 * seeds]


def test_what_was_recorded_of_other_runs_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(grouping.FEWEST, "cpu", 1)  # as one population
    store, plan = planned(tmp_path, seeds=16)
    ((name, runs),) = populations(plan, "cpu").items()
    schedule = Schedule(store, plan, {name: runs})
    job = schedule.next()
    record(store.population(name), runs[::-1])
    list(schedule.ended(job, Failure("it broke", guilty=tuple(run.id for run in runs[:16]))))
    (rest,) = left(schedule)
    assert store.population(rest.name).series() == {}


# ------------------------------------------------------------------------------------------ parted before


def test_a_study_goes_on_in_the_parts_that_it_was_parted_in(tmp_path):
    store, plan = planned(tmp_path)
    work = populations(plan, "cpu")
    ((name, runs),) = work.items()
    assert units(store, work) == work, "as planned"
    first, second, third = by_variant(runs)
    store.population(name_of(second)).begin(second)
    rest = [*first, *third]
    assert units(store, work) == {name_of(second): second, name_of(rest): rest}
    # the rest was parted again
    store.population(name_of(rest)).begin(rest)
    store.population(name_of(third)).begin(third)
    assert units(store, work) == {name_of(runs): runs for runs in (second, third, first)}
    # what holds nothing of the plan, or all of it, parts nothing
    for folder in store.populations():
        folder.remove()
    store.population("strangers").begin([SimpleNamespace(id="nobody")])
    store.population("all of it").begin(runs)
    store.population(name).begin(runs)
    assert units(store, work) == work


def test_of_overlapping_parts_the_smallest_count():
    parts = [{1, 2, 3}, {3}, {1, 2}, {4, 5}, {5, 6}]
    assert list(blame._apart(parts)) == [{3}, {1, 2}, {4, 5}]
