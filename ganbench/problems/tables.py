"""Rows of numbers that lie in a file: measurements, transactions, features of one's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ganbench.arrays import Array
from ganbench.errors import UserError, told
from ganbench.identity import contents
from ganbench.problems.base import Problem, SampleTable, stream
from ganbench.problems.files import users
from ganbench.problems.images import MOST_REFERENCE
from ganbench.problems.known import MOST_DIMENSIONS
from ganbench.problems.readers.base import FEWEST, HELD_OUT
from ganbench.registry import register

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".csv", ".tsv", ".parquet", ".npz", ".npy")
KEEP = "name those that count by problem.tabular.columns=A,B"


class Rows(Problem):
    """A finite set of rows of numbers: training rows as the real ones, held-out rows as the oracle.

    Every column is scaled to mean 0 and variance 1 over the training rows.
    """

    def __init__(self, name: str, train: Tensor, held_out: Tensor, notes: Sequence[str] = (), samples: int = 0) -> None:
        """Take rows [n, d] float32 twice, in an order that says nothing; samples: train on so many alone (0: all).

        UserError for more than there are.
        """
        if not 0 <= samples <= len(train):
            raise UserError(f"The problem '{name}' takes 1 to {len(train)} samples, or 0 for all, got {samples}.")
        self.name, self.shape, self.notes = name, tuple(train.shape[1:]), tuple(notes)
        self._known, self._held_out = train, held_out
        self.table = SampleTable(train[: samples or None])

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw [n, d] training rows with replacement from the generator's stream."""
        assert self.table is not None
        return self.table.samples(self.places(n, generator))

    def places(self, n: int, generator: torch.Generator) -> Tensor:
        assert self.table is not None
        return torch.randint(len(self.table.rows), (n,), generator=generator)

    def reference(self, n: int | None = None, seed: int = 0) -> Tensor:
        """Return n distinct training rows [n, d]; n None, or not below their number: all, or the first 10 000."""
        return _some(self._known[:MOST_REFERENCE], n, stream("reference", seed))

    def oracle_samples(self, n: int, seed: int = 0) -> Tensor:
        """Return n distinct held-out rows [n, d]; all of them where n is not below their number."""
        return _some(self._held_out, n, stream("oracle", seed))


def _some(rows: Tensor, n: int | None, generator: torch.Generator) -> Tensor:
    if n is None or n >= len(rows):
        return rows.clone()
    return rows[torch.randperm(len(rows), generator=generator)[:n]]


FILE = users("tabular", "rows")


@register("problem", external=True, sources=FILE)
def tabular(*, root: str = "", columns: str = "", samples: int = 0) -> Rows:
    """Rows of numbers of one's own: a .csv, .tsv, .parquet, .npz or .npy, every column scaled to mean 0, variance 1.

    columns: the names of those that count, with commas (empty: all). One row in ten is held out, by a hash of its
    numbers.
    """
    path = FILE(root)
    train, held_out, notes = _loaded(path, contents.of_path(path), columns)
    return Rows("tabular", train, held_out, notes, samples)


@lru_cache(maxsize=2)
def _loaded(path: Path, digest: str, columns: str) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Read the rows at a path whose content has this hash; the last ones are kept."""
    frame = chosen(read_table(path), [name.strip() for name in columns.split(",") if name.strip()], str(path))
    values = numbers(frame, str(path))
    train, held_out = _split(values, str(path))
    mean, std = train.mean(0), train.std(0)
    if not (std > 0).all():
        name = frame.columns[int(np.argmin(std))]
        raise UserError(f"The column '{name}' of '{path}' is the same in all rows that are trained on: {KEEP}.")
    scaled = [torch.from_numpy(((part - mean) / std).astype(np.float32)) for part in (train, held_out)]
    notes = (
        f"File of content {digest}.", f"The columns are {', '.join(map(str, frame.columns))}, each scaled to mean 0 "
        "and variance 1.", f"{len(held_out)} rows of {len(values)} are held out, one in {HELD_OUT} by a hash of their "
        "numbers.",
    )  # fmt: skip
    return scaled[0], scaled[1], notes


def read_table(path: Path) -> pd.DataFrame:
    """Return the table of a file; UserError where it does not read as one."""
    # takes a moment, and only tables need it
    import pandas as pd

    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UserError(f"Tables are read from {', '.join(ENDINGS)}, got '{path.name}'.")
    try:
        if ending in (".csv", ".tsv"):
            return pd.read_csv(path, sep="\t" if ending == ".tsv" else ",")
        return pd.read_parquet(path) if ending == ".parquet" else _of_arrays(path)
    except ImportError as error:
        raise UserError("Parquet files need pyarrow: pip install 'ganbench[parquet]'.") from error
    except UserError:
        raise
    except Exception as error:  # a damaged file raises whatever it meets
        raise UserError(f"'{path}' does not read as a table: {told(error)}.") from error


def _of_arrays(path: Path) -> pd.DataFrame:
    # as above
    import pandas as pd

    loaded = np.load(path, allow_pickle=False)
    arrays = {"rows": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    rows = arrays.get("rows", next(iter(arrays.values())) if len(arrays) == 1 else None)
    if rows is None:
        raise UserError(f"'{path}' holds {', '.join(map(repr, arrays))}; rows of numbers are called 'rows'.")
    if rows.ndim != 2:
        raise UserError(f"'{path}' has rows of the shape {list(rows.shape)}, and a table is [n, columns].")
    names = arrays["columns"].tolist() if "columns" in arrays else None
    return pd.DataFrame(rows, columns=names)


def chosen(frame: pd.DataFrame, columns: Sequence[str], where: str) -> pd.DataFrame:
    """Return these columns of a table, all for none; UserError for one that it does not have."""
    frame = frame.rename(columns=str)
    missing = [name for name in columns if name not in frame]
    if missing:
        raise UserError(f"'{where}' has no column '{missing[0]}': {', '.join(map(str, frame))}.")
    return frame[list(columns)] if columns else frame


def numbers(frame: pd.DataFrame, where: str) -> Array:
    """Return a table as numbers [n, d] float64; UserError for columns of anything else, and for missing values."""
    texts = [str(name) for name, kind in frame.dtypes.items() if kind.kind not in "biuf"]
    if texts:
        raise UserError(f"The column '{texts[0]}' of '{where}' holds {frame[texts[0]].dtype}, no numbers: {KEEP}.")
    if not 1 <= frame.shape[1] <= MOST_DIMENSIONS:
        raise UserError(f"'{where}' has {frame.shape[1]} columns; tables have 1 to {MOST_DIMENSIONS}.")
    values: Array = frame.to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        name = frame.columns[int(bad.any(0).argmax())]
        raise UserError(
            f"{int(bad.any(1).sum())} rows of {len(values)} of '{where}' have a missing or infinite value, the first "
            f"in the column '{name}': fill them or leave them out, or {KEEP}."
        )
    return values


def _split(values: Array, where: str) -> tuple[Array, Array]:
    """Return the rows to train on and those that are held out, equal rows in the same part, in the order of a hash."""
    digests = np.array([hashlib.sha256(row.tobytes()).hexdigest() for row in np.ascontiguousarray(values)])
    order = np.argsort(digests, kind="stable")
    held = np.array([int(digest[:8], 16) < 2**32 // HELD_OUT for digest in digests[order]], dtype=bool)
    train, held_out = values[order][~held], values[order][held]
    if min(len(train), len(held_out)) < FEWEST:
        raise UserError(
            f"{len(values)} rows of '{where}' are too few to hold one in {HELD_OUT} out: {len(held_out)} would be held "
            f"out and {len(train)} trained on, and {FEWEST} are needed of each."
        )
    return train, held_out
