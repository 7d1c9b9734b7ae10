"""Data sets of the Hugging Face hub that lie on this machine, as the parquet files that they are published in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ganbench.errors import UserError, told
from ganbench.problems.readers.base import Images, Looks, Parts
from ganbench.problems.readers.own import of_table
from ganbench.problems.readers.pictures import HELD_OUT
from ganbench.problems.readers.shelves import Shelf

if TYPE_CHECKING:
    import pandas as pd

LABELS = ("label", "labels", "fine_label")


def is_there(shelf: Shelf) -> bool:
    """Tell whether there are parquet files."""
    return any(name.endswith(".parquet") for name in shelf.names)


def read(shelf: Shelf, looks: Looks) -> Parts:
    """Return the images of all parquet files; those whose names begin with `test` or `val` are held out."""
    names = [name for name in shelf.names if name.endswith(".parquet")]
    held = [name for name in names if name.rpartition("/")[2].startswith(HELD_OUT)]
    train = _of(shelf, [name for name in names if name not in held], looks)
    if not held:
        return Parts(train)
    held_out = _of(shelf, held, looks)
    return Parts(train, held_out)


def _of(shelf: Shelf, names: list[str], looks: Looks) -> Images:
    # takes a moment, and only parquet needs it
    import pandas as pd

    if not names:
        raise UserError(f"'{shelf.where}' has parquet files to hold out and none to train on.")
    table = pd.concat([_table(shelf, name) for name in names], ignore_index=True)
    image = next((name for name in ("image", "img") if name in table), None)
    if image is None:
        raise UserError(f"'{shelf.where}' has the columns {', '.join(map(str, table))}, and none called image or img.")
    label = next((name for name in LABELS if name in table), None)
    return of_table(table, image=image, label=label, looks=looks, where=shelf.where)


def _table(shelf: Shelf, name: str) -> pd.DataFrame:
    # as above
    import pandas as pd

    try:
        return pd.read_parquet(io.BytesIO(shelf.bytes_of(name)))
    except ImportError as error:
        raise UserError("Parquet files need pyarrow: pip install 'ganbench[parquet]'.") from error
    except Exception as error:  # a damaged file raises whatever it meets
        raise UserError(f"'{shelf.place(name)}' does not read as parquet: {told(error)}.") from error
