"""The record of a problem: what is written reads back, and what does not read is told with what is lost."""

import json

import numpy as np
import pytest

from ganbench.results.problem import ProblemFolder

RECORD = {"oracle": {"score": 1.0}, "modes": 2}
UNJUDGED = "without the oracle values of 'ring8' its runs cannot be judged"
UNSHOWN = "the real samples of 'ring8' are not shown"


@pytest.fixture
def folder(tmp_path):
    return ProblemFolder(tmp_path / "deep" / "problems", "ring8")


def told(folder):
    return [(damage.file.name, damage.why, damage.lost) for damage in folder.damage]


def test_what_is_written_is_read(folder):
    assert [file.name for file in folder.files] == ["ring8.json", "ring8.npy"]
    for value in (1.0, 2.0):
        folder.write(RECORD, np.full((3, 2), value))
        found = folder.read()
        assert found.pop("real").tolist() == [[value, value]] * 3
        assert found == RECORD
        assert folder.exists()
    assert type(folder.read()["real"]) is np.ndarray, "read, and not mapped"
    assert folder.damage == []


def test_a_record_that_was_changed_is_not_believed(folder):
    record = {**RECORD, "oracle": {"score": float("nan"), "other": 0.1}}
    folder.write(record, np.ones((3, 2)))
    file = folder.files[0]
    held = json.loads(file.read_text())
    file.write_text(json.dumps({**held, "oracle": {**held["oracle"], "other": 0.2}}))
    assert folder.read() == {}
    assert told(folder) == [("ring8.json", "has been changed since it was written", UNJUDGED)]
    # the same in another order and layout is the same; one of an earlier version has no hash of itself
    file.write_text(json.dumps(dict(reversed(held.items())), indent=1))
    assert folder.read()["modes"] == 2
    file.write_text(json.dumps({key: value for key, value in held.items() if key != "sealed"}))
    assert folder.read()["modes"] == 2


def test_a_folder_in_the_place_of_a_file_is_taken_away(folder):
    for file in folder.files:
        file.mkdir(parents=True)
        (file / "left").touch()
    folder.write(RECORD, np.ones((3, 2)))
    assert folder.exists()


def test_where_nothing_is_there_that_is_damage_only_where_it_is_needed(folder):
    assert folder.read() == {}
    assert (folder.damage, folder.exists()) == ([], False)
    assert folder.read(needed=True) == {}
    assert told(folder) == [("ring8.json", "is missing", UNJUDGED)]
    # what was told belongs to the last time it was read
    assert folder.read() == {}
    assert folder.damage == []


@pytest.mark.parametrize(("shape", "fits"), [
    ((3, 2), True), ((3, 1, 4, 4), True), ((3,), False), ((3, 4, 4), False), ((3, 1, 1, 4, 4), False),
])  # fmt: skip
def test_real_samples_are_points_or_images(folder, shape, fits):
    folder.write(RECORD, np.ones(shape))
    assert ("real" in folder.read()) is fits
    assert told(folder) == ([] if fits else [("ring8.npy", "holds no samples", UNSHOWN)])
    assert folder.exists() is fits


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_real_samples_are_finite_throughout(folder, value):
    samples = np.ones((3, 2))
    samples[1, 1] = value
    folder.write(RECORD, samples)
    assert folder.read() == RECORD
    assert told(folder) == [("ring8.npy", "holds no samples", UNSHOWN)]


def test_each_file_is_missed_by_itself(folder):
    folder.write(RECORD, np.ones((3, 2)))
    folder.files[1].unlink()
    assert folder.read() == RECORD
    assert told(folder) == [("ring8.npy", "is missing", UNSHOWN)]
    assert not folder.exists()
    folder.files[0].write_text("{}")
    assert folder.read() == {}
    assert told(folder) == [("ring8.json", "has no oracle values", UNJUDGED)]
    assert not folder.exists()
