"""The folder of one population, call by call: what is written, what reads back, and what is told of what does not."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

from ganbench.errors import UserError
from ganbench.results.frames import MAPPED
from ganbench.results.population import PopulationFolder
from ganbench.suite import resolve

PLAN = resolve(None, ["loss=hinge", "seeds=2", "steps=20", "probe_every=10"])
IDS = [run.id for run in PLAN.runs]
DONE = {"train": 1.0, "probe": 0.0}


@pytest.fixture
def population(tmp_path):
    folder = PopulationFolder(tmp_path / "p")
    folder.begin(PLAN.runs)
    return folder


def probe(folder, step, values=(0.5, 0.25), shape=(3, 2)):
    samples = np.stack([np.full(shape, step + row, dtype=np.float16) for row in range(len(values))])
    folder.append(step, {"score": list(values)}, samples)


def whole(folder):
    for step in (0, 10, 20):
        probe(folder, step)
    folder.finish(DONE, [-1, 7])
    return PopulationFolder(folder.path)


def told(folder):
    return [(damage.file.name, damage.why, damage.lost) for damage in folder.damage]


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_what_is_whole_is_verified_and_nothing_is_told(population):
    folder = whole(population)
    assert folder.id == "p"
    assert folder.verify(PLAN)
    assert (folder.damage, folder.fatal) == ([], None)
    assert folder.whole_steps() == [0, 10, 20]
    assert folder.runs() == IDS
    samples = folder.samples(1)
    assert list(samples) == [0, 10, 20]
    assert samples[10].dtype == np.float32
    assert samples[10].tolist() == [[11.0, 11.0]] * 3


def test_what_is_not_complete_is_not_verified_though_it_is_whole(population):
    probe(population, 0)
    probe(population, 10)
    folder = PopulationFolder(population.path)
    assert not folder.verify(PLAN)
    assert (folder.damage, folder.fatal) == ([], None)
    # a record of costs that were not counted is none
    folder.finish(DONE, (-1, -1))
    digest = hashlib.sha256((folder.path / "series.jsonl").read_bytes()).hexdigest()
    sealed = hashlib.sha256(json.dumps([IDS, [-1, -1], digest]).encode()).hexdigest()
    record = {"seconds": DONE, "diverged_step": [-1, -1], "series": digest, "sealed": sealed}
    written = json.loads((folder.path / "done.json").read_text())
    assert written.pop("columns").keys() == {"names", "steps", "hash"}
    assert written == record


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("runs.json", lambda held: held[::-1]),
        ("done.json", lambda held: {**held, "diverged_step": [3, 3]}),
        ("done.json", lambda held: {**held, "sealed": "0"}),
    ],
)
def test_what_was_changed_since_the_end_counts_as_not_ended(population, name, change):
    folder = whole(population)
    held = json.loads((folder.path / name).read_text())
    (folder.path / name).write_text(json.dumps(change(held)))
    folder = PopulationFolder(population.path)
    assert not folder.verify(PLAN)
    assert [damage.why for damage in folder.damage] == [
        "or the list of runs beside it has been changed since its training ended"
    ]
    assert folder.fatal is not None
    # a record of an earlier version, which has no hash of itself, is believed
    record = json.loads((folder.path / "done.json").read_text())
    (folder.path / "done.json").write_text(json.dumps({k: v for k, v in record.items() if k != "sealed"}))
    assert PopulationFolder(population.path).verify(PLAN)


def test_probes_of_an_earlier_version_are_believed_as_they_are(population):
    for step in (0, 10, 20):
        probe(population, step)
    population.finish(DONE, [-1, -1])
    record = json.loads((population.path / "done.json").read_text())
    (population.path / "done.json").write_text(json.dumps({k: record[k] for k in ("seconds", "diverged_step")}))
    folder = PopulationFolder(population.path)
    assert folder.verify(PLAN)
    assert folder.damage == []


@pytest.mark.parametrize(("steps", "done", "missing"), [
    ((0, 10, 20), True, None), ((0, 10), True, 20), ((0, 20), True, 10), ((10, 20), True, 0), ((), True, 0),
    ((0, 10), False, None), ((0, 20), False, 10), ((10,), False, 0), ((0,), False, None), ((), False, None),
    ((0, 10, 15, 20), True, None),
])  # fmt: skip
def test_probes_up_to_the_last_one_have_to_be_there(population, steps, done, missing):
    for step in steps:
        probe(population, step)
    if done:
        population.finish(DONE, [-1, -1])
    folder = PopulationFolder(population.path)
    assert folder.verify(PLAN) is (done and missing is None)
    lost = "its runs count as not ended"
    assert told(folder) == ([] if missing is None else [("series.jsonl", f"has no probe of step {missing}", lost)])
    assert (folder.fatal is None) is (missing is None)


@pytest.mark.parametrize(("lines", "done", "why"), [
    ("", True, "has no probes"), ("", False, None), ("{}\n", True, "is no probe in line 1"),
    ('{"step": 7, "values": {"a": [1, 2]}}\n', True, None),
    ('{"step": 7, "values": {"a": [1, 2]}}\nx\ny\n', True, "is no probe in line 2"),
    ('{"step": 7, "values": {"a": [1, 2]}}\nx\n', False, "is no probe in line 2"),
])  # fmt: skip
def test_when_a_listed_run_probes_is_its_own_affair(population, lines, done, why):
    if done:
        population.finish(DONE, [-1, -1])
    (population.path / "series.jsonl").write_text(lines)
    folder = PopulationFolder(population.path)
    assert folder.verify(replace(PLAN, listed=tuple(IDS))) is (done and why is None)
    found = [(name, text) for name, text, _ in told(folder) if not name.startswith("samples")]
    assert found == ([] if why is None else [("series.jsonl", why)])


@pytest.mark.parametrize(("name", "content", "why", "lost"), [
    ("runs.json", "[]", None, "which runs it holds is lost"),
    ("runs.json", None, "is missing", "which runs it holds is lost"),
    ("done.json", "{", "is not JSON", "its 2 runs count as not ended"),
    ("series.jsonl", "folder", "is not a file", "what was measured is lost"),
    ("samples-10.npy", "x", None, "the samples at step 10 are not shown"),
    ("samples-10.npy", None, "is missing", "the samples at step 10 are not shown"),
    ("failed.json", "[]", "does not say what failed", "why it failed is lost"),
])  # fmt: skip
def test_damage_is_told_once_with_what_is_lost(population, name, content, why, lost):
    folder = whole(population)
    (folder.path / name).unlink(missing_ok=True)
    if content == "folder":
        (folder.path / name).mkdir()
    elif content is not None:
        (folder.path / name).write_text(content)
    decides = name in ("runs.json", "done.json", "series.jsonl")
    for _ in range(2):
        assert folder.verify(PLAN) is not decides
    found = [one for one in told(folder) if one[0] == name]
    assert len(found) == 1
    assert found[0][2] == lost
    assert why in (None, found[0][1])
    assert (folder.fatal is not None) is decides
    if name == "failed.json":
        assert folder.failed() == {"error": str(folder.damage[0]), "details": ""}
    if name == "samples-10.npy":
        assert folder.whole_steps() == [0, 20]
        assert list(folder.samples(0)) == [0, 20]


def test_of_several_damages_the_one_that_decides_first_is_fatal(population):
    folder = whole(population)
    for name in ("samples-0.npy", "done.json"):
        (folder.path / name).write_bytes(b"\xff\n")
    (folder.path / "series.jsonl").unlink()
    (folder.path / "series.jsonl").mkdir()
    assert not folder.verify(PLAN)
    assert folder.fatal.file.name == "done.json"
    assert {name for name, *_ in told(folder)} == {"series.jsonl", "done.json"}
    # of a series that does not read, no samples are missed
    assert PopulationFolder(folder.path).fatal is None, "nothing was read yet"


@pytest.mark.parametrize(("shape", "read"), [
    ((2, 3, 2), True), ((2, 3, 1, 4, 4), True), ((2, 3), False), ((2, 3, 4, 4), False), ((1, 3, 2), False),
    ((3, 3, 2), False),
])  # fmt: skip
def test_samples_are_points_or_images_of_every_run(population, shape, read):
    probe(population, 0)
    np.save(population.path / "samples-0.npy", np.zeros(shape, dtype=np.float16))
    folder = PopulationFolder(population.path)
    assert list(folder.samples(0)) == ([0] if read else [])
    why = ("samples-0.npy", "does not hold samples of every run", "the samples at step 0 are not shown")
    assert told(folder) == ([] if read else [why])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="the system does not list what a process has open")
def test_of_any_number_of_probes_few_files_stay_open(population):
    for step in range(3 * MAPPED):
        np.save(population.path / f"samples-{step}.npy", np.full((2, 3, 2), step, dtype=np.float16))
    before = len(os.listdir("/proc/self/fd"))
    frames = [PopulationFolder(population.path).samples(row) for row in range(2)]
    assert [float(of[step][0, 0]) for of in frames for step in of] == [*range(3 * MAPPED)] * 2
    assert len(os.listdir("/proc/self/fd")) <= before + MAPPED


def test_samples_that_are_gone_or_written_anew_are_not_those_of_before(population):
    probe(population, 0)
    probe(population, 10)
    frames = PopulationFolder(population.path).samples(1)
    assert frames[0].shape == (3, 2)
    np.save(population.path / "samples-0.npy", np.full((2, 3, 2), 7, dtype=np.float16))
    os.utime(population.path / "samples-0.npy", ns=(1, 1))  # a clock that is coarse would tell no difference
    assert set(frames[0].ravel()) == {7.0}
    (population.path / "samples-10.npy").unlink()
    assert frames.get(10) is None
    assert frames.get(20) is None


def test_a_run_that_the_plan_does_not_have_is_told(population):
    (population.path / "runs.json").write_text(json.dumps([IDS[0], "x" * 90]))
    folder = PopulationFolder(population.path)
    assert not folder.verify(PLAN)
    why = f"names the run {'x' * 80!r}, which the plan does not have"
    assert told(folder) == [("runs.json", why, "the others in it count as not ended")]


@pytest.mark.parametrize(("series", "done", "needed"), [
    (None, False, False), ("", False, False), ("x\n", False, True), (None, True, True), ("x", True, True),
])  # fmt: skip
def test_which_runs_it_holds_is_needed_once_there_is_something_of_them(tmp_path, series, done, needed):
    folder = PopulationFolder(tmp_path / "p")
    folder.path.mkdir()
    if series is not None:
        (folder.path / "series.jsonl").write_text(series)
    if done:
        (folder.path / "done.json").write_text("{}")
    assert folder.runs() == []
    assert folder.done() is None
    assert folder.series() == {}
    lost = [("runs.json", "is missing", "which runs it holds is lost")]
    assert told(folder) == (lost if needed else [])


@pytest.mark.parametrize("name", ["samples-x.npy", "samples-.npy", "samples--1.npy", "samples-1.5.npy", "other-3.npy",
                                  f"samples-{10**18}.npy"])  # fmt: skip
def test_files_that_are_no_samples_are_not_looked_at(population, name):
    probe(population, 0)
    (population.path / name).write_text("x")
    folder = PopulationFolder(population.path)
    assert list(folder.samples(0)) == [0]
    assert folder.damage == []
    last = 10**18 - 1
    (population.path / f"samples-{last}.npy").write_text("x")
    folder = PopulationFolder(population.path)
    folder.samples(0)
    assert [damage.file.name for damage in folder.damage] == [f"samples-{last}.npy"]


def test_to_begin_clears_what_cannot_be_gone_on_with(tmp_path):
    path = tmp_path / "deep" / "p"
    path.parent.mkdir()
    path.write_text("no folder")
    folder = PopulationFolder(path)
    folder.begin(PLAN.runs)
    assert names(folder) == ["runs.json"]
    probe(folder, 0)
    folder.checkpoint.write_bytes(b"state")
    (path / "earlier-checkpoint.pt").mkdir()
    (path / "done.json").write_text("{")
    (path / "failed.json").write_text("{")
    assert not folder.verify(PLAN)
    assert {name for name, *_ in told(folder)} == {"done.json", "failed.json"}
    folder.begin(PLAN.runs)
    # a file stays to go on from, a folder in its place does not; nor what said that it was done or had failed
    assert names(folder) == ["checkpoint.pt", "runs.json", "samples-0.npy", "series.jsonl"]
    assert folder.damage == []
    assert list(folder.series()) == [0]


def test_to_finish_drops_both_checkpoints(population):
    for name in ("checkpoint.pt", "earlier-checkpoint.pt"):
        (population.path / name).write_bytes(b"state")
    population.finish(DONE, [-1, -1])
    assert names(population) == ["done.json", "runs.json"]


@pytest.mark.parametrize(("step", "kept"), [(-1, []), (0, [0]), (9, [0]), (10, [0, 10])])
def test_to_rewind_forgets_files_and_what_was_read_of_them(population, step, kept):
    folder = whole(population)
    assert list(folder.samples(0)) == [0, 10, 20]
    (folder.path / "samples-20.npy").write_text("x")
    folder.verify(PLAN)
    assert folder.damage
    folder.rewind(step)
    assert names(folder) == sorted(["runs.json", "series.jsonl", *(f"samples-{at}.npy" for at in kept)])
    assert (list(folder.series()), list(folder.samples(0)), folder.damage) == (kept, kept, [])
    lines = (folder.path / "series.jsonl").read_text().splitlines()
    assert lines == [f'{{"step":{at},"values":{{"score":[0.5,0.25]}}}}' for at in kept]


def test_a_failure_and_what_was_printed_make_their_folder(tmp_path):
    folder = PopulationFolder(tmp_path / "deep" / "p")
    assert folder.failed() is None
    folder.fail("out of luck")
    assert folder.failed() == {"error": "out of luck", "details": ""}
    folder.fail("again", "here")
    assert folder.failed() == {"error": "again", "details": "here"}
    other = PopulationFolder(tmp_path / "deep" / "q")
    other.keep_output("printed")
    other.keep_output("more")
    assert other.output.read_text() == "more"
    assert names(other) == ["output.txt"]
    (tmp_path / "file").touch()
    PopulationFolder(tmp_path / "file" / "p").keep_output("lost without a word")


def test_one_process_holds_it(population):
    with population.lock(), pytest.raises(UserError) as refused, PopulationFolder(population.path).lock():
        raise AssertionError
    assert str(refused.value) == f"Another process is at work on the run 'p' in '{population.path}'."
    with PopulationFolder(population.path).lock():
        pass


def test_a_part_is_a_population_of_its_own(population, tmp_path):
    folder = whole(population)
    (folder.path / "samples-10.npy").unlink()
    part = PopulationFolder(tmp_path / "deep" / "part")
    folder.part(part, [1])
    assert part.runs() == [IDS[1]]
    # a probe without its samples is not copied
    assert part.series() == {0: {"score": [0.25]}, 20: {"score": [0.25]}}
    assert part.samples(0)[20].tolist() == [[21.0, 21.0]] * 3
    both = PopulationFolder(tmp_path / "both")
    folder.part(both, [1, 0])
    assert both.runs() == IDS[::-1]
    assert both.series()[0] == {"score": [0.25, 0.5]}


def test_what_is_made_whole_takes_the_place_of_the_other(population):
    probe(population, 0)
    left = PopulationFolder(population.path.with_name(".p"))
    left.path.mkdir()
    (left.path / "left").touch()
    with population.made_whole() as unfinished:
        assert unfinished.path == left.path
        assert not unfinished.path.exists()
        unfinished.begin(PLAN.runs[:1])
        assert list(population.series()) == [0], "the old one stays until the new one is complete"
    assert not left.path.exists()
    assert population.runs() == [IDS[0]]
    assert population.series() == {}
    with suppress(ZeroDivisionError), population.made_whole() as unfinished:
        unfinished.begin(PLAN.runs)
        raise ZeroDivisionError
    assert population.runs() == [IDS[0]]


def test_to_remove_takes_it_out_of_sight_first(population):
    hidden = population.path.with_name(".removed.p")
    hidden.mkdir()
    (hidden / "left").touch()
    population.remove()
    assert list(population.path.parent.iterdir()) == []
    population.remove()
    population.path.symlink_to(population.path.parent / "nowhere")
    population.remove()
    assert list(population.path.parent.iterdir()) == []
