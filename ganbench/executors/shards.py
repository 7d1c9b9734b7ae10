"""A study in shards, for machines that know nothing of each other: each trains its share of the plan's populations.

The plan and the device fix both the populations and the cut, so that every machine finds the same shares by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ganbench.errors import UserError, quoted
from ganbench.executors.work import cost, populations
from ganbench.plan import Plan, Run

MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """One share of a plan out of several: `number` counts from 1 to `of`."""

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "3/16", the third of sixteen; UserError where it is no such thing."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(text))
        number, of = (int(part) for part in match.groups()) if match else (0, 0)
        if not 1 <= number <= of <= MOST_SHARDS:
            raise UserError(f"A shard is written NUMBER/OF, from 1/16 to 16/16 for sixteen, got {quoted(text)}.")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def suffix(self) -> str:
        """What its study's folder is told apart by."""
        return f"-{self.number}-of-{self.of}"

    def part(self, work: Mapping[str, list[Run]]) -> dict[str, list[Run]]:
        """Return the populations of this shard, in the plan's order; none where there are fewer than shards."""
        mine = cut(work, self.of)[self.number - 1]
        return {name: runs for name, runs in work.items() if name in mine}


def share_of(plan: Plan, device: str, shard: str | None) -> dict[str, list[Run]]:
    """Return the populations of a plan, or of a shard of it that is written "3/16"; UserError where it is none."""
    share = Shard.read(shard) if shard is not None else None
    work = populations(plan, device)
    return share.part(work) if share else work


def cut(work: Mapping[str, Sequence[Run]], shards: int) -> list[set[str]]:
    """Deal populations out to so many shards: the longest first, each to the shard that has the least to do.

    Graham (1969): the longest shard takes at most 4/3 - 1/(3 shards) of the shortest possible time.
    """
    costs = {name: cost(list(runs)) for name, runs in work.items()}
    dealt: list[set[str]] = [set() for _ in range(shards)]
    loads = [0.0] * shards
    # by name where costs are equal, and then to the first shard: nothing depends on the order of a dictionary
    for name in sorted(work, key=lambda name: (-costs[name], name)):
        least = min(range(shards), key=lambda shard: (loads[shard], shard))
        dealt[least].add(name)
        loads[least] += costs[name]
    return dealt
