"""What a run takes of memory, in populations of 30 to 1000 runs: peaks of processes of their own over their beginning.

On a CPU a study's populations hold at most 64 runs each: a thousand runs take as much as 64 of them in each worker.
"""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark

STEPS = 3
SEEDS = (5, 17, 50, 167)
"""Of the six losses: 30, 102, 300 and 1002 runs."""
SCRIPT = f"""
import re, sys, torch
from ganbench.bench import Work, population
from ganbench.training.loop import steady_numerics
def peak():
    # of this program alone: `ru_maxrss` begins with the peak of the process that has started it
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
with steady_numerics():
    population(Work(2, 1, 8, 1), torch.device("cpu")).advance()
    before, work = peak(), Work(*map(int, sys.argv[1:]))
    members = population(work, torch.device("cpu"))
    for _ in range({STEPS}):
        members.advance()
    print(peak() - before, work.runs)
"""
RESULTS: list[str] = []


@pytest.mark.parametrize(("width", "depth", "batch"), [(64, 2, 128), (128, 3, 256)], ids=["2x64", "3x128"])
def test_memory_grows_with_the_runs(width, depth, batch):
    each = []
    for seeds in SEEDS:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *map(str, (width, depth, batch, seeds))],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        megabytes, runs = map(float, done.stdout.split())
        each.append(megabytes / runs)
        RESULTS.append(
            f"{depth} x {width}, batch {batch}: {runs:.0f} runs, {megabytes:.0f} MB, {each[-1]:.2f} MB a run"
        )
    assert max(each) < 1.5 * min(each)


def test_figures(capsys):
    with capsys.disabled():
        print("", *RESULTS, sep="\n")
    assert RESULTS
