"""The losses that a loop reports: kept where they are, and read together every few steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ganbench.errors import UserError

# reading a number from a GPU makes the loop wait for it: once in so many steps it is not felt
WINDOW = 25
PLAYERS = ("d_loss", "g_loss")


Told = Tensor | float | Mapping[str, Tensor | float] | None


class ToldLosses:
    """Losses of both players, and numbers beside them, since the last probe; since when losses have not been finite.

    broken_since: the first of the steps with a loss that is not finite, where no finite one came after it.
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._kept: list[dict[str, Tensor | float | None]] = []
        self._finite: dict[str, list[float]] = {player: [] for player in PLAYERS}
        self.broken_since: int | None = None
        self.broken_throughout = False
        self.complaint = ""

    def add(self, step: int, d_loss: Told, g_loss: Told, beside: Mapping[str, Told] | None = None) -> bool:
        """Keep one step's losses of D and G, and what is told beside them; True when it is time to read them."""
        self._steps.append(step)
        kept: dict[str, Tensor | float | None] = {}
        for name, told in {"d_loss": d_loss, "g_loss": g_loss, **(beside or {})}.items():
            kept.update(_one_or_parts(name, told))
        self._kept.append(kept)
        return len(self._steps) >= WINDOW

    def read(self) -> None:
        """Read what is kept since the last time."""
        names = list(dict.fromkeys(name for kept in self._kept for name in kept))
        columns = [_numbers([kept.get(name) for kept in self._kept]) for name in names]
        for step, *values in zip(self._steps, *columns, strict=True):
            told = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            for name, value in told.items():
                if math.isfinite(value):
                    self._finite.setdefault(name, []).append(value)
            self._judge(step, {name: value for name, value in told.items() if name in PLAYERS})
        self._steps, self._kept = [], []

    def _judge(self, step: int, told: Mapping[str, float]) -> None:
        bad = {player: value for player, value in told.items() if not math.isfinite(value)}
        if told and not bad:
            self.broken_since = None
        elif bad and self.broken_since is None:
            self.broken_since = step
            words = [f"{player.replace('_', ' ')} is {value:g}" for player, value in bad.items()]
            self.complaint = f"{' and '.join(words)} at step {step}"
        self.broken_throughout = self.broken_since is not None and step - self.broken_since + 1 >= WINDOW

    def averages(self) -> dict[str, float]:
        """Return the mean of each one's finite values since the last call, NaN where there was none."""
        means = {name: math.fsum(v) / len(v) if v else math.nan for name, v in self._finite.items()}
        self._finite = {name: [] for name in self._finite}
        return means


def _one_or_parts(name: str, told: Told) -> dict[str, Tensor | float | None]:
    """Return a number by its name; parts of a loss in a mapping are columns beside their sum."""
    if not isinstance(told, Mapping):
        return {name: _one(name, told)}
    parts = {f"{name}.{part}": _one(f"{name}.{part}", value) for part, value in told.items()}
    values = [value for value in parts.values() if value is not None]
    return {name: sum(values[1:], values[0]) if values else None, **parts}


def _one(player: str, loss: Tensor | float | None) -> Tensor | float | None:
    if not isinstance(loss, Tensor):
        if loss is not None and not isinstance(loss, int | float | np.number):
            raise UserError(f"'{player}' must be one number, got {type(loss).__name__}.")
        return None if loss is None else float(loss)
    if loss.numel() != 1:
        raise UserError(f"'{player}' must be one number, got a tensor of shape {list(loss.shape)}.")
    # detached: the graph behind a loss must not live until it is read
    return loss.detach() if loss.dim() == 0 else loss.detach().reshape(())


def _numbers(values: Sequence[Tensor | float | None]) -> list[float | None]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    read = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(read) if isinstance(value, Tensor) else value for value in values]
