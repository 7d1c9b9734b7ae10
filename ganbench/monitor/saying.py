"""What a watched loop is told on its console, and what is recorded when an exception ends it."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ganbench.analysis.game import GameFinding
from ganbench.analysis.verdicts import Verdict, View
from ganbench.analysis.verdicts.progress import called
from ganbench.monitor.losses import PLAYERS
from ganbench.monitor.probes import Columns


class Ending(Protocol):
    """Somebody who wants to know of the exception that ended the program."""

    def ended_by(self, error: BaseException, *, late: bool = False) -> None: ...


def line_of(
    step: int,
    columns: Mapping[str, float],
    seen: View | None,
    verdict: Verdict | None,
    findings: Sequence[GameFinding] = (),
) -> str:
    """Return one line about a probe: the verdict so far, the first finding, the quality it rests on, and the losses."""
    names = () if seen is None else (seen.quality,)
    shown = [name for name in (*names, *PLAYERS) if name in columns]
    numbers = ", ".join(f"{name.replace('_', ' ')} {columns[name]:.3g}" for name in shown)
    state = verdict.verdict if verdict else "begun" if step == 0 or seen else "no samples to judge"
    return f"ganbench: step {step}, {', '.join([state, *map(in_short, findings[:1])])}" + (
        f": {numbers}" if numbers else ""
    )


def so_far(verdict: Verdict | None, series: Columns, seen: View | None) -> Verdict | None:
    """Return a verdict by the name that it has while training goes on."""
    if verdict is None or seen is None:
        return verdict
    return replace(verdict, verdict=called(verdict.verdict, series, seen))


def in_short(finding: GameFinding) -> str:
    """Return "D separates perfectly since 400"."""
    return f"{finding.finding} since {finding.onset}"


def text_of(verdict: Verdict | None, findings: Sequence[GameFinding]) -> str:
    """Return the verdict so far and all findings in one text, as a tracker shows it."""
    since = "" if verdict is None or verdict.onset is None else f" since step {verdict.onset}"
    told = "No verdict yet." if verdict is None else f"{verdict.verdict}{since}. {verdict.evidence}"
    return " ".join([told, *map(str, findings)])


def at_exit(monitor: Ending) -> None:
    """Tell a monitor at the program's end of an exception that nobody caught; it may be forgotten before."""
    alive = weakref.ref(monitor)

    def tell() -> None:
        found, error = alive(), getattr(sys, "last_value", None)
        if found is not None and isinstance(error, BaseException):
            found.ended_by(error, late=True)

    weakref.finalize(monitor, atexit.unregister, tell).atexit = False
    atexit.register(tell)
