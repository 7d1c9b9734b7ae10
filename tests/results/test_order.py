"""In which order a study is written: whatever write is the last to happen, what remains reads and goes on."""

import os
import pathlib

import numpy as np
import pytest

from ganbench.files import append_line
from ganbench.results.store import Store
from ganbench.suite import resolve

PLAN = resolve(None, ["loss=hinge", "seeds=2"])


class Killed(Exception):  # noqa: N818 - what a kill does
    pass


@pytest.fixture
def population(tmp_path):
    store = Store(tmp_path / "study")
    store.begin(PLAN)
    folder = store.population("p")
    folder.begin(PLAN.runs)
    return folder


@pytest.fixture
def killed_at(monkeypatch):
    """Let only so many changes of the disk happen: renames, appended lines, removals; the next one raises."""

    def arrange(changes):
        left = [changes]

        def counted(original):
            def change(*args, **kwargs):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return original(*args, **kwargs)

            return change

        for room in ("store", "population"):
            monkeypatch.setattr(f"ganbench.results.{room}.append_line", counted(append_line))
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(os, name, counted(getattr(os, name)))
            monkeypatch.setattr(pathlib.Path, name, counted(getattr(pathlib.Path, name)))
        return monkeypatch

    return arrange


def interrupted(killed_at, write, changes):
    """Make a write that is killed after so many changes; tell whether it was."""
    patch = killed_at(changes)
    try:
        write()
    except Killed:
        return True
    finally:
        patch.undo()
    return False


def probe(folder, step):
    folder.append(step, {"score": [float(step), 0.5]}, np.full((2, 3, 2), step, dtype=np.float16))


def test_a_probe_counts_only_with_its_samples(population, killed_at):
    probe(population, 0)
    changes = 0
    while interrupted(killed_at, lambda: probe(population, 10), changes):
        assert set(population.series()) == {0}, "the line is the last thing to be written"
        changes += 1
    assert changes >= 1
    fresh = Store(population.path.parents[1]).population("p")
    assert set(fresh.series()) == set(fresh.samples(0)) == {0, 10}


def test_a_population_is_complete_before_its_checkpoint_goes(population, killed_at):
    probe(population, 0)
    changes = 0

    def finish():
        population.finish({"train": 1.0, "probe": 0.0}, [-1, 7])

    population.checkpoint.write_bytes(b"state")
    while interrupted(killed_at, finish, changes):
        assert population.checkpoint.exists() or population.done()
        changes += 1
    assert changes >= 2
    assert population.done()["diverged_step"] == [-1, 7]
    assert not population.checkpoint.exists()


def test_a_problem_counts_only_with_its_samples(population, killed_at):
    folder = Store(population.path.parents[1]).problem("ring8")
    changes = 0
    while interrupted(killed_at, lambda: folder.write({"oracle": {"score": 1.0}}, np.ones((2, 2))), changes):
        assert not folder.exists() or folder.read()["real"].shape == (2, 2)
        changes += 1
    assert changes >= 2
    assert folder.read()["real"].shape == (2, 2)


def test_a_study_that_starts_over_has_a_plan_until_its_results_are_gone(population, killed_at):
    store = Store(population.path.parents[1])
    probe(population, 0)
    store.log_session({"command": "x"})
    (store.path / "report.html").write_text("old")
    changes = 0
    while interrupted(killed_at, lambda: store.begin(PLAN, fresh=True), changes):
        left = {path.name for path in store.path.iterdir()} - {"lock"}
        assert store.exists() or not {name for name in left if not name.startswith(".")}, left
        changes += 1
        if not store.exists():
            store.begin(PLAN)
    assert changes >= 3
    assert store.read_plan() == PLAN
    assert store.populations() == []


@pytest.mark.parametrize(("step", "kept"), [(-1, []), (0, [0]), (9, [0]), (10, [0, 10]), (11, [0, 10]),
                                            (20, [0, 10, 20]), (99, [0, 10, 20])])  # fmt: skip
def test_going_back_keeps_the_step_itself_and_what_was_before(population, step, kept):
    for at in (0, 10, 20):
        probe(population, at)
    population.finish({"train": 1.0, "probe": 0.0}, [-1, -1])
    population.rewind(step)
    fresh = Store(population.path.parents[1]).population("p")
    assert list(fresh.series()) == kept
    assert list(fresh.samples(0)) == kept
    assert fresh.done() is None
    assert [values["score"] for values in fresh.series().values()] == [[float(at), 0.5] for at in kept]
    probe(fresh, 12)
    assert sorted({*kept, 12}) == list(fresh.series())


def test_going_back_undoes_the_completion_first(population, killed_at):
    for at in (0, 10):
        probe(population, at)
    population.finish({"train": 1.0, "probe": 0.0}, [-1, -1])
    changes = 0
    while interrupted(killed_at, lambda: population.rewind(0), changes):
        # what was complete is whole, or is complete no more
        assert population.done() is None or list(population.series()) == [0, 10]
        changes += 1
    assert changes >= 2
    assert list(population.series()) == [0]


def test_begin_clears_a_failure_only_once_the_runs_are_known(population, killed_at):
    population.fail("out of luck")
    changes = 0
    while interrupted(killed_at, lambda: population.begin(PLAN.runs[:1]), changes):
        assert population.failed() is not None
        changes += 1
    assert changes >= 1
    assert population.failed() is None
    assert population.runs() == [PLAN.runs[0].id]


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x00", b'{"step": \xc3', b"\x00" * 100])
def test_bytes_that_are_no_text_cost_their_own_line(population, garbage):
    probe(population, 0)
    with (population.path / "series.jsonl").open("ab") as stream:
        stream.write(garbage + b"\n")
    probe(population, 10)
    assert list(population.series()) == [0, 10]
