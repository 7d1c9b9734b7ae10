"""What was measured of a population as one array, beside the lines that it is made of.

The lines are written probe by probe and are the truth; to parse them takes many times as long as to copy the same
numbers as they lie in memory. So a population that ends writes them once more, [columns, runs, steps] of float64 in a
`.npy`, and `done.json` says what the array is of: its columns, its steps, and one hash over these, the hash of the
lines, and the file. Where any of them is another, the array is not believed and the lines are read.
A `.npy` and no Parquet: what a study holds is numbers of one type, loading them is a copy, and it needs no dependency.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganbench.arrays import Array
from ganbench.files import replace_file
from ganbench.results import reading
from ganbench.results.reading import Unreadable

FILE = "columns.npy"


@dataclass(frozen=True)
class Measured:
    """The columns and steps of what was measured of a population, and where its numbers are: an array, or a file.

    hash: that of a file which is believed, nothing for an array.
    """

    names: tuple[str, ...]
    steps: tuple[int, ...]
    source: Array | Path
    hash: str = ""

    def values(self) -> Array:
        """Return the numbers, [columns, runs, steps] of float64; NaN where a probe does not have a column."""
        return np.load(self.source, allow_pickle=False) if isinstance(self.source, Path) else self.source


def of_lines(content: bytes, runs: int) -> tuple[Measured, list[int]]:
    """Return what the lines of a series hold, the last one of a step, and the numbers of those that are no probes."""
    probe = reading.probe_of(runs)

    def parse(record: Any) -> tuple[int, tuple[tuple[str, ...], Array]]:
        step, values = probe(record)
        return step, (tuple(values), np.array(list(values.values()), dtype=float))

    records, bad = reading.parse_lines(content, parse)
    probes = dict(sorted(dict(records).items()))
    names = tuple(dict.fromkeys(name for own, _ in probes.values() for name in own))
    table = np.full((len(names), runs, len(probes)), np.nan)
    places = {name: place for place, name in enumerate(names)}
    for at, (own, values) in enumerate(probes.values()):
        table[[places[name] for name in own], :, at] = values
    return Measured(names, tuple(probes), table), bad


def write(folder: Path, measured: Measured, lines: str) -> dict[str, Any]:
    """Write a population's array and return what `done.json` says of it; lines: the hash of its series."""
    with replace_file(folder / FILE) as target, target.open("wb") as stream:
        np.save(stream, measured.values())
    record = {"names": list(measured.names), "steps": list(measured.steps)}
    return {**record, "hash": _hash(folder / FILE, record, lines)}


def read(folder: Path, record: Mapping[str, Any], runs: int, lines: str) -> Measured:
    """Return what a population's array holds; Unreadable where it is not what `done.json` and the lines say."""
    file = folder / FILE
    if _hash(file, record, lines) != record["hash"]:
        raise Unreadable("is not what was written when the training ended")
    names, steps = tuple(record["names"]), tuple(record["steps"])
    array = reading.read_array(file)
    if array.dtype != np.float64 or array.shape != (len(names), runs, len(steps)):
        raise Unreadable("does not hold every column of every run")
    return Measured(names, steps, file, record["hash"])


def _hash(file: Path, record: Mapping[str, Any], lines: str) -> str:
    digest = hashlib.sha256(json.dumps([lines, record["names"], record["steps"]]).encode())
    for part in reading.read_parts(file):
        digest.update(part)
    return digest.hexdigest()
