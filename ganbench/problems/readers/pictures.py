"""Pictures in a folder or zip archive: class folders are labels, or a dataset.json is (the form of StyleGAN)."""

from __future__ import annotations

import io
import json
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ganbench.errors import UserError, told
from ganbench.problems.readers.base import Images, Looks, Parts, labels_of
from ganbench.problems.readers.shelves import Shelf

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
HELD_OUT = ("test", "val", "valid", "validation")
JSON = "dataset.json"


def is_there(shelf: Shelf) -> bool:
    """Tell whether there are pictures, or folders that should hold some."""
    return any(map(is_picture, shelf.names)) or bool(shelf.folders)


def is_picture(name: str) -> bool:
    """Tell whether a file is a picture by its name."""
    return name.lower().endswith(ENDINGS)


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return all pictures; where there are folders `train` and `test` or `val`, the second one is held out."""
    names = list(filter(is_picture, shelf.names))
    if not names:
        raise UserError(f"'{shelf.where}' holds no picture ({', '.join(ENDINGS)}).")
    if found := shelf.find(JSON):
        return Parts(_of(shelf, names, _by_json(shelf, found[JSON], names), looks))
    tops = {name.partition("/")[0] for name in names if "/" in name}
    held_out = next((name for name in HELD_OUT if name in tops), None)
    if "train" not in tops or held_out is None:
        return Parts(_of(shelf, names, _by_folder(shelf, names, ""), looks))
    train, held = (_below(shelf, names, part, looks) for part in ("train", held_out))
    return Parts(train, held)


def _below(shelf: Shelf, names: Sequence[str], part: str, looks: Looks) -> Images:
    own = [name for name in names if name.startswith(f"{part}/")]
    return _of(shelf, own, _by_folder(shelf, own, f"{part}/"), looks)


def _by_folder(shelf: Shelf, names: Sequence[str], above: str) -> list[str] | None:
    """Return the class of each picture, the folder that it lies in; None where all lie beside each other."""
    rest = [name.removeprefix(above) for name in names]
    classes = [name.partition("/")[0] if "/" in name else "" for name in rest]
    if not any(classes):
        return None
    if loose := classes.count(""):
        raise UserError(
            f"'{shelf.where}' has pictures in class folders and {loose} beside them, as "
            f"'{names[classes.index('')]}': put each into the folder of its class."
        )
    # folders within class folders may be empty
    folders = {name.removeprefix(above) for name in shelf.folders if name.startswith(above)}
    if empty := sorted({name for name in folders if "/" not in name} - set(classes)):
        raise UserError(f"The class folder '{above}{empty[0]}' of '{shelf.where}' holds no picture.")
    return classes


def _by_json(shelf: Shelf, file: str, names: Sequence[str]) -> list[int] | None:
    """Return the labels of dataset.json, or None where it has none."""
    place = shelf.place(file)
    try:
        listed = json.loads(shelf.bytes_of(file))["labels"]
        known = None if listed is None else {str(name): label for name, label in listed}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"'{place}' has no \"labels\" as [[name, number], ...] or null: {told(error)}.") from error
    if known is None:
        return None
    above = file.removesuffix(JSON)
    own = [name.removeprefix(above) for name in names]
    if missing := [name for name in own if name not in known]:
        raise UserError(f"'{place}' has no label for {len(missing)} of {len(own)} pictures, as '{missing[0]}'.")
    if wrong := [name for name in own if type(known[name]) is not int]:
        raise UserError(f"'{place}' labels '{wrong[0]}' with {json.dumps(known[wrong[0]])[:60]}, not a whole number.")
    return [known[name] for name in own]


def _of(shelf: Shelf, names: Sequence[str], labels: Sequence[Any] | None, looks: Looks) -> Images:
    pairs = ((shelf.place(name), lambda name=name: shelf.bytes_of(name)) for name in names)
    pixels, kept, notes = decoded(pairs, len(names), looks, shelf.where)
    if labels is None:
        return Images(pixels, notes=notes)
    own, classes = labels_of(np.asarray([labels[place] for place in kept]), len(kept), f"'{shelf.where}'")
    return Images(pixels, own, classes, notes)


def decoded(
    pictures: Iterable[tuple[str, Callable[[], bytes]]], count: int, looks: Looks, where: str
) -> tuple[Tensor, list[int], tuple[str, ...]]:
    """Return pictures of names and contents as images [n, C, H, W] in one form, the places of those that read, notes.

    UserError where one does not read, unless `looks` leaves it out, and where they are not all of one form.
    """
    images, corrupt, done = {}, [], Counter[str]()
    for place, (name, content) in enumerate(pictures):
        try:
            one = looks.of(Images(picture(_read(content), name, looks)[None]))
        except _CorruptError:
            corrupt.append(name)
            continue
        images[place], _ = one.pixels[0], done.update(one.notes)
        _check_alike(images, place, name, where)
    if corrupt and (not looks.skip_corrupt or not images):
        raise UserError(
            f"{len(corrupt)} of {count} pictures of '{where}' do not read, the first is '{corrupt[0]}'; "
            "skip_corrupt=true leaves such out."
        )
    left_out = [f"{len(corrupt)} pictures of {count} do not read and were left out."] if corrupt else []
    notes = [f"{note} ({times} pictures)" if times < len(images) else note for note, times in sorted(done.items())]
    return torch.stack(list(images.values())), list(images), (*left_out, *notes)


def _check_alike(images: dict[int, Tensor], place: int, name: str, where: str) -> None:
    first, own = next(iter(images.values())).shape, images[place].shape
    if own[0] != first[0]:
        raise UserError(
            f"'{where}' mixes grey and coloured pictures ('{name}' has {own[0]} channels, the first {first[0]}): "
            "channels=1 or channels=3 makes them alike."
        )
    if own != first:
        raise UserError(
            f"'{where}' mixes sizes: '{name}' has {own[1]} x {own[2]} pixels, the first {first[1]} x {first[2]}; "
            "crop=true with a size makes them alike."
        )


class _CorruptError(Exception):
    """A picture does not read."""


def _read(content: Callable[[], bytes]) -> bytes:
    try:
        return content()
    except UserError as error:  # a damaged member of an archive
        raise _CorruptError from error


GREY, COLOURED = ("L", "1"), ("RGB", "P", "RGBA", "LA", "PA")


def picture(content: bytes, name: str, looks: Looks) -> Tensor:
    """Return a picture [C, H, W] of bytes, upright as its EXIF data say; 1 channel where it is grey.

    A palette is looked up. Raises UserError for what would lose something unasked: more than 8 bits a channel, an alpha
    channel (unless `looks` says how many channels: then it is laid over black), inks.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual metadata; what is too large to be true raises all the same
            stored = Image.open(io.BytesIO(content))
            stored.load()
            image: Image.Image = ImageOps.exif_transpose(stored)
    except Exception as error:  # a damaged file raises whatever its decoder meets
        raise _CorruptError from error
    return of_image(image, name, looks)


def of_image(image: Image.Image, name: str, looks: Looks) -> Tensor:
    """Return an image of Pillow's as `picture` does."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        raise UserError(f"'{name}' has more than 8 bits a channel (Pillow's mode {mode}): save it with 8.")
    if mode not in GREY + COLOURED:
        raise UserError(f"'{name}' has the colours of Pillow's mode {mode}: save it as grey or RGB.")
    if mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        if not looks.channels:
            raise UserError(f"'{name}' has an alpha channel: channels=1 or channels=3 lays it over black.")
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image).convert("RGB")
    array = np.asarray(image.convert("L" if image.mode in GREY else "RGB"))
    tensor = torch.from_numpy(array.copy())
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1).contiguous()
