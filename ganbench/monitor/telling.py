"""A loop with nothing attached: what can be said of it is said from the scores and samples that its steps tell."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganbench.arrays import Array
from ganbench.errors import UserError
from ganbench.measure.diagnostics import affordable
from ganbench.monitor.inputs import FEWEST
from ganbench.monitor.outputs import first_samples, score_maps
from ganbench.monitor.probing import Features, Probe, Sizes, Target, watched_loss
from ganbench.monitor.scores import lead_by_scale, of_scores
from ganbench.problems.base import Problem

NAME = "loop"
NO_SCORES = "of the discriminator's scores, for none are told: step(real_logits=..., fake_logits=...)"
NO_FAKES = "of samples, for none are told: step(fake=..., real=...)"
NO_REAL = "of samples, for no real ones are told to compare them with: step(real=...), or Monitor(real=...)"
# scores of a probe that are compared pair by pair
MOST_SCORES = 512


@dataclass(frozen=True)
class Told:
    """What one step tells beside losses and numbers: scores and samples, as the loop has them; None: not told."""

    real_logits: Any = None
    fake_logits: Any = None
    real: Any = None
    fake: Any = None

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.real_logits, self.fake_logits, self.real, self.fake))


class Unmeasured:
    """Stands for real samples in the study of a loop that tells none (see `probing.Target`)."""

    legend = "what a loop tells of itself, nothing attached"

    def __init__(self) -> None:
        self.name = NAME

    def describe(self) -> tuple[dict[str, Any], Array | None]:
        """Return that there is no oracle."""
        return {"oracle": {}, "modes": None, "centres": None, "std": None, "notes": []}, None

    def pictures_of_real(self) -> None:
        """Return that there are no real samples."""


class ToldProber:
    """Measures what was told since the last probe: the last scores, and the last fakes up to `sizes.samples`.

    Real samples that a Monitor was given are measured against; without them the first ones that are told, twice as
    many as fakes, from the first probe with both.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        real: Any = None,
        problem: str | Problem | None = None,
        features: Features | None = None,
        loss: Any = None,
    ) -> None:
        self.sizes, self.features, self.loss = sizes, features, watched_loss(loss, None)
        self.target: Target | None = None
        if real is not None or problem is not None:
            self.target = Target(real, problem, features, sizes, torch.device("cpu"))
        self._logits: tuple[list[Tensor], list[Tensor]] = ([], [])
        self._fakes: deque[Tensor] = deque()
        self._real: list[Tensor] = []
        self.complaint = ""

    def tell(self, told: Told) -> None:
        """Keep what one step tells."""
        if told.real_logits is not None or told.fake_logits is not None:
            sides = (("real_logits", told.real_logits), ("fake_logits", told.fake_logits))
            self._logits = tuple(_scores(name, own) for name, own in sides)  # type: ignore[assignment]
        if told.real is not None and self.target is None and _rows(self._real) < 2 * self.sizes.samples:
            self._real.append(_samples("real", told.real).float().cpu())
        if told.fake is not None:
            self._fakes.append(_samples("fake", told.fake))
            while _rows(self._fakes) - len(self._fakes[0]) >= self.sizes.samples:
                self._fakes.popleft()

    def probe(self, *, early: bool = False) -> Probe:
        """Measure now; early: before there are samples enough to begin with."""
        columns, picture = self._of_scores(), np.empty(0)
        if self._fakes and not early:
            fake = torch.cat(list(self._fakes))[-self.sizes.samples :].float()
            if not bool(fake.isfinite().all()):
                return Probe({}, picture, "samples of the generator")
            self._find_target(len(fake))
            measured = {} if self.target is None else self._measured(self.target, fake)
            if self.target is not None and measured:
                columns, picture = columns | measured, self.target.picture(fake)
        return Probe(columns, picture)

    @property
    def sampled(self) -> bool:
        """Whether any fakes were told."""
        return bool(self._fakes)

    def broken(self) -> str:
        """Return that nobody's parameters are known."""
        return ""

    def gradient_norm(self) -> float:
        """Return that no gradient is known."""
        return math.nan

    def missing(self) -> list[str]:
        """Return of what nothing is said, each as the end of a sentence."""
        found = [] if all(self._logits) else [NO_SCORES]
        if self.complaint:
            return [*found, f"of samples: {self.complaint}"]
        if not self._fakes:
            return [*found, NO_FAKES]
        return found if self.target is not None or self._real else [*found, NO_REAL]

    def _measured(self, target: Target, fake: Tensor) -> dict[str, float]:
        """Return every metric of as many fakes as the oracle is measured with; none where there are fewer."""
        needed, shape = target.evaluator.samples, tuple(fake.shape[1:])
        if shape != target.shape:
            self.complaint = f"fakes have the shape {list(shape)}, real ones {list(target.shape)}"
        elif len(fake) < needed:
            self.complaint = f"{len(fake)} fakes were told last, and {needed} are measured (samples=...)"
        else:
            self.complaint = ""
            return target.measure(fake[-needed:].cpu())
        return {}

    def _find_target(self, fakes: int) -> None:
        """Make the first real samples that were told what fakes are measured against."""
        if self.target is not None or _rows(self._real) < FEWEST or fakes < FEWEST // 2:
            return
        sizes = replace(self.sizes, samples=min(fakes, _rows(self._real) // 2))
        try:
            self.target = Target(torch.cat(self._real), None, self.features, sizes, torch.device("cpu"))
        except UserError as error:  # the loop goes on, and so does all that needs no samples
            self.complaint = str(error)
        self._real = []

    def _of_scores(self) -> dict[str, float]:
        real, fake = self._logits
        if not real or not fake:
            return {}
        own, other = (torch.stack(_evened(scales)).mean(0) for scales in (real, fake))
        cost = self.sizes.diagnostics
        return of_scores(own, other, self.loss, affordable(cost)) | lead_by_scale(real, fake, self.loss, cost)


def _scores(name: str, told: Any) -> list[Tensor]:
    """Return D's scores [n] a scale, averaged over the places of a map, of as many samples as are compared."""
    if isinstance(told, int | float | np.ndarray) and not isinstance(told, bool):
        told = torch.as_tensor(told, dtype=torch.float32).reshape(-1 if np.ndim(told) == 0 else np.shape(told))
    maps = [] if told is None else score_maps(told)
    if told is not None and (not maps or not all(len(own) for own in maps)):
        raise UserError(f"'{name}' must be D's scores [n, ...], or a list of them, got {type(told).__name__}.")
    return [own.detach()[:MOST_SCORES].float().reshape(min(len(own), MOST_SCORES), -1).mean(1) for own in maps]


def _samples(name: str, told: Any) -> Tensor:
    found = torch.as_tensor(told) if isinstance(told, np.ndarray) else first_samples(told)
    if found is None or found.dim() < 2 or not found.is_floating_point():
        got = list(found.shape) if isinstance(found, Tensor) else type(told).__name__
        raise UserError(f"'{name}' must hold samples [n, ...] of floating point, got {got}.")
    # a copy: a loop may fill the same memory again
    return found.detach().clone()


def _evened(scales: list[Tensor]) -> list[Tensor]:
    """Return scores of all scales for as many samples as the smallest has."""
    least = min(map(len, scales))
    return [own[:least] for own in scales]


def _rows(parts: Any) -> int:
    return sum(map(len, parts))
