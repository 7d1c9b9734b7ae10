"""One record a rule about the game, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ganbench.analysis.game.course import Course
from ganbench.arrays import Flags
from ganbench.registry import Remedy


@dataclass(frozen=True)
class GameRule:
    """A rule about the game.

    name: what is found, in words; meaning: the same as the rest of a sentence about a run; reads: the columns without
    which it says nothing; holds: flags over the probes, from where it enters until it is left by a margin; evidence: a
    sentence, from the course and the place of the onset; causes: what is likely behind it, the likeliest first; remedy:
    what usually helps; shown: overrides of a variant that shows the same picture (`ganbench run OVERRIDES`); lasting:
    how many probes it has to hold.
    """

    name: str
    meaning: str
    reads: tuple[str, ...]
    holds: Callable[[Course], Flags]
    evidence: Callable[[Course, int], str]
    causes: tuple[str, ...]
    remedy: Remedy
    shown: str
    lasting: int = 2


@dataclass(frozen=True)
class GameFinding:
    """Something that the game does until the end: since which step, in numbers, and what to think of first."""

    finding: str
    onset: int
    evidence: str
    causes: tuple[str, ...]
    remedy: Remedy
    shown: str

    def __str__(self) -> str:
        return f"{self.finding} since step {self.onset}. {self.evidence}"
