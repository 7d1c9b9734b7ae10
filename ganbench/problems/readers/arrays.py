"""Arrays of NumPy: .npy of images, .npz of images with labels, under the names that data sets are published with."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from ganbench.arrays import Array
from ganbench.errors import UserError, told
from ganbench.problems.readers.base import Images, Looks, Parts, labels_of, of_array
from ganbench.problems.readers.shelves import Shelf

IMAGES = ("train_images", "x_train", "images", "x", "data", "arr_0")
LABELS = ("train_labels", "y_train", "labels", "y", "arr_1")
HELD_OUT = (("test_images", "test_labels"), ("x_test", "y_test"))


def is_there(shelf: Shelf) -> bool:
    """Tell whether it is one file of arrays."""
    return len(shelf.names) == 1 and shelf.names[0].lower().endswith((".npy", ".npz"))


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return the images [n, H, W], [n, H, W, C] or [n, C, H, W] of a file, their labels and what it holds out."""
    (name,) = shelf.names
    arrays = _arrays(shelf, name)
    train = _images(arrays, IMAGES, LABELS, shelf.where)
    if train is None:
        raise UserError(
            f"'{shelf.where}' holds {', '.join(map(repr, arrays)) or 'nothing'}; images are called "
            f"{', '.join(map(repr, IMAGES))}."
        )
    held_out = next(filter(None, (_images(arrays, (x,), (y,), shelf.where) for x, y in HELD_OUT)), None)
    if held_out is None:
        return Parts(looks.of(train))
    return Parts(looks.of(train), looks.of(held_out))


def _arrays(shelf: Shelf, name: str) -> dict[str, Array]:
    try:
        loaded = np.load(io.BytesIO(shelf.bytes_of(name)), allow_pickle=False)
        return {"images": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, SyntaxError, MemoryError) as error:
        raise UserError(
            f"'{shelf.where}' does not read as arrays (pickled objects are not read): {told(error)}."
        ) from error


def _images(arrays: dict[str, Array], names: tuple[str, ...], labels: tuple[str, ...], where: str) -> Images | None:
    name = next((each for each in names if each in arrays), None)
    if name is None:
        return None
    pixels = of_array(arrays[name], f"'{name}' of '{where}'")
    label = next((each for each in labels if each in arrays), None)
    if label is None:
        return Images(pixels)
    return Images(pixels, *labels_of(arrays[label], len(pixels), f"'{label}' of '{where}'"))
