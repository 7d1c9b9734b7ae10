"""A plan's file: each key alone missing or wrong is told; at each limit the last value is read."""

from dataclasses import replace

import pytest
import yaml

from ganbench.errors import UserError
from ganbench.plan import SCHEMA
from ganbench.results import planfile
from ganbench.results.reading import Unreadable
from ganbench.suite import resolve

PLAN = resolve(None, ["loss=hinge,minimax", "regularizer=r1", "normalization=none,batch", "margins.score=0.2",
                      "time_limit=5", "generator_steps=2"])  # fmt: skip


@pytest.fixture
def load(tmp_path):
    """Reads what changes of a sound plan's data are on file."""

    def read(without=(), **changes):
        data = {k: v for k, v in yaml.safe_load(planfile.dump(PLAN)).items() if k not in without} | changes
        file = tmp_path / "plan.yaml"
        file.write_text(yaml.safe_dump(data, sort_keys=False))
        return planfile.load(file)

    return read


def rows(**changes):
    return [*[dict(row) for row in PLAN.to_dict()["variants"]][:-1], {**PLAN.to_dict()["variants"][-1], **changes}]


def test_what_is_written_is_read(load):
    assert load() == PLAN
    assert planfile.dump(PLAN).startswith(planfile.HEADER + f"hash: {PLAN.hash}\nschema: {SCHEMA}\n")


REQUIRED = ("name", "description", "seeds", "probe_every", "samples", "neighbours", "plugin_files", "versions",
            "variants", "skipped")  # fmt: skip


@pytest.mark.parametrize("key", ["schema", *REQUIRED])
def test_a_key_that_is_missing_is_named(load, key):
    with pytest.raises(Unreadable, match=r"^has no schema$" if key == "schema" else f"^has no key '{key}'$"):
        load(without=[key])


SKIPPED = {**PLAN.to_dict()["variants"][0], "reason": "because"}
WRONG = {
    "name": [1, None, ["a"]], "description": [1, None],
    "seeds": [[], [0, 0], [0, 1, 0], [-1], [0, True], ["0"], 5, [0.0]],
    "probe_every": [0, -1, True, 1.0, "5"], "samples": [0, True, 1.0], "neighbours": [0, True, 1.0],
    "plugin_files": ["a", [1], ["a", None]], "versions": [[], {"a": 1}, {"a": "b", "c": None}, {1: "a"}],
    "variants": [[], {}, ["a"], rows(loss=1), rows(steps=-1), rows(steps=True), rows(steps="5"), rows(latent=None),
                 rows(**{"loss.hinge.margin": [1]}), rows(**{"loss.hinge.margin": {"a": 1}}), [*rows(), 3],
                 [{k: v for k, v in row.items() if k != "steps"} for row in rows()],
                 [*rows(), {1: 2, **rows()[0]}]],
    "skipped": [[{k: v for k, v in SKIPPED.items() if k != "reason"}], [{**SKIPPED, "reason": 3}], [3],
                [SKIPPED, {**SKIPPED, "loss": 3}], SKIPPED],
    "diagnostics": [1], "feature_spaces": [1, ["a"]], "metrics": [1, ["a"]], "legends": [[], {"a": 1}],
    "listed": ["a", [1], ["a", 1]], "tuned": ["a", [1], ["a", 1]],
    "code": [1], "time_limit": ["5", True], "allow": [["a"], 1], "uncovered": ["a", [1]],
    "margins": [[], {1: 0.1}, {"score": "much"}, {"score": 0}, {"score": 1}, {"other": 0.1}],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_is_told_with_its_key(load, key, value):
    with pytest.raises(Unreadable, match=rf"^has a wrong value under '{key}'$"):
        load(**{key: value})


def test_what_older_versions_did_not_write_has_its_default(load):
    optional = ("diagnostics", "feature_spaces", "metrics", "legends", "listed", "margins", "time_limit", "code")
    optional += ("allow", "tuned")
    plan = load(without=optional)
    assert plan == replace(PLAN, legends={}, margins={}, time_limit=0.0, code="")
    assert load(skipped=[SKIPPED]).skipped == ((PLAN.variants[0], "because"),)
    for value in (None, True, 1, 0.5, "a"):
        assert dict(load(variants=rows(**{"loss.own.x": value})).variants[-1].hypers)["loss.own.x"] == value


def test_the_schema_of_another_version_is_told(load):
    with pytest.raises(UserError, match=rf"has schema {SCHEMA + 1}; this version of ganbench reads {SCHEMA}\.$"):
        load(schema=SCHEMA + 1)
    with pytest.raises(UserError, match=r"has schema of another kind"):
        load(schema=["1"])


def test_runs_are_some_and_differ(load, monkeypatch):
    with pytest.raises(Unreadable, match=r"^has the same variant twice$"):
        load(variants=rows() + rows()[:1])
    with pytest.raises(Unreadable, match=r"^lists runs that it does not have$"):
        load(listed=["none"])
    assert [run.id for run in load(listed=["none", PLAN.runs[3].id]).runs] == [PLAN.runs[3].id]
    monkeypatch.setattr(planfile, "LARGEST", len(PLAN.runs))
    assert load() == PLAN
    monkeypatch.setattr(planfile, "LARGEST", len(PLAN.runs) - 1)
    with pytest.raises(Unreadable, match=rf"^lists more than {len(PLAN.runs) - 1} runs$"):
        load()


@pytest.mark.parametrize(("text", "said"), [
    ("", "is empty"), ("[1]", "is no plan"), ("a: [", "is not YAML"), ("2001-13-45", "is not YAML"),
    ("{a: 1, b: 2, a: 3}", "has the key 'a' twice"), ("a: {b: 1, b: 2}", "has the key 'b' twice"),
    ("[" * 20 + "]" * 20, "is no plan"), ("[" * 21 + "]" * 21, "is too deeply nested"),
    ("[" + "[1], " * 50 + "]", "is no plan"), ("!!python/name:os.system", "is not YAML"),
])  # fmt: skip
def test_texts_that_are_no_plan(tmp_path, text, said):
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(Unreadable, match=rf"^{said}$"):
        planfile.load(file)


def test_the_file_says_what_it_is_and_keeps_the_order_of_its_keys():
    text = planfile.dump(PLAN)
    first, second = text.splitlines()[:2]
    assert first.startswith("# The plan of a ganbench study; the results beside it belong to it alone.")
    assert second == f"hash: {PLAN.hash}"
    assert list(yaml.safe_load(text)) == ["hash", *PLAN.to_dict()]


def test_of_a_key_that_is_there_twice_its_begin_is_told(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(f"[{{b: 1, {'a' * 60}: 1, c: 1, {'a' * 60}: 1, b: 1}}]")
    with pytest.raises(Unreadable, match=r"^has the key 'b' twice$"):
        planfile.load(file)
    file.write_text(file.read_text().replace("b: 1}", "d: 1}"))
    with pytest.raises(Unreadable, match=f"^has the key '{'a' * 40}' twice$"):
        planfile.load(file)


def test_margins_may_be_none_and_have_texts_for_names(load):
    assert load(margins={}).margins == {}
    with pytest.raises(Unreadable, match=r"^has a wrong value under 'margins'$"):
        load(margins={"score": 0.2, 1: 0.2})
