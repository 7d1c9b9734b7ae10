"""Readers of image data sets, on files of the real form that are written here: exact pixels, and bad input in words."""

import contextlib
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from ganbench.errors import UserError
from ganbench.problems.readers import Looks, of_dataset, of_table, read, split_by_content
from ganbench.problems.readers.base import Images, cropped, in_random_order, resized
from ganbench.problems.readers.shelves import shelf_of

RANDOM = np.random.default_rng(0)


def pixels(*shape):
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def idx(array):
    """Write an array as its format says: two zeros, the code of bytes, the axes, their sizes, big-endian."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_folder(folder, packed=True, n=12, held_out=4):
    arrays = {
        "train-images-idx3-ubyte": pixels(n, 6, 6), "train-labels-idx1-ubyte": np.arange(n, dtype=np.uint8) % 3,
        "t10k-images-idx3-ubyte": pixels(held_out, 6, 6), "t10k-labels-idx1-ubyte": np.arange(held_out) % 3,
    }  # fmt: skip
    for name, array in arrays.items():
        content = idx(array.astype(np.uint8))
        (folder / f"{name}{'.gz' if packed else ''}").write_bytes(gzip.compress(content) if packed else content)
    return arrays


def png(array, mode=None, **more):
    stream = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, "PNG", **more)
    return stream.getvalue()


def refused(path, looks=None):
    with pytest.raises(UserError) as error:
        read(path, looks)
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


# ---- exact pixels


@pytest.mark.parametrize("packed", [True, False])
def test_idx(tmp_path, packed):
    arrays = idx_folder(tmp_path, packed)
    parts = read(tmp_path)
    assert np.array_equal(parts.train.pixels.numpy()[:, 0], arrays["train-images-idx3-ubyte"])
    assert np.array_equal(parts.held_out.pixels.numpy()[:, 0], arrays["t10k-images-idx3-ubyte"])
    assert parts.train.labels.tolist() == [0, 1, 2] * 4
    assert parts.held_out.labels.tolist() == [0, 1, 2, 0]
    assert parts.train.pixels.dtype == torch.uint8


def cifar(folder, form):
    """Write CIFAR as published: rows of 3072 bytes, red, green and blue planes; return rows and labels by file."""
    names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"] if "10 " in form else ["train", "test"]
    written = {}
    for place, name in enumerate(names):
        rows = pixels(4, 3072)
        labels = [(place + k) % 10 for k in range(4)] if "10 " in form else [99 - place, 50, 7, 0]
        written[name] = rows, labels
        if "binary" in form:
            coarse = [[label] if len(names) > 2 else [0, label] for label in labels]
            content = b"".join(bytes(c) + row.tobytes() for c, row in zip(coarse, rows, strict=True))
            (folder / f"{name}.bin").write_bytes(content)
        else:
            key = b"labels" if len(names) > 2 else b"fine_labels"
            # as Python 2 wrote them: protocol 2, keys as bytes
            batch = {b"data": rows, key: labels, b"batch_label": b"training", b"filenames": [b"x.png"] * 4}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return written


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["10 binary", "10 python", "100 binary", "100 python"])
def test_cifar(tmp_path, form, packed):
    folder = tmp_path / "batches"
    folder.mkdir()
    written = cifar(folder, form)
    if packed:
        with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
            archive.add(folder, "cifar")
    parts = read(tmp_path / "cifar.tar.gz" if packed else folder)
    *train, (test_rows, test_labels) = written.values()
    assert np.array_equal(parts.train.pixels.numpy().reshape(-1, 3072), np.concatenate([rows for rows, _ in train]))
    assert parts.train.labels.tolist() == [label for _, labels in train for label in labels]
    assert np.array_equal(parts.held_out.pixels.numpy().reshape(-1, 3072), test_rows)
    assert parts.held_out.labels.tolist() == test_labels
    assert parts.train.pixels.shape[1:] == (3, 32, 32)


def test_of_a_tar_archive_hidden_files_and_folders_are_not_read(tmp_path):
    folder = tmp_path / "batches"
    (folder / "more").mkdir(parents=True)
    for name in ("one.bin", "more/two.bin", "more/._two.bin", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    with tarfile.open(tmp_path / "batches.tar", "w") as archive:
        archive.add(folder, "batches")
    assert shelf_of(tmp_path / "batches.tar").names == ["batches/more/two.bin", "batches/one.bin"]


def test_svhn(tmp_path):
    for name, n in (("train", 7), ("test", 5)):
        savemat(tmp_path / f"{name}_32x32.mat", {"X": pixels(8, 8, 3, n), "y": np.arange(1, n + 1)[:, None] % 10 + 1})
    from scipy.io import loadmat

    stored = loadmat(tmp_path / "train_32x32.mat")
    (tmp_path / "test_32x32.mat").unlink()
    parts = read(tmp_path)
    assert np.array_equal(parts.train.pixels.numpy(), stored["X"].transpose(3, 2, 0, 1))
    # 10 stands for the digit 0, and the classes are those that are there: 2 to 8
    assert [parts.train.classes[k] for k in parts.train.labels] == [str(y % 10) for y in stored["y"][:, 0]]


@pytest.mark.parametrize("shape", [(9, 5, 5), (9, 5, 5, 1), (9, 5, 5, 3), (9, 1, 5, 5), (9, 3, 5, 5)])
def test_npz_and_npy(tmp_path, shape):
    array, labels = pixels(*shape), np.array([5, 5, 7] * 3)
    np.savez(tmp_path / "own.npz", images=array, labels=labels)
    np.save(tmp_path / "own.npy", array)
    planes = array[:, None] if array.ndim == 3 else array if shape[1] < 4 else array.transpose(0, 3, 1, 2)
    one = read(tmp_path / "own.npz").train
    assert np.array_equal(one.pixels.numpy(), planes)
    assert (one.labels.tolist(), one.classes) == ([0, 0, 1] * 3, ("5", "7"))
    alone = read(tmp_path / "own.npy").train
    assert torch.equal(alone.pixels, one.pixels)
    assert alone.labels is None


def test_npz_with_a_part_to_hold_out(tmp_path):
    train, test = pixels(6, 5, 5), pixels(3, 5, 5)
    labels = [np.arange(6)[:, None] % 3, np.arange(3)[:, None]]
    np.savez(tmp_path / "m.npz", train_images=train, train_labels=labels[0], test_images=test, test_labels=labels[1])
    parts = read(tmp_path / "m.npz")
    assert np.array_equal(parts.held_out.pixels.numpy()[:, 0], test)
    assert parts.held_out.labels.tolist() == [0, 1, 2]


def class_folders(root, sizes=((6, 6),) * 4, mode=None):
    stored = {}
    for place, size in enumerate(sizes):
        folder = root / ("bird" if place % 2 else "ant")
        folder.mkdir(parents=True, exist_ok=True)
        stored[f"{folder.name}/{place}.png"] = array = pixels(*size, 3)
        (root / f"{folder.name}/{place}.png").write_bytes(png(array, mode))
    return stored


def test_class_folders_are_labels(tmp_path):
    stored = class_folders(tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("not a picture")
    one = read(tmp_path).train
    names = sorted(stored)
    assert np.array_equal(one.pixels.numpy(), np.stack([stored[name].transpose(2, 0, 1) for name in names]))
    assert [one.classes[k] for k in one.labels] == [name.partition("/")[0] for name in names]


def test_folders_train_and_test_are_the_split(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", ((6, 6),) * 2)
    parts = read(tmp_path)
    assert (len(parts.train), len(parts.held_out)) == (4, 2)
    assert parts.train.classes == parts.held_out.classes == ("ant", "bird")


@pytest.mark.parametrize("labelled", [True, False])
def test_a_zip_with_dataset_json(tmp_path, labelled):
    stored = [pixels(6, 6, 3) for _ in range(4)]
    names = [f"0000{k % 2}/img{k:08d}.png" for k in range(4)]
    listed = [[name, 3 * (k < 2)] for k, name in enumerate(names)] if labelled else None
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, array in zip(names, stored, strict=True):
            archive.writestr(name, png(array))
        archive.writestr("dataset.json", json.dumps({"labels": listed}))
    one = read(tmp_path / "set.zip").train
    order = sorted(range(4), key=names.__getitem__)
    assert np.array_equal(one.pixels.numpy(), np.stack([stored[k].transpose(2, 0, 1) for k in order]))
    # its folders are no classes
    assert (one.labels.tolist() == [1, 0, 1, 0]) if labelled else (one.labels is None)


def test_parquet_of_the_hub(tmp_path):
    pytest.importorskip("pyarrow")
    stored = pixels(4, 6, 6, 3)
    cells = [{"bytes": png(array), "path": None} for array in stored]
    for part in ("train", "test"):
        pd.DataFrame({"image": cells, "label": [2, 0, 2, 0]}).to_parquet(tmp_path / f"{part}-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("What the hub has beside the tables.")
    parts = read(tmp_path)
    assert np.array_equal(parts.train.pixels.numpy(), stored.transpose(0, 3, 1, 2))
    assert parts.held_out.labels.tolist() == [1, 0, 1, 0]


def test_datasets_and_tables_from_python(tmp_path):
    stored = pixels(4, 6, 6, 3)
    planes = torch.from_numpy(stored.transpose(0, 3, 1, 2).copy())
    forms = {
        "pairs": [(Image.fromarray(a), k) for k, a in enumerate(stored)],
        "arrays": [(a, torch.tensor(k)) for k, a in enumerate(stored)],
        "as ToTensor": [(p / 255, k) for k, p in enumerate(planes)],
        "dictionaries": [{"image": Image.fromarray(a), "label": k} for k, a in enumerate(stored)],
    }
    for form, items in forms.items():
        one = of_dataset(items)
        assert torch.equal(one.pixels, planes), form
        assert one.labels.tolist() == [0, 1, 2, 3], form
    assert of_dataset(list(planes)).labels is None
    for place, array in enumerate(stored):
        (tmp_path / f"{place}.png").write_bytes(png(array))
    table = pd.DataFrame({"file": [f"{k}.png" for k in range(4)], "kind": ["b", "a", "b", "a"]})
    one = of_table(table, image="file", label="kind", root=tmp_path)
    assert torch.equal(one.pixels, planes)
    assert (one.labels.tolist(), one.classes) == ([1, 0, 1, 0], ("a", "b"))


# ---- one form for all


def test_pictures_are_turned_as_their_exif_data_say(tmp_path):
    array = pixels(4, 6)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: 90 degrees clockwise to be upright
    (tmp_path / "a.png").write_bytes(png(array, exif=exif))
    assert np.array_equal(read(tmp_path).train.pixels.numpy()[0, 0], np.rot90(array, -1))


def test_a_palette_is_looked_up_and_one_bit_is_black_and_white(tmp_path):
    colours = RANDOM.integers(0, 4, (6, 6), dtype=np.uint8)
    table = pixels(4, 3)
    image = Image.new("P", (6, 6))
    image.putdata(colours.flatten().tolist())
    image.putpalette(table.flatten().tolist())
    (tmp_path / "a.png").write_bytes(png(image))
    assert np.array_equal(read(tmp_path).train.pixels.numpy()[0], table[colours].transpose(2, 0, 1))
    (tmp_path / "a.png").write_bytes(png(Image.fromarray((colours > 1).astype(np.uint8) * 255).convert("1")))
    assert np.array_equal(read(tmp_path).train.pixels.numpy()[0, 0], (colours > 1) * 255)


def test_channels_that_are_asked_for(tmp_path):
    array, alpha = pixels(6, 6, 3), pixels(6, 6, 1)
    (tmp_path / "a.png").write_bytes(png(np.concatenate([array, alpha], 2)))
    over_black = array.astype(float) * alpha / 255
    got = read(tmp_path, Looks(channels=3)).train.pixels.numpy()[0].transpose(1, 2, 0)
    assert np.abs(got - over_black).max() <= 1
    grey = read(tmp_path, Looks(channels=1)).train.pixels.numpy()[0, 0]
    assert np.abs(grey - over_black @ [0.299, 0.587, 0.114]).max() <= 1.5
    (tmp_path / "a.png").write_bytes(png(array[..., 0]))
    assert np.array_equal(read(tmp_path, Looks(channels=3)).train.pixels.numpy()[0], [array[..., 0]] * 3)


def test_what_was_done_is_noted(tmp_path):
    class_folders(tmp_path, ((6, 8), (6, 8), (8, 8), (6, 8)))
    one = read(tmp_path, Looks(size=4, crop=True)).train
    assert one.pixels.shape == (4, 3, 4, 4)
    assert one.notes == (
        "Cropped from 6 x 8 to the central square. (3 pictures)",
        "Resized from 6 x 6 to 4 x 4, bilinear with antialiasing, rounded to bytes once. (3 pictures)",
        "Resized from 8 x 8 to 4 x 4, bilinear with antialiasing, rounded to bytes once. (1 pictures)",
    )


@pytest.mark.parametrize(("side", "size"), [(28, 16), (28, 8), (32, 16), (8, 16), (17, 5)])
def test_resizing_is_the_one_of_pillow(side, size):
    """Antialiased: each pixel a mean of all that it covers; Pillow rounds after each of the two axes."""
    array = pixels(3, side, side)
    own = resized(torch.from_numpy(array)[:, None], size).numpy()[:, 0].astype(int)
    for image, got in zip(array, own, strict=True):
        exact = Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR)
        assert np.abs(np.asarray(exact) - got).max() <= 0.5 + 1e-3
    assert np.abs(own.mean() - array.mean()) < 2


def test_cropping_keeps_the_middle():
    image = torch.arange(35).reshape(1, 5, 7)
    assert torch.equal(cropped(image), image[:, :, 1:6])
    assert torch.equal(cropped(image.mT), image.mT[:, 1:6])


def test_what_is_held_out_stays_so_whatever_else_there_is():
    images = torch.from_numpy(pixels(400, 1, 4, 4))
    labels = torch.arange(400) % 7
    parts = split_by_content(Images(images, labels))
    assert 20 <= len(parts.held_out) <= 65  # one in ten: 40, within four standard deviations of 6
    rows = lambda part: {tuple(row) for row in part.pixels.flatten(1).tolist()}  # noqa: E731
    assert not rows(parts.train) & rows(parts.held_out)
    more = torch.cat([torch.from_numpy(pixels(100, 1, 4, 4)), images.flip(0)])
    assert rows(parts.held_out) <= rows(split_by_content(Images(more)).held_out)
    known = {tuple(row): label for row, label in zip(images.flatten(1).tolist(), labels.tolist(), strict=True)}
    for part in (parts.train, parts.held_out):
        assert [known[tuple(row)] for row in part.pixels.flatten(1).tolist()] == part.labels.tolist()


def test_the_order_of_files_says_nothing():
    images = torch.from_numpy(pixels(50, 1, 4, 4))
    one, other = (in_random_order(Images(order)).pixels for order in (images, images.flip(0)))
    assert torch.equal(one, other)
    assert not torch.equal(one, images)


# ---- bad input


def test_damaged_idx_files(tmp_path):
    idx_folder(tmp_path)
    file = tmp_path / "train-images-idx3-ubyte.gz"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "train-images-idx3-ubyte.gz' is truncated or damaged: " in refused(tmp_path)
    file.write_bytes(gzip.compress(b"\0\0\x0b\x03" + bytes(40)))
    assert "begins with 00000b03 instead of 00000803, the magic number" in refused(tmp_path)
    file.write_bytes(gzip.compress(gzip.decompress(whole)[:-5]))
    assert "holds 427 bytes, and its header says 12 x 6 x 6 = 432" in refused(tmp_path)
    file.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + b"\xff" * 12))
    assert "its header says 4294967295 x 4294967295" in refused(tmp_path)
    file.write_bytes(whole)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(3, np.uint8))))
    assert "has the shape [3], and there are 4 images: one label for each" in refused(tmp_path)


class _Harm:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_of_anything_but_arrays(tmp_path):
    cifar(tmp_path, "10 python")
    file = tmp_path / "data_batch_3"
    for harm, named in ((_Harm(), "system'"), (io.StringIO(), "StringIO'")):
        file.write_bytes(pickle.dumps({b"data": harm, b"labels": []}, protocol=2))
        assert f"{named}, where only arrays are read" in refused(tmp_path)
    for content, told in (
        (b"", "is no pickle of arrays"), (b"\x80\x02]", "is no pickle of arrays"), (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({b"data": 3}), "has no 'data' of 3072 bytes an image"),
        (pickle.dumps({b"data": pixels(2, 3072), b"labels": [1, 12]}, protocol=2), "the label 12, which is none of"),
        (pickle.dumps({b"data": pixels(2, 3072), b"labels": [1]}, protocol=2), "there are 2 images"),
    ):  # fmt: skip
        file.write_bytes(content)
        assert told in refused(tmp_path), told
    file.unlink()
    assert "has no 'data_batch_3': of CIFAR all 5 training files are needed" in refused(tmp_path)


def test_other_damaged_files(tmp_path):
    cases = {
        "a.npz": (b"PK\3\4 not a zip", "does not read as arrays"),
        "b.npy": (b"\x93NUMPY broken", "does not read as arrays"),
        "c.mat": (b"nothing of Matlab", "does not read as a .mat file"),
        "d.zip": (b"PK", "is no whole zip archive"),
        "e.tar.gz": (gzip.compress(b"x" * 700), "is no whole tar archive"),
        "f.bin": (b"x", "Nothing at "),
    }
    for name, (content, told) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert told in refused(tmp_path / name)
    assert "There is no file or folder" in refused(tmp_path / "none")


@pytest.mark.parametrize(("arrays", "told"), [
    ({"images": pixels(3, 4, 4) / 255}, "holds float64, and images are read as bytes"),
    ({"images": pixels(3, 4)}, "has the shape [3, 4]"), ({"pictures": pixels(3, 4, 4)}, "holds 'pictures'; images are"),
    ({"images": pixels(4, 3, 3, 3)}, "in which one axis must be of 1 or 3 channels"),
    ({"images": pixels(4, 5, 5, 2)}, "in which one axis must be of 1 or 3 channels"),
    ({"images": pixels(3, 4, 4), "labels": np.zeros(2, int)}, "there are 3 images: one label for each"),
    ({"images": pixels(3, 4, 4), "labels": np.zeros(3)}, "labels are whole numbers"),
    ({"images": pixels(3, 4, 4), "labels": np.zeros((3, 2), int)}, "there are 3 images"),
    ({"x_train": pixels(3, 4, 4), "x_test": pixels(2, 5, 5)}, "have images of other shapes"),
    ({"x_train": pixels(2, 4, 4), "y_train": np.arange(2), "x_test": pixels(2, 4, 4)}, "one has labels and the other"),
    ({"x_train": pixels(2, 4, 4), "y_train": np.arange(2), "x_test": pixels(1, 4, 4), "y_test": np.array([7])},
     "have other classes: '0' is in one of them alone"),
    ({"images": np.array([{}], dtype=object)}, "pickled objects are not read"),
])  # fmt: skip
def test_arrays_that_are_no_images(tmp_path, arrays, told):
    np.savez(tmp_path / "a.npz", **arrays)
    assert told in refused(tmp_path / "a.npz")


def test_one_corrupt_picture_among_many(tmp_path):
    class_folders(tmp_path, ((6, 6),) * 60)
    whole = (tmp_path / "ant/20.png").read_bytes()
    (tmp_path / "ant/20.png").write_bytes(whole[: len(whole) // 2])
    text = refused(tmp_path)
    assert "1 of 60 pictures" in text
    assert "/ant/20.png'; skip_corrupt=true leaves such out" in text
    one = read(tmp_path, Looks(skip_corrupt=True)).train
    assert len(one) == 59
    assert one.labels.tolist() == [0] * 29 + [1] * 30
    assert one.notes == ("1 pictures of 60 do not read and were left out.",)


def test_pictures_that_do_not_fit_together(tmp_path):
    class_folders(tmp_path / "sizes", ((6, 6), (6, 6), (6, 7), (6, 6)))
    assert "mixes sizes: " in refused(tmp_path / "sizes")
    assert "2.png' has 6 x 7 pixels, the first 6 x 6" in refused(tmp_path / "sizes")
    assert "6 x 7 pixels do not fit a square of 4 x 4: crop them first" in refused(tmp_path / "sizes", Looks(4))
    class_folders(tmp_path / "grey")
    (tmp_path / "grey/ant/9.png").write_bytes(png(pixels(6, 6)))
    assert "mixes grey and coloured pictures (" in refused(tmp_path / "grey")
    assert read(tmp_path / "grey", Looks(channels=1)).train.pixels.shape == (5, 1, 6, 6)
    class_folders(tmp_path / "beside")
    (tmp_path / "beside/9.png").write_bytes(png(pixels(6, 6)))
    assert "in class folders and 1 beside them, as '9.png'" in refused(tmp_path / "beside")
    class_folders(tmp_path / "empty")
    (tmp_path / "empty/cow").mkdir()
    assert "The class folder 'cow' of '" in refused(tmp_path / "empty")
    (tmp_path / "none/deep").mkdir(parents=True)
    assert "holds no picture (" in refused(tmp_path / "none")


@pytest.mark.parametrize(("image", "told"), [
    (Image.new("RGBA", (6, 6)), "has an alpha channel: channels=1 or channels=3 lays it over black"),
    (Image.new("LA", (6, 6)), "has an alpha channel"),
    (Image.new("I;16", (6, 6)), "has more than 8 bits a channel"),
])  # fmt: skip
def test_pictures_that_would_lose_something(tmp_path, image, told):
    (tmp_path / "a.png").write_bytes(png(image))
    assert f"a.png' {told}" in refused(tmp_path)


def test_inks_are_not_guessed(tmp_path):
    Image.new("CMYK", (6, 6)).save(tmp_path / "a.jpg")
    assert "has the colours of Pillow's mode CMYK: save it as grey or RGB" in refused(tmp_path)


@pytest.mark.parametrize(("labels", "told"), [
    ([], "has no label for 2 of 2 pictures, as 'a.png'"), ([["a.png", 1]], "has no label for 1 of 2 pictures, as 'b.p"),
    ([["a.png", 1], ["b.png", "x"]], "labels 'b.png' with \"x\", not a whole number"), (3, 'has no "labels" as'),
    ([1], 'has no "labels" as'),
])  # fmt: skip
def test_labels_that_are_missing(tmp_path, labels, told):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(pixels(6, 6)))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert told in refused(tmp_path)


@pytest.mark.parametrize(("give", "told"), [
    (lambda: of_dataset(3), "got a int"), (lambda: of_dataset([]), "has no items"),
    (lambda: of_dataset([(torch.randn(1, 4, 4), 0)]), "that are no bytes divided by 255"),
    (lambda: of_dataset(["x"]), "is a str, no image"), (lambda: of_dataset([{"label": 1}]), "Item 0 has no image"),
    (lambda: of_dataset([(pixels(4, 4), 1), (pixels(5, 4), 1)]), "Item 1 has the shape [1, 5, 4], the first [1, 4, 4]"),
    (lambda: of_dataset([(pixels(4, 4), 1), (pixels(4, 4), None)]), "1 items of 2 have no label"),
    (lambda: of_dataset([(pixels(4, 4), 1.5)]), "labels are whole numbers"),
    (lambda: of_table(pd.DataFrame({"x": [1]})), "has no column 'image': x"),
    (lambda: of_table(pd.DataFrame({"image": [], "label": []})), "has no rows"),
    (lambda: of_table(pd.DataFrame({"image": [7], "label": [1]})), "Row 0 of 'the table' holds 7"),
    (lambda: of_table(pd.DataFrame({"image": ["no.png"], "label": [1]})), "names 'no.png', which is no file"),
    (lambda: of_table(pd.DataFrame({"image": [png(pixels(4, 4))], "label": [np.nan]})), "1 rows of 1 of"),
    (lambda: of_table(pd.DataFrame({"image": [png(pixels(4, 4))] * 3, "label": [0, np.nan, 1]})), "1 rows of 3 of"),
    (lambda: Looks(size=3), "a size of 4 to 512 pixels"), (lambda: Looks(channels=2), "1 or 3 channels"),
    (lambda: split_by_content(Images(torch.zeros(30, 1, 4, 4, dtype=torch.uint8))), "too few to hold one in 10 out"),
])  # fmt: skip
def test_what_python_gives_wrongly(give, told):
    with pytest.raises(UserError) as error:
        give()
    assert told in str(error.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(
    ["a.npz", "a.npy", "a.mat", "a.zip", "a.tar", "train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "data.png",
     "data.parquet"]))  # fmt: skip
def test_whatever_a_file_holds_is_no_traceback(tmp_path, content, name):
    folder = tmp_path / "one"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / name).write_bytes(content)
    for path in (folder, folder / name):
        with contextlib.suppress(UserError):
            read(path)
