"""Damaged files of a study: one sentence each, the rest reads, and the same command mends what can be trained again."""

import json
import os
import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from same import equal

from ganbench import api
from ganbench.analysis.seeds import complete
from ganbench.errors import Exit, UserError
from ganbench.results.reading import Damage

SUITE = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
         "network.mlp.width=8", "normalization=none,layer"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished study of two populations with two runs each."""
    return api.run(overrides=SUITE, out=tmp_path_factory.mktemp("trained") / "study", workers=1)


@pytest.fixture
def study(trained, tmp_path):
    return shutil.copytree(trained.path, tmp_path / "study")


def first(study):
    """The folder of the population without a normalization."""
    return next(study.glob("populations/ring8-none-*"))


class Trap:
    """Unpickled, it would end the tests."""

    def __reduce__(self):
        return os._exit, (7,)


def replace_by_folder(file):
    file.unlink()
    (file / "inside").mkdir(parents=True)


def replace_by_pipe(file):
    file.unlink()
    os.mkfifo(file)


def several_arrays(file):
    with file.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))


TORN = {
    "deleted": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "torn": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "garbage": lambda file: file.write_bytes(bytes(range(256)) * 4),
    "not UTF-8": lambda file: file.write_bytes(b'{"step": 0, "\xff\xfe": 1}\n'),
    "brackets": lambda file: file.write_bytes(b"[" * 100_000 + b"\n"),
    "null": lambda file: file.write_bytes(b"null\n"),
    "a number": lambda file: file.write_bytes(b"1e999\n"),
    "a folder": replace_by_folder,
    "a pipe": replace_by_pipe,
    "a link to nowhere": lambda file: (file.unlink(), file.symlink_to("nowhere")),
}


def written(content):
    return lambda file: file.write_text(json.dumps(content))


def changed(change):
    def apply(file):
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return apply


def line_changed(number, line):
    def apply(file):
        lines = file.read_text().splitlines()
        lines[number] = line(lines[number]) if callable(line) else line
        file.write_text("".join(f"{one}\n" for one in lines))

    return apply


def values(change):
    def line(text):
        record = json.loads(text)
        change(record["values"])
        return json.dumps(record)

    return line_changed(1, line)


def set_first(value):
    return lambda columns: columns.__setitem__(next(iter(columns)), value)


POISONED = {
    "runs.json": {
        "a dict": written({"a": 1}), "no runs": written([]), "numbers": written([1, 2]), "one": written(["x"]),
        "a stranger": changed(lambda runs: runs.__setitem__(0, "../../x")),
        "a run twice": changed(lambda runs: runs.__setitem__(0, runs[1])),
    },
    "done.json": {
        "no keys": written({}), "no clock": changed(lambda d: d.pop("seconds")),
        "half a clock": changed(lambda d: d["seconds"].pop("probe")),
        "a clock of texts": changed(lambda d: d["seconds"].update(train="1")),
        "no divergence": changed(lambda d: d.pop("diverged_step")),
        "too few": changed(lambda d: d["diverged_step"].pop()),
        "fractions": changed(lambda d: d.update(diverged_step=[1.5, -1])),
        "a long integer": lambda file: file.write_text(file.read_text().replace("-1", "1" * 4000, 1)),
        "costs of others": changed(lambda d: d["cost"]["gflop"].append(1.0)),
        "no digest": changed(lambda d: d.update(series=1)),
    },
    "series.jsonl": {
        "a line null": line_changed(1, "null"), "a line a number": line_changed(1, "3"),
        "a line a list": line_changed(1, "[1, 2]"), "a line lost": line_changed(1, ""),
        "a step negative": line_changed(1, lambda text: text.replace('"step":10', '"step":-10')),
        "a step a text": line_changed(1, lambda text: text.replace('"step":10', '"step":"10"')),
        "a step elsewhere": line_changed(1, lambda text: text.replace('"step":10', '"step":11')),
        "values a list": line_changed(1, '{"step":10,"values":[1, 2]}'),
        "no values": line_changed(1, '{"step":10,"values":{}}'),
        "too few": values(set_first([1.0])), "texts": values(set_first(["1.0", "2.0"])),
        "nothing": values(set_first([None, 1.0])), "truths": values(set_first([[1.0], [2.0]])),
        "a digit changed": line_changed(1, lambda text: re.sub(r"(\.\d*?)([1-9])", r"\g<1>0", text, count=1)),
        "a last line lost": lambda file: file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1])),
    },
}  # fmt: skip
DECIDING = [(name, how, poison) for name in POISONED for how, poison in {**TORN, **POISONED[name]}.items()]
# without this file a population looks like one that was killed at its end: no damage, and it goes on
DECIDING.remove(("done.json", "deleted", TORN["deleted"]))


@pytest.mark.parametrize(("name", "poison"), [pytest.param(n, p, id=f"{n} {how}") for n, how, p in DECIDING])
def test_runs_without_their_results_have_not_ended(study, name, poison):
    file = first(study) / name
    poison(file)
    loaded = api.load(study)
    status = loaded.runs.set_index("normalization")["status"]
    assert set(status["none"]) <= {"running", "pending"}
    assert set(status["layer"]) == {"done"}
    (damage,) = (one for one in loaded.damage if one.file == file)
    assert str(damage).startswith(f"The file '{file}' is damaged: it ")
    assert str(damage).endswith(".")
    assert "\n" not in str(damage)
    layer = loaded.runs.loc[loaded.runs["normalization"] == "layer", "run"]
    assert set(loaded.series["run"]) >= set(layer), "the other population reads as before"
    with pytest.raises(UserError, match="cannot be judged, 2 runs have no end that reads: ") as caught:
        complete([loaded])
    assert caught.value.exit_code == Exit.FAILED
    assert str(damage) in str(caught.value)


@pytest.mark.parametrize("name", POISONED)
@pytest.mark.parametrize("how", ["deleted", "torn", "a folder"])
def test_the_same_command_trains_again_what_is_lost(study, trained, name, how):
    file = first(study) / name
    TORN[how](file)
    told, worked = [], set()

    def watch(population, event):
        worked.add(population)
        told.append(event.get("text", ""))

    again = api.run(overrides=SUITE, out=study, workers=1, watch=watch)
    assert any(f"'{file}' is damaged" in text for text in told) or (name, how) == ("done.json", "deleted")
    assert worked - {""} == {file.parent.name}, "nothing else is trained"
    assert again.damage == []
    equal(again, trained, apart=["memory_mb"])


ARRAYS = {
    **TORN,
    "of objects": lambda file: np.save(file, np.array([Trap()], dtype=object), allow_pickle=True),
    "a pickle": lambda file: file.write_bytes(pickle.dumps(Trap())),
    "of texts": lambda file: np.save(file, np.full((2, 3, 2), "x")),
    "of whole numbers": lambda file: np.save(file, np.zeros((2, 64, 2), dtype=int)),
    "of another shape": lambda file: np.save(file, np.zeros(3)),
    "without numbers": lambda file: np.save(file, np.zeros((2, 0, 2))),
    "a scalar": lambda file: np.save(file, np.float64(3)),
    "several arrays": several_arrays,
    "of a vast shape": lambda file: file.write_bytes(
        re.sub(rb"'shape': \(\d+,", b"'shape': (99999999,", file.read_bytes(), count=1)
    ),
}


@pytest.mark.parametrize("how", ARRAYS)
def test_samples_that_cannot_be_read_are_not_shown(study, how):
    file = first(study) / "samples-10.npy"
    ARRAYS[how](file)
    loaded = api.load(study)
    assert loaded.damage == [Damage(file, loaded.damage[0].why, "the samples at step 10 are not shown")]
    assert set(loaded.runs["status"]) == {"done"}
    for run in loaded.runs.to_dict("records"):
        expected = [0, 20] if run["normalization"] == "none" else [0, 10, 20]
        assert list(loaded.samples(run["run"])) == expected
    complete([loaded])


@pytest.mark.parametrize("how", ARRAYS)
def test_real_samples_that_cannot_be_read_are_not_shown(study, trained, how):
    file = study / "problems" / "ring8.npy"
    ARRAYS[how](file)
    loaded = api.load(study)
    assert [damage.file for damage in loaded.damage] == [file]
    assert loaded.real_samples("ring8").size == 0
    assert loaded.oracle == trained.oracle
    complete([loaded])


ORACLES = {
    **TORN,
    "a list": written([1]), "no oracle": changed(lambda p: p.pop("oracle")),
    "an oracle of texts": changed(lambda p: p["oracle"].update(frechet="0")),
    "half a mode": changed(lambda p: p.update(modes=1.5)), "no modes": changed(lambda p: p.update(modes=0)),
    "ragged centres": changed(lambda p: p["centres"].append([1.0])),
    "centres of texts": changed(lambda p: p.update(centres=["a"])), "no width": changed(lambda p: p.pop("std")),
}  # fmt: skip


@pytest.mark.parametrize("how", ORACLES)
def test_runs_are_not_judged_without_their_oracle(study, how):
    file = study / "problems" / "ring8.json"
    ORACLES[how](file)
    loaded = api.load(study)
    assert [damage.file for damage in loaded.damage] == [file]
    assert set(loaded.runs["status"]) == {"running"}
    assert loaded.runs["verdict"].isna().all()
    with pytest.raises(UserError, match="the oracle values of 'ring8'") as caught:
        complete([loaded])
    assert caught.value.exit_code == Exit.FAILED


@pytest.mark.parametrize("name", ["ring8.json", "ring8.npy"])
def test_a_damaged_problem_is_described_again_and_nothing_trained(study, trained, name):
    (study / "problems" / name).write_bytes(b"\x93NUMPY")
    worked = set()
    again = api.run(overrides=SUITE, out=study, workers=1, watch=lambda population, event: worked.add(population))
    assert worked == {""}
    assert again.oracle == trained.oracle
    assert again.damage == []
    equal(again, trained, apart=["memory_mb"])


@pytest.mark.parametrize("how", sorted(set(TORN) - {"deleted", "empty"}))
def test_records_of_commands_that_cannot_be_read(study, trained, how):
    file = study / "sessions.jsonl"
    TORN[how](file)
    if how == "torn":
        with file.open("ab") as stream:
            stream.write(b"\n{}\n")
    loaded = api.load(study)
    assert [damage.file for damage in loaded.damage] == [file]
    assert loaded.provenance["plan_hash"] == trained.provenance["plan_hash"]
    equal(loaded, trained, apart=["memory_mb"])


@pytest.mark.parametrize(
    "record", ["3", "[]", '{"wall_seconds": "1"}', '{"command": 1}', '{"wall_seconds": -1}', "\udcff"]
)
def test_a_line_that_is_no_record_of_a_command(study, record):
    file = study / "sessions.jsonl"
    file.write_bytes(file.read_bytes() + record.encode("utf-8", "surrogateescape") + b"\n")
    assert [str(damage) for damage in api.load(study).damage] == [
        f"The file '{file}' is damaged: it is no record in line 2; a record of commands, versions and times is lost."
    ]


@pytest.mark.parametrize("how", sorted(set(TORN) - {"deleted"}))
def test_a_failure_whose_reason_is_lost_is_still_a_failure(study, how):
    folder = first(study)
    (folder / "done.json").unlink()
    (folder / "failed.json").write_text('{"error": "out of luck"}')
    TORN[how](folder / "failed.json")
    failed = api.load(study).runs.query("normalization == 'none'")
    assert set(failed["status"]) == {"failed"}
    assert f"The file '{folder / 'failed.json'}' is damaged" in failed["reason"].iloc[0]


@pytest.mark.parametrize("part", ["populations", "problems", "a population"])
def test_no_folder_where_one_should_be(study, trained, part):
    place = first(study) if part == "a population" else study / part
    shutil.rmtree(place)
    place.write_text("not a folder")
    loaded = api.load(study)
    assert any(damage.file == place and damage.why == "is no folder" for damage in loaded.damage)
    assert not (loaded.runs["status"] == "done").all()
    if part != "populations":
        again = api.run(overrides=SUITE, out=study, workers=1)
        assert again.damage == []
        equal(again, trained, apart=["memory_mb"])


def test_a_run_in_two_populations_counts_where_it_is_complete(study, trained):
    place = first(study)
    for name in ("aaa", "zzz"):
        shutil.copytree(place, place.parent / name)
        (place.parent / name / "done.json").unlink()
    (place.parent / "zzz" / "failed.json").write_text('{"error": "out of luck"}')
    equal(api.load(study), trained, apart=["memory_mb"])


def test_every_output_is_written_and_tells(study, tmp_path, capsys, monkeypatch):
    from ganbench import cli

    file = first(study) / "series.jsonl"
    line_changed(1, "null")(file)
    (damage,) = api.load(study).damage
    target = tmp_path / "elsewhere"
    for command in (["report", str(study), "-o", str(target / "r.html")], ["export", str(study), "--out", str(target)]):
        monkeypatch.setattr("sys.argv", ["ganbench", *command])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        assert capsys.readouterr().err.splitlines()[0] == str(damage)
    assert str(damage).replace("'", "&#39;") in (target / "r.html").read_text()
    runs = pd.read_csv(target / "results.csv")
    assert runs["verdict"].notna().tolist() == [False, False, True, True]
    assert set(runs.loc[:1, "reason"]) == {str(damage)}
    from ganbench.report.context import Context
    from ganbench.report.summary import summary

    assert "has no probe of step 10" in summary(Context(api.StoredStudy(study)))
