"""Thirty runs by `ganbench.run` on every core against ordinary loops, one script and one a core, in turns.

Printed at the end: seconds of the wall and of processors, ratios as medians with their range.
"""

import os

import pytest
import torch

from ganbench.whole_job import JOBS, whole_job

pytestmark = pytest.mark.benchmark

ROUNDS = int(os.environ.get("GANBENCH_ROUNDS", 3))
ROWS: list[tuple[str, ...]] = []


@pytest.mark.parametrize(("work", "steps"), JOBS, ids=[work.name for work, _ in JOBS])
def test_a_whole_job_against_loops(work, steps):
    job = whole_job(work, steps, ROUNDS)
    assert len(job.ours) == len(job.script) == len(job.loops) == ROUNDS
    ROWS.extend(job.rows())


def test_figures(capsys):
    with capsys.disabled():
        print(f"\ntorch {torch.__version__}, {ROUNDS} rounds: here, ordinary loop, ratio (range)")
        print(*(" | ".join(filter(None, row)) for row in ROWS), sep="\n")
    assert ROWS
