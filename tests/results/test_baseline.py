"""A baseline's file: each part alone missing or wrong is told, and no other is believed."""

import copy
import json
import math
import os

import pytest

from ganbench.errors import Exit, UserError
from ganbench.results.baseline import (
    SCHEMA,
    Baseline,
    BaselineVariant,
    IncompatibleBaselineError,
    SeedResult,
    load_baseline,
)

RUNS = (SeedResult(0, "healthy", False, 1.0), SeedResult(3, "diverged", True, 0.0))
ONE = BaselineVariant("hinge", {"loss": "hinge", "steps": 5}, {"loss.hinge.margin": 1.0, "a.b.c": None}, RUNS)
TWO = BaselineVariant("minimax", {"loss": "minimax", "steps": 5}, {}, RUNS[:1])
BASELINE = Baseline("smoke", {"samples": 64}, ("a.b.c",), (ONE, TWO), {"score": 0.2}, {"torch": "2"})


@pytest.fixture
def file(tmp_path):
    BASELINE.save(tmp_path / "deep" / "baseline.json")
    return tmp_path / "deep" / "baseline.json"


def test_what_is_saved_is_loaded(file):
    assert load_baseline(file) == BASELINE
    assert file.read_text().endswith("}\n")
    assert [path.name for path in file.parent.iterdir()] == ["baseline.json"]


def put(data, path, value):
    for step in path[:-1]:
        data = data[step]
    if value is KeyError:
        del data[path[-1]]
    else:
        data[path[-1]] = value


RUN = ("variants", 0, "runs", 1)
WRONG = {
    ("suite",): [1, None, KeyError], ("swept",): ["a", [1], ["a", None], KeyError], ("measured",): [[], None, KeyError],
    ("source",): [[], None, KeyError],
    ("margins",): [[], KeyError, {"score": 0}, {"score": 1}, {"other": 0.1}, {"score": "a"}, {"score": True}],
    ("variants",): [[], {}, [1], None, KeyError], ("variants", 1): [[], "a", None],
    ("variants", 1, "label"): [1, None, KeyError, "hinge"],
    ("variants", 1, "settings"): [[], KeyError, {"a": []}, {"a": {}}, {"a": 1, "b": [1]}],
    ("variants", 1, "hypers"): [[], KeyError, {"a": []}, {"a": {}}],
    ("variants", 1, "runs"): [[], {}, KeyError, [1]],
    RUN: [[], None], (*RUN, "seed"): [-1, True, 1.0, "3", None, KeyError, 0],
    (*RUN, "failed"): [1, None, "no", KeyError],
    (*RUN, "score"): [-0.001, 1.001, math.nan, True, "1", None, KeyError], (*RUN, "verdict"): [1, None, KeyError],
    (*RUN, "more"): [1],
}  # fmt: skip


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in WRONG.items() for value in values])
def test_one_wrong_part_damages_it(file, path, value):
    data = json.loads(file.read_text())
    put(data, path, value)
    file.write_text(json.dumps(data))
    with pytest.raises(IncompatibleBaselineError, match=r"is damaged: .*\. Make it again\.$") as raised:
        load_baseline(file)
    assert raised.value.exit_code == Exit.INCOMPATIBLE
    if value is KeyError and len(path) < 4:
        assert f"'{path[-1]}' is missing" in str(raised.value)


def test_what_was_edited_is_not_believed_and_another_layout_is_the_same(file):
    data = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(data.items())), indent=4))
    assert load_baseline(file) == BASELINE
    data["variants"][0]["runs"][0]["score"] = 0.123
    file.write_text(json.dumps(data))
    with pytest.raises(IncompatibleBaselineError, match="it has been changed since it was written, and says what no"):
        load_baseline(file)
    # one of an earlier version has no hash of itself
    del data["sealed"]
    file.write_text(json.dumps(data))
    assert load_baseline(file).variants[0].runs[0].score == 0.123


def test_the_same_variant_under_two_names_is_one_too_many(file):
    data = json.loads(file.read_text())
    twin = copy.deepcopy(data["variants"][0])
    data["variants"].append({**twin, "label": "another"})
    file.write_text(json.dumps(data))
    with pytest.raises(IncompatibleBaselineError, match="it has the variant 'hinge' twice"):
        load_baseline(file)
    twin["hypers"]["a.b.c"] = 1
    data["variants"][-1] = {**twin, "label": "another"}
    del data["sealed"]
    file.write_text(json.dumps(data))
    assert [variant.label for variant in load_baseline(file).variants] == ["hinge", "minimax", "another"]


@pytest.mark.parametrize(("schema", "told"), [
    (SCHEMA + 1, str(SCHEMA + 1)), (0, "0"), ("1", "of another kind"), (True, "of another kind"), ([], "of another"),
])  # fmt: skip
def test_another_schema_is_told(file, schema, told):
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": schema}))
    with pytest.raises(IncompatibleBaselineError, match=f"has schema {told}.* reads {SCHEMA}"):
        load_baseline(file)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3", "{}", "[" * 100_000])
def test_texts_that_are_no_baseline(file, text):
    file.write_text(text)
    with pytest.raises(IncompatibleBaselineError, match="is damaged or not a baseline; make it again"):
        load_baseline(file)


def test_places_without_one(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bad").write_bytes(b"\xff")
    for name, said in (("pipe", "it is a pipe"), ("none", "No such file"), (".", "Is a directory")):
        with pytest.raises(UserError, match=f"^Cannot read the baseline '.*': {said}") as raised:
            load_baseline(tmp_path / name)
        assert raised.value.exit_code == Exit.USAGE
    with pytest.raises(IncompatibleBaselineError, match="not a baseline"):
        load_baseline(tmp_path / "bad")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^Cannot write the baseline '.*': .+\.$"):
        BASELINE.save(tmp_path / "file" / "baseline.json")


def test_a_file_has_its_schema_and_a_line_for_every_value(file, tmp_path):
    # files of schema 1 lie in the repositories of users
    assert json.loads(file.read_text())["schema"] == SCHEMA == 1
    assert len(file.read_text().splitlines()) > 4 * sum(len(variant.runs) for variant in BASELINE.variants)
    assert file.read_text().endswith("}\n")
    deep = tmp_path / "a" / "b" / "baseline.json"
    for _ in range(2):
        BASELINE.save(deep)
    assert load_baseline(deep) == BASELINE


def test_a_variant_is_the_same_in_whatever_order_its_settings_are(file):
    data = json.loads(file.read_text())
    twin = copy.deepcopy(data["variants"][0])
    twin["settings"] = dict(reversed(twin["settings"].items()))
    data["variants"].append({**twin, "label": "another"})
    file.write_text(json.dumps(data))
    assert len(twin["settings"]) > 1
    with pytest.raises(IncompatibleBaselineError, match="it has the variant 'hinge' twice"):
        load_baseline(file)
