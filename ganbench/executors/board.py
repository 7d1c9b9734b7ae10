"""What runs where, since when, and when it was heard of last: the driver's notes, for whoever looks at the study.

Nothing is decided by it and no clock of two machines is compared: ages are measured by the one that writes them.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ganbench.files import write_text
from ganbench.results.store import Store

EVERY_SECONDS = 2.0


@dataclass
class _Entry:
    where: str
    runs: int
    steps: int
    since: float
    heard: float
    step: int = 0


class Board:
    """The notes of one command about the populations that it has handed out."""

    def __init__(self, store: Store, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self.clock, self.started, self.written = store, clock, clock(), float("-inf")
        self.begun = datetime.now(UTC).isoformat(timespec="seconds")
        self.total, self.ended = total, 0.0
        self.out: dict[str, _Entry] = {}
        self.weights: dict[str, float] = {}

    def hand_out(self, name: str, runs: int, steps: int, weight: float, where: str = "") -> None:
        """Note that a population was handed out; weight: its share of the work."""
        now = self.clock()
        self.out[name], self.weights[name] = _Entry(where or platform.node(), runs, steps, now, now), weight
        self._write()

    def hear(self, name: str, step: int, where: str = "") -> None:
        """Note a sign of life."""
        if entry := self.out.get(name):
            entry.heard, entry.step, entry.where = self.clock(), step, where or entry.where
            self._write()

    def end(self, name: str) -> None:
        """Note that a population is not at work any more."""
        if self.out.pop(name, None):
            self.ended += self.weights.pop(name, 0.0)
            self._write(force=not self.out)

    @property
    def record(self) -> dict[str, Any]:
        """Plain data: who is at it, how long it may take, and what is out; ages in seconds."""
        now = self.clock()
        shares = {name: min(entry.step / entry.steps, 1.0) if entry.steps else 0.0 for name, entry in self.out.items()}
        done = self.ended + sum(self.weights[name] * share for name, share in shares.items())
        # what goes on in parts counts twice
        passed, share = now - self.started, min(done / self.total, 1.0) if self.total else 1.0
        return {
            "host": platform.node(), "pid": os.getpid(), "started": self.begun, "seconds": passed,
            "left_seconds": passed * (1 - share) / share if share > 0 else None,
            "out": [
                {
                    "population": name, "where": entry.where, "runs": entry.runs, "step": entry.step,
                    "steps": entry.steps, "seconds": now - entry.since, "heard_seconds": now - entry.heard,
                }
                for name, entry in self.out.items()
            ],
        }  # fmt: skip

    def _write(self, *, force: bool = False) -> None:
        if force or self.clock() - self.written >= EVERY_SECONDS:
            self.written = self.clock()
            # without it nothing is missing: a full disk fails where results are written
            with suppress(OSError):
                write_text(self.store.status_file, json.dumps(self.record))
