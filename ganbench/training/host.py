"""What the host hands to a step: its numbers as tensors, its batches, and the phase that its shape depends on.

A step on the device reads no number of Python that changes from step to step, and takes none from a tensor: it could be
recorded once for each phase, and played again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ganbench.gan.optimizers import rate_factor
from ganbench.schedules import Schedule
from ganbench.training.kept import Kept


class Clock:
    """A step's place in the training, on the device: `step` from 0, `progress` in [0, 1), `rate`, the factor on rates.

    All have no axes; the last two are float64, and `step` int64. `values` holds what schedules stand for at that step,
    of `dtype`, and `numbers` the same on the host.
    """

    def __init__(
        self, device: torch.device, schedules: Iterable[Schedule] = (), dtype: torch.dtype = torch.float32
    ) -> None:
        self.step = torch.zeros((), dtype=torch.int64, device=device)
        self.progress, self.rate = (torch.zeros((), dtype=torch.float64, device=device) for _ in range(2))
        self.numbers = {schedule: schedule.first for schedule in schedules}
        self.values = {each: torch.full((), own, dtype=dtype, device=device) for each, own in self.numbers.items()}

    def set(self, step: int, steps: int, decay: str) -> None:
        """Go to a step of so many; UserError for an unknown decay of the rates."""
        self.step.fill_(step)
        self.progress.fill_(step / steps)
        self.rate.fill_(rate_factor(decay, step, steps))
        for schedule, value in self.values.items():
            self.numbers[schedule] = schedule.at(step, steps)
            value.fill_(self.numbers[schedule])

    @property
    def tensors(self) -> list[Tensor]:
        """All that a step may read of it."""
        return [self.step, self.progress, self.rate, *self.values.values()]


@dataclass(frozen=True)
class Now:
    """A step's place in the training, on the host: batches are those that each player has had before."""

    step: int
    progress: float
    batches: Mapping[str, int]


Answer = Callable[[Now], Hashable]


class Phases:
    """The questions that steps have asked the host; their answers at a step are its phase.

    Whatever decides which work a step does is asked here: whether a lazy penalty is due, how many logits are kept.
    """

    def __init__(self, kept: Sequence[Kept]) -> None:
        # a first step makes what later ones go on from
        self._questions: dict[Hashable, Answer] = {"remembered": lambda now: sum(map(len, kept))}

    def ask(self, question: Hashable, answer: Answer, now: Now) -> Hashable:
        """Return the answer to a question, which from now on is part of the phase."""
        self._questions.setdefault(question, answer)
        return answer(now)

    def key(self, now: Now) -> tuple[Hashable, ...]:
        """Return the phase of a step: steps of one phase do the same work."""
        return tuple(answer(now) for answer in self._questions.values())


@dataclass
class Recipe:
    """What a step of some phase took from the host, and how many batches and optimizer steps each player made."""

    wants: dict[tuple[Any, ...], None] = field(default_factory=dict)
    batches: dict[str, int] = field(default_factory=lambda: {"d": 0, "g": 0})
    descents: dict[str, int] = field(default_factory=lambda: {"d": 0, "g": 0})


class Inputs:
    """What the host hands to one step, by what is wanted of it.

    The first step of a phase finds out what it wants, and fetches that itself; later ones have it all beforehand.
    """

    def __init__(
        self, now: Now, phase: Hashable, fetch: Callable[..., Any], wants: Iterable[tuple[Any, ...]] = ()
    ) -> None:
        self.now, self.phase, self._fetch = now, phase, fetch
        self.held = {want: fetch(*want) for want in wants}
        self.recipe = Recipe()

    def take(self, *want: Any) -> Any:
        """Return what is wanted."""
        if want not in self.held:
            self.held[want] = self._fetch(*want)
        self.recipe.wants[want] = None
        return self.held[want]
