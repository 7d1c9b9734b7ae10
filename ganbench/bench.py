"""How fast this machine trains: a population beside the loop that a PyTorch user writes, interleaved; and its ceilings.

Both sides train the same networks with the same six losses, batch and optimizer on the ring of eight modes. Rounds
alternate, so that the machine's mood meets both; the ratio is of each round, and its median and range are told.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu

from ganbench.suite import resolve
from ganbench.training.building import make_problem
from ganbench.training.learner import Learner, make_learner
from ganbench.training.loop import steady_numerics
from ganbench.training.recorded import FIRST

LATENT, DATA = 8, 2
RATE, BETAS = 2e-3, (0.5, 0.999)
Pair = tuple[Tensor, Tensor]
Row = tuple[str, ...]


def _bce(logits: Tensor, target: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


LOSSES: dict[str, Callable[[Tensor, Tensor], Pair]] = {
    "minimax": lambda r, f: (_bce(r, 1) + _bce(f, 0), -_bce(f, 0)),
    "nonsaturating": lambda r, f: (_bce(r, 1) + _bce(f, 0), _bce(f, 1)),
    "least_squares": lambda r, f: (((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2, ((f - 1) ** 2).mean() / 2),
    "hinge": lambda r, f: (relu(1 - r).mean() + relu(1 + f).mean(), -f.mean()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -f.mean()),
    "relativistic_pairing": lambda r, f: (_bce(r - f, 1), _bce(f - r, 1)),
}
"""D's and G's loss of real and fake logits [batch], as a user writes them."""


@dataclass(frozen=True)
class Work:
    """MLPs of so many layers of a width, and how many seeds of each of the losses train together."""

    width: int
    depth: int
    batch: int
    seeds: int

    @property
    def runs(self) -> int:
        """How many GANs that is."""
        return self.seeds * len(LOSSES)

    @property
    def name(self) -> str:
        """Its size in a line."""
        return f"{self.runs} runs of {self.depth} x {self.width}, batch {self.batch}"

    @property
    def flops(self) -> int:
        """The floating-point operations of the matrix products of one step of one run."""
        inner = (self.depth - 1) * self.width**2
        d, g = DATA * self.width + inner + self.width, LATENT * self.width + inner + DATA * self.width
        # D's step: D forward and both gradients on real and fake, less the gradient at the data; G forward
        d_step = 2 * (2 * self.batch) * (3 * d - DATA * self.width) + 2 * self.batch * g
        # G's step: G forward and both gradients, less the one at the latents; D forward and the gradient at its input
        return d_step + 2 * self.batch * (3 * g - LATENT * self.width) + 2 * self.batch * 2 * d


WORKS = {
    "cpu": (Work(64, 2, 128, 5), Work(128, 3, 256, 5)),
    "cuda": (Work(64, 2, 128, 5), Work(64, 2, 128, 40), Work(128, 3, 256, 5), Work(128, 3, 256, 40)),
}


class OrdinaryLoop:
    """One GAN the way a PyTorch user trains it."""

    def __init__(self, loss: str, work: Work, device: torch.device) -> None:
        hidden = [work.width] * work.depth
        self.loss, self.paired, self.batch = LOSSES[loss], loss == "relativistic_pairing", work.batch
        self.g = _perceptron([LATENT, *hidden, DATA], nn.ReLU).to(device)
        self.d = _perceptron([DATA, *hidden, 1], lambda: nn.LeakyReLU(0.2)).to(device)
        self.g_adam = torch.optim.Adam(self.g.parameters(), lr=RATE, betas=BETAS)
        self.d_adam = torch.optim.Adam(self.d.parameters(), lr=RATE, betas=BETAS)
        angle = torch.arange(8, device=device) * (torch.pi / 4)
        self.centres = 1.41 * torch.stack([angle.cos(), angle.sin()], dim=1)

    def step(self) -> None:
        """Update D on a batch, and G on another."""
        device, batch = self.centres.device, self.batch
        real = self.centres[torch.randint(8, (batch,), device=device)] + 0.07 * torch.randn(batch, DATA, device=device)
        fake = self.g(torch.randn(batch, LATENT, device=device)).detach()
        d_loss = self.loss(self.d(real), self.d(fake))[0]
        self.d_adam.zero_grad()
        d_loss.backward()
        self.d_adam.step()
        fake_logits = self.d(self.g(torch.randn(batch, LATENT, device=device)))
        g_loss = self.loss(self.d(real) if self.paired else fake_logits, fake_logits)[1]
        self.g_adam.zero_grad()
        g_loss.backward()
        self.g_adam.step()


def _perceptron(sizes: list[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    layers = [part for a, b in itertools.pairwise(sizes[:-1]) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


def overrides(work: Work, steps: int) -> list[str]:
    """Return what asks a plan for the same GANs."""
    return [
        "problem=ring8", f"seeds={work.seeds}", f"steps={steps}", "optimizer.adam.decay=none",
        f"loss={','.join(LOSSES)}", f"optimizer.adam.g_lr={RATE}", f"optimizer.adam.d_lr={RATE}",
        f"batch_size={work.batch}", f"network.mlp.width={work.width}", f"network.mlp.depth={work.depth}",
    ]  # fmt: skip


def population(work: Work, device: torch.device) -> Learner:
    """Return the same GANs as one population."""
    plan = resolve(None, overrides(work, 1_000_000))
    return make_learner(list(plan.runs), make_problem(plan.variants[0]), device)


@dataclass(frozen=True)
class Ratio:
    """Seconds of a run's step in every round: as a population, and in the ordinary loop."""

    work: Work
    ours: tuple[float, ...]
    loop: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """How many times faster the population is, round by round."""
        return tuple(theirs / own for own, theirs in zip(self.ours, self.loop, strict=True))

    def row(self, product: float) -> Row:
        """Return its cells of the table; product: the machine's best rate in GFLOP/s."""
        share = self.work.flops / median(self.ours) / 1e9 / product
        rates = [f"{1 / median(side):,.0f}" for side in (self.ours, self.loop)]
        return f"{self.work.name}: run-steps/s", *rates, ranged(self.ratios), f"{share:.2f}"


def ranged(ratios: Sequence[float]) -> str:
    """Return the median of ratios with their range."""
    return f"{median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


def compare(work: Work, device: torch.device, rounds: int, seconds: float = 0.5) -> Ratio:
    """Time a population and the loop in turns, each for about so many seconds a round, on one thread."""
    with steady_numerics():
        members = population(work, device)
        gans = [OrdinaryLoop(loss, work, device) for loss in LOSSES]

        def together() -> None:
            members.advance()

        def in_turn() -> None:
            for gan in gans:
                gan.step()

        sides = [(together, work.runs), (in_turn, len(gans))]
        counts = [_steps_in(step, seconds, device) for step, _ in sides]
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            for (step, runs), count, own in zip(sides, counts, times, strict=True):
                own.append(_seconds(step, count, device) / (count * runs))
    return Ratio(work, tuple(times[0]), tuple(times[1]))


def _seconds(step: Callable[[], None], count: int, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    _wait(device)
    return time.perf_counter() - started


def _steps_in(step: Callable[[], None], seconds: float, device: torch.device) -> int:
    """Return how many steps fill so many seconds, at least one; the first ones warm up, and are recorded."""
    _seconds(step, 2 * FIRST, device)
    return max(1, round(6 * seconds / _seconds(step, 6, device)))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceilings(device: torch.device) -> dict[str, float]:
    """Return the machine's best measured rates: float32 products in GFLOP/s, copies in GB/s read and written."""
    size = 8192 if device.type == "cuda" else 1024
    with steady_numerics():
        a, b = torch.randn(2, size, size, device=device)
        big = torch.empty(2**28 if device.type == "cuda" else 2**22, device=device)
        other = torch.empty_like(big)
        return {
            "product": 2 * size**3 / _fastest(lambda: torch.mm(a, b), device) / 1e9,
            "copy": 2 * big.nbytes / _fastest(lambda: other.copy_(big), device) / 1e9,
        }


def _fastest(work: Callable[[], object], device: torch.device) -> float:
    work()
    return min(_seconds(lambda: (work(), None)[1], 3, device) / 3 for _ in range(8))


def machine(device: torch.device) -> str:
    """Name the device and what drives it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return f"{name}, one thread, torch {torch.__version__}, Python {platform.python_version()}"


HEAD = ("work", "here", "loop", "ratio (range)", "of product rate")
"""The columns of the table: loop is the ordinary one, and the last is products here over the best ones."""


def rows(device: torch.device, rounds: int) -> Iterator[Row]:
    """Yield the rows of the table under `HEAD`, each as soon as it is measured."""
    rates = ceilings(device)
    yield "float32 products: GFLOP/s", f"{rates['product']:,.0f}", "", "", ""
    yield "copies: GB/s", f"{rates['copy']:,.0f}", "", "", ""
    for work in WORKS[device.type]:
        yield compare(work, device, rounds).row(rates["product"])
