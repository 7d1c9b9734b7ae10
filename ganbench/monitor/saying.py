"""What a watched loop is told on its console, and what is recorded when an exception ends it."""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Mapping
from typing import Protocol

from ganbench.analysis.verdicts import Verdict, view
from ganbench.monitor.losses import PLAYERS


class Ending(Protocol):
    """Somebody who wants to know of the exception that ended the program."""

    def _ended_by(self, error: BaseException, *, late: bool = False) -> None: ...


def line_of(step: int, columns: Mapping[str, float], verdict: Verdict | None) -> str:
    """Return one line about a probe: the verdict so far, the measure that it rests on most, and the losses."""
    seen = view(columns)
    names = () if seen is None else (seen.quality,)
    shown = [name for name in (*names, *PLAYERS) if name in columns]
    numbers = ", ".join(f"{name.replace('_', ' ')} {columns[name]:.3g}" for name in shown)
    return f"ganbench: step {step}, {verdict.verdict if verdict else 'begun'}: {numbers}"


def at_exit(monitor: Ending) -> None:
    """Tell a monitor at the program's end of an exception that nobody caught; it may be forgotten before."""
    alive = weakref.ref(monitor)

    def tell() -> None:
        found, error = alive(), getattr(sys, "last_value", None)
        if found is not None and isinstance(error, BaseException):
            found._ended_by(error, late=True)

    weakref.finalize(monitor, atexit.unregister, tell).atexit = False
    atexit.register(tell)
