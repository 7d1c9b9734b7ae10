"""What an engine adds to a whole suite: the same study by each, in rounds that alternate, beside this machine's pool.

    python tests/benchmarks/engine_overhead.py [ROUNDS] [ENGINE ...] [KEY=VALUE ...]    by default 3, local and dask

Each study of `suite=smoke` is a process of its own with 2 workers, whose start is in its time: a cluster of this
machine's own starts and ends with it; no report is written. Prints the median seconds of each engine, and the median of
the rounds' ratios to the first. Processor seconds are of all processes that the command has waited for; those of Ray
belong to nobody, and are not in them.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = """
import sys
from ganbench import api

if __name__ == "__main__":
    api.run("smoke", sys.argv[2:], out=sys.argv[1], device="cpu")
"""
WORKERS = 2


def seconds(engine: str, settings: list[str], folder: Path) -> tuple[float, float]:
    """Return the wall and the processor seconds of one study."""
    words = [*settings, f"executor={engine}", f"executor.workers={WORKERS}"]
    command = [sys.executable, "-c", JOB, str(folder), *words]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # Ray lowers the priority of its workers, which is no cost of its own
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int, engines: list[str], settings: list[str]) -> None:
    """Measure and print."""
    took: dict[str, list[tuple[float, float]]] = {engine: [] for engine in engines}
    for number in range(rounds):
        # whoever is first in a round is another one each time
        for engine in engines[number % len(engines) :] + engines[: number % len(engines)]:
            with tempfile.TemporaryDirectory() as place:
                took[engine].append(seconds(engine, settings, Path(place) / "study"))
            print(f"round {number + 1}: {engine} {took[engine][-1][0]:.1f} s", file=sys.stderr, flush=True)
    for engine in engines:
        wall, processor = (statistics.median(one[part] for one in took[engine]) for part in (0, 1))
        ratios = [one[0] / first[0] for one, first in zip(took[engine], took[engines[0]], strict=True)]
        print(f"{engine}: {wall:.1f} s, processor {processor:.1f} s, x {statistics.median(ratios):.2f}", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    settings = [word for word in words if "=" in word]
    numbers = [int(word) for word in words if word.isdigit()]
    engines = [word for word in words if word.isalpha()] or ["local", "dask"]
    main(numbers[0] if numbers else 3, engines, settings)
