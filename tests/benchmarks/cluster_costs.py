"""What 10 000 runs need on many workers, by simulation with the costs of a study that was measured.

    python tests/benchmarks/cluster_costs.py STUDY [RUNS [MOST]]

Populations with the seconds and bytes of the study's own, in its order and over again, are handed out the longest first
to whoever is free, as every executor does. MOST: populations are cut into parts of at most so many runs, each of which
takes its share of the time; that is the best a cut can do, for a run costs more in a small population than in a large
one. Prints the tables of docs/cluster.md. Standard library only.
"""

from __future__ import annotations

import heapq
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 6.0
"""Until a worker is ready: torch takes 2.9 s of processor time to import; as much again is supposed for the rest."""

TAKE_SECONDS = 0.05
"""What the driver does for a population that comes back: it reads it, holds its hash against its end, and moves it."""


@dataclass(frozen=True)
class Population:
    """What one population took."""

    runs: int
    seconds: float
    bytes: int


def measured(study: Path) -> list[Population]:
    """Return what the complete populations of a study took."""
    found = []
    for file in sorted(study.glob("populations/*/done.json")):
        clock = json.loads(file.read_text())["seconds"]
        runs = len(json.loads((file.parent / "runs.json").read_text()))
        size = sum(each.stat().st_size for each in file.parent.iterdir() if each.is_file())
        found.append(Population(runs, clock["train"] + clock["probe"], size))
    return found


def repeated(known: list[Population], runs: int) -> list[Population]:
    """Return populations like those that are known until they have so many runs."""
    found, total = [], 0
    for population in itertools.cycle(known):
        if total >= runs:
            return found
        found.append(population)
        total += population.runs
    raise ValueError("the study has no complete population")


def cut(populations: list[Population], most: int) -> list[Population]:
    """Return parts of at most so many runs, as even as they can be, each with its share of time and bytes."""
    found = []
    for whole in populations:
        count = -(-whole.runs // most)
        for part in range(count):
            runs = whole.runs * (part + 1) // count - whole.runs * part // count
            share = runs / whole.runs
            found.append(Population(runs, whole.seconds * share, round(whole.bytes * share)))
    return found


def makespan(populations: list[Population], workers: int) -> float:
    """Return the seconds until all are done: the longest first, each to the worker that is free first."""
    free = [START_SECONDS] * workers
    driver = 0.0
    for population in sorted(populations, key=lambda each: -each.seconds):
        ended = heapq.heappop(free) + population.seconds
        heapq.heappush(free, ended)
        driver = max(driver, ended) + TAKE_SECONDS
    return max(driver, *free)


def bottleneck(populations: list[Population], workers: int, seconds: float) -> str:
    """Return what is in the way of being faster with more workers."""
    longest = max(each.seconds for each in populations)
    if 0.5 * seconds < START_SECONDS:
        return "the start of a worker"
    if TAKE_SECONDS * len(populations) > 0.5 * seconds:
        return "the driver, which takes one population after another"
    if longest + START_SECONDS > 0.9 * seconds:
        return f"the longest population ({longest / 60:.1f} min)"
    if len(populations) < 2 * workers:
        return f"the cut: {len(populations)} populations for {workers} workers"
    return "the number of workers"


def table(populations: list[Population]) -> list[str]:
    """Return the rows: workers, time, efficiency, bytes, and what is in the way."""
    work = sum(each.seconds for each in populations)
    moved = sum(each.bytes for each in populations)
    heads = ("workers", "time", "efficiency", "results moved", "a second", "first bottleneck")
    rows = [f"| {' | '.join(heads)} |", "|---:|---:|---:|---:|---:|---|"]
    for workers in (1, 8, 64, 512):
        seconds = makespan(populations, workers)
        told = f"{seconds / 3600:.1f} h" if seconds > 7200 else f"{seconds / 60:.1f} min"
        share = work / (workers * seconds)
        why = bottleneck(populations, workers, seconds)
        traffic = f"{moved / 1e6:.0f} MB | {moved / seconds / 1e6:.2f} MB"
        rows.append(f"| {workers} | {told} | {100 * share:.0f} % | {traffic} | {why} |")
    return rows


if __name__ == "__main__":
    known = measured(Path(sys.argv[1]))
    populations = repeated(known, int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)
    if len(sys.argv) > 3:
        populations = cut(populations, int(sys.argv[3]))
    runs = sum(each.runs for each in populations)
    print(f"{runs} runs in {len(populations)} populations, {sum(p.seconds for p in populations) / runs:.2f} s a run")
    print("\n".join(table(populations)))
