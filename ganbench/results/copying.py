"""Populations that were trained elsewhere: whether two of them hold the same, and how one comes to a study as a whole.

What trains twice, because it was asked for twice or because its word got lost, gives the same files: the first that is
complete stays, and one that differs is told.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ganbench.plan import Plan
from ganbench.results.population import PopulationFolder

TIMES = ("seconds_per_step",)
"""The columns that are measured anew whenever a population is trained: they are of the machine's, not of the run's."""

UNCOPIED = ("lock",)


def difference(first: PopulationFolder, second: PopulationFolder) -> str:
    """Return in what two complete records of one population differ, times apart; nothing where they are equal."""
    if first.runs() != second.runs():
        return "their runs"
    ends = [record["diverged_step"] if (record := folder.done()) else None for folder in (first, second)]
    if ends[0] != ends[1]:
        return "the steps at which runs diverged"
    mine, theirs = first.series(), second.series()
    if mine.keys() != theirs.keys():
        return "the steps of their probes"
    for step, values in mine.items():
        columns = sorted(name for name in {*values, *theirs[step]} - {*TIMES})
        other = next((name for name in columns if not _same(values.get(name), theirs[step].get(name))), None)
        if other is not None:
            return f"{other} at step {step}"
    for step in mine:
        parts = [folder.path / f"samples-{step}.npy" for folder in (first, second)]
        if not _same_file(*parts):
            return f"their samples at step {step}"
    return ""


def _same(first: list[float] | None, second: list[float] | None) -> bool:
    if first is None or second is None or len(first) != len(second):
        return False
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(first, second, strict=True))


def _same_file(first: Path, second: Path) -> bool:
    arrays = [np.load(file, allow_pickle=False) for file in (first, second)]
    return arrays[0].dtype == arrays[1].dtype and np.array_equal(arrays[0], arrays[1], equal_nan=True)


def copy(source: PopulationFolder, target: PopulationFolder) -> None:
    """Have a population's files in another place, all of them or none: its checkpoints come with it."""
    target.path.parent.mkdir(parents=True, exist_ok=True)
    with target.made_whole() as unfinished:
        shutil.copytree(source.path, unfinished.path, ignore=shutil.ignore_patterns(*UNCOPIED, ".*"))


def reach(folder: PopulationFolder, plan: Plan) -> tuple[int, int]:
    """Return how far a population is, to be compared: complete before failed before begun, then its last step."""
    if folder.verify(plan):
        return 3, 0
    if folder.failed():
        return 2, 0
    last = max(folder.whole_steps(), default=-1)
    return (1 if last >= 0 and folder.checkpoint.is_file() else 0), last


def furthest(folders: Iterable[PopulationFolder], plan: Plan) -> PopulationFolder | None:
    """Return the record of a population that is furthest, the first of equals; None where there is none."""
    found = [(reach(folder, plan), -place, folder) for place, folder in enumerate(folders) if folder.path.is_dir()]
    return max(found, key=lambda each: each[:2])[2] if found else None
