"""The files of a study: what a kill may leave, who may write, what is refused and left as it was."""

import hashlib
import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from ganbench.errors import UserError
from ganbench.results.store import Store
from ganbench.suite import resolve

PLAN = resolve(None, ["loss=hinge", "seeds=2"])
OTHER = resolve(None, ["loss=minimax", "seeds=2"])


def contents(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def sentence(call) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "study")
    store.begin(PLAN)
    return store


@pytest.fixture
def population(store):
    folder = store.population("p")
    folder.begin(PLAN.runs)
    return folder


def probe(folder, step, value=0.5):
    folder.append(step, {"score": [value, float("nan")]}, np.full((2, 3, 2), step, dtype=np.float16))


# ------------------------------------------------------------------------------------------ what a kill leaves


def test_series_reads_back_with_its_nans(population):
    probe(population, 0, 0.25)
    probe(population, 10, 1 / 3)
    series = population.series()
    assert list(series) == [0, 10]
    assert series[10]["score"][0] == 1 / 3, "every bit"
    assert np.isnan(series[10]["score"][1])
    assert population.samples(1)[10].tolist() == [[10.0, 10.0]] * 3


@pytest.mark.parametrize("torn", ['{"step":10,"val', '{"step":10', "{", '{"step":10,"values":{"score":[0.5,NaN]}'])
def test_torn_last_line_is_left_out_and_the_next_is_not_glued_to_it(population, torn):
    probe(population, 0)
    file = population.path / "series.jsonl"
    with file.open("a") as stream:
        stream.write(torn)
    assert list(population.series()) == [0]
    probe(population, 10, 0.75)
    assert list(population.series()) == [0, 10]
    assert population.series()[10]["score"][0] == 0.75


def test_last_line_of_a_step_counts(population):
    for step, value in ((0, 0.1), (10, 0.2), (20, 0.3), (10, 0.25)):
        probe(population, step, value)
    assert {step: values["score"][0] for step, values in population.series().items()} == {0: 0.1, 10: 0.25, 20: 0.3}


def test_half_written_files_are_not_seen(population):
    probe(population, 0)
    (population.path / ".samples-10.npy.4242").write_bytes(b"half")
    (population.path / ".done.json.4242").write_text("{")
    assert list(population.samples(0)) == [0]
    assert population.done() is None


def test_problem_counts_once_its_record_is_whole(store):
    folder = store.problem("ring8")
    assert folder.read() == {}
    (store.path / "problems").mkdir()
    np.save(store.path / "problems" / "ring8.npy", np.zeros((2, 2)))
    assert not folder.exists()
    folder.write({"oracle": {"score": 1.0}}, np.ones((2, 2)))
    assert folder.read()["oracle"] == {"score": 1.0}
    assert folder.read()["real"].tolist() == [[1, 1], [1, 1]]


def test_kill_before_there_is_a_plan(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / ".plan.yaml.4242").write_text("half a pl")
    Store(folder).begin(PLAN)
    assert Store(folder).read_plan() == PLAN


def test_failure_is_cleared_when_it_is_tried_again(population):
    population.fail("RuntimeError: out of luck", "a traceback")
    assert population.failed() == {"error": "RuntimeError: out of luck", "details": "a traceback"}
    population.begin(PLAN.runs)
    assert population.failed() is None


def test_finish_drops_the_checkpoint(population):
    population.checkpoint.write_bytes(b"state")
    population.finish({"train": 1.5, "probe": 0.5}, [-1, 7])
    ended = {"seconds": {"train": 1.5, "probe": 0.5}, "diverged_step": [-1, 7], "series": ""}
    ended["sealed"] = population.done()["sealed"]
    assert population.done() == ended
    cost = {"gflop": [1.5, 2.5], "peak_bytes": 4000}
    population.finish({"train": 1.5, "probe": 0.0}, [-1, 7], cost)
    assert population.done() == ended | {"seconds": {"train": 1.5, "probe": 0.0}, "cost": cost}
    assert not population.checkpoint.exists()


# ------------------------------------------------------------------------------------------ whose study it is


def test_plan_reads_back(store):
    plan = store.read_plan()
    assert plan == PLAN
    assert plan.hash == PLAN.hash
    assert [run.id for run in plan.runs] == [run.id for run in PLAN.runs]


def test_study_of_another_plan_is_refused_and_untouched(store, population):
    probe(population, 0)
    before = contents(store.path)
    assert sentence(lambda: store.begin(OTHER)) == (
        f"The directory '{store.path}' holds a study of another plan (custom, {PLAN.hash}; this is custom, "
        f"{OTHER.hash}). Choose another --out, or start over with --fresh."
    )
    assert contents(store.path) == before


def test_begin_again_changes_nothing(store, population):
    probe(population, 0)
    before = contents(store.path)
    store.begin(PLAN)
    assert contents(store.path) == before


def test_directory_that_is_no_study_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    told = f"The output '{tmp_path}' exists and is not a study; choose another --out."
    assert sentence(lambda: Store(tmp_path).begin(PLAN)) == told
    assert sentence(lambda: Store(tmp_path).begin(PLAN, fresh=True)) == told
    assert contents(tmp_path).keys() == {"thesis.tex"}


def test_output_that_is_a_file_or_below_one(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    assert sentence(lambda: Store(file).begin(PLAN)) == (
        f"The output '{file}' exists and is not a study; choose another --out."
    )
    assert sentence(lambda: Store(file / "study").begin(PLAN)) == f"Cannot write to '{file}/study': Not a directory."


def test_missing_and_damaged_studies(tmp_path, store):
    assert sentence(lambda: Store(tmp_path / "no").read_plan()) == (
        f"There is no study in '{tmp_path / 'no'}' (no plan.yaml)."
    )
    for text in ("[1, 2]", "schema: 1\nname: x\n", "a: b: c"):
        store.plan_file.write_text(text)
        assert sentence(store.read_plan).startswith(f"The file '{store.plan_file}' is damaged: ")


# ------------------------------------------------------------------------------------------ one writer at a time


def test_second_writer_is_refused(store):
    with store.lock():
        told = sentence(lambda: Store(store.path).lock().__enter__())
    assert told == f"Another command is working on the study '{store.path}'."
    with Store(store.path).lock():
        pass


def test_starting_over_does_not_touch_a_study_that_is_being_written(store, population):
    probe(population, 0)
    before = contents(store.path)
    with store.lock():
        assert sentence(lambda: Store(store.path).begin(OTHER, fresh=True)) == (
            f"Another command is working on the study '{store.path}'."
        )
        assert contents(store.path).items() >= before.items()
        assert sentence(lambda: Store(store.path).lock().__enter__()).startswith("Another command")


def test_starting_over_keeps_what_is_not_ours(store, population):
    probe(population, 0)
    store.log_session({"command": "x"})
    (store.path / "notes.txt").write_text("mine")
    (store.path / "report.html").write_text("old")
    store.begin(OTHER, fresh=True)
    assert contents(store.path).keys() == {"plan.yaml", "notes.txt", "lock"}
    assert (store.path / "notes.txt").read_text() == "mine"


def test_starting_over(store, population):
    probe(population, 0)
    store.log_session({"command": "x"})
    (store.path / "report.html").write_text("old")
    store.begin(OTHER, fresh=True)
    assert store.read_plan() == OTHER
    assert store.populations() == []
    assert store.sessions() == []
    assert not (store.path / "report.html").exists()


def test_sessions_are_lines(store):
    store.log_session({"command": "a"})
    with (store.path / "sessions.jsonl").open("a") as stream:
        stream.write('{"comm')
    store.log_session({"command": "b"})
    assert store.sessions() == [{"command": "a"}, {"command": "b"}]
    assert len((store.path / "sessions.jsonl").read_text().splitlines()) == 3
    assert json.loads((store.path / "sessions.jsonl").read_text().splitlines()[0]) == {"command": "a"}


def test_other_margins_are_taken_over_by_a_study_that_goes_on(store):
    store.begin(resolve(None, ["loss=hinge", "seeds=2", "margins.score=0.3"]))
    assert store.read_plan().margins["score"] == 0.3
    assert store.read_plan().hash == PLAN.hash


# ------------------------------------------------------------------------------------------ what is there


def test_a_place_that_cannot_be_seen_is_told(tmp_path):
    assert sentence(Store(tmp_path / ("a" * 5000)).exists).endswith("': File name too long.")
    assert not Store(tmp_path / "no").exists()


def test_populations_are_folders_that_are_not_hidden_in_their_order(store):
    assert store.populations() == []
    folder = store.path / "populations"
    for name in ("b", "a", ".hidden"):
        (folder / name).mkdir(parents=True)
    (folder / "c").write_text("a file")
    assert [population.id for population in store.populations()] == ["a", "b"]
    assert [(damage.file.name, damage.why, damage.lost) for damage in store.damage()] == [
        ("c", "is no folder", "the population that was there is lost")
    ]


def test_damage_of_a_study_as_a_whole(store):
    assert store.damage() == []
    for name in ("populations", "problems"):
        (store.path / name).write_text("a file")
    (store.path / "environments.jsonl").write_text("x\n")
    (store.path / "sessions.jsonl").write_text('{}\n{"command": 1}\n')
    assert [(damage.file.name, damage.why, damage.lost) for damage in store.damage()] == [
        ("sessions.jsonl", "is no record in line 2", "a record of commands, versions and times is lost"),
        ("environments.jsonl", "is no record in line 1", "which code, torch and device trained it is lost"),
        ("populations", "is no folder", "all results are lost"),
        ("problems", "is no folder", "the oracle values are lost"),
    ]  # fmt: skip
    assert store.sessions() == [{}]
    # to go on makes room for what is needed, and keeps what reads
    (store.path / "environments.jsonl").unlink()
    (store.path / "environments.jsonl").mkdir()
    store.begin(PLAN)
    assert not (store.path / "populations").exists()
    assert not (store.path / "environments.jsonl").exists()
    assert (store.path / "sessions.jsonl").is_file()
    (store.path / "populations").mkdir()
    store.begin(PLAN)
    assert (store.path / "populations").is_dir()


def test_environments_are_lines_and_one_that_is_lost_is_an_empty_one(store):
    assert store.environments() == []
    (store.path / "environments.jsonl").write_text("x\n")
    # of a study in which nothing was trained, nothing is lost
    assert store.environments() == []
    store.population("p").begin(PLAN.runs)
    assert store.environments() == [{}]
    store.log_environment({"torch": "1.0"})
    store.log_environment({"torch": "2.0"})
    assert store.environments() == [{"torch": "1.0"}, {"torch": "2.0"}]
    (store.path / "environments.jsonl").unlink()
    assert store.environments() == []


def test_what_is_to_do_is_what_is_not_complete(store, population):
    for step in PLAN.probes(PLAN.steps_of[PLAN.runs[0].id]):
        probe(population, step)
    work = {"p": list(PLAN.runs), "q": list(PLAN.runs[:1])}
    assert store.todo(PLAN, work) == work
    population.finish({"train": 1.5, "probe": 0.5}, [-1, -1])
    assert store.todo(PLAN, work) == {"q": list(PLAN.runs[:1])}


def test_a_plan_that_is_listed_takes_more_and_waits_for_who_writes_it(tmp_path):
    first, second = (replace(PLAN, listed=(run.id,)) for run in PLAN.runs)
    store = Store(tmp_path / "deep" / "it")
    store.enlist(first)
    assert store.read_plan().listed == first.listed
    ended = []

    def enlist():
        Store(store.path).enlist(second)
        ended.append(True)

    other = threading.Thread(target=enlist)
    with store.lock():
        other.start()
        other.join(0.2)
        assert not ended
    other.join(30)
    assert ended
    assert store.read_plan().listed == (*first.listed, *second.listed)
    assert sentence(lambda: store.begin(PLAN)).startswith(f"The directory '{store.path}' holds a study of another plan")


def test_to_begin_again_keeps_what_was_there_unless_asked_to(store, population):
    probe(population, 0)
    (store.path / "figures").mkdir()
    store.begin(PLAN)
    assert list(population.series()) == [0]
    store.begin(PLAN, fresh=True)
    assert {path.name for path in store.path.iterdir()} == {"lock", "plan.yaml"}
