"""Street View House Numbers (Netzer 2011), cropped digits: train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
from scipy.io import loadmat

from ganbench.errors import UserError, told
from ganbench.problems.readers.base import Images, Looks, Parts, labels_of, of_array
from ganbench.problems.readers.shelves import Shelf

TRAIN, TEST = "train_32x32.mat", "test_32x32.mat"


def is_there(shelf: Shelf) -> bool:
    """Tell whether there is a .mat file of SVHN, or one alone."""
    return bool(shelf.find(TRAIN)) or (len(shelf.names) == 1 and shelf.names[0].endswith(".mat"))


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return the digits, whose label 10 is that of the digit 0."""
    found = shelf.find(TRAIN, TEST)
    train = _images(shelf, found.get(TRAIN, shelf.names[0]), looks)
    return Parts(train, _images(shelf, found[TEST], looks) if TEST in found else None)


def _images(shelf: Shelf, name: str, looks: Looks) -> Images:
    place = shelf.place(name)
    try:
        content = loadmat(cast(Any, io.BytesIO(shelf.bytes_of(name))), variable_names=["X", "y"])
    except Exception as error:  # a damaged file raises whatever it meets, one of version 7.3 NotImplementedError
        raise UserError(f"'{place}' does not read as a .mat file of version 5: {told(error)}.") from error
    if not {"X", "y"} <= content.keys() or content["X"].ndim != 4:
        raise UserError(f"'{place}' has not the images 'X' [H, W, C, n] and labels 'y' of SVHN.")
    pixels = of_array(np.moveaxis(content["X"], 3, 0), f"'X' of '{place}'")
    labels = content["y"]
    if labels.dtype.kind in "iu":
        labels = np.where(labels == 10, 0, labels)
    own, classes = labels_of(labels, len(pixels), f"'y' of '{place}'")
    return looks.of(Images(pixels, own, classes))
