"""docs/your-data.md: every block is executed, at a tiny size; and what is said of data that do not fit."""

import hashlib
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from typer.testing import CliRunner

import ganbench
from ganbench import api, registry
from ganbench.cli import app
from ganbench.errors import UserError
from ganbench.problems.base import stream

PAGE = Path(__file__).parents[1] / "docs" / "your-data.md"
needs_page = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not part of this installation")
TINY = {"seeds": 1, "steps": 4, "probe_every": 4, "batch_size": 8, "samples": 32, "neighbours": 16, "latent_dim": 4}
IMAGES = {"network.dcgan.width": 2, "loss": "hinge", "normalization": "none", "problem.folder.size": 8}
ROWS = {"network.mlp.width": 8, "loss": "hinge", "normalization": "none", "regularizer": "none"}


class Pictures(Dataset):
    """A Dataset of pictures with labels, as torchvision's have them after ToTensor, or after Normalize too."""

    def __init__(self, n=60, side=8, low=0.0, high=1.0):
        pixels = np.random.default_rng(0).integers(0, 256, (n, 3, side, side), dtype=np.uint8)
        self.pixels, self.low, self.high = pixels, low, high

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, place):
        image = torch.from_numpy(self.pixels[place]).float() / 255
        return image * (self.high - self.low) + self.low, place % 2


class Part:
    """A Dataset with the interface of Hugging Face's: a length, items that are dictionaries, columns by name."""

    def __init__(self, n, seed):
        self.pixels = np.random.default_rng(seed).integers(0, 256, (n, 8, 8), dtype=np.uint8)
        self.column_names = ["image", "label"]

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, key):
        if isinstance(key, str):
            return [self[place][key] for place in range(len(self))]
        if not 0 <= key < len(self):
            raise IndexError(key)
        return {"image": Image.fromarray(self.pixels[key]), "label": key % 2}

    def __iter__(self):
        return (self[place] for place in range(len(self)))


def frame(n=200):
    random = np.random.default_rng(1)
    return pd.DataFrame({"height": random.normal(170, 10, n), "weight": random.normal(70, 9, n), "name": ["x"] * n})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with pictures, an .npz and a .csv, in which everything is planned at a tiny size; return its plans."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(2)
    for number in range(120):
        Image.fromarray(random.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(f"pictures/{number}.png")
    np.savez("own.npz", images=random.integers(0, 256, (120, 12, 12), dtype=np.uint8), labels=np.arange(120) % 3)
    frame().drop(columns="name").to_csv("measurements.csv", index=False)
    make, plans = api.make_plan, []

    def tiny(suite, overrides=(), *more):
        own = {**TINY, **(ROWS if any("tabular" in str(word) for word in [suite, *overrides]) else IMAGES)}
        kept = [word for word in overrides if word.partition("=")[0] not in own]
        plans.append(make(suite, [*kept, *(f"{key}={value}" for key, value in own.items())], *more))
        return plans[-1]

    monkeypatch.setattr(api, "make_plan", tiny)
    return plans


@pytest.fixture
def untrained(monkeypatch):
    """Train nothing: what is read and planned is as ever, and studies are finished with a report each."""
    study = SimpleNamespace(report=lambda: Path("report.html"), runs=pd.DataFrame({"status": ["done"]}))
    monkeypatch.setattr(api, "execute_plan", lambda plan, **more: study)


@pytest.fixture
def alone(monkeypatch):
    """Train in this process."""
    execute = api.execute_plan
    monkeypatch.setattr(api, "execute_plan", lambda plan, **more: execute(plan, **{**more, "workers": 1}))


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


def commands():
    return [line.split()[1:] for block in blocks("") for line in block.splitlines()] if PAGE.exists() else []


def execute_python(monkeypatch):
    """Execute the blocks of Python one after the other, and return what they have made."""
    hub = ModuleType("datasets")
    hub.load_dataset = lambda name: {"train": Part(60, 0), "test": Part(20, 1)}
    monkeypatch.setitem(sys.modules, "datasets", hub)
    loader = DataLoader(Pictures(low=-1.0, high=1.0), batch_size=16, shuffle=True)
    space = {"frame": frame(), "dataset": Pictures(120), "loader": loader, "torch": torch, "datasets": hub,
             "rows": torch.from_numpy(np.random.default_rng(3).normal(size=(200, 3)))}  # fmt: skip
    code = blocks("python")
    assert len(code) >= 5
    for block in code:
        # as short as it is said to be
        assert len(block.strip().splitlines()) <= 6
        exec(block, space)
    return space


@needs_page
def test_every_block_reads_its_data_and_can_be_planned(here, untrained, monkeypatch, capsys):
    assert len(commands()) >= 5
    for words in commands():
        assert words[0] == "run"
        plan = api.make_plan(None, words[1:])
        (problem_name,) = {variant.problem for variant in plan.variants}
        hypers = {key.split(".")[2]: value for key, value in plan.variants[0].hypers if key.startswith("problem.")}
        assert len(problem(problem_name, **hypers).sample(4, stream("t", 0))) == 4
    execute_python(monkeypatch)
    assert capsys.readouterr().out.count("report.html") == 3
    assert [plan.name for plan in here[-4:]] == ["tabular", "folder", "tabular", "folder"]


@needs_page
@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(commands())))
def test_every_command_trains_and_writes_a_report(here, alone, number):
    done = CliRunner().invoke(app, [*commands()[number], "--out", "study"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert Path("study/report.html").exists()


@needs_page
@pytest.mark.slow
def test_every_block_of_python_trains_and_writes_a_report(here, alone, monkeypatch, capsys):
    space = execute_python(monkeypatch)
    assert capsys.readouterr().out.count("report.html") == 3
    assert set(space["study"].runs["status"]) == {"done"}


# ---------------------------------------------------------------------------------------------- what is written


def problem(name, **hypers):
    return registry.get("problem", name)(**hypers)


def stored(path):
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays.files}


def test_all_ways_to_hold_the_same_pictures_give_the_same_file(tmp_path):
    dataset, scaled = Pictures(), Pictures(low=-1.0, high=1.0)
    ways = {
        "dataset": (dataset, {}), "loader": (DataLoader(dataset, 7, shuffle=True, drop_last=True), {}),
        "scaled": (DataLoader(scaled, 7), {"value_range": (-1, 1)}), "items": (iter(dataset[i] for i in range(60)), {}),
        "pair": ((dataset.pixels, np.arange(60) % 2), {}),
        "last": ((torch.from_numpy(dataset.pixels.transpose(0, 2, 3, 1)), torch.arange(60) % 2), {}),
        "renamed": ([{"picture": dataset[i][0], "kind": i % 2} for i in range(60)],
                    {"image": "picture", "label": "kind"}),
    }  # fmt: skip
    for name, (data, more) in ways.items():
        path = ganbench.write_data(data, tmp_path / f"{name}.npz", **more)
        arrays = stored(path)
        assert arrays.keys() == {"images", "labels"}, name
        assert np.array_equal(arrays["images"], dataset.pixels), name
        assert arrays["labels"].tolist() == [0, 1] * 30, name
    assert len({path.read_bytes() for path in tmp_path.glob("*.npz")}) == 1


def test_an_iterable_dataset_is_gone_through_once(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return (Pictures()[place] for place in range(60))

    for data in (Stream(), DataLoader(Stream(), 16)):
        path = ganbench.write_data(data, tmp_path / f"{type(data).__name__}.npz")
        assert np.array_equal(stored(path)["images"], Pictures().pixels)


def test_parts_and_names_of_classes_are_kept(tmp_path):
    path = ganbench.write_data({"train": Part(60, 0), "validation": Part(20, 1)}, tmp_path / "a.npz")
    own = problem("folder", root=str(path))
    assert (len(own.table.rows), len(own.held_out_images)) == (60, 20)
    named = [(Pictures()[i][0], "cat" if i % 2 else "ant") for i in range(60)]
    arrays = stored(ganbench.write_data(named, tmp_path / "b.npz"))
    assert arrays["labels"].tolist() == ["ant", "cat"] * 30


def test_a_table_of_paths_is_a_set_of_pictures(here):
    table = pd.DataFrame({"path": [f"{i}.png" for i in range(60)], "kind": ["a", "b", "b"] * 20})
    path = ganbench.write_data(table, "own2.npz", image="path", label="kind", root="pictures", size=8, crop=True)
    arrays = stored(path)
    assert arrays["images"].shape == (60, 3, 8, 8)
    assert arrays["labels"].tolist() == ["a", "b", "b"] * 20


@settings(max_examples=8, deadline=None)
@given(st.integers(200, 300), st.integers(1, 4), st.integers(0, 2**16))
def test_rows_are_the_same_however_they_are_held(tmp_path_factory, n, d, seed):
    folder = tmp_path_factory.mktemp("rows")
    rows = np.random.default_rng(seed).normal(3, 2, (n, d))
    names = [f"c{i}" for i in range(d)]
    table = pd.DataFrame(rows, columns=names)
    table.to_csv(folder / "r.csv", index=False)
    np.save(folder / "r.npy", rows)
    ways = [table, TensorDataset(torch.from_numpy(rows)), torch.from_numpy(rows), rows,
            DataLoader(TensorDataset(torch.from_numpy(rows)), 8, shuffle=True), table.to_dict("records")]  # fmt: skip
    files = [ganbench.write_data(data, folder / f"{at}.npz") for at, data in enumerate(ways)]
    made = [problem("tabular", root=str(file)) for file in [*files, folder / "r.npy", folder / "r.csv"]]
    for one in made[1:-1]:
        assert torch.equal(one.table.rows, made[0].table.rows)
    # a text of a number is the number to the last bit or its neighbour
    assert len(made[-1].table.rows) + len(made[-1].oracle_samples(10**6)) == n
    # the same rows are held out in whatever order they come
    ganbench.write_data(rows[::-1], folder / "back.npz")
    back = problem("tabular", root=str(folder / "back.npz"))
    assert torch.equal(back.table.rows, made[0].table.rows)


def test_what_is_there_is_not_overwritten(tmp_path):
    path = ganbench.write_data(Pictures(), tmp_path / "a.npz")
    before = path.read_bytes()
    assert ganbench.write_data(Pictures(), path) == path
    with pytest.raises(UserError, match=r"'.*a\.npz' exists and holds other data: choose another name, or remove it"):
        ganbench.write_data(Pictures(n=61), path)
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------------------------- rows


def test_columns_are_scaled_over_the_rows_that_are_trained_on(tmp_path):
    rows = np.random.default_rng(0).normal([5, -2], [3, 0.1], (200, 2))
    np.save(tmp_path / "r.npy", rows)
    own = problem("tabular", root=str(tmp_path / "r.npy"))
    train, held = own.table.rows.double(), own.oracle_samples(10**6).double()
    assert (own.shape, own.capabilities, own.feature_spaces) == ((2,), frozenset(), ("data",))
    torch.testing.assert_close(train.mean(0), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(2).double(), atol=1e-6, rtol=0)
    # undone, they are the rows that were given, none twice and none lost
    known = {tuple(row) for row in np.round(rows, 5)}
    mean, std = kept_scale(rows, len(train))
    back = {tuple(row) for row in np.round(torch.cat([train, held]).numpy() * std + mean, 5)}
    assert len(back & known) >= 199
    assert 6 <= len(held) <= 40
    drawn = own.sample(50, stream("t", 0))
    assert torch.equal(drawn, own.table.rows[own.places(50, stream("t", 0))])
    assert len(problem("tabular", root=str(tmp_path / "r.npy"), samples=30).table.rows) == 30


def kept_scale(rows, trained):
    """Mean and deviation of the rows that are trained on: those whose hash is not in the lowest tenth."""
    digests = [hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in rows]
    kept = rows[[int(digest[:8], 16) >= 2**32 // 10 for digest in digests]]
    assert len(kept) == trained
    return kept.mean(0), kept.std(0)


def written(folder, text, name="t.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def lines(*rows, n=200):
    return "a,b\n" + "\n".join(rows) + "\n" + "\n".join(f"{i},{i * i % 7}" for i in range(n))


TABLES = {
    "text": (
        lines("x,1"),
        {},
        r"The column 'a' of '.*' holds (object|str|string), no numbers: name those that count by",
    ),
    "missing": (
        lines("1,", ",2"),
        {},
        r"2 rows of 202 of '.*' have a missing or infinite value, the first in the column 'a'",
    ),
    "infinite": (lines("inf,1"), {}, r"1 rows of 201 of '.*' have a missing or infinite value"),
    "constant": (
        "a,b\n" + "\n".join(f"{i},5" for i in range(200)),
        {},
        r"The column 'b' of '.*' is the same in all rows",
    ),
    "unknown column": (lines(), {"columns": "a,c"}, r"'.*' has no column 'c': a, b\."),
    "few": (lines(n=3), {}, r"3 rows of '.*' are too few to hold one in 10 out"),
    "empty": ("", {}, r"'.*' does not read as a table"),
    "too many samples": (lines(), {"samples": 1000}, r"The problem 'tabular' takes 1 to \d+ samples"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_that_do_not_fit_are_refused_in_a_sentence(tmp_path, case):
    text, hypers, told = TABLES[case]
    with pytest.raises(UserError, match=told):
        problem("tabular", root=written(tmp_path, text), **hypers)


def test_columns_that_count_may_be_named(tmp_path):
    path = written(tmp_path, "n,a,b\n" + "\n".join(f"x{i},{i},{i * i % 11}" for i in range(200)))
    assert problem("tabular", root=path, columns=" b , a ").shape == (2,)
    assert problem("tabular", root=path, columns="b").shape == (1,)


def test_files_that_are_no_tables_are_refused_in_a_sentence(tmp_path):
    for name, told in (("t.xlsx", "Tables are read from .csv, .tsv"), ("t.npz", "does not read as a table")):
        with pytest.raises(UserError, match=told):
            problem("tabular", root=written(tmp_path, "x", name))
    np.savez(tmp_path / "two.npz", a=np.eye(3), b=np.eye(3))
    np.save(tmp_path / "cube.npy", np.zeros((3, 3, 3)))
    for name, told in (("two.npz", "rows of numbers are called 'rows'"), ("cube.npy", r"a table is \[n, columns\]"),
                       ("none.csv", "Cannot read")):  # fmt: skip
        with pytest.raises(UserError, match=told):
            problem("tabular", root=str(tmp_path / name))
    with pytest.raises(UserError, match=r"needs problem\.tabular\.root=PATH, where its rows are"):
        problem("tabular")


BAD = {
    "a number": (5, {}, "Data are a Dataset, a DataLoader, a DataFrame, .* got a int"),
    "nothing": ([], {}, "There are no data: not one item"),
    "no part to train on": ({"test": Part(3, 0)}, {}, "A mapping of data has a part 'train', got 'test'"),
    "other labels": ((np.zeros((3, 8, 8), np.uint8), np.arange(2)), {}, "3 images and 2 labels"),
    "normalized": (
        Pictures(low=-1.0, high=1.0),
        {},
        r"leave normalization to ganbench, or say in which range they are",
    ),
    "another range": (Pictures(low=-1.0, high=1.0), {"value_range": (0, 2)}, r"no bytes scaled to \[0, 2\]"),
    "a range upside down": (Pictures(), {"value_range": (1, 0)}, "A value_range is two numbers, the lower one first"),
    "texts": (frame(), {}, "The column 'name' of 'the table' holds"),
    "a column that is not there": (frame(), {"columns": ["size"]}, "'the table' has no column 'size'"),
    "rows and pictures": ({"train": Part(20, 0), "test": np.eye(4)}, {}, "not of one kind"),
}


@pytest.mark.parametrize("case", BAD)
def test_data_that_are_none_are_refused_in_a_sentence(tmp_path, case):
    data, more, told = BAD[case]
    with pytest.raises(UserError, match=told):
        ganbench.write_data(data, tmp_path / "a.npz", **more)
    assert not list(tmp_path.iterdir())


def test_the_file_is_an_npz(tmp_path):
    with pytest.raises(UserError, match=r"^Data are written to a file that ends in \.npz, got '.*a\.csv'\.$"):
        ganbench.write_data(Pictures(), tmp_path / "a.csv")
    with pytest.raises(UserError, match=r"^Cannot write '.*a\.npz'"):
        ganbench.write_data(Pictures(), tmp_path / "nowhere" / "a.npz")
