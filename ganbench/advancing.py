"""How far a plan is, from the events of its populations: what a terminal and a notebook show while it trains."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ganbench.executors.work import cost, populations
from ganbench.plan import Plan
from ganbench.results.store import Store


class Course:
    """Populations done and failed, runs diverged, steps a second, time left; `share` in [0, 1] of all the work."""

    def __init__(self, plan: Plan, device: str, folder: Path) -> None:
        store, runs = Store(folder), populations(plan, device)
        self.size = {name: len(members) for name, members in runs.items()}
        self.steps = {name: members[0].variant.steps for name, members in runs.items()}
        self.cost = {name: cost(members) for name, members in runs.items()}
        self.done = {name for name in runs if store.exists() and store.population(name).done()}
        self.at = {name: self.steps[name] for name in self.done}
        self.first: dict[str, int] = {}
        self.alive: dict[str, int] = {}
        self.failed: set[str] = set()
        self.started = time.monotonic()
        self.begun = self.share

    def take(self, name: str, event: dict[str, Any]) -> str:
        """Take an event of a population, and return what is to be said of it, if anything."""
        kind = event["event"]
        if name in self.size and kind == "progress":
            self.first.setdefault(name, event["step"])
            self.at[name], self.alive[name] = event["step"], event["alive"]
        elif name in self.size and kind == "finished":
            self.done.add(name)
            self.at[name] = self.steps[name]
        elif kind == "told":
            return str(event["text"])
        elif kind == "failed":
            # or a part of a population
            self.failed |= {name} & self.size.keys()
            return f"{name} failed: {event['error']}"
        return ""

    @property
    def share(self) -> float:
        """The share of the work that is done."""
        total = sum(self.cost.values())
        return sum(self.cost[name] * self.at.get(name, 0) / self.steps[name] for name in self.cost) / total

    def line(self) -> str:
        """Return all of it in a line."""
        passed, share = time.monotonic() - self.started, self.share
        lost = sum(self.size[name] - alive for name, alive in self.alive.items())
        steps = sum((self.at[name] - first) * self.size[name] for name, first in self.first.items())
        left = passed * (1 - share) / max(share - self.begun, 1e-9)
        parts = [f"{len(self.done)}/{len(self.cost)} populations", f"{lost} diverged"]
        parts += [f"{len(self.failed)} failed"] * bool(self.failed)
        parts += [f"{steps / max(passed, 1e-9):,.0f} run-steps/s"]
        parts += [f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"] * (share - self.begun > 0.005)
        return ", ".join(parts)
