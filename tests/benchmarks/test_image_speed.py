"""Images: what a population holds of its data, and its steps beside an ordinary loop of the same network.

Printed at the end: the bytes of a data set as it lies in memory beside those of a copy as numbers, by how much the
process grows when five seeds train on it, and processor milliseconds of a run's step of a population and of the loop, 8
to 64 pixels, one thread, in rounds that alternate.
"""

import gc
import os
import subprocess
import sys
import time
from statistics import median

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from ganbench.suite import resolve
from ganbench.training.building import build_networks, make_problem
from ganbench.training.loop import steady_numerics
from ganbench.training.population import Population
from ganbench.training.recorded import FIRST

pytestmark = pytest.mark.benchmark

CPU = torch.device("cpu")
SEEDS, BATCH, ROUNDS = 5, 64, 3
STEPS = {8: 40, 16: 20, 32: 4, 64: 2}
"""Steps of a side in a round."""
PLAIN = 32
"""From this side on steps are plain: to record them takes long, and gains little where products are large."""
LATENT, RATE, BETAS = 64, 2e-4, (0.5, 0.999)
RESULTS: list[str] = []


def own_images(folder, side, count):
    file = folder / f"own-{side}.npz"
    images = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    np.savez(file, x_train=images, x_test=images[:100])
    return file


def plan_of(file, batch):
    return resolve(
        None,
        [
            "problem=npz", f"problem.npz.root={file}", "network=dcgan", "network.dcgan.width=16", f"batch_size={batch}",
            "g_normalization=batch", f"latent_dim={LATENT}", f"seeds={SEEDS}", "steps=100000",
            "optimizer.adam.decay=none", f"optimizer.adam.g_lr={RATE}", f"optimizer.adam.d_lr={RATE}",
        ],
    )  # fmt: skip


# ---- memory

WATCHED = """
import sys, time
sys.path.insert(0, {here!r})
from test_image_speed import memory
memory({file!r})
"""


def resident(key="VmRSS"):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))


def memory(file):
    """Train five seeds at a batch of 128 for three steps, and print what that takes: bytes, by name."""
    plan = plan_of(file, 128)
    problem = make_problem(plan.variants[0])
    gc.collect()
    with steady_numerics():
        before = resident()
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")  # the peak begins here
        learner = Population(list(plan.runs), problem, CPU)
        for _ in range(3):
            learner.advance()
        peak = resident("VmHWM")
    floats = [one for one in gc.get_objects() if torch.is_tensor(one) and one.is_floating_point()]
    largest = max(one.untyped_storage().nbytes() for one in floats)
    print(problem.table.rows.nbytes, largest, peak - before, learner.costs().peak_bytes)


def test_a_population_holds_no_copy_of_its_data_as_numbers(tmp_path):
    file = own_images(tmp_path, 64, 40_000)
    code = WATCHED.format(here=os.path.dirname(__file__), file=str(file))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    held, largest, growth, counted = map(int, told.split())
    RESULTS.append(
        f"40 000 images of 64 px, RGB: {held / 2**20:.0f} MiB as bytes, {4 * held / 2**20:.0f} MiB as float32; largest "
        f"tensor of numbers {largest / 2**20:.0f} MiB; three steps of {SEEDS} seeds, batch 128, add at most "
        f"{growth / 2**20:.0f} MiB ({counted / 2**20:.0f} MiB of tensors counted)"
    )
    assert held == 40_000 * 3 * 64 * 64
    assert largest < held
    assert growth < 4 * held


# ---- speed


class OrdinaryLoop:
    """One GAN of the same networks, as a PyTorch user trains it: images as numbers, torch's Adam."""

    def __init__(self, variant, problem):
        self.images = problem.images
        self.g, self.d = build_networks(variant, problem, 0)
        self.g_adam = torch.optim.Adam(self.g.parameters(), lr=RATE, betas=BETAS)
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=RATE, betas=BETAS)

    def advance(self):
        real = self.images[torch.randint(len(self.images), (BATCH,))]
        fake = self.g(torch.randn(BATCH, LATENT)).detach()
        d_loss = softplus(-self.d(real)).mean() + softplus(self.d(fake)).mean()
        self.d_adam.zero_grad()
        d_loss.backward()
        self.d_adam.step()
        g_loss = softplus(-self.d(self.g(torch.randn(BATCH, LATENT)))).mean()
        self.g_adam.zero_grad()
        g_loss.backward()
        self.g_adam.step()


def seconds(side, steps):
    started = time.process_time()
    for _ in range(steps):
        side.advance()
    return (time.process_time() - started) / steps


@pytest.mark.parametrize("side", STEPS)
def test_a_population_beside_the_ordinary_loop(side, tmp_path):
    plan = plan_of(own_images(tmp_path, side, 2000), BATCH)
    problem = make_problem(plan.variants[0])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with steady_numerics():
            together, alone = Population(list(plan.runs), problem, CPU), OrdinaryLoop(plan.variants[0], problem)
            if side >= PLAIN:
                together.recorded = None
            seconds(together, 1 if side >= PLAIN else FIRST + 2)
            seconds(alone, 1)
            times = [(seconds(together, STEPS[side]) / SEEDS, seconds(alone, STEPS[side])) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    assert together.alive.all()
    ratios = [loop / ours for ours, loop in times]
    ours, loop = (1e3 * median(of) for of in zip(*times, strict=True))
    RESULTS.append(
        f"{side} px, RGB, width 16, batch {BATCH}: population of {SEEDS} {ours:.2f} ms a run-step ({1e3 / ours:.0f} a "
        f"second), loop {loop:.2f} ms ({1e3 / loop:.0f}), ratio {median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f})"
    )


def test_figures(capsys):
    with capsys.disabled():
        print(f"\none thread, torch {torch.__version__}", *RESULTS, sep="\n")
    assert RESULTS
