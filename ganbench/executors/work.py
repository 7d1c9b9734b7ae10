"""One unit of work: train one population of a study's plan and record it."""

from __future__ import annotations

import gc
import hashlib
import resource
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from ganbench import registry
from ganbench.binding import bind
from ganbench.errors import UserError, clean_lines, told
from ganbench.executors import isolate
from ganbench.executors.isolate import Emit, Event
from ganbench.plan import Plan, Run, later
from ganbench.results import columns
from ganbench.results.population import PopulationFolder
from ganbench.results.store import Store
from ganbench.training import loop
from ganbench.training.building import building, make_problem
from ganbench.training.grouping import group
from ganbench.training.learner import make_learner
from ganbench.training.losses import GuiltyError
from ganbench.training.parts import parts_of
from ganbench.training.process_state import preserved

FOR_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "CUDNN_STATUS_ALLOC_FAILED",
              "CUBLAS_STATUS_ALLOC_FAILED")  # fmt: skip
"""What torch's allocator on a CPU, CUDA itself and its libraries say, each in an ordinary RuntimeError."""


@dataclass(frozen=True)
class Job:
    """Work for one process: to train a population, or for `until` > 0 to try some of its runs for so many steps."""

    name: str
    runs: tuple[Run, ...]
    until: int = 0

    @property
    def asked(self) -> dict[str, Any]:
        """Plain data that names it to another process, which has the study's plan."""
        return {"name": self.name, "runs": [run.id for run in self.runs], "until": self.until}

    @classmethod
    def named(cls, plan: Plan, asked: Mapping[str, Any]) -> Job:
        """Return the job of a plan that was `asked` for."""
        runs = {run.id: run for run in plan.runs}
        return cls(asked["name"], tuple(runs[run] for run in asked["runs"]), asked["until"])


def populations(plan: Plan, device: str) -> dict[str, list[Run]]:
    """Return the plan's populations by name; plan and device alone decide them."""
    return {name_of(runs): runs for runs in group(plan.runs, device)}


def name_of(runs: Sequence[Run]) -> str:
    """Return the name of the population that these runs are."""
    variant = runs[0].variant
    words = [variant.problem, variant.normalization, variant.regularizer]
    words += [name for axis in ("trick", "term", "model") if (name := getattr(variant, axis)) != later()[axis]]
    digest = hashlib.sha256("\n".join(run.id for run in runs).encode()).hexdigest()[:8]
    return "-".join([*words, digest])


def check(work: dict[str, list[Run]], time_limit: float = 0.0) -> None:
    """Train one run of every loss in every population for one step, so that what cannot work is told at once.

    Raises UserError naming the variant. Plug-ins that this package does not ship are tried in a process of their own,
    which each population may keep silent for `time_limit` seconds, 0 for the default.
    """
    if not any(map(_has_foreign, work.values())):
        _check(work)
        return
    if not isolate.can_fork():
        with preserved(lambda changed: None):
            _check(work)
        return
    events: list[Event] = []
    ending = isolate.run(lambda emit: _check(work, emit), events.append, silence=time_limit)
    last = events[-1] if events else {"event": ""}
    if last["event"] == "refused":
        raise UserError(last["error"])
    if last["event"] != "finished":
        raise UserError(f"Cannot train this plan: when each of its variants was tried for a step, {ending.reason}.")


def _check(work: dict[str, list[Run]], emit: Emit | None = None) -> None:
    with loop.steady_numerics():
        for name, runs in work.items():
            some = list({run.variant: run for run in runs}.values())
            if emit:
                emit({"event": "progress", "name": name})
            try:
                with building(some[0].variant):
                    make_learner(some, make_problem(some[0].variant), torch.device("cpu")).advance()
            except UserError as error:
                if emit is None:
                    raise
                emit({"event": "refused", "error": str(error)})
                return
    if emit:
        emit({"event": "finished"})


def mend(store: Store, plan: Plan, device: str, tell: Callable[[str], None]) -> None:
    """Tell what is damaged in a study that goes on, and mend what is made of the rest; training mends what is lost."""
    # with pandas, which no worker needs
    from ganbench.results.study import Study

    damage = Study(store.path).damage
    for one in damage:
        tell(str(one))
    files = {one.file for one in damage}
    for population in store.populations():
        if population.path / columns.FILE in files:
            population.mend_columns()
    for variant in {plan.label(run.variant): run.variant for run in plan.runs}.values():
        folder = store.problem(plan.label(variant))
        if files.intersection(folder.files):
            problem = make_problem(variant)
            with loop.steady_numerics():
                evaluator = loop.evaluator_of(problem, plan, torch.device(device))
                loop.describe_problem(problem, evaluator, folder)


def cost(runs: list[Run]) -> float:
    """Return a rough weight of a population's work, to start the longest first and to tell the time left."""
    variant = runs[0].variant
    penalty = 1.0 + sum(0.5 / part.lazy for part in parts_of(variant) if part.on_inputs)
    convolutions = 8.0 if "feature_maps" in bind(variant, "network").plugin.provides else 1.0
    updates = variant.steps * (variant.generator_steps + variant.critic_steps)
    return len(runs) * updates * variant.batch_size * penalty * convolutions


def perform(store: Store, plan: Plan, job: Job, device: str, emit: Emit) -> None:
    """Do a job; what goes wrong is told as its last event, with the traceback and the guilty where they are known.

    Nothing that a plug-in raises leaves this function, and the state of the process is put back at its end.
    """

    def tell(changed: list[str]) -> None:
        emit({"event": "told", "text": f"While it trained, a plug-in changed {', '.join(changed)}."})

    with preserved(tell) if _has_foreign(job.runs) else nullcontext():
        try:
            _train(store, plan, job, device, emit)
        except BaseException as error:  # our bug, the machine's, or a plug-in's, which may raise SystemExit too
            guilty = [run.id for run in job.runs[error.runs]] if isinstance(error, GuiltyError) else []
            details, cause = clean_lines(traceback.format_exc()), error.__cause__ if guilty else error
            said = {"event": "failed", "error": told(cause or error), "details": details, "guilty": guilty}
            emit(said | ({"memory": True} if is_for_memory(cause or error) else {}))
        else:
            emit({"event": "finished"})
            return
    # here, where the error holds nothing any more: the next job may be done in this very process
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def is_for_memory(error: BaseException) -> bool:
    """Tell whether an error says that there was not enough memory, of the host or of the device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in told(error) for words in FOR_MEMORY)


def _has_foreign(runs: Sequence[Run]) -> bool:
    pairs = {pair for run in runs for pair in run.variant.plugins()}
    return not all(plugin.is_own for plugin in [*(registry.get(*pair) for pair in pairs), *registry.measuring()])


def _train(store: Store, plan: Plan, job: Job, device: str, emit: Emit) -> None:
    folder: PopulationFolder = store.population(job.name)
    if job.until:
        loop.attempt(list(job.runs), plan, folder, device, job.until, emit)
        return
    folder.begin(job.runs)
    loop.train(list(job.runs), plan, folder, store.problem(plan.label(job.runs[0].variant)), device, emit)


@dataclass(frozen=True)
class Trial:
    """What a few steps of a population cost: seconds for all its steps, peak bytes of the process or the device.

    `looped` names the losses that could not be vectorised and run one GAN after another.
    """

    seconds: float
    peak_bytes: int
    looped: tuple[str, ...]


FIRST = {"cpu": 1, "cuda": 4}
"""Steps after which all further ones cost the same: what is remembered has been made, and on a GPU recorded."""


def trial(runs: list[Run], device: str, steps: int = 3) -> Trial:
    """Train a population for a few steps, record nothing, and tell what the whole would cost."""
    # the first steps are dearer than those after them, and the only ones of a short training
    first = min(FIRST["cuda" if device.startswith("cuda") else "cpu"], runs[0].variant.steps - 1)
    steps = min(steps, runs[0].variant.steps - first)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    with loop.steady_numerics(), building(runs[0].variant):
        learner = make_learner(runs, make_problem(runs[0].variant), torch.device(device))
        for _ in range(first):
            learner.advance()
        _wait(device)
        started = time.perf_counter()
        for _ in range(steps):
            learner.advance()
        _wait(device)
        each = (time.perf_counter() - started) / steps
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_allocated() if device.startswith("cuda") else kilobytes * 1024
    return Trial(each * runs[0].variant.steps, peak, tuple(learner.looped))


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
