"""The life of a population: train, probe, record, checkpoint."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ganbench import registry
from ganbench.measure.diagnostics import Game
from ganbench.measure.evaluate import Evaluator
from ganbench.plan import Plan, Run
from ganbench.problems.base import Problem, stream
from ganbench.training import checkpoint, noise
from ganbench.training.population import Population, make_problem
from ganbench.training.snapshot import Snapshot
from ganbench.training.step import train_step

CHECKPOINT_SECONDS = 15.0
PROGRESS_SECONDS = 0.5
KEPT_SAMPLES = {"image": 25, "points": 400}

Emit = Callable[[dict[str, Any]], None]
Array = np.ndarray[Any, np.dtype[Any]]


class Sink(Protocol):
    """Where a population's results go (results.store implements it)."""

    checkpoint: Path

    def append(self, step: int, values: dict[str, list[float]], samples: Array) -> None: ...
    def finish(self, clock: dict[str, float], diverged_step: Sequence[int]) -> None: ...


class ProblemSink(Protocol):
    """Where the description of a problem goes, once a study."""

    def exists(self) -> bool: ...
    def write(self, description: dict[str, Any], real: Array) -> None: ...


@contextmanager
def steady_numerics() -> Iterator[None]:
    """Make results independent of the number of cores, and vanished gradients as fast as others.

    One thread, since sums split over threads round differently; denormal numbers flushed to zero, since they cost a
    hundred times an ordinary one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def keep_freed_memory() -> None:
    """Tell glibc not to return freed blocks: every step would fault the same pages in again (1.2 x faster)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, (1 << 31) - 1)


class Prober:
    """Measures a population at a step, on latents and data that no training step uses."""

    def __init__(self, population: Population, evaluator: Evaluator) -> None:
        self.population, self.evaluator = population, evaluator
        variant = population.variant
        draw = noise.latents(variant.latent, variant.latent_dim)
        count = len(population.runs)
        # every run and every probe sees the same latents: what moves between probes is the generator
        self.latents = draw(evaluator.samples, stream("probe latents", 0)).to(population.device)
        self.real = population.problem.sample(variant.batch_size, stream("probe data", 0)).to(population.device)
        self.latents = self.latents.expand(count, *self.latents.shape)
        self.real = self.real.expand(count, *self.real.shape)

    def probe(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return every measurement by column [runs], NaN for diverged runs, and samples [runs, n, *shape]."""
        population = self.population
        with population.measuring():
            with torch.no_grad():
                fake = population.generate(self.latents)
            columns = dict(self.evaluator.measure(fake))
            game = Game(Snapshot(population), self.real, self.latents[:, : self.real.shape[1]])
            for plugin in registry.plugins("diagnostic"):
                columns.update(plugin(game, **plugin.hypers))
        dead = ~population.alive
        columns = {name: torch.where(dead, float("nan"), column.detach().double()) for name, column in columns.items()}
        kept = KEPT_SAMPLES["image" if "image" in population.problem.capabilities else "points"]
        return columns, fake[:, :kept]


def describe_problem(problem: Problem, evaluator: Evaluator, sink: ProblemSink) -> None:
    """Record a problem's oracle values, true modes and some real samples, once a study."""
    if sink.exists():
        return
    kept = KEPT_SAMPLES["image" if "image" in problem.capabilities else "points"]
    modes = problem.modes
    sink.write(
        {
            "oracle": evaluator.oracle(),
            "modes": evaluator.modes,
            "centres": modes.centres.tolist() if modes else None,
            "std": modes.std if modes else None,
        },
        problem.reference(kept).numpy(),
    )


def train(runs: list[Run], plan: Plan, sink: Sink, problem_sink: ProblemSink, device: str, emit: Emit) -> None:
    """Train one population from its last checkpoint to its end, recording probes; results land in `sink`."""
    with steady_numerics():
        problem = make_problem(runs[0].variant)
        evaluator = Evaluator(problem, plan.samples, plan.neighbours, device=torch.device(device))
        describe_problem(problem, evaluator, problem_sink)
        population = Population(runs, problem, torch.device(device))
        clock = {"train": 0.0, "probe": 0.0}
        checkpoint.restore(population, clock, sink.checkpoint)
        _advance(population, Prober(population, evaluator), plan.probe_every, clock, sink, emit)
        sink.finish(clock, population.diverged_step.tolist())


def _advance(
    population: Population, prober: Prober, probe_every: int, clock: dict[str, float], sink: Sink, emit: Emit
) -> None:
    steps, last_report, last_save = population.variant.steps, 0.0, time.monotonic()
    since = {"step": population.step, "train": clock["train"]}
    while True:
        if population.step % probe_every == 0 or population.step == steps:
            started = time.perf_counter()
            _record(population, prober, clock, since, sink)
            clock["probe"] += time.perf_counter() - started
            if time.monotonic() - last_save > CHECKPOINT_SECONDS and population.step < steps:
                checkpoint.save(population, clock, sink.checkpoint)
                last_save = time.monotonic()
        if time.monotonic() - last_report > PROGRESS_SECONDS or population.step == steps:
            last_report = time.monotonic()
            emit({"event": "progress", "step": population.step, "alive": int(population.alive.sum())})
        if population.step == steps:
            return
        started = time.perf_counter()
        train_step(population)
        clock["train"] += time.perf_counter() - started


def _record(
    population: Population, prober: Prober, clock: dict[str, float], since: dict[str, float], sink: Sink
) -> None:
    """Write one probe. A probe that a checkpoint has been taken after is written again with the same numbers."""
    if population.device.type == "cuda":
        torch.cuda.synchronize(population.device)
    passed = (population.step - since["step"]) * len(population.runs)
    each = (clock["train"] - since["train"]) / passed if passed else float("nan")
    since.update(step=population.step, train=clock["train"])
    columns, samples = prober.probe()
    values = {name: column.tolist() for name, column in columns.items()}
    values["seconds_per_step"] = [each] * len(population.runs)
    sink.append(population.step, values, samples.half().cpu().numpy())
