"""A population beside what a JAX user writes for the same GANs: vmap over seeds, scan over steps, one compilation.

JAX lives in an environment of its own, whose Python GANBENCH_JAX names (`python -m venv jax`, `pip install jax` there).
Printed: processor milliseconds of a run's step on either side, in rounds that alternate, one thread each.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
import torch

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import make_learner
from ganbench.training.loop import steady_numerics
from ganbench.training.recorded import FIRST

JAX = os.environ.get("GANBENCH_JAX", "")
pytestmark = [pytest.mark.benchmark, pytest.mark.skipif(not JAX, reason="GANBENCH_JAX names no Python that has JAX")]

RUNS, ROUNDS = 30, 5
WORKS = {
    "2 x 64": (64, 2, 128, 0),
    "2 x 64, gradient penalty": (64, 2, 128, 1),
    "2 x 32": (32, 2, 128, 0),
    "3 x 128, batch 256": (128, 3, 256, 0),
}
STEPS = {32: 200, 64: 150, 128: 50}
RESULTS: list[str] = []


def population(width, depth, batch, penalty):
    plan = resolve(None, [
        "problem=ring8", f"seeds={RUNS}", "steps=1000000", "loss=nonsaturating", "optimizer.adam.decay=none",
        "optimizer.adam.g_lr=2e-3", "optimizer.adam.d_lr=2e-3", f"batch_size={batch}", f"network.mlp.width={width}",
        f"network.mlp.depth={depth}", f"regularizer={'gradient_penalty' if penalty else 'none'}",
    ])  # fmt: skip
    return make_learner(list(plan.runs), make_problem(plan.variants[0]), torch.device("cpu"))


@pytest.mark.parametrize("name", WORKS)
def test_beside_jax(name):
    width, depth, batch, penalty = WORKS[name]
    alone = os.environ | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    peer = subprocess.Popen(
        [JAX, str(Path(__file__).with_name("jax_loop.py")), *map(str, (width, depth, batch, RUNS, penalty))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=alone,
    )  # fmt: skip
    with peer, steady_numerics():
        compiled, members = float(peer.stdout.readline()), population(width, depth, batch, penalty)
        for _ in range(2 * FIRST):
            members.advance()
        pairs, steps = [], STEPS[width]
        for _ in range(ROUNDS):
            began = time.process_time()
            for _ in range(steps):
                members.advance()
            own = (time.process_time() - began) / steps / RUNS
            print(steps, file=peer.stdin, flush=True)
            pairs.append((own, float(peer.stdout.readline())))
        peer.stdin.close()
    assert all(b == b for _, b in pairs), "the peer diverged"
    ours, theirs = (1e3 * median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    RESULTS.append(
        f"{name}: population {ours:.3f} ms a run-step, JAX {theirs:.3f} (compiled in {compiled:.1f} s), ratio "
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def test_figures(capsys):
    with capsys.disabled():
        print(f"\none thread, torch {torch.__version__}, {sys.platform}", *RESULTS, sep="\n")
    assert RESULTS
