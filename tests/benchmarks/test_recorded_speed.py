"""Steps that are played from a script against plain ones, in processor time of one thread, in rounds that alternate.

Printed at the end: milliseconds of a run's step both ways, and the median of the rounds' ratios with its range. Both
sides end with the same numbers, bit for bit.
"""

import time
from statistics import median

import pytest
import torch

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.loop import steady_numerics
from ganbench.training.population import Population
from ganbench.training.recorded import FIRST, RecordedSteps
from ganbench.training.scripted import ScriptTape

pytestmark = pytest.mark.benchmark

RUNS, ROUNDS = 15, 5
WORKS = {
    "2 x 32": ([], 40), "2 x 64": (["network.mlp.width=64"], 40),
    "3 x 128, batch 256": (["network.mlp.width=128", "network.mlp.depth=3", "batch_size=256"], 10),
    "2 x 32, R1": (["regularizer=r1"], 40), "2 x 32, gradient penalty": (["regularizer=gradient_penalty"], 40),
    "2 x 32, spectral norm": (["normalization=spectral"], 40), "2 x 32, batch norm": (["normalization=batch"], 40),
    "2 x 32, extragradient": (["update=extragradient"], 20), "2 x 32, unrolled": (["update=unrolled"], 10),
    "DCGAN 8 x 8, width 12, batch 64": (
        ["problem=digits", "network=dcgan", "network.dcgan.width=12", "batch_size=64", "latent_dim=16"], 20),
}  # fmt: skip
RESULTS: list[str] = []


def population(overrides):
    problem = [] if any(word.startswith("problem=") for word in overrides) else ["problem=ring8"]
    runs = resolve(None, [*problem, *overrides, f"seeds={RUNS}", "steps=100000"]).runs
    return Population(list(runs), make_problem(runs[0].variant), torch.device("cpu"))


def seconds(learner, steps):
    started = time.process_time()
    for _ in range(steps):
        learner.advance()
    return (time.process_time() - started) / steps / RUNS


@pytest.mark.parametrize("work", WORKS)
def test_a_script_against_plain_steps(work):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    overrides, steps = WORKS[work]
    try:
        with steady_numerics():
            plain, played = population(overrides), population(overrides)
            plain.recorded, played.recorded = None, RecordedSteps(ScriptTape)
            for learner in (plain, played):
                seconds(learner, FIRST)
            times = [(seconds(plain, steps), seconds(played, steps)) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    assert played.recorded.refused == ""
    assert torch.equal(plain.generator.flat, played.generator.flat)
    ratios = [before / after for before, after in times]
    before, after = (1e3 * median(side) for side in zip(*times, strict=True))
    RESULTS.append(
        f"{RUNS} runs of {work}: plain {before:.3f} ms a run-step, from a script {after:.3f} ms, ratio "
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def test_figures(capsys):
    with capsys.disabled():
        print(f"\none thread, torch {torch.__version__}", *RESULTS, sep="\n")
    assert RESULTS
