"""Images that Python holds already: a Dataset of PyTorch or of Hugging Face, a table of pandas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganbench.errors import UserError, quoted
from ganbench.problems.readers.base import Images, Looks, labels_of, of_array
from ganbench.problems.readers.pictures import decoded, of_image

if TYPE_CHECKING:
    import pandas as pd

KEYS = (("image", "img", "x"), ("label", "labels", "y"))


def of_dataset(dataset: Any, looks: Looks | None = None, value_range: tuple[float, float] = (0.0, 1.0)) -> Images:
    """Return the images of a map-style Dataset, whose items are images, pairs (image, label) or dictionaries of both.

    An image is one of Pillow's, bytes [H, W], [H, W, C] or [C, H, W], or numbers in `value_range` that stand for bytes:
    [0, 1] as torchvision's ToTensor makes them, [-1, 1] after its Normalize(0.5, 0.5). UserError for other items, and
    for images of several sizes.
    """
    looks = looks or Looks()
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise UserError(f"A Dataset has a length and items by number, got a {type(dataset).__name__}.")
    images, labels = [], []
    for place in range(len(dataset)):
        image, label = _item(dataset[place], place)
        images.append(looks.of(Images(_tensor(image, place, looks, value_range)[None])).pixels[0])
        labels.append(label)
        if images[-1].shape != images[0].shape:
            raise UserError(f"Item {place} has the shape {list(images[-1].shape)}, the first {list(images[0].shape)}.")
    if not images:
        raise UserError("The Dataset has no items.")
    known = [label for label in labels if label is not None]
    if not known:
        return Images(torch.stack(images))
    if len(known) < len(labels):
        raise UserError(f"{len(labels) - len(known)} items of {len(labels)} have no label.")
    return Images(torch.stack(images), *labels_of(np.asarray(known), len(images), "The labels of the Dataset"))


def _item(item: Any, place: int) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        found = [next((item[key] for key in keys if key in item), None) for keys in KEYS]
    elif isinstance(item, Sequence) and len(item) == 2:
        found = list(item)
    else:
        found = [item, None]
    image, label = found
    if image is None:
        raise UserError(f"Item {place} has no image: it is called image, img or x.")
    return image, label.item() if isinstance(label, Tensor | np.generic) else label


def _tensor(image: Any, place: int, looks: Looks, value_range: tuple[float, float]) -> Tensor:
    what = f"The image of item {place}"
    if isinstance(image, Image.Image):
        return of_image(image, f"item {place}", looks)
    if not isinstance(image, Tensor | np.ndarray):
        raise UserError(f"{what} is a {type(image).__name__}, no image, array or tensor.")
    array = np.asarray(image)
    if array.dtype.kind == "f":
        low, high = value_range
        levels = (array.astype(np.float64) - low) / (high - low) * 255
        whole = levels.round()
        if not np.isfinite(levels).all() or np.abs(levels - whole).max() > 1e-3 or whole.min() < 0 or whole.max() > 255:
            raise UserError(
                f"{what} holds numbers that are no bytes divided by 255: leave normalization to ganbench, or say in "
                "which range they are (value_range)." if value_range == (0.0, 1.0)
                else f"{what} holds numbers that are no bytes scaled to [{low:g}, {high:g}]."
            )  # fmt: skip
        array = whole.astype(np.uint8)
    return of_array(array[None], what)[0]


def of_table(
    table: pd.DataFrame,
    *,
    image: str = "image",
    label: str | None = "label",
    root: str | Path = "",
    looks: Looks | None = None,
    where: str = "the table",
) -> Images:
    """Return the images of a table's column: paths, below `root` where they are relative, or the content of files.

    label: the column of their labels, None where there is none. UserError where a column or a label is missing, and as
    for a folder of pictures.
    """
    missing = [column for column in (image, label) if column is not None and column not in table]
    if missing or not len(table):
        raise UserError(
            f"'{where}' has no column '{missing[0]}': {', '.join(map(str, table))}." if missing
            else f"'{where}' has no rows."
        )  # fmt: skip
    cells = [_named(cell, row, where, Path(root)) for row, cell in enumerate(table[image])]
    pixels, kept, notes = decoded(cells, len(cells), looks or Looks(), where)
    if label is None:
        return Images(pixels, notes=notes)
    values = table[label].iloc[kept]
    if absent := int(values.isna().sum()):
        raise UserError(f"{absent} rows of {len(values)} of '{where}' have no label.")
    labels = values.to_numpy()
    labels = labels.astype(str) if labels.dtype == object else labels
    return Images(pixels, *labels_of(labels, len(kept), f"The column '{label}' of '{where}'"), notes)


def _named(cell: Any, row: int, where: str, root: Path) -> tuple[str, Callable[[], bytes]]:
    content = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(content, bytes):
        return f"row {row} of {where}", lambda: content
    path = cell.get("path") if isinstance(cell, Mapping) else cell
    if not isinstance(path, str | Path):
        raise UserError(f"Row {row} of '{where}' holds {quoted(cell, 60)}, no path and no content of a picture.")
    file = root / path
    if not file.is_file():
        raise UserError(f"Row {row} of '{where}' names '{file}', which is no file.")
    return str(file), file.read_bytes
