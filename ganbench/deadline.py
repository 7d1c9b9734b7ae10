"""How long a check may train, and what is there of a study when its time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from ganbench import api
from ganbench.errors import UserError
from ganbench.results.store import Store
from ganbench.results.study import Study as StoredStudy

LEAST = 0.1
"""Seconds below which no training is begun."""


@dataclass(frozen=True)
class Clock:
    """Counts the minutes that a check may take, from its making on; None: without end."""

    minutes: float | None = None
    now: Callable[[], float] = time.monotonic
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        if self.minutes is not None and not self.minutes > 0:
            raise UserError(f"A check takes more than 0 minutes, got {self.minutes:g}.")
        object.__setattr__(self, "begun", self.now())

    @property
    def left(self) -> float | None:
        """Seconds that are left, None without an end."""
        return None if self.minutes is None else self.minutes * 60 - (self.now() - self.begun)

    @property
    def is_up(self) -> bool:
        """Tell whether no time is left to train anything."""
        return self.left is not None and self.left < LEAST

    @property
    def note(self) -> str:
        """What is told where the time was too short."""
        return f"The check was ended after {self.minutes or 0:g} minutes: what was not decided by then is inconclusive."


class EndedStudy(api.Study):
    """A study that was ended before its time, with those variants alone of which every run has its end.

    Of the others the seeds that ended first say nothing: a run that diverges ends before its neighbours.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        waiting = _waiting(StoredStudy(path))
        self.restrict({variant.id for variant in self.plan.variants if variant.id not in waiting})

    def restrict(self, variants: Collection[str]) -> None:
        """Keep these variants alone, by their ids."""
        self.plan = replace(self.plan, variants=tuple(v for v in self.plan.variants if v.id in variants))
        vars(self).pop("runs", None)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row a run of these variants, as `Study.runs` has it."""
        every = api.Study(self.path).runs
        return every[every["variant"].isin([variant.id for variant in self.plan.variants])].reset_index(drop=True)


def is_whole(folder: Path) -> bool:
    """Tell whether there is a study, and every run of it has its end."""
    return Store(folder).exists() and not _waiting(StoredStudy(folder))


def _waiting(study: StoredStudy) -> set[str]:
    """Return the ids of the variants of which some run has no end."""
    return set(study.runs.loc[study.runs["status"].isin(["pending", "running"]), "variant"])
