"""No name leads out of a study, and a study that cannot be written is still read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from overriding import over

from ganbench import api
from ganbench.errors import UserError
from ganbench.files import file_name
from ganbench.report.exports import has_parquet
from ganbench.results.store import Store
from ganbench.suite import resolve

TINY = ["problem=ring8", "steps=4", "seeds=2", "batch_size=16", "probe_every=2", "samples=32", "neighbours=16",
        "network.mlp.width=4"]  # fmt: skip
NAMES = ["../../etc", "x(path=../../etc/passwd)", "/etc/passwd", "..", ".", "", ".hidden", "a/b", "a\\b", "a\x00b",
         "a\nb", "\ud800", "x" * 300, "ü" * 100]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_its_folder(tmp_path, name):
    study = tmp_path / "study"
    store = Store(study)
    store.begin(resolve(None, TINY))
    before = set(tmp_path.iterdir())
    problem, population = store.problem(name), store.population(name)
    problem.write({"oracle": {"score": 1.0}}, np.ones((2, 2)))
    population.begin(store.read_plan().runs)
    assert problem.read()["oracle"] == {"score": 1.0}
    assert population.runs() == [run.id for run in store.read_plan().runs]
    assert set(tmp_path.iterdir()) == before
    assert {file.name for file in study.iterdir()} <= {"plan.yaml", "problems", "populations"}
    assert all(len(os.fsencode(file.name)) <= 160 for file in study.rglob("*"))
    assert [folder.id for folder in store.populations()] == [population.id], "and it is found again"


@given(st.text(), st.text())
def test_every_name_is_one_inside_and_no_two_are_one(first, second):
    name = file_name(first)
    assert (Path("folder") / name).parent == Path("folder")
    assert name not in ("", ".", "..")
    assert not name.startswith(".")
    os.fsencode(name)
    assert (name == file_name(second)) == (first == second)


@pytest.mark.parametrize("name", ["ring8", "ring8(std=0.01,modes=8)", "ring8-none-r1-0a1b2c3d", "x(a=[1, 2])"])
def test_ordinary_names_are_those_of_older_studies(name):
    assert file_name(name) == name


def test_a_hyper_parameter_of_a_problem_stays_in_the_study(tmp_path, own_registry):
    from ganbench import registry

    original = registry.get("problem", "ring8")

    declared = {key: value for key, value in original.meta.items() if key != "later"}

    @registry.register("problem", **declared, needs=original.needs, provides=original.provides)
    def ring_of(*, path: str = "x"):
        """A ring that takes a path."""
        return original()

    overrides = over([*TINY[1:], "problem=ring_of", "problem.ring_of.path=../../../out,/tmp/ganbench-out", "seeds=1"])
    study = api.run(None, overrides, out=tmp_path / "deep" / "er" / "study", workers=1)
    assert set(study.runs["status"]) == {"done"}
    assert len(study.oracle) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deep"]
    assert not Path("/tmp/ganbench-out.json").exists()
    assert len(list((study.path / "problems").glob("*.json"))) == 2
    study.report(tmp_path / "elsewhere" / "report.html")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["deep", "elsewhere"]


def test_a_place_whose_name_is_no_text_is_a_place(tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    study = api.run(None, [*TINY, "loss=hinge,nonsaturating"], out=place, workers=1)
    formats = ["json", "parquet"] if has_parquet() else ["json"]
    for file in (study.report(), place / "report.md", *study.export(place, formats, texts=["methods"])):
        assert file.read_bytes(), file
    # in the command that would confirm the best
    assert "caf\\udce9" in (place / "report.html").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------ read-only


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """A finished study in which nothing can be opened to be written, whoever asks."""
    api.run(None, TINY, out=tmp_path / "study", workers=1)
    next(tmp_path.glob("study/populations/*/done.json")).unlink()
    before = contents(tmp_path / "study")

    def refuse(function):
        def checked(file, *arguments, **options):
            mode = arguments[0] if arguments else options.get("mode", "r")
            changes = function.__name__ != "open" or any(letter in mode for letter in "wax+")
            if changes and Path(file).is_relative_to(tmp_path / "study"):
                raise OSError(30, "Read-only file system")
            return function(file, *arguments, **options)

        return checked

    for name in ("open", "unlink", "replace", "mkdir"):
        monkeypatch.setattr(Path, name, refuse(getattr(Path, name)))
    yield tmp_path / "study"
    assert contents(tmp_path / "study") == before


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_read_only_study_is_read_and_reported_elsewhere(sealed, tmp_path):
    study = api.load(sealed)
    assert set(study.runs["status"]) == {"running"}
    assert study.report(tmp_path / "elsewhere" / "report.html").exists()
    names = {path.name for path in study.export(tmp_path / "exported", ["csv", "json"])}
    assert names == {"results.csv", "results.json"}
    assert json.loads((tmp_path / "exported" / "results.json").read_text())["name"] == "custom"


@pytest.mark.parametrize("what", ["run", "report", "export", "fresh"])
def test_writing_to_a_read_only_study_is_one_sentence(sealed, what):
    jobs = {
        "run": lambda: api.run(None, TINY, out=sealed, workers=1),
        "fresh": lambda: api.run(None, TINY, out=sealed, workers=1, fresh=True),
        "report": lambda: api.load(sealed).report(),
        "export": lambda: api.load(sealed).export(),
    }
    with pytest.raises(UserError, match=rf"^Cannot write to '{sealed}.*': Read-only file system\.$"):
        jobs[what]()


def forbid(monkeypatch, place):
    """Have the system refuse to read a file or folder, whoever asks: the superuser reads everything."""

    def refusing(function):
        def checked(file, *arguments, **options):
            if Path(file) == place:
                raise PermissionError(13, "Permission denied")
            return function(file, *arguments, **options)

        return checked

    for name in ("read_bytes", "open", "iterdir"):
        monkeypatch.setattr(Path, name, refusing(getattr(Path, name)))


@pytest.mark.parametrize("name", ["sessions.jsonl", "populations", "problems/ring8.json", "populations/*/done.json"])
def test_what_must_not_be_read_is_told_and_the_rest_reads(tmp_path, monkeypatch, name):
    api.run(None, TINY, out=tmp_path / "study", workers=1)
    (place,) = (tmp_path / "study").glob(name)
    forbid(monkeypatch, place)
    study = api.load(tmp_path / "study")
    assert [str(damage).partition(";")[0] for damage in study.damage] == [
        f"The file '{place}' is damaged: it cannot be read (Permission denied)"
    ]
    assert len(study.runs) == 2


def test_a_plan_that_must_not_be_read(tmp_path, monkeypatch):
    api.run(None, TINY, out=tmp_path / "study", workers=1)
    forbid(monkeypatch, tmp_path / "study" / "plan.yaml")
    with pytest.raises(
        UserError, match=r"^The file '.*plan\.yaml' is damaged: it cannot be read \(Permission denied\);"
    ):
        api.load(tmp_path / "study")
