"""The samples of one run by step, read when they are asked for: a large study has more files than may be open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ganbench.arrays import Array
from ganbench.results import reading
from ganbench.results.reading import Unreadable

MAPPED = 128
"""Files of samples that are open at a time: a process may have a thousand, and a large study has more than that."""


class Frames(Mapping[int, Array]):
    """The samples [n, *shape] of one run of a population by step, each read when it is asked for."""

    def __init__(self, path: Path, row: int, steps: Sequence[int]) -> None:
        self.path, self.row, self.steps = path, row, steps

    def __getitem__(self, step: int) -> Array:
        if step not in self.steps:
            raise KeyError(step)
        file = self.path / f"samples-{step}.npy"
        try:
            found: Array = _mapped(file, file.stat().st_mtime_ns)[self.row].astype(np.float32)
        except (OSError, Unreadable) as error:  # training has gone back behind it
            raise KeyError(step) from error
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)


@lru_cache(maxsize=MAPPED)
def _mapped(file: Path, since: int) -> Array:
    """Map a file that was last written at a time: runs of a population are looked at one after another."""
    return reading.read_array(file)
