"""The life of a population: train, probe, record, checkpoint."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from ganbench.arrays import Array
from ganbench.errors import UserError
from ganbench.measure.diagnostics import Game, affordable
from ganbench.measure.evaluate import Evaluator
from ganbench.measure.of_models import Seen, nothing
from ganbench.measure.returned import columns_of
from ganbench.metrics.inputs import exact, home
from ganbench.plan import Plan, Run
from ganbench.problems.base import Given, Problem, mapped, on_device, stream
from ganbench.registry import averaged, playing
from ganbench.training import checkpoint
from ganbench.training.building import make_problem
from ganbench.training.learner import Learner, make_learner
from ganbench.training.parts import latents_of, parts_of
from ganbench.training.pictures import pictures

CHECKPOINT_SECONDS = float(os.environ.get("GANBENCH_CHECKPOINT_SECONDS", 15.0))
"""At least this long lies between two checkpoints; a negative number makes one at every probe."""
PROGRESS_SECONDS = 0.5
LINGER_SECONDS = 2 * PROGRESS_SECONDS
KEPT_SAMPLES = {"image": 25, "points": 400}

Emit = Callable[[dict[str, Any]], None]
V = TypeVar("V")


class Sink(Protocol):
    """Where a population's results go (results.store implements it)."""

    checkpoint: Path

    def whole_steps(self) -> list[int]: ...
    def series(self) -> Mapping[int, Mapping[str, list[float]]]: ...
    def rewind(self, step: int) -> None: ...
    def append(self, step: int, values: dict[str, list[float]], samples: Array) -> None: ...
    def picture(self, name: str, images: Array) -> None: ...
    def finish(self, clock: dict[str, float], diverged_step: Sequence[int], cost: dict[str, Any]) -> None: ...


class Source(Protocol):
    """Where a population's checkpoints are, and in which order its runs (results.store implements it)."""

    checkpoint: Path

    def runs(self) -> list[str]: ...


class ProblemSink(Protocol):
    """Where the description of a problem goes, once a study."""

    def exists(self) -> bool: ...
    def write(self, description: dict[str, Any], real: Array) -> None: ...


@contextmanager
def steady_numerics() -> Iterator[None]:
    """Make results repeatable on a device whatever the number of cores, and vanished gradients as fast as others.

    One thread, since sums split over threads round differently; denormal numbers flushed to zero, since they cost a
    hundred times an ordinary one; on a GPU convolutions in full float32, and sums in one order.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    try:
        with (
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
            _ordered_sums() if torch.cuda.is_available() else nullcontext(),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


@contextmanager
def _ordered_sums() -> Iterator[None]:
    """Add up in one order on a GPU, where there is a kernel that does; one that has none warns.

    Gradients are taken in the thread that asks for them: where another does, the order in which those of a second
    derivative are added depends on how much each of the two has done before.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what torch asks for
    asked, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled, memory.fill_uninitialized_memory = memory.fill_uninitialized_memory, False  # every new tensor, twice
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.autograd.set_multithreading_enabled(False):
            yield
    finally:
        torch.use_deterministic_algorithms(asked, warn_only=warned)
        memory.fill_uninitialized_memory = filled


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
    """Measures a population at a step, on latents and data that no training step uses.

    `diagnostics` is the class of cost up to which the game is diagnosed. best: the least distance of each run from the
    data [runs] at its probes after the first: where it is less, expensive feature spaces are measured, too.
    """

    def __init__(self, learner: Learner, evaluator: Evaluator, diagnostics: str = "cheap") -> None:
        self.learner, self.evaluator, self.diagnostics = learner, evaluator, affordable(diagnostics)
        variant = learner.variant
        draw = latents_of(variant, parts_of(variant), getattr(learner, "noise", 0))
        count = len(learner.runs)
        self.best = torch.full((count,), float("inf"), dtype=torch.float64)
        # every run and every probe sees the same latents: what moves between probes is the generator
        self.latents = draw(evaluator.samples, stream("probe latents", 0)).to(learner.device)
        problem = learner.problem
        real, given = problem.draw(variant.batch_size, stream("probe data", 0))
        held_out = problem.oracle_samples(variant.batch_size)
        self.latents = self.latents.expand(count, *self.latents.shape)
        self.given = self._for_all(problem.measured_given(evaluator.samples))
        # losses that compare real with fake need as many of each, and D may take samples in packs alone
        size = learner.whole(min(evaluator.samples, variant.batch_size))
        if not size:
            raise UserError(f"Probes of {evaluator.samples} samples fill no pack of the trick '{variant.trick}'.")
        both = (x[:size].to(learner.device) for x in (real, held_out))
        self.real, self.held_out = (x.expand(count, *x.shape) for x in both)
        self.played, self.played_given = self.latents[:, :size], self._for_all(mapped(lambda part: part[:size], given))

    def _for_all(self, given: Given) -> Given:
        """Return what is given [n, ...] for every run, [runs, n, ...]."""
        runs = len(self.learner.runs)
        return mapped(lambda part: part.expand(runs, *part.shape), on_device(given, self.learner.device))

    def probe(self) -> tuple[dict[str, Tensor], Tensor]:
        """Return every measurement by column [runs], NaN for diverged runs, and samples [runs, n, *shape]."""
        learner = self.learner
        with learner.measuring():
            with torch.no_grad():
                started = self.now()
                fake = learner.generate(self.latents, self.given)
                seconds = self.now() - started
                average = learner.generate_average(self.latents, self.given)
            is_last = learner.step >= learner.variant.steps
            columns = dict(self.evaluator.measure(fake, self.given, is_last=is_last))
            if self.evaluator.of_models:
                columns |= self._of_models(fake.shape[1], seconds)
            if not is_last and self.evaluator.expensive:
                columns |= self._at_best(fake, _distance(columns))
            if average is not None:
                measured = self.evaluator.measure(average, self.given, is_last=is_last)
                columns |= {averaged(name): column for name, column in measured.items()}
            if (seen := learner.game(self.played_given)) is not None:
                # what is given belongs to the training samples; those that are held out have their own
                held_out = None if learner.problem.gives else self.held_out
                features = self.evaluator.spaces.get(self.evaluator.main or "")
                game = Game(seen, self.real, self.played, held_out, features)
                for plugin in self.diagnostics:
                    columns |= columns_of(plugin, plugin(game, **plugin.hypers), len(learner.runs))
        dead = (~learner.alive).to(home(learner.alive.device))
        columns = {name: torch.where(dead, float("nan"), exact(column.detach())) for name, column in columns.items()}
        kept = KEPT_SAMPLES["image" if "image" in learner.problem.capabilities else "points"]
        return columns, fake[:, :kept]

    def now(self) -> float:
        """Return the time, when all that was asked of the device is done."""
        if self.learner.device.type == "cuda":
            torch.cuda.synchronize(self.learner.device)
        return time.perf_counter()

    def _of_models(self, samples: int, seconds: float) -> dict[str, Tensor]:
        """Return the columns of metrics of models, of which all together have made so many samples each."""
        learner, held_out = self.learner, self.evaluator.held_out
        density, reconstruct, tokens = (
            getattr(learner, name, nothing) for name in ("log_density", "reconstruct", "tokens")
        )
        weight = getattr(learner, "word", None)
        seen = Seen(
            density, held_out, learner.problem.grain, len(learner.runs), samples, seconds, reconstruct, tokens, weight
        )
        return self.evaluator.measure_models(seen)

    def _at_best(self, fake: Tensor, quality: Tensor) -> dict[str, Tensor]:
        """Return the columns of expensive spaces where runs are better than they have been, NaN elsewhere."""
        better = self._learn(quality)
        return self.evaluator.measure_expensive(fake, self.given, better.to(fake.device)) if better.any() else {}

    def _learn(self, quality: Tensor) -> Tensor:
        """Take note of a probe's quality [runs], and return which runs are better than they have been."""
        quality, alive = (own.to(self.best.device) for own in (exact(quality), self.learner.alive))
        better = (quality < self.best) & alive & (self.learner.step > 0)
        self.best = torch.where(better, quality, self.best)
        return better

    def remember(self, recorded: Mapping[int, Mapping[str, list[float]]]) -> None:
        """Take note of probes that were recorded before an interruption, columns [runs] by step."""
        for step, columns in recorded.items():
            if step > 0:
                distance = torch.tensor(_distance(columns), dtype=torch.float64)
                self.best = torch.where(distance < self.best, distance, self.best)


def _distance(columns: Mapping[str, V]) -> V:
    """Return the measure of how far samples are from the data as a whole, of those that declare this role the first."""
    return columns[next(name for name in playing("distance") if name in columns)]


def evaluator_of(problem: Problem, plan: Plan, device: torch.device | None = None) -> Evaluator:
    """Return what measures a problem as a plan asks."""
    return Evaluator(problem, plan.samples, plan.neighbours, device, plan.asked_spaces, plan.asked_metrics)


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
            "notes": evaluator.notes,
        },
        problem.reference(kept).numpy(),
    )


def train(runs: list[Run], plan: Plan, sink: Sink, problem_sink: ProblemSink, device: str, emit: Emit) -> None:
    """Train one population from its last checkpoint to its end, recording probes; results land in `sink`."""
    with steady_numerics():
        problem = make_problem(runs[0].variant)
        evaluator = evaluator_of(problem, plan, torch.device(device))
        describe_problem(problem, evaluator, problem_sink)
        learner = make_learner(runs, problem, torch.device(device))
        cost = learner.costs()
        prober = Prober(learner, evaluator, plan.diagnostics)
        training = _Training(learner, prober, plan.probe_every, sink, emit)
        training.run()
        if "image" in problem.capabilities:
            for name, images in pictures(learner, prober.latents, prober.given):
                sink.picture(name, images.half().cpu().numpy())
        sink.finish(training.clock, learner.diverged_step.tolist(), cost.to_dict(learner.variant.steps))


def attempt(runs: list[Run], plan: Plan, source: Source, device: str, until: int, emit: Emit) -> None:
    """Train some runs of a population from its last checkpoint on to a step, and record nothing: whether they can."""
    with steady_numerics(), TemporaryDirectory() as folder:
        problem = make_problem(runs[0].variant)
        learner = make_learner(runs, problem, torch.device(device))
        prober = Prober(learner, evaluator_of(problem, plan), plan.diagnostics)
        known, state = source.runs(), Path(folder) / "checkpoint.pt"
        if {run.id for run in runs} <= set(known):
            checkpoint.part(source.checkpoint, state, [known.index(run.id) for run in runs])
        checkpoint.restore(learner, {"train": 0.0, "probe": 0.0}, state)
        told = reached = time.monotonic()
        while learner.step < runs[0].variant.steps:
            if learner.step < until:
                reached = time.monotonic()
            elif time.monotonic() - reached > LINGER_SECONDS:
                # what failed was a little further than it could tell, and alone each run is at least as fast
                break
            if learner.step % plan.probe_every == 0:
                prober.probe()
            learner.advance()
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                emit({"event": "progress", "step": learner.step, "alive": int(learner.alive.sum())})
        prober.probe()


class _Training:
    """The clock of one population: when to step, probe, save and tell."""

    def __init__(self, learner: Learner, prober: Prober, probe_every: int, sink: Sink, emit: Emit) -> None:
        self.learner, self.prober, self.probe_every = learner, prober, probe_every
        self.sink, self.emit = sink, emit
        self.clock = {"train": 0.0, "probe": 0.0}
        self.told = self.saved = time.monotonic()
        self.probed = time.perf_counter()

    def run(self) -> None:
        """Go on from the last checkpoint to the end."""
        try:
            self._run()
        except BaseException:
            self._tell()  # at which step it was
            raise

    def _tell(self) -> None:
        self.told = time.monotonic()
        learner = self.learner
        self.emit({"event": "progress", "step": learner.step, "alive": int(learner.alive.sum())})

    def _run(self) -> None:
        learner, steps = self.learner, self.learner.variant.steps
        known, passed, process = self._resume(), 0, os.getpid()
        while True:
            due = learner.step % self.probe_every == 0 or learner.step == steps
            if due and learner.step != known:
                self._probe(passed)
                passed = 0
            if time.monotonic() - self.told > PROGRESS_SECONDS or learner.step == steps:
                self._tell()
            if learner.step == steps:
                break
            learner.advance()
            if os.getpid() != process:
                os._exit(0)  # a plug-in has forked: one of the two goes on
            passed += 1

    def _resume(self) -> int | None:
        """Go back to a checkpoint whose probes are all there and return its step; None where there is none.

        What was recorded later, or is damaged, is forgotten and recorded once more.
        """
        learner, whole = self.learner, set(self.sink.whole_steps())
        unbroken = set(takewhile(whole.__contains__, range(0, learner.variant.steps, self.probe_every)))

        def tell(text: str) -> None:
            self.emit({"event": "told", "text": text})

        resumed = checkpoint.restore(learner, self.clock, self.sink.checkpoint, unbroken, tell)
        self.sink.rewind(learner.step if resumed else -1)
        if resumed:
            self.prober.remember(self.sink.series())
            self.emit({"event": "resumed", "step": learner.step})
        return learner.step if resumed else None

    def _probe(self, passed: int) -> None:
        """Record one probe, `passed` steps after the last."""
        started = self.prober.now()
        runs = len(self.learner.runs)
        spent = started - self.probed if passed else 0.0
        self.clock["train"] += spent
        columns, samples = self.prober.probe()
        values = {name: column.tolist() for name, column in columns.items()}
        values["seconds_per_step"] = [spent / (passed * runs) if passed else float("nan")] * runs
        self.sink.append(self.learner.step, values, samples.half().cpu().numpy())
        if time.monotonic() - self.saved > CHECKPOINT_SECONDS and self.learner.step < self.learner.variant.steps:
            checkpoint.save(self.learner, self.clock, self.sink.checkpoint)
            self.saved = time.monotonic()
        self.probed = time.perf_counter()
        self.clock["probe"] += self.probed - started
