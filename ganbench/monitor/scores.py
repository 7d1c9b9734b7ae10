"""What a watched game's diagnostics say, and what the scores of each of several scales say by themselves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ganbench.measure.diagnostics import affordable
from ganbench.monitor.watched import NotKnown, WatchedLoss
from ganbench.registry import Plugin, playing


def diagnosed(game: Any, plugins: Iterable[Plugin]) -> dict[str, float]:
    """Return every column of some diagnostics; those that need what a loop does not tell are left out."""
    columns: dict[str, Tensor] = {}
    for plugin in plugins:
        try:
            columns.update(plugin(game, **plugin.hypers))
        except NotKnown:
            continue
    return {name: float(column.detach()) for name, column in columns.items()}


def of_scores(real: Tensor, fake: Tensor, loss: WatchedLoss, plugins: Iterable[Plugin]) -> dict[str, float]:
    """Return what scores [n] of real and [m] of fake samples tell by themselves; nothing where one is not finite."""
    if not bool(real.isfinite().all()) or not bool(fake.isfinite().all()):
        return {}
    return diagnosed(ScoresOnly(real, fake, loss), plugins)


def lead_by_scale(real: Sequence[Tensor], fake: Sequence[Tensor], loss: WatchedLoss, cost: str) -> dict[str, float]:
    """Return who leads at each of several scales, "d_ranking.0" and so on, by its scores [n]; nothing for one scale."""
    if len(real) != len(fake) or len(real) < 2:
        return {}
    leads = set(playing("lead"))
    columns: dict[str, float] = {}
    telling = [plugin for plugin in affordable(cost) if leads & plugin.meta["measures"].keys()]
    for place, (own, other) in enumerate(zip(real, fake, strict=True)):
        parts = of_scores(own, other, loss, telling)
        columns |= {f"{name}.{place}": value for name, value in parts.items() if name in leads}
    return columns


class ScoresOnly:
    """A game of which only scores are known (see `measure.diagnostics.Game`); what else is asked raises NotKnown."""

    matched = held_out = None

    def __init__(self, real: Tensor, fake: Tensor, loss: WatchedLoss) -> None:
        self.real_logits, self.fake_logits, self._loss = real.unsqueeze(0), fake.unsqueeze(0), loss
        self.boundary = torch.tensor([math.nan if loss.boundary is None else loss.boundary], device=real.device)

    def players_losses(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses of D and G, both [1], for logits [1, batch]."""
        return self._loss(real_logits, fake_logits)

    def __getattr__(self, name: str) -> Any:
        raise NotKnown
