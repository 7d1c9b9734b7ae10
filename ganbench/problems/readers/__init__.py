"""Readers of image data sets, by what lies at a path: `read(path)` returns all of them alike, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ganbench.errors import UserError
from ganbench.problems.readers import arrays, cifar, huggingface, idx, pictures, svhn
from ganbench.problems.readers.base import Images, Looks, Parts, check_alike, split_by_content
from ganbench.problems.readers.own import of_dataset, of_table
from ganbench.problems.readers.shelves import Shelf, shelf_of

__all__ = ["Images", "Looks", "Parts", "of_dataset", "of_table", "read", "split_by_content"]

READERS: dict[str, tuple[Callable[[Shelf], bool], Callable[[Shelf, Looks], Parts]]] = {
    "IDX files": (idx.is_there, idx.read),
    "CIFAR-10 or CIFAR-100": (cifar.is_there, cifar.read),
    "SVHN's .mat": (svhn.is_there, svhn.read),
    ".npz or .npy": (arrays.is_there, arrays.read),
    "parquet files of images (Hugging Face)": (huggingface.is_there, huggingface.read),
    "a folder or zip of pictures": (pictures.is_there, pictures.read),
}
"""What can be read, in words: how it is recognised, and its reader."""


def read(path: Path, looks: Looks | None = None) -> Parts:
    """Return the images at a path: a file, an archive or a folder; UserError, in one sentence, where they do not read.

    looks: how they are to be brought to one form. Images without a part of their own to hold out come in one part.
    """
    shelf = shelf_of(path)
    for is_there, reader in READERS.values():
        if is_there(shelf):
            parts = reader(shelf, looks or Looks())
            if parts.held_out is not None:
                check_alike(parts.train, parts.held_out, shelf.where)
            return parts
    raise UserError(f"Nothing at '{path}' is known to hold images; what is read: {', '.join(READERS)}.")
