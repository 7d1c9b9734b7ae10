"""The array beside a population's lines: the same numbers, believed only where it is what the lines say."""

import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from same import equal

from ganbench import api
from ganbench.results import columns
from ganbench.results.population import PopulationFolder
from ganbench.results.study import Study
from ganbench.suite import resolve

SUITE = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
         "network.mlp.width=8", "normalization=none,layer"]  # fmt: skip
PLAN = resolve(None, ["loss=hinge", "seeds=2", "steps=20", "probe_every=10"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished study of two populations with two runs each."""
    return api.run(overrides=SUITE, out=tmp_path_factory.mktemp("trained") / "study", workers=1)


@pytest.fixture
def folder(tmp_path):
    """A complete population, of which not every probe has every column."""
    population = PopulationFolder(tmp_path / "p")
    population.begin(PLAN.runs)
    for step, values in ((0, {"a": [1.0, 2.0]}), (10, {"b": [math.nan, math.inf], "a": [3, 4]}), (20, {"b": [0.1, 7]})):
        population.append(step, values, np.zeros((2, 3, 2), dtype=np.float16))
    population.finish({"train": 1.0, "probe": 0.0}, [-1, -1])
    return PopulationFolder(population.path)


EXPECTED = [[[1, 3, math.nan], [2, 4, math.nan]], [[math.nan, math.nan, 0.1], [math.nan, math.inf, 7]]]


def of_array(folder):
    """Tell whether it reads its array, which has the same numbers as its lines either way."""
    measured = folder.measured()
    assert (measured.names, measured.steps) == (("a", "b"), (0, 10, 20))
    np.testing.assert_array_equal(measured.values(), np.array(EXPECTED, dtype=float))
    return not isinstance(measured.source, np.ndarray)


@pytest.mark.parametrize("verified", [True, False])
def test_the_array_of_a_complete_population_is_read(folder, verified):
    assert not verified or folder.verify(PLAN)
    assert of_array(folder)
    assert folder.damage == []


def change_a_number(file):
    array = np.load(file)
    array[0, 1, 1] = np.nextafter(4, 5)
    np.save(file, array)


TAMPERED = {
    "a number in its last digit": change_a_number,
    "a whole other array": lambda file: np.save(file, np.zeros((2, 2, 3))),
    "of half the width": lambda file: np.save(file, np.load(file).astype(np.float32)),
    "of another shape": lambda file: np.save(file, np.load(file).transpose(1, 0, 2)[:, :1]),
    "torn": lambda file: file.write_bytes(file.read_bytes()[:-8]),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "empty": lambda file: file.write_bytes(b""),
    "of objects": lambda file: np.save(file, np.array([{}]), allow_pickle=True),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a link to nowhere": lambda file: (file.unlink(), file.symlink_to("nowhere")),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_an_array_that_is_not_what_was_written_is_not_believed(folder, how):
    TAMPERED[how](folder.path / columns.FILE)
    assert folder.verify(PLAN), "nothing is lost: the lines have it all"
    assert not of_array(folder)
    (damage,) = folder.damage
    assert damage.file == folder.path / columns.FILE
    assert damage.lost == "nothing: the lines are read instead"


def in_the_record(change):
    def apply(folder):
        file = folder.path / "done.json"
        record = json.loads(file.read_text())
        change(record)
        file.write_text(json.dumps(record))

    return apply


@pytest.mark.parametrize("change", [
    in_the_record(lambda r: r["columns"].update(names=["b", "a"])),
    in_the_record(lambda r: r["columns"].update(steps=[0, 10, 30])),
    in_the_record(lambda r: r["columns"].update(hash="0" * 64)),
    in_the_record(lambda r: r.pop("columns")), lambda folder: (folder.path / columns.FILE).unlink(),
], ids=["names", "steps", "hash", "an earlier version", "deleted"])  # fmt: skip
def test_an_array_that_belongs_to_another_record_is_not_believed(folder, change):
    change(folder)
    assert not of_array(folder)


def test_an_array_of_too_few_runs_is_not_believed_though_its_hash_is_right(folder):
    file = folder.path / columns.FILE
    np.save(file, np.load(file)[:, :1])
    in_the_record(lambda r: r["columns"].update(hash=columns._hash(file, r["columns"], r["series"])))(folder)
    assert folder.verify(PLAN)
    assert not of_array(folder)
    assert [damage.why for damage in folder.damage] == ["does not hold every column of every run"]


def test_an_array_of_other_lines_is_not_believed(folder):
    """Not even where the record says that the lines are as they were."""
    lines = (folder.path / "series.jsonl").read_text().replace("2.0", "9.5")
    (folder.path / "series.jsonl").write_text(lines)
    in_the_record(lambda r: r.update(series=folder._digest()))(folder)
    in_the_record(lambda r: r.pop("sealed"))(folder)
    assert folder.verify(PLAN)
    assert folder.measured().values()[0, 1, 0] == 9.5


@pytest.mark.parametrize("record", [
    3, {}, {"names": ["a"], "steps": [0]}, {"names": ["a", "a"], "steps": [0], "hash": ""},
    {"names": [1], "steps": [0], "hash": ""}, {"names": ["a"], "steps": [10, 0], "hash": ""},
    {"names": ["a"], "steps": [-1], "hash": ""}, {"names": ["a"], "steps": [0, 0], "hash": ""},
])  # fmt: skip
def test_what_is_no_record_of_columns_is_told(folder, record):
    in_the_record(lambda r: r.update(columns=record))(folder)
    assert not folder.verify(PLAN)
    assert [damage.why for damage in folder.damage] == ["does not say which columns it ended with"]


def test_without_room_for_it_nothing_is_missing(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(columns, "write", full)
    folder.finish({"train": 1.0, "probe": 0.0}, [-1, -1])
    again = PopulationFolder(folder.path)
    assert again.verify(PLAN)
    assert not of_array(again)


def test_what_is_trained_on_has_no_array(folder):
    folder.rewind(10)
    assert not (folder.path / columns.FILE).exists()
    assert folder.measured().steps == (0, 10)


PROBES = st.lists(st.tuples(
    st.integers(0, 5),
    st.dictionaries(
        st.sampled_from("abc"), st.lists(st.floats() | st.integers(-(2**60), 2**60), min_size=2, max_size=2), min_size=1
    ),
), max_size=8)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(PROBES)
def test_lines_are_one_array(probes):
    content = "".join(json.dumps({"step": step, "values": values}) + "\n" for step, values in probes)
    measured, bad = columns.of_lines(content.encode(), 2)
    assert bad == []
    last = dict(probes)
    assert measured.steps == tuple(sorted(last))
    assert set(measured.names) == {name for values in last.values() for name in values}
    for at, step in enumerate(measured.steps):
        for place, name in enumerate(measured.names):
            expected = [float(value) for value in last[step].get(name, [math.nan, math.nan])]
            np.testing.assert_array_equal(measured.values()[place, :, at], expected)


# ------------------------------------------------------------------------------------------ the tables of a study


def from_lines(study):
    """Return the table of probes as rows of plain Python, from the lines alone."""
    rows = {}
    for place in study.path.glob("populations/*"):
        for line in (place / "series.jsonl").read_text().splitlines():
            probe = json.loads(line)
            for row, run in enumerate(json.loads((place / "runs.json").read_text())):
                rows[run, probe["step"]] = {name: values[row] for name, values in probe["values"].items()}
    return [((run.id, step), rows[run.id, step]) for run in study.plan.runs for step in (0, 10, 20)]


def test_the_table_is_what_the_lines_say(trained):
    table, expected = Study(trained.path).series, from_lines(trained)
    assert list(zip(table["run"], table["step"], strict=True)) == [key for key, _ in expected]
    assert set(table.columns) == {"run", "step"} | {name for _, values in expected for name in values}
    for (_, values), row in zip(expected, table.to_dict("records"), strict=True):
        for name in table.columns[2:]:
            assert row[name] == values.get(name) or (math.isnan(row[name]) and math.isnan(values.get(name, math.nan)))


def test_a_study_of_an_earlier_version_has_the_same_tables(trained, tmp_path):
    old = shutil.copytree(trained.path, tmp_path / "old")
    for place in old.glob("populations/*"):
        (place / columns.FILE).unlink()
        record = json.loads((place / "done.json").read_text())
        del record["columns"]
        (place / "done.json").write_text(json.dumps(record))
    assert api.load(old).damage == []
    equal(api.load(old), trained)


def test_a_damaged_array_is_told_and_written_again_where_the_study_goes_on(trained, tmp_path):
    study = shutil.copytree(trained.path, tmp_path / "study")
    file = next(study.glob(f"populations/*/{columns.FILE}"))
    change_a_number(file)
    equal(api.load(study), trained)
    assert [damage.file for damage in api.load(study).damage] == [file]
    worked = set()
    again = api.run(overrides=SUITE, out=study, workers=1, watch=lambda population, event: worked.add(population))
    assert worked == {""}, "nothing is trained"
    assert again.damage == []
    assert file.read_bytes() == (trained.path / file.relative_to(study)).read_bytes()
    equal(again, trained)
