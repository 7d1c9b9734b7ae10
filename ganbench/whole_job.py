"""A whole job as users run it, `ganbench.run` on every core, beside ordinary training loops.

The job's seconds are those of `ganbench.run`: starting workers, building, recording, training, probing, storing. The
loops are one script, which trains one run after another with torch's own threads, and scripts of one thread each on
every core; only their steps are timed. Rounds alternate.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory

import torch

from ganbench import api
from ganbench.bench import LOSSES, OrdinaryLoop, Row, Work, overrides, ranged
from ganbench.training.loop import steady_numerics

JOBS = ((Work(64, 2, 128, 5), 5000), (Work(128, 3, 256, 5), 1000))
"""What `ganbench bench --jobs` runs, for how many steps: suites of mixtures have 1500 to 6000."""
LOOP_SECONDS = 3.0
"""Of a round's ordinary loops."""


@dataclass(frozen=True)
class Spent:
    """What a round took, or would have taken at the rate that was measured: seconds of the wall, of processors."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Job:
    """A work for so many steps in every round: as one command, by one script, and by scripts on every core."""

    work: Work
    steps: int
    ours: tuple[Spent, ...]
    script: tuple[Spent, ...]
    loops: tuple[Spent, ...]

    def rows(self) -> list[Row]:
        """Return its rows of the table of `ganbench bench`: seconds of the wall, and of processors."""
        what = f"{self.work.name}, {self.steps} steps"
        ours = [own.wall for own in self.ours]
        return [
            self._row(f"{what}: s, over one script", ours, [its.wall for its in self.script]),
            self._row(f"over a script on each of {cores()} cores: s", ours, [its.wall for its in self.loops]),
            self._row("the same: processor s", [own.processor for own in self.ours],
                      [its.processor for its in self.loops]),
        ]  # fmt: skip

    def _row(self, what: str, ours: Sequence[float], loop: Sequence[float]) -> Row:
        ratios = [theirs / own for own, theirs in zip(ours, loop, strict=True)]
        return what, f"{median(ours):.1f}", f"{median(loop):.1f}", ranged(ratios), ""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def whole_job(work: Work, steps: int, rounds: int) -> Job:
    """Run a work as a study and as ordinary loops, in turns."""
    ways = [
        (_as_study(work, steps), _as_loops(work, steps, 1, cores()), _as_loops(work, steps, cores(), 1))
        for _ in range(rounds)
    ]
    ours, script, loops = zip(*ways, strict=True)
    return Job(work, steps, ours, script, loops)


def _as_study(work: Work, steps: int) -> Spent:
    with TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), _processor()
        api.run(None, overrides(work, steps), out=Path(folder) / "study", device="cpu")
        return Spent(time.perf_counter() - wall, _processor() - processor)


def _processor() -> float:
    """Return the processor seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _as_loops(work: Work, steps: int, scripts: int, threads: int) -> Spent:
    """Return what scripts of so many threads each would take for as many runs and steps, from the rate of some."""
    sizes = map(str, (work.width, work.depth, work.batch, threads))
    asked = [sys.executable, "-m", "ganbench.whole_job", *sizes]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    busy = [
        subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603
        for _ in range(scripts)
    ]
    for process in busy:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
    told = []
    for process in busy:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in busy:
        told.append(json.loads(process.communicate()[0]))
    run_steps = work.runs * steps
    return Spent(run_steps / sum(1 / one["wall"] for one in told), run_steps * mean(one["processor"] for one in told))


def _loop(work: Work, threads: int) -> None:
    """Train in an ordinary loop when told so, and tell the seconds of a run's step."""
    with steady_numerics():
        torch.set_num_threads(threads)
        gans = [OrdinaryLoop(loss, work, torch.device("cpu")) for loss in LOSSES]
        for gan in gans:
            gan.step()
        print("ready", flush=True)
        sys.stdin.readline()
        wall, processor, made = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() - wall < LOOP_SECONDS:
            for gan in gans:
                gan.step()
            made += len(gans)
        spent = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    print(json.dumps({name: seconds / made for name, seconds in spent.items()}))


if __name__ == "__main__":
    width, depth, batch, threads = map(int, sys.argv[1:])
    _loop(Work(width, depth, batch, seeds=1), threads)
