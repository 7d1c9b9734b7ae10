"""Thirty GANs as one population against the loop that a PyTorch user writes, in one process, on the same machine.

Printed at the end: run-steps a second of both, their ratio, and the GFLOP/s of the matrix products beside what
`torch.bmm` reaches on the same shapes.
"""

import time
from statistics import median, quantiles

import pytest
import torch

from ganbench.bench import LOSSES, OrdinaryLoop, Work, population
from ganbench.training.loop import keep_freed_memory

pytestmark = pytest.mark.benchmark

ROUNDS = 30
SIZES = [pytest.param(64, 2, 128, 30, id="2x64-batch128"), pytest.param(128, 3, 256, 10, id="3x128-batch256")]


@pytest.fixture(autouse=True)
def numerics():
    """Give both sides the memory and the denormal numbers that `ganbench run` trains with, and all threads."""
    keep_freed_memory()
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def bmm_gflops(runs, width, batch):
    a, b = torch.randn(runs, batch, width), torch.randn(runs, width, width)
    times = []
    for _ in range(60):
        started = time.perf_counter()
        torch.bmm(a, b)
        times.append(time.perf_counter() - started)
    return 2 * runs * batch * width * width / median(times) / 1e9


RESULTS: dict[str, str] = {}


@pytest.mark.parametrize(("width", "depth", "batch", "steps"), SIZES)
def test_population_against_loop(benchmark, request, width, depth, batch, steps):
    """Each round times the loop, then the population, for as many steps: the machine's mood hits both alike."""
    work, cpu = Work(width, depth, batch, seeds=5), torch.device("cpu")
    members = population(work, cpu)
    gans = [OrdinaryLoop(loss, work, cpu) for loss in LOSSES]
    loop_seconds = []

    def loop():
        started = time.perf_counter()
        for gan in gans:
            for _ in range(steps):
                gan.step()
        loop_seconds.append((time.perf_counter() - started) / (steps * len(gans)))

    def vectorised():
        for _ in range(steps):
            members.advance()

    benchmark.pedantic(vectorised, setup=loop, rounds=ROUNDS, warmup_rounds=2)
    assert members.alive.all()
    population_seconds = [seconds / (steps * len(members.runs)) for seconds in benchmark.stats.stats.data]
    loop_seconds = loop_seconds[-ROUNDS:]
    ratios = [ours / theirs for ours, theirs in zip(loop_seconds, population_seconds, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    gflop = work.flops / 1e9
    rate, loop_rate = 1 / median(population_seconds), 1 / median(loop_seconds)
    benchmark.extra_info.update(ratio=middle, run_steps_per_second=rate, loop_run_steps_per_second=loop_rate)
    RESULTS[request.node.callspec.id] = (
        f"population {rate:,.0f} run-steps/s ({rate * gflop:.0f} GFLOP/s), loop {loop_rate:,.0f} "
        f"({loop_rate * gflop:.0f}), ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f}); "
        f"torch.bmm {bmm_gflops(len(members.runs), width, batch):.0f} GFLOP/s"
    )


def test_figures(capsys):
    with capsys.disabled():
        print(f"\n{torch.get_num_threads()} threads, torch {torch.__version__}")
        for size, figures in RESULTS.items():
            print(f"{size}: {figures}")
    assert len(RESULTS) == len(SIZES)
