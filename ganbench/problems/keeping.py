"""Data that Python holds, written to a file that problems, workers and later sessions read: `ganbench.write_data`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ganbench.arrays import Array
from ganbench.errors import UserError, quoted
from ganbench.files import replace_file
from ganbench.problems.readers import Images, Looks, of_dataset, of_table
from ganbench.problems.readers.own import KEYS
from ganbench.problems.tables import chosen, numbers

if TYPE_CHECKING:
    import pandas as pd

TRAIN, HELD_OUT = ("train",), ("test", "validation", "valid", "val")


def write_data(
    data: Any,
    path: str | Path,
    *,
    size: int = 0,
    crop: bool = False,
    channels: int = 0,
    value_range: tuple[float, float] = (0.0, 1.0),
    image: str = "",
    label: str = "",
    columns: Sequence[str] = (),
    root: str | Path = "",
) -> Path:
    """Write data to a .npz file, and return its path: images for the problems `folder` and `npz`, rows for `tabular`.

    data: a Dataset or DataLoader of PyTorch, a Dataset or DatasetDict of Hugging Face, a pandas DataFrame, an array or
    tensor (images uint8 [n, H, W], [n, H, W, C] or [n, C, H, W]; rows [n, columns]), a pair (images, labels), any
    iterable of items, or a mapping of "train" and "test" to these. Items are images, pairs (image, label), mappings of
    both, or rows of numbers. size, crop, channels: the form of images, 0 for their own. value_range: where images are
    floats, the range in which they stand for bytes. image, label, columns: a table's columns; root: where its paths
    begin. UserError for what is neither, and for a file that holds other data: nothing is overwritten.
    """
    file = Path(path)
    if file.suffix != ".npz":
        raise UserError(f"Data are written to a file that ends in .npz, got '{file}'.")
    reader = _Reader(Looks(size, crop, channels), value_range, image, label, tuple(columns), Path(root))
    arrays: dict[str, Any] = reader.arrays(data)
    if file.exists():
        if _equal(file, arrays):
            return file
        raise UserError(f"'{file}' exists and holds other data: choose another name, or remove it.")
    try:
        with replace_file(file) as target, target.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
    except OSError as error:
        raise UserError(f"Cannot write '{file}': {error.strerror or error}.") from error
    return file


def _equal(file: Path, arrays: Mapping[str, Array]) -> bool:
    try:
        with np.load(file, allow_pickle=False) as there:
            same = sorted(there.files) == sorted(arrays)
            return same and all(np.array_equal(there[key], value) for key, value in arrays.items())
    except Exception:  # not an archive of arrays
        return False


class _Reader:
    """Makes arrays of whatever is given."""

    def __init__(
        self,
        looks: Looks,
        value_range: tuple[float, float],
        image: str,
        label: str,
        columns: tuple[str, ...],
        root: Path,
    ) -> None:
        low, high = value_range
        if not low < high:
            raise UserError(f"A value_range is two numbers, the lower one first, got {quoted(value_range)}.")
        self.looks, self.value_range = looks, (float(low), float(high))
        self.image, self.label, self.columns, self.root = image, label, columns, root

    def arrays(self, data: Any) -> dict[str, Array]:
        """Return the arrays of a file, by their names."""
        if isinstance(data, Mapping):
            return self._of_parts(data)
        found = self._read(data)
        return _named(found, "images", "labels") if isinstance(found, Images) else found

    def _of_parts(self, data: Mapping[Any, Any]) -> dict[str, Array]:
        train = next((data[key] for key in TRAIN if key in data), None)
        held_out = next((data[key] for key in HELD_OUT if key in data), None)
        if train is None:
            raise UserError(f"A mapping of data has a part 'train', got {', '.join(map(quoted, data)) or 'nothing'}.")
        found = self._read(train)
        if not isinstance(found, Images):
            return found  # of rows one in ten is held out, by their content
        other = self._read(held_out) if held_out is not None else None
        if other is None:
            return _named(found, "images", "labels")
        if not isinstance(other, Images):
            raise UserError("The two parts of the data are not of one kind: images and rows.")
        return {**_named(found, "train_images", "train_labels"), **_named(other, "test_images", "test_labels")}

    def _read(self, data: Any) -> Images | dict[str, Array]:
        # takes a moment, and who has a table has loaded it
        import pandas as pd

        if isinstance(data, pd.DataFrame):
            return self._of_frame(data)
        if isinstance(data, Tensor | np.ndarray):
            array = np.asarray(data)
            return self._of_rows(array) if array.ndim == 2 else self._of_items(list(array))
        if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor | np.ndarray) for part in data):
            images, labels = map(np.asarray, data)
            if len(images) != len(labels):
                raise UserError(f"There are {len(images)} images and {len(labels)} labels: one label for each.")
            return self._of_items(list(zip(images, labels, strict=True)))
        return self._of_items(_items(data))

    def _of_frame(self, frame: pd.DataFrame) -> Images | dict[str, Array]:
        image = self.image or ("image" if "image" in frame else "")
        if not image:
            kept = chosen(frame, self.columns, "the table")
            return {"rows": numbers(kept, "the table"), "columns": np.array([str(name) for name in kept])}
        label = self.label or ("label" if "label" in frame else None)
        return of_table(frame, image=image, label=label, root=self.root, looks=self.looks)

    def _of_rows(self, rows: Array) -> Images | dict[str, Array]:
        # as above
        import pandas as pd

        return self._of_frame(pd.DataFrame(rows).rename(columns=str))

    def _of_items(self, items: Any) -> Images | dict[str, Array]:
        if not len(items):
            raise UserError("There are no data: not one item.")
        first = items[0]
        if isinstance(first, Mapping) and not any(key in first for key in (*KEYS[0], *filter(None, [self.image]))):
            # as above
            import pandas as pd

            return self._of_frame(pd.DataFrame.from_records([items[place] for place in range(len(items))]))
        if isinstance(first, Tensor | np.ndarray) and first.ndim == 1:
            return self._of_rows(np.stack([np.asarray(items[place]) for place in range(len(items))]))
        if isinstance(first, Sequence) and len(first) == 1:  # a TensorDataset of one tensor
            return self._of_items([items[place][0] for place in range(len(items))])
        if self.image or self.label:
            items = [_renamed(items[place], self.image, self.label) for place in range(len(items))]
        return of_dataset(items, self.looks, self.value_range)


def _renamed(item: Any, image: str, label: str) -> Any:
    if not isinstance(item, Mapping):
        return item
    pairs = ((image or "image", "image"), (label or "label", "label"))
    return {new: item[old] for old, new in pairs if old in item}


def _items(data: Any) -> Any:
    """Return items by number: of a DataLoader its Dataset's, of what can only be gone through a list."""
    inner = getattr(data, "dataset", None)
    if inner is not None and hasattr(data, "batch_size"):
        return inner if _has_places(inner) else [item for batch in data for item in _unbatched(batch)]
    if _has_places(data):
        return data
    if isinstance(data, Iterable):
        return list(data)
    raise UserError(
        "Data are a Dataset, a DataLoader, a DataFrame, an array, a pair (images, labels) or an iterable of items, got "
        f"a {type(data).__name__}."
    )


def _has_places(data: Any) -> bool:
    # every Dataset of PyTorch has items, of which those that are gone through know none
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _unbatched(batch: Any) -> list[Any]:
    if isinstance(batch, Mapping):
        return [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
    return list(zip(*batch, strict=True)) if isinstance(batch, list | tuple) else list(batch)


def _named(images: Images, pixels: str, labels: str) -> dict[str, Array]:
    found: dict[str, Array] = {pixels: images.pixels.numpy()}
    if images.labels is not None:
        names = np.array(images.classes)
        # texts of numbers would be sorted as texts
        numeric = all(name.lstrip("-").isdigit() for name in images.classes)
        found[labels] = (names.astype(np.int64) if numeric else names)[images.labels.numpy()]
    return found
