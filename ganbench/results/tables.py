"""The numbers of a large study's probes as one file, which a reader maps into memory in place of reading it.

Ten thousand runs of two hundred probes and sixty columns are a gigabyte. When a command ends, `probes.npy` holds
the numbers [columns, rows] as the table has them, and `probes.json` says what they were made of: one hash over the plan
and over every population's own, with the rows of its runs, and the hash of the file. Where a population is another, or
the file is, the populations are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ganbench.arrays import Array
from ganbench.files import replace_file, write_text
from ganbench.plan import Plan
from ganbench.results import reading
from ganbench.results.columns import Measured
from ganbench.results.reading import Unreadable
from ganbench.results.store import TABLES

RECORD, ARRAY = TABLES
LARGE = 200_000
"""Rows from which on it is worth its room: below, copying takes no time."""


@dataclass(frozen=True)
class Part:
    """A population by its name, what was measured of it, and the rows there of the runs that are read from it."""

    name: str
    measured: Measured
    rows: Mapping[str, int]


class Layout:
    """Where each number of a study's table of probes stands: run by run in the plan's order, step by step."""

    def __init__(self, plan: Plan, parts: Sequence[Part]) -> None:
        self.plan, self.parts = plan, parts
        lengths = {run: len(part.measured.steps) for part in parts for run in part.rows}
        self.runs = [run for run in plan.steps_of if lengths.get(run)]
        self.lengths = [lengths[run] for run in self.runs]
        ends = np.cumsum(self.lengths, dtype=int)
        places = zip(self.runs, ends, strict=True)
        self.places = {run: slice(end - lengths[run], end) for run, end in places}
        self.names = list(dict.fromkeys(name for part in parts for name in part.measured.names))

    @property
    def shape(self) -> tuple[int, int]:
        """Columns and rows."""
        return len(self.names), sum(self.lengths)

    @property
    def identity(self) -> str:
        """A hash of all that the numbers are made of; nothing where some of them are only there as lines."""
        made_of = [[part.name, part.measured.hash, dict(part.rows)] for part in self.parts]
        if not made_of or not all(part.measured.hash for part in self.parts):
            return ""
        return hashlib.sha256(json.dumps([self.plan.hash, made_of]).encode()).hexdigest()

    def numbers(self) -> Array:
        """Return the numbers [columns, rows], each copied once from where its population has it."""
        whole = all(len(part.measured.names) == len(self.names) for part in self.parts)
        numbers = np.empty(self.shape) if whole else np.full(self.shape, np.nan)
        for part in self.parts:
            values = part.measured.values()
            at = [self.names.index(name) for name in part.measured.names]
            # a slice where it can be one: to look places up takes longer than to copy
            columns = slice(None) if at == list(range(len(self.names))) else at
            for run, row in part.rows.items() if part.measured.steps else ():
                numbers[columns, self.places[run]] = values[:, row]
        return numbers

    def table(self, numbers: Array) -> pd.DataFrame:
        """Return the table of these numbers, which it does not copy: run, step, and a column each."""
        steps = np.empty(self.shape[1], dtype=int)
        for part in self.parts:
            for run in part.rows if part.measured.steps else ():
                steps[self.places[run]] = part.measured.steps
        table = pd.DataFrame(numbers.T, columns=pd.Index(self.names, dtype=str), copy=False)
        rows = np.repeat(np.arange(len(self.runs)), self.lengths)
        table.insert(0, "run", pd.Series(self.runs, dtype="str").take(rows).reset_index(drop=True))
        table.insert(1, "step", steps)
        return table


def keep_large(folder: Path, plan: Plan, layout: Callable[[], Layout]) -> None:
    """Write the table of a study into its folder, where it is large enough for that; layout: asked for only then."""
    if sum(steps // plan.probe_every + 1 for steps in plan.steps_of.values()) >= LARGE:
        keep(folder, layout())


def keep(folder: Path, layout: Layout) -> None:
    """Write the numbers of a study's table into its folder, where all of them are in arrays that are believed."""
    array, record = folder / ARRAY, folder / RECORD
    if not layout.identity or (kept(folder, layout) is not None):
        return
    record.unlink(missing_ok=True)
    # without it nothing is missing, so that a full disk is no failure
    with suppress(OSError):
        with replace_file(array) as target, target.open("wb") as stream:
            np.save(stream, layout.numbers())
        write_text(record, json.dumps({"of": layout.identity, "hash": _hash(array)}))


def kept(folder: Path, layout: Layout) -> Array | None:
    """Return the numbers of a study's table as they were kept, mapped; None where they are not there, or not these."""
    array, record = folder / ARRAY, folder / RECORD
    if not record.is_file() or not layout.identity:
        return None
    try:
        told: Any = reading.read_json(record)
        if not isinstance(told, dict) or told.get("of") != layout.identity or told.get("hash") != _hash(array):
            return None
        # copy on write: who changes the table does not change the study
        numbers: Array = np.load(array, mmap_mode="c", allow_pickle=False)
    except (Unreadable, OSError, ValueError):
        return None
    return numbers if numbers.dtype == np.float64 and numbers.shape == layout.shape else None


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    for part in reading.read_parts(file):
        digest.update(part)
    return digest.hexdigest()
