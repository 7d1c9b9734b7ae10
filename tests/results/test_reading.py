"""Readers of records: a sound one is returned as it is, and each part alone wrong is told."""

import math

import numpy as np
import pytest

from ganbench.results import reading
from ganbench.results.reading import Damage, Unreadable

DONE = {"seconds": {"train": 1.5, "probe": 0}, "diverged_step": [-1, 4], "cost": {"gflop": [1, 2.5], "peak_bytes": 7}}
PROBLEM = {"oracle": {"recall": 0.5}, "modes": 2, "centres": [[0, 1], [2.0, 3]], "std": 0.1}
PARSERS = {
    "runs": (reading.run_ids, [["a"], ["a", "b"]], [[], "a", None, [""], ["a", ""], ["a", 1], ["a", "a"], {"a": 1}]),
    "probe": (
        lambda record: reading.probe_of(2)(record) and record,
        [{"step": 0, "values": {"a": [1, 2]}}, {"step": 5, "values": {"a": [1.5, math.nan], "b": [0, 1]}}],
        [[], {"values": {"a": [1, 2]}}, {"step": -1, "values": {"a": [1, 2]}}, {"step": 1.0, "values": {"a": [1, 2]}},
         {"step": True, "values": {"a": [1, 2]}}, {"step": 1}, {"step": 1, "values": {}}, {"step": 1, "values": [1, 2]},
         {"step": 1, "values": {"a": [1]}}, {"step": 1, "values": {"a": [1, 2, 3]}},
         {"step": 1, "values": {"a": [1, 2], "b": [1]}}, {"step": 1, "values": {"a": [1, "2"]}},
         {"step": 1, "values": {"a": [1, None]}}, {"step": 1, "values": {"a": [[1], [2]]}},
         {"step": 1, "values": {"a": [True, False]}}]),
    "done": (
        reading.done_of(2),
        [DONE, {k: v for k, v in DONE.items() if k != "cost"}, {**DONE, "cost": None}],
        [[], {**DONE, "seconds": None}, {**DONE, "seconds": {"train": 1}}, {**DONE, "seconds": {"probe": 1}},
         {**DONE, "seconds": {"train": -1, "probe": 0}}, {**DONE, "seconds": {"train": 1, "probe": math.inf}},
         {**DONE, "seconds": {"train": True, "probe": 0}}, {**DONE, "diverged_step": None},
         {**DONE, "diverged_step": [1]}, {**DONE, "diverged_step": [1, -2]}, {**DONE, "diverged_step": [1, 2.0]},
         {**DONE, "diverged_step": [1, 2, 3]}, {**DONE, "cost": []}, {**DONE, "cost": {"gflop": [1], "peak_bytes": 1}},
         {**DONE, "cost": {"gflop": [1, "2"], "peak_bytes": 1}}, {**DONE, "cost": {"gflop": [1, 2]}},
         {**DONE, "cost": {"gflop": [1, 2], "peak_bytes": -1}}, {**DONE, "cost": {"peak_bytes": 1}}]),
    "failure": (reading.failure, [{"error": "x"}], [[], {}, {"error": 1}]),
    "session": (
        reading.session, [{}, {"command": "x", "wall_seconds": 0}],
        [[], {"command": 1}, {"wall_seconds": -1}, {"wall_seconds": math.nan}, {"wall_seconds": "1"}]),
    "environment": (reading.environment, [{}, {"a": "b"}], [[], {"a": 1}, {"a": "b", "c": None}]),
    "problem": (
        reading.problem,
        [PROBLEM, {"oracle": {}}, {"oracle": {"a": 1}, "modes": reading.MOST_MODES}, {**PROBLEM, "std": 0}],
        [[], {}, {"oracle": []}, {"oracle": {"a": "1"}}, {"oracle": {"a": 1, "b": None}}, {**PROBLEM, "modes": 0},
         {**PROBLEM, "modes": 1.0}, {**PROBLEM, "modes": reading.MOST_MODES + 1}, {**PROBLEM, "centres": []},
         {**PROBLEM, "centres": {}}, {**PROBLEM, "centres": [[]]}, {**PROBLEM, "centres": [[0, 1], [2]]},
         {**PROBLEM, "centres": [[0, 1], [2, "3"]]}, {**PROBLEM, "centres": [[0, 1], [2, math.inf]]},
         {**PROBLEM, "centres": [[0, 1], 2]}, {**PROBLEM, "std": None}, {**PROBLEM, "std": -1},
         {**PROBLEM, "std": math.inf}]),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARSERS)
def test_a_sound_record_is_returned_and_one_wrong_part_is_told(kind):
    parse, sound, odd = PARSERS[kind]
    for record in sound:
        assert parse(record) == record
    for record in odd:
        with pytest.raises(Unreadable):
            parse(record)


def test_a_probe_is_its_step_and_its_values():
    assert reading.probe_of(2)({"step": 5, "values": {"a": [1, 2]}}) == (5, {"a": [1, 2]})


def test_numbers_are_those_that_arrays_hold():
    assert all(map(reading.is_number, [0, -1.5, math.nan, 2**63 - 1, -(2**63)]))
    assert not any(map(reading.is_number, [True, None, "1", 2**63, -(2**63) - 1]))
    assert [reading.is_count(value) for value in (0, 1, -1, 1.0, True)] == [True, True, False, False, False]
    assert [reading.is_count(value, 1) for value in (0, 1, 2)] == [False, True, True]


def test_lines_that_are_none_are_told_but_for_an_unfinished_last_one(tmp_path):
    file = tmp_path / "lines"
    file.write_bytes(b'{"error":"a"}\n\n{"error":\n\xff\n{"error":1}\n{"error":"b"}\n{"err')
    assert reading.read_lines(file, reading.failure) == ([{"error": "a"}, {"error": "b"}], [3, 4, 5])
    file.write_bytes(file.read_bytes() + b"\n")
    assert reading.read_lines(file, reading.failure)[1] == [3, 4, 5, 7]


@pytest.mark.parametrize(("array", "said"), [
    (np.ones((2, 3)), ""), (np.ones(1, dtype=np.float16), ""), (np.ones((0, 2)), "holds no array of numbers"),
    (np.ones(2, dtype=int), "holds no array of numbers"), (np.array(["a"]), "holds no array of numbers"),
    (np.array([None]), "is not a whole array"),
])  # fmt: skip
def test_arrays_of_numbers(tmp_path, array, said):
    file = tmp_path / "a.npy"
    np.save(file, array, allow_pickle=True)
    if not said:
        np.testing.assert_array_equal(reading.read_array(file), array)
        return
    with pytest.raises(Unreadable, match=rf"^{said}$"):
        reading.read_array(file)


def test_what_is_no_array_or_no_file(tmp_path):
    np.savez(tmp_path / "a.npz", np.ones(2))
    for name, content, said in (("a.npz", None, "holds no array of numbers"), ("b", b"", None),
                                ("c", b"\x93NUMPY", None),
                                (".", None, "is not a file"), ("none", None, "is missing")):  # fmt: skip
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(Unreadable, match=rf"^{said}$" if said else "^(is not a whole array|cannot be read)"):
            reading.read_array(tmp_path / name)
        if content is None and name != "a.npz":
            with pytest.raises(Unreadable, match=rf"^{said}$"):
                reading.read_bytes(tmp_path / name)


def test_texts_and_json(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff")
    with pytest.raises(Unreadable, match=r"^is not UTF-8 text$"):
        reading.read_text(tmp_path / "a")
    for text, said in (("", "is empty"), (" \n", "is empty"), ("{", "is not JSON"), ("[" * 100_000, "is not JSON")):
        with pytest.raises(Unreadable, match=rf"^{said}$"):
            reading.parse_json(text)
    assert reading.parse_json(' {"a": [1]}') == {"a": [1]}


def test_a_place_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    assert [reading.no_folder(tmp_path / name) for name in ("none", "full", "file")] == ["", "", "is no folder"]
    damage = Damage(tmp_path / "a\nb", "is odd", "it is lost")
    assert str(damage) == f"The file '{tmp_path}/a\ufffdb' is damaged: it is odd; it is lost."
