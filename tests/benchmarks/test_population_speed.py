"""Thirty GANs as one population against the loop that a PyTorch user writes, in one process, on the same machine.

Printed at the end: run-steps a second of both, their ratio, and the GFLOP/s of the matrix products beside what
`torch.bmm` reaches on the same shapes.
"""

import itertools
import time
from statistics import median, quantiles

import pytest
import torch
from overriding import over
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import relu

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.loop import keep_freed_memory
from ganbench.training.population import Population
from ganbench.training.step import train_step

pytestmark = pytest.mark.benchmark

LATENT, DATA = 8, 2
ROUNDS = 30
SIZES = [pytest.param(64, 2, 128, 30, id="2x64-batch128"), pytest.param(128, 3, 256, 10, id="3x128-batch256")]
RUNS = [
    "problem=ring8", "seeds=5", "steps=100000", "optimizer.adam.decay=none",
    "loss=minimax,nonsaturating,least_squares,hinge,wasserstein,relativistic_pairing",
]  # fmt: skip


@pytest.fixture(autouse=True)
def numerics():
    """Give both sides the memory and the denormal numbers that `ganbench run` trains with, and all threads."""
    keep_freed_memory()
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def ones(x):
    return torch.ones_like(x)


LOSSES = {
    "minimax": lambda r, f: (bce(r, ones(r)) + bce(f, 0 * f), -bce(f, 0 * f)),
    "nonsaturating": lambda r, f: (bce(r, ones(r)) + bce(f, 0 * f), bce(f, ones(f))),
    "least_squares": lambda r, f: (((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
    "hinge": lambda r, f: (relu(1 - r).mean() + relu(1 + f).mean(), -f.mean()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "relativistic_pairing": lambda r, f: (bce(r - f, ones(r)), bce(f - r, ones(r))),
}


def mlp(sizes, activation):
    layers = [part for a, b in itertools.pairwise(sizes[:-1]) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


class OrdinaryLoop:
    """One GAN the way a PyTorch user trains it."""

    def __init__(self, loss, width, depth, batch):
        hidden = [width] * depth
        self.loss, self.batch = LOSSES[loss], batch
        self.g, self.d = mlp([LATENT, *hidden, DATA], nn.ReLU), mlp([DATA, *hidden, 1], lambda: nn.LeakyReLU(0.2))
        self.g_adam = torch.optim.Adam(self.g.parameters(), lr=2e-3, betas=(0.5, 0.999))
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=2e-3, betas=(0.5, 0.999))
        angle = torch.arange(8) * (torch.pi / 4)
        self.centres = 1.41 * torch.stack([angle.cos(), angle.sin()], dim=1)

    def step(self):
        real = self.centres[torch.randint(8, (self.batch,))] + 0.07 * torch.randn(self.batch, DATA)
        fake = self.g(torch.randn(self.batch, LATENT)).detach()
        d_loss = self.loss(self.d(real), self.d(fake))[0]
        self.d_adam.zero_grad()
        d_loss.backward()
        self.d_adam.step()
        fake_logits = self.d(self.g(torch.randn(self.batch, LATENT)))
        real_logits = self.d(real) if self.loss is LOSSES["relativistic_pairing"] else fake_logits
        g_loss = self.loss(real_logits, fake_logits)[1]
        self.g_adam.zero_grad()
        g_loss.backward()
        self.g_adam.step()


def population(width, depth, batch):
    plan = resolve(
        None, over([*RUNS, f"batch_size={batch}", f"network.mlp.width={width}", f"network.mlp.depth={depth}"])
    )
    return Population(plan.runs, make_problem(plan.variants[0]), torch.device("cpu"))


def flops(width, depth, batch):
    """Return the floating-point operations of the matrix products of one step of one run."""
    inner = (depth - 1) * width * width
    d, g = DATA * width + inner + width, LATENT * width + inner + DATA * width
    # D's step: D forward and both gradients on real and fake, less the gradient at the data; G forward.
    d_step = 2 * (2 * batch) * (3 * d - DATA * width) + 2 * batch * g
    # G's step: G forward and both gradients, less the one at the latents; D forward and the gradient at its input.
    g_step = 2 * batch * (3 * g - LATENT * width) + 2 * batch * 2 * d
    return d_step + g_step


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
    members = population(width, depth, batch)
    gans = [OrdinaryLoop(loss, width, depth, batch) for loss in LOSSES]
    loop_seconds = []

    def loop():
        started = time.perf_counter()
        for gan in gans:
            for _ in range(steps):
                gan.step()
        loop_seconds.append((time.perf_counter() - started) / (steps * len(gans)))

    def vectorised():
        for _ in range(steps):
            train_step(members)

    benchmark.pedantic(vectorised, setup=loop, rounds=ROUNDS, warmup_rounds=2)
    assert members.alive.all()
    population_seconds = [seconds / (steps * len(members.runs)) for seconds in benchmark.stats.stats.data]
    loop_seconds = loop_seconds[-ROUNDS:]
    ratios = [ours / theirs for ours, theirs in zip(loop_seconds, population_seconds, strict=True)]
    low, middle, high = quantiles(ratios, n=4)
    gflop = flops(width, depth, batch) / 1e9
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
