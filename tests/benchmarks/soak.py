"""Whether a process that works for long grows: memory and open files over rounds of training and reading.

    python tests/benchmarks/soak.py SECONDS     3600 for the hour

A round trains a small study, goes on with it, loads and judges it, and asks for its status and its progress as
`ganbench serve` does. The first fifth of the time is for what is loaded or remembered once. Exits with 1 where the
largest memory of the last fifth is more than 5 % above that of the second, or more files are open.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MOST_GROWTH = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")
TINY = [
    "problem=ring8", "steps=20", "seeds=2", "batch_size=16", "probe_every=10", "samples=64", "neighbours=32",
    "network.mlp.width=8", "loss=hinge,minimax", "normalization=none,layer",
]  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The resident memory in bytes and the open files of this process, so many seconds after the start."""

    seconds: float
    memory: int
    files: int


def one_round(folder: Path) -> None:
    """Train a small study and read it in every way."""
    from ganbench import api, serve, upkeep

    study = api.run(overrides=TINY, out=folder / "study", workers=1, fresh=True)
    api.run(overrides=TINY, out=folder / "study", workers=1)
    assert len(study.ranking()) == 4
    assert set(study.runs["status"]) <= {"done", "diverged"}
    upkeep.status(folder / "study")
    serve.Site(folder).page()


def look(started: float) -> Look:
    """Return what this process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Look(time.monotonic() - started, pages * PAGE, len(os.listdir("/proc/self/fd")))


def soak(seconds: float) -> list[Look]:
    """Work for so long and return what was held after each round."""
    started, looks = time.monotonic(), []
    with tempfile.TemporaryDirectory() as place:
        while not looks or looks[-1].seconds < seconds:
            one_round(Path(place))
            looks.append(look(started))
    return looks


def growth(looks: list[Look]) -> tuple[float, int]:
    """Return by what share memory grew, and by how many open files: from the second fifth to the last."""
    fifth = looks[-1].seconds / 5
    early = [one for one in looks if fifth <= one.seconds <= 2 * fifth] or looks[:1]
    late = [one for one in looks if one.seconds >= 4 * fifth]
    memory, files = ([max(getattr(one, key) for one in part) for part in (early, late)] for key in ("memory", "files"))
    return memory[1] / memory[0] - 1, files[1] - files[0]


if __name__ == "__main__":
    looks = soak(float(sys.argv[1]))
    every = max(1, len(looks) // 20)
    for one in looks[::every]:
        print(f"{one.seconds:7.0f} s  {one.memory / 1e6:7.1f} MB  {one.files} files")
    memory, files = growth(looks)
    print(f"{len(looks)} rounds: memory {100 * memory:+.2f} %, open files {files:+d}")
    sys.exit(memory > MOST_GROWTH or files > 0)
