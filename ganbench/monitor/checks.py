"""What a Monitor is asked for, checked before anything is watched."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ganbench.analysis.verdicts import VERDICTS, View
from ganbench.analysis.verdicts.progress import DIVERSE, diversity, has_narrowed
from ganbench.errors import UserError, unknown
from ganbench.monitor.probes import Columns
from ganbench.registry import COSTS

MODES = ("eval", "train")


def check(mode: str, diagnostics: str, **counts: int) -> None:
    """Raise UserError for a mode or a class of diagnostics that there is not, and a count that is none or too small."""
    for what, value, known in (("mode", mode, MODES), ("cost class of diagnostics", diagnostics, COSTS)):
        if value not in known:
            raise unknown(what, value, known)
    for name, count in counts.items():
        least = 16 if name in ("samples", "neighbours") else 1
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise UserError(f"'{name}' must be a whole number of at least {least}, got {count!r}.")


def verdict_names(names: Iterable[str]) -> frozenset[str]:
    """Return the verdicts that end training; UserError for one that does not exist."""
    wanted = {names} if isinstance(names, str) else set(names)
    known = [name for name in VERDICTS if name != "failed"]
    for name in wanted - set(known):
        raise unknown("verdict in 'stop_on'", name, known)
    return frozenset(wanted)


UNTRAINED = 0.5
"""Of the reals' spread, under which samples before training are noise near the middle of the data."""
YOUNG = 5
"""How many times as long a verdict has to hold where samples were never more diverse: on its way up G is narrow."""


def telling(series: Columns, seen: View | None) -> Columns:
    """Return the probes without what samples covered before while they were next to one point.

    Near the middle of the data they may cover much of it: what they widen to covers less, and has not narrowed.
    """
    covering = [name for name in seen.narrow if name in series] if seen is not None else []
    if seen is None or seen.spread is None or seen.spread not in series or not covering:
        return series
    point = series[seen.spread] < DIVERSE
    point[-1:] = False
    return {**series, **{name: np.where(point, np.nan, series[name]) for name in covering if name != seen.spread}}


def probes_to_wait(series: Columns, seen: View | None, patience: int) -> int:
    """Return for how many probes a verdict has to hold before it ends training.

    patience: where samples once were twice as diverse as now; more of them elsewhere, and one more while they widen.
    What an untrained generator makes is spread a little as its input is, which is no diversity to fall from; nor is
    what lies further apart than the data.
    """
    if seen is not None and seen.spread is not None and seen.spread in series:
        own = np.minimum(series[seen.spread], 1.0)
        series = {**series, seen.spread: np.where((series["step"] == 0) & (own < UNTRAINED), np.nan, own)}
    if seen is not None and has_narrowed(series, seen):
        return patience
    return YOUNG * patience + (seen is not None and any(now > before for before, now in diversity(series, seen)))
