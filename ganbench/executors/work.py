"""One unit of work: train one population of a study's plan and record it."""

from __future__ import annotations

import hashlib
import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ganbench import registry
from ganbench.measure.evaluate import Evaluator
from ganbench.plan import LATER, Plan, Run
from ganbench.results.store import PopulationFolder, Store
from ganbench.results.study import Study
from ganbench.training import loop
from ganbench.training.population import Population, building, group, make_problem
from ganbench.training.step import train_step

Emit = Callable[[dict[str, Any]], None]


def populations(plan: Plan, device: str) -> dict[str, list[Run]]:
    """Return the plan's populations by name; plan and device alone decide them."""
    return {_name(runs): runs for runs in group(plan.runs, device)}


def _name(runs: list[Run]) -> str:
    variant = runs[0].variant
    words = [variant.problem, variant.normalization, variant.regularizer]
    words += [variant.trick] * (variant.trick != LATER["trick"])
    digest = hashlib.sha256("\n".join(run.id for run in runs).encode()).hexdigest()[:8]
    return "-".join([*words, digest])


def check(work: dict[str, list[Run]]) -> None:
    """Train one run of every loss in every population for one step, so that what cannot work is told at once.

    Raises UserError naming the variant.
    """
    with loop.steady_numerics():
        for runs in work.values():
            some = list({run.variant: run for run in runs}.values())
            with building(some[0].variant):
                train_step(Population(some, make_problem(some[0].variant), torch.device("cpu")))


def mend(store: Store, plan: Plan, device: str, tell: Callable[[str], None]) -> None:
    """Tell what is damaged in a study that goes on, and record damaged problems again; training mends the rest."""
    damage = Study(store.path).damage
    for one in damage:
        tell(str(one))
    files = {one.file for one in damage}
    for variant in {plan.label(run.variant): run.variant for run in plan.runs}.values():
        folder = store.problem(plan.label(variant))
        if files.intersection(folder.files):
            problem = make_problem(variant)
            with loop.steady_numerics():
                evaluator = Evaluator(problem, plan.samples, plan.neighbours, device=torch.device(device))
                loop.describe_problem(problem, evaluator, folder)


def cost(runs: list[Run]) -> float:
    """Return a rough weight of a population's work, to start the longest first and to tell the time left."""
    variant = runs[0].variant
    regularizer, network = registry.get("regularizer", variant.regularizer), registry.get("network", variant.network)
    due = 1 / max(1, variant.hypers_of("regularizer", regularizer.name).get("lazy", 1))
    penalty = 1 + 0.5 * due if regularizer.declared("acts_on") == "inputs" else 1.0
    convolutions = 8.0 if "feature_maps" in network.provides else 1.0
    updates = variant.steps * (variant.generator_steps + variant.critic_steps)
    return len(runs) * updates * variant.batch_size * penalty * convolutions


def perform(store: Store, plan: Plan, name: str, runs: list[Run], device: str, emit: Emit) -> None:
    """Train one population; what goes wrong is recorded as failed, with its traceback, and told."""
    folder: PopulationFolder = store.population(name)
    folder.begin(runs)
    try:
        loop.train(runs, plan, folder, store.problem(plan.label(runs[0].variant)), device, emit)
    except Exception as error:  # our bug or the machine's: recorded with its traceback, told at the end, exit code 5
        folder.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        emit({"event": "failed", "error": f"{type(error).__name__}: {error}"})
    else:
        emit({"event": "finished"})


@dataclass(frozen=True)
class Trial:
    """What a few steps of a population cost: seconds for all its steps, peak bytes of the process or the device.

    `looped` names the losses that could not be vectorised and run one GAN after another.
    """

    seconds: float
    peak_bytes: int
    looped: tuple[str, ...]


def trial(runs: list[Run], device: str, steps: int = 3) -> Trial:
    """Train a population for a few steps, record nothing, and tell what the whole would cost."""
    # the first step is dearer than those after it, and the only one of a training of one step
    first = min(1, runs[0].variant.steps - 1)
    steps = min(steps, runs[0].variant.steps - first)
    with loop.steady_numerics(), building(runs[0].variant):
        population = Population(runs, make_problem(runs[0].variant), torch.device(device))
        for _ in range(first):
            train_step(population)
        started = time.perf_counter()
        for _ in range(steps):
            train_step(population)
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        each = (time.perf_counter() - started) / steps
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = torch.cuda.max_memory_allocated() if device.startswith("cuda") else kilobytes * 1024
    looped = tuple(part.plugin.name for part in population.losses if part.how == "looped")
    return Trial(each * runs[0].variant.steps, peak, looped)
