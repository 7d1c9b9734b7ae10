"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): the binary files, or those of Python, of which only arrays are read."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ganbench.arrays import Array
from ganbench.errors import UserError, told
from ganbench.problems.readers.base import Images, Looks, Parts, labels_of, of_array, together
from ganbench.problems.readers.shelves import Shelf

TRAIN = tuple(f"data_batch_{place}" for place in range(1, 6))
SIDE = 32
IMAGE = 3 * SIDE**2

ARRAYS = {
    (module, name)
    for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    for name in ("_reconstruct", "scalar")
} | {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
"""What a pickle of arrays, numbers and texts refers to; nothing of it runs what a file brings along."""


def is_there(shelf: Shelf) -> bool:
    """Tell whether there are files under the names of one of the four forms."""
    return _form(shelf) is not None


def _form(shelf: Shelf) -> tuple[tuple[str, ...], str, int] | None:
    """Return the names of the training files, that of the test file, and how many bytes of labels (0: a pickle)."""
    forms = [
        (tuple(f"{name}.bin" for name in TRAIN), "test_batch.bin", 1), (("train.bin",), "test.bin", 2),
        (TRAIN, "test_batch", 0), (("train",), "test", 0),
    ]  # fmt: skip
    # folders of pictures are called train and test, too
    return next((form for form in forms if shelf.find(form[0][0]) and shelf.find(form[1])), None)


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return the images of a folder or archive; those of CIFAR-100 with their 100 fine labels."""
    form = _form(shelf)
    assert form is not None
    train, test, labels = form
    missing = [name for name in (*train, test) if name not in shelf.find(name)]
    if missing:
        raise UserError(f"'{shelf.where}' has no '{missing[0]}': of CIFAR all {len(train)} training files are needed.")
    classes = 10 if len(train) > 1 else 100
    parts = [[_images(shelf, shelf.find(name)[name], labels, classes) for name in names] for names in (train, (test,))]
    train_images, held_out = (looks.of(together(part)) for part in parts)
    return Parts(train_images, held_out)


def _images(shelf: Shelf, name: str, labels: int, classes: int) -> Images:
    place, content = shelf.place(name), shelf.unpacked(name)
    rows, own = _of_binary(content, place, labels) if labels else _of_pickle(content, place)
    pixels = of_array(rows.reshape(-1, 3, SIDE, SIDE), f"'{place}'")
    labels_of(own, len(pixels), f"The labels of '{place}'")
    if wrong := [label for label in own.tolist() if not 0 <= label < classes]:
        raise UserError(f"'{place}' has the label {wrong[0]}, which is none of 0 to {classes - 1}.")
    return Images(pixels, torch.from_numpy(own.astype(np.int64)), tuple(map(str, range(classes))))


def _of_binary(content: bytes, place: str, labels: int) -> tuple[Array, Array]:
    """Return pixels and labels of records of a label, of CIFAR-100 a coarse and a fine one, and 3072 bytes."""
    if not content or len(content) % (labels + IMAGE):
        raise UserError(f"'{place}' holds {len(content)} bytes, no whole number of records of {labels + IMAGE}.")
    records = np.frombuffer(content, np.uint8).reshape(-1, labels + IMAGE)
    return records[:, labels:], records[:, labels - 1]


def _of_pickle(content: bytes, place: str) -> tuple[Array, Array]:
    try:
        batch = _Arrays(io.BytesIO(content), encoding="bytes").load()
    except pickle.UnpicklingError as error:
        raise UserError(f"'{place}' is not read: {error}.") from error
    except Exception as error:  # a damaged pickle raises whatever it meets
        raise UserError(f"'{place}' is no pickle of arrays: {told(error)}.") from error
    if not isinstance(batch, Mapping):
        raise UserError(f"'{place}' holds a {type(batch).__name__}, not the dictionary of a CIFAR file.")
    named: dict[str, Any] = {_text(key): value for key, value in batch.items()}
    labels = next((named[key] for key in ("fine_labels", "labels") if key in named), None)
    rows = named.get("data")
    if labels is None or not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != IMAGE:
        raise UserError(f"'{place}' has no 'data' of {IMAGE} bytes an image with 'labels' or 'fine_labels'.")
    return rows, np.asarray(labels)


def _text(key: object) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


class _Arrays(pickle.Unpickler):
    """An unpickler that reads arrays, numbers, texts and collections of them, and refuses whatever else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ARRAYS:
            raise pickle.UnpicklingError(f"it holds '{module}.{name}', where only arrays are read")
        return super().find_class(module, name)
