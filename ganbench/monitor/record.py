"""The study of a watched loop: one run in a directory that other loops may share."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ganbench import registry
from ganbench.arrays import Array
from ganbench.errors import UserError
from ganbench.monitor.doctor import Fault
from ganbench.monitor.probing import Sizes, Target
from ganbench.monitor.telling import Unmeasured
from ganbench.plan import OWN, OWN_NAME, Plan, Run, Variant
from ganbench.provenance import begin_session, end_session
from ganbench.results.problem import UNSEEN
from ganbench.results.store import Store

NAME = re.compile(r"[A-Za-z0-9_.+=-]+")
Measuring = Target | Unmeasured


@dataclass(frozen=True)
class LoopSettings:
    """What the user says of a run: its variant's name and seed, how it is measured, and how to treat an earlier one.

    seed: None takes the first number without a finished run; the last one there is, to go on from a checkpoint.
    """

    variant: str | None
    seed: int | None
    every: int
    sizes: Sizes
    start: int = 0
    fresh: bool = False


class Record:
    """Writes one run's results as they come.

    problem: the recorded oracle and number of modes; rows: the probes kept of an earlier part of the run.
    """

    def __init__(self, out: Path, target: Measuring, modules: tuple[nn.Module, ...], loss: Any, settings: LoopSettings):
        store = Store(out)
        if isinstance(target, Unmeasured):
            target.name = _own_name(store, target.name, goes_on=settings.start > 0)
        settings = replace(settings, seed=_numbered(store, target, modules, settings))
        plan = make_plan(out, target, modules, loss, settings)
        run = plan.runs[0]
        store.enlist(plan)
        self._store, self._folder, self._name = store, store.population(run.id), target.name
        device = next((p.device.type for module in modules for p in module.parameters()), "cpu")
        self._session, self._clock = begin_session(device, 1, threads=torch.get_num_threads()), time.monotonic()
        self._lock = ExitStack()
        self._begin(run, settings)
        self.problem = self._describe(target)
        columns = self._folder.series()
        self.rows = [{"step": at, **{k: v[0] for k, v in values.items()}} for at, values in columns.items()]
        # once now, so that a run that is never closed has its provenance too
        self._log()

    def append(self, step: int, columns: dict[str, float], picture: Array) -> None:
        """Record one probe, with its samples if there are any."""
        shown = picture[np.newaxis] if picture.size else None
        self._folder.append(step, {name: [value] for name, value in columns.items()}, shown)

    def keep_faults(self, faults: Sequence[Fault]) -> None:
        """Record what is wrong with the loop's wiring."""
        self._folder.keep_faults([asdict(fault) for fault in faults])

    def measure_against(self, target: Target) -> None:
        """Record what samples are measured against, where that is known since now."""
        target.name = self._name
        if self.problem.get(UNSEEN):
            self._store.problem(target.name).write(*target.describe())
            self.problem = self._describe(target)

    def finish(self, clock: dict[str, float], diverged_step: int) -> None:
        """Mark the run as done, at a step where it diverged or -1."""
        self._folder.finish(clock, [diverged_step])
        self._log()
        self._lock.close()

    def _begin(self, run: Run, settings: LoopSettings) -> None:
        folder = self._folder
        folder.path.mkdir(parents=True, exist_ok=True)
        self._lock.enter_context(folder.lock())
        if folder.done() and not settings.fresh and settings.start == 0:
            raise UserError(
                f"The study '{self._store.path}' holds the finished run '{run.id}': give another seed, variant or out, "
                "start= to go on from a checkpoint, or fresh=True to replace it."
            )
        folder.rewind(settings.start if settings.start > 0 else -1)
        folder.begin([run])

    def _describe(self, target: Measuring) -> dict[str, Any]:
        folder = self._store.problem(target.name)
        if not folder.exists():
            folder.write(*target.describe())
            return folder.read()
        known, real = folder.read(), target.pictures_of_real()
        if real is None:
            return known
        if "real" not in known or known["real"].shape != real.shape or not np.allclose(known["real"], real, atol=1e-3):
            raise UserError(
                f"The study '{self._store.path}' measures '{target.name}' against other real samples: give the same "
                "ones, or another out."
            )
        return known

    def _log(self) -> None:
        self._store.log_session(end_session(self._session, time.monotonic() - self._clock))


def _own_name(store: Store, name: str, *, goes_on: bool) -> str:
    """Return a problem's name that no loop has yet which told samples: each is measured against its own real ones."""
    taken = [name]
    while (known := store.problem(taken[-1]).read()) and not known.get(UNSEEN):
        taken.append(f"{name}-{len(taken) + 1}")
    return taken[max(len(taken) - 2, 0)] if goes_on else taken[-1]


def _numbered(store: Store, target: Measuring, modules: tuple[nn.Module, ...], settings: LoopSettings) -> int:
    if settings.seed is not None or settings.fresh:
        return 0 if settings.seed is None else settings.seed
    free = 0
    while store.population(_run(store, target, modules, replace(settings, seed=free)).id).done():
        free += 1
    return max(free - 1, 0) if settings.start > 0 else free


def _run(store: Store, target: Measuring, modules: tuple[nn.Module, ...], settings: LoopSettings) -> Run:
    return make_plan(store.path, target, modules, None, settings).runs[0]


def make_plan(out: Path, target: Measuring, modules: tuple[nn.Module, ...], loss: Any, settings: LoopSettings) -> Plan:
    """Return the plan of one watched run."""
    names = [type(module).__name__ for module in modules] or ["loop"]
    told = (
        loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__) if loss else "the loop's own"
    )
    name = settings.variant if settings.variant is not None else names[0]
    for what, text in (("variant", name), ("problem", target.name)):
        if not isinstance(text, str) or not NAME.fullmatch(text):
            raise UserError(f"The name of a {what} is made of letters, digits and _ . + = -, got {text!r}.")
    seed = settings.seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f"'seed' must be a whole number of at least 0, got {seed!r}.")
    variant = Variant(
        problem=target.name, network=OWN, loss=OWN, normalization=OWN, g_normalization=OWN, regularizer=OWN,
        optimizer=OWN, latent=OWN, steps=0, batch_size=0, critic_steps=1, latent_dim=0, hypers=((OWN_NAME, name),),
    )  # fmt: skip
    sizes = settings.sizes
    return Plan(
        name=out.name,
        description="Training loops of their own, watched by ganbench.Monitor.",
        variants=(variant,),
        skipped=(),
        seeds=(seed,),
        probe_every=settings.every,
        samples=sizes.samples,
        neighbours=sizes.neighbours,
        diagnostics=sizes.diagnostics,
        versions={f"{plugin.kind}.{plugin.name}": plugin.version for plugin in registry.measuring()},
        legends={
            f"problem.{target.name}": target.legend,
            f"variant.{name}": f"generator {names[0]}, discriminator {names[1]}, loss {told}"
            if modules
            else f"a loop that tells what it likes, loss {told}",
        },
        listed=(Run(variant, seed).id,),
    )
