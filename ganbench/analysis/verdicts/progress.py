"""What a verdict is called while a run still trains: that would count, had training ended at the last probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ganbench.analysis.verdicts.view import View

YET = {"never learned": "not learned yet", "unconverged": "not converged yet", "too short": "still learning"}
"""What a verdict that speaks of the end is called before there is one."""
DIVERSE = 0.1
"""Of what is judged as a share, from where on samples count as diverse: below it halves are chance."""
EARLY = 15
"""Probes up to which samples that were never more diverse are no collapse: on its way up a generator is narrow."""


def called(verdict: str, columns: Mapping[str, Any], seen: View) -> str:
    """Return what a verdict is called before the end of a run with these columns [probes], judged through `seen`."""
    if verdict == "collapsed" and len(columns["step"]) <= EARLY and not has_narrowed(columns, seen):
        return "not diverse yet"
    return YET.get(verdict, verdict)


def has_narrowed(columns: Mapping[str, Any], seen: View) -> bool:
    """Tell whether samples once were twice as diverse as at the last probe, and more than by chance."""
    return any(before >= max(2 * now, DIVERSE) for before, now in diversity(columns, seen))


def diversity(columns: Mapping[str, Any], seen: View) -> list[tuple[float, float]]:
    """Return the most that samples had before the last probe, and what they have at it, of each measure of diversity.

    NaN is what was not measured; there are at least two probes, or nothing came before.
    """
    names = [name for name in (seen.count, seen.spread, *seen.narrow) if name and name in columns]
    series = [np.asarray(columns[name], dtype=float) for name in names]
    return [(np.fmax.reduce(values[:-1], initial=np.nan), float(values[-1])) for values in series]
