"""Problems of images in files: what is trained on, held out and measured against, and what is said of missing ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from ganbench import registry
from ganbench.contracts.base import judge, laws
from ganbench.errors import UserError
from ganbench.problems.base import stream
from ganbench.problems.files import FASHION
from ganbench.problems.images import MOST_REFERENCE, long_tailed
from ganbench.suite import resolve
from ganbench.training.noise import Places, source

CPU = torch.device("cpu")
needs_fashion = pytest.mark.skipif(
    not Path(FASHION[1]).is_dir(), reason="Debian's package dataset-fashion-mnist is not installed"
)


def problem(name, **hypers):
    return registry.get("problem", name)(**hypers)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def clothes(tmp_path, monkeypatch):
    """A folder with the files of a small Fashion-MNIST, ten classes of unequal sizes."""
    random = np.random.default_rng(0)
    folder = tmp_path / "data" / "fashion-mnist"
    folder.mkdir(parents=True)
    for part, n in (("train", 300), ("t10k", 100)):
        labels = np.concatenate([np.arange(10), random.integers(0, 10, n - 10)]).astype(np.uint8)
        images = random.integers(0, 20, (n, 28, 28), dtype=np.uint8) + 20 * labels[:, None, None]
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array.astype(np.uint8))))
    monkeypatch.setenv("GANBENCH_DATA", str(tmp_path / "data"))
    return folder


def test_bytes_are_held_and_places_drawn(clothes):
    own = problem("fashion", size=16)
    assert (own.table.rows.dtype, tuple(own.table.rows.shape)) == (torch.uint8, (300, 1, 16, 16))
    assert own.value_range == (-1.0, 1.0)
    assert isinstance(source(own, CPU), Places)
    drawn = own.sample(50, stream("test", 0))
    rows = own.table.rows[own.places(50, stream("test", 0))]
    torch.testing.assert_close(drawn, rows.float() / 127.5 - 1)
    kept = [value for value in vars(own).values() if isinstance(value, torch.Tensor) and value.is_floating_point()]
    assert not kept, "no second copy of the data as numbers"


def test_what_is_given_and_what_is_measured(clothes):
    plain, labelled = problem("fashion"), problem("fashion_labelled")
    assert (plain.gives, labelled.gives.classes) == (None, 10)
    assert plain.capabilities == {"image", "classes", "unequal_groups"}
    batch = labelled.draw(40, stream("test", 1))
    # what the pixels were made of tells their class
    level = ((batch.x.mean((1, 2, 3)) + 1) * 127.5 - 9.5) / 20
    assert level.round().long().tolist() == batch.given.tolist()
    held = labelled.oracle(30)
    assert (((held.x.mean((1, 2, 3)) + 1) * 127.5 - 9.5) / 20).round().long().tolist() == held.given.tolist()
    assert torch.equal(plain.labels, labelled.labels)
    assert len(plain.oracle_samples(10_000)) == 100


def test_a_long_tail_and_few_samples(clothes):
    whole, tail, few = (problem("fashion", size=8, **more) for more in ({}, {"tail": 10.0}, {"samples": 40}))
    sizes = whole.table_labels.bincount().double()
    expected = (sizes * 10.0 ** (-torch.arange(10) / 9)).round().clamp(min=1)
    assert torch.equal(tail.table_labels.bincount().double(), expected)
    assert torch.equal(few.table.rows, whole.table.rows[:40])
    assert torch.equal(few.group_weights(), few.table_labels.bincount(minlength=10).double() / 40)
    # what is measured against is the whole set all the same
    assert torch.equal(few.reference(50), whole.reference(50))
    for hypers in ({"samples": 301}, {"samples": -1}, {"tail": 0.5}, {"tail": 2000.0}, {"size": 2}):
        with pytest.raises(UserError):
            problem("fashion", **hypers)


def test_the_classes_of_a_long_tail_are_geometric():
    labels = torch.arange(10).repeat(1000)[torch.randperm(10_000, generator=torch.Generator().manual_seed(0))]
    kept = long_tailed(labels, 100.0)
    assert labels[kept].bincount().tolist() == [round(1000 * 100 ** (-k / 9)) for k in range(10)]
    assert torch.equal(kept, kept.sort().values)


def test_the_reference_is_no_more_than_there_is_use_for(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12_000, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "many.npz", images=images, labels=np.arange(12_000) % 3)
    own = problem("npz", root=str(tmp_path / "many.npz"))
    assert len(own.table.rows) > MOST_REFERENCE == len(own.reference()) == len(own.labels)
    assert torch.equal(own.table_labels[:MOST_REFERENCE], own.labels)
    assert torch.equal(own.reference(), own.table.samples(torch.arange(MOST_REFERENCE)))


@pytest.mark.parametrize("labelled", [True, False])
def test_a_users_pictures(tmp_path, labelled):
    images = np.random.default_rng(0).integers(0, 256, (80, 6, 6, 3), dtype=np.uint8)
    more = {"labels": np.arange(80) % 2} if labelled else {}
    np.savez(tmp_path / "own.npz", images=images, **more)
    for name in ("npz", "folder"):  # a folder takes whatever is read
        own = problem(name, root=str(tmp_path / "own.npz"))
        assert own.capabilities == ({"image", "classes", "unequal_groups"} if labelled else {"image"})
        assert own.shape == (3, 6, 6)
        assert any("held out" in note for note in own.notes)
    if labelled:
        assert problem("npz_labelled", root=str(tmp_path / "own.npz")).gives.classes == 2
    else:
        with pytest.raises(UserError, match="'npz_labelled' have no labels, which it gives"):
            problem("npz_labelled", root=str(tmp_path / "own.npz"))


@pytest.mark.parametrize("name", ["fashion", "fashion_labelled"])
def test_the_laws_hold_where_the_files_are(clothes, name):
    plugin = registry.get("problem", name)
    results = [judge(plugin, law) for law in laws("problem") if law.about(plugin)]
    assert {result.status for result in results} == {"kept"}


def test_laws_say_nothing_where_the_files_are_not(monkeypatch):
    monkeypatch.delenv("GANBENCH_DATA", raising=False)
    plugin = registry.get("problem", "mnist")
    (result,) = {(result.status, result.detail) for result in (judge(plugin, law) for law in laws("problem"))}
    where = "there is no folder '$GANBENCH_DATA/mnist' (the variable GANBENCH_DATA is not set)"
    told = f"The problem 'mnist' has no files here: {where}, and no problem.mnist.root=PATH."
    assert result == ("not declared", told)


@pytest.mark.parametrize(("settings", "told"), [
    (["problem=folder"], "The problem 'folder' needs problem.folder.root=PATH"),
    (["problem=folder", "problem.folder.root=/no/such"], "'/no/such'"),
    (["problem=cifar10"], "The problem 'cifar10' has no files here: there is no folder "),
])  # fmt: skip
def test_a_plan_without_its_data_is_refused(tmp_path, monkeypatch, settings, told):
    monkeypatch.setenv("GANBENCH_DATA", str(tmp_path))
    with pytest.raises(UserError) as error:
        resolve(None, [*settings, "network=dcgan"])
    assert told in str(error.value)


def test_what_the_files_hold_decides_the_plan(clothes, tmp_path, monkeypatch):
    def plan():
        return resolve(None, ["problem=fashion", "network=dcgan"])

    first = plan()
    elsewhere = tmp_path / "moved" / "fashion-mnist"
    elsewhere.parent.mkdir()
    clothes.rename(elsewhere)
    monkeypatch.setenv("GANBENCH_DATA", str(elsewhere.parent))
    assert plan().hash == first.hash, "where it lies decides nothing"
    file = elsewhere / "train-labels-idx1-ubyte.gz"
    labels = bytearray(gzip.decompress(file.read_bytes()))
    labels[20] = (labels[20] + 1) % 10
    file.write_bytes(gzip.compress(bytes(labels)))
    assert plan().hash != first.hash


def test_what_came_later_stays_out_of_the_plans_of_digits():
    plain = resolve(None, ["problem=digits", "network=dcgan"])
    assert "tail" not in str(plain.to_dict())
    assert not {"metric.stacked_modes", "metric.factor_statistics"} & plain.versions.keys()
    assert problem("digits").equal_classes
    assert not problem("digits", tail=10.0).equal_classes


@needs_fashion
def test_fashion_mnist_is_what_was_published(monkeypatch):
    monkeypatch.delenv("GANBENCH_DATA", raising=False)
    own = problem("fashion")
    assert (len(own.table.rows), len(own.held_out_labels)) == (60_000, 10_000)
    assert own.table_labels.bincount().tolist() == [6000] * 10
    assert own.held_out_labels.bincount().tolist() == [1000] * 10
    # mean and deviation of the pixels in [0, 1], as everybody normalizes by them
    rows = own.table.rows.double() / 255
    assert (rows.mean().item(), rows.std().item()) == pytest.approx((0.2860, 0.3530), abs=5e-5)
