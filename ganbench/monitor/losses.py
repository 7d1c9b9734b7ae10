"""The losses that a loop reports: kept where they are, and read together every few steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ganbench.errors import UserError

# reading a number from a GPU makes the loop wait for it: once in so many steps it is not felt
WINDOW = 25
PLAYERS = ("d_loss", "g_loss")


class ToldLosses:
    """ToldLosses of both players since the last probe, and since when they have not been finite.

    broken_since: the first of the steps with a loss that is not finite, where no finite one came after it.
    """

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._kept: list[tuple[Tensor | float | None, ...]] = []
        self._finite: dict[str, list[float]] = {player: [] for player in PLAYERS}
        self.broken_since: int | None = None
        self.broken_throughout = False
        self.complaint = ""

    def add(self, step: int, *losses: Tensor | float | None) -> bool:
        """Keep one step's losses of D and G; True when it is time to read them."""
        self._steps.append(step)
        self._kept.append(tuple(_one(player, loss) for player, loss in zip(PLAYERS, losses, strict=True)))
        return len(self._steps) >= WINDOW

    def read(self) -> None:
        """Read what is kept since the last time."""
        columns = [_numbers(column) for column in zip(*self._kept, strict=True)]
        for step, *values in zip(self._steps, *columns, strict=True):
            told = {player: value for player, value in zip(PLAYERS, values, strict=True) if value is not None}
            bad = {player: value for player, value in told.items() if not math.isfinite(value)}
            for player in told.keys() - bad.keys():
                self._finite[player].append(told[player])
            if told and not bad:
                self.broken_since = None
            elif bad and self.broken_since is None:
                self.broken_since = step
                words = [f"{player.replace('_', ' ')} is {value:g}" for player, value in bad.items()]
                self.complaint = f"{' and '.join(words)} at step {step}"
            self.broken_throughout = self.broken_since is not None and step - self.broken_since + 1 >= WINDOW
        self._steps, self._kept = [], []

    def averages(self) -> dict[str, float]:
        """Return each player's mean finite loss since the last call, NaN where there was none."""
        means = {player: math.fsum(v) / len(v) if v else math.nan for player, v in self._finite.items()}
        self._finite = {player: [] for player in PLAYERS}
        return means


def _one(player: str, loss: Tensor | float | None) -> Tensor | float | None:
    if not isinstance(loss, Tensor):
        return None if loss is None else float(loss)
    if loss.numel() != 1:
        raise UserError(f"'{player}' must be one number, got a tensor of shape {list(loss.shape)}.")
    # detached: the graph behind a loss must not live until it is read
    return loss.detach() if loss.dim() == 0 else loss.detach().reshape(())


def _numbers(values: Sequence[Tensor | float | None]) -> list[float | None]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    read = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(read) if isinstance(value, Tensor) else value for value in values]
