"""The table of a large study as one file: mapped, the same numbers, and used only where it is what it was made of."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from same import equal

from ganbench import api, merging
from ganbench.results import tables
from ganbench.results.study import Study

SUITE = ["problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
         "network.mlp.width=8", "normalization=none,layer"]  # fmt: skip


@pytest.fixture(autouse=True)
def every_study_is_large(monkeypatch):
    monkeypatch.setattr(tables, "LARGE", 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "LARGE", 1)
        return api.run(overrides=SUITE, out=tmp_path_factory.mktemp("trained") / "study", workers=1)


@pytest.fixture
def study(trained, tmp_path):
    return shutil.copytree(trained.path, tmp_path / "study")


def mapped(study):
    """Tell whether a study's table is the file; it holds what its populations do either way."""
    known = Study(study)
    layout = known.layout
    plain = layout.table(layout.numbers())
    pd.testing.assert_frame_equal(known.series, plain, check_exact=True)
    return tables.kept(study, layout) is not None


def test_the_table_is_mapped_and_the_same(trained):
    assert mapped(trained.path)
    assert api.load(trained.path).damage == []
    # a change of the table stays in memory
    before = (trained.path / tables.ARRAY).read_bytes()
    series = Study(trained.path).series
    series.iloc[:, 2:] = 0.0
    assert (trained.path / tables.ARRAY).read_bytes() == before
    assert mapped(trained.path)


def test_a_small_study_has_no_such_file(tmp_path, monkeypatch):
    monkeypatch.undo()
    api.run(overrides=SUITE, out=tmp_path / "small", workers=1)
    assert not (tmp_path / "small" / tables.ARRAY).exists()


def change_a_number(study):
    numbers = np.load(study / tables.ARRAY)
    numbers[0, 0] += 1
    np.save(study / tables.ARRAY, numbers)


def change_the_rows(study):
    """The same numbers belong to other runs: no file of theirs has changed."""
    for file in study.glob("populations/*/runs.json"):
        file.write_text(json.dumps(json.loads(file.read_text())[::-1]))


def lose_a_population(study):
    shutil.rmtree(next(study.glob("populations/*layer*")))


CHANGES = {
    "a number": change_a_number,
    "the rows": change_the_rows,
    "a population": lose_a_population,
    "torn": lambda study: (study / tables.ARRAY).write_bytes((study / tables.ARRAY).read_bytes()[:-8]),
    "no array": lambda study: (study / tables.ARRAY).unlink(),
    "no record": lambda study: (study / tables.RECORD).unlink(),
    "a record of nothing": lambda study: (study / tables.RECORD).write_text("[]"),
    "a record of another": lambda study: (study / tables.RECORD).write_text('{"of": "x", "hash": "y"}'),
    "lines": lambda study: next(study.glob("populations/*layer*/series.jsonl")).write_text(""),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_table_of_something_else_is_not_used(study, how):
    CHANGES[how](study)
    assert not mapped(study)


def test_where_the_study_goes_on_it_is_made_again(study, trained):
    lose_a_population(study)
    again = api.run(overrides=SUITE, out=study, workers=1)
    assert mapped(study)
    equal(again, trained, apart=["memory_mb"])


def test_a_merged_study_has_it(study, trained, tmp_path):
    lose_a_population(study)
    merging.merge([study, trained.path], tmp_path / "whole")
    equal(api.load(tmp_path / "whole"), trained)
    assert mapped(tmp_path / "whole")


def test_without_room_for_it_nothing_is_missing(study, trained, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    (study / tables.RECORD).unlink()
    monkeypatch.setattr(np, "save", full)
    tables.keep(study, Study(study).layout)
    monkeypatch.undo()
    assert not mapped(study)
    equal(api.load(study), trained)
