"""Something that goes on until the end of a run: swings of a number, moves of a histogram."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ganbench.arrays import Values


@dataclass(frozen=True)
class Movement:
    """Something that goes on until the end: since which probe, how many moves, and between which values or sets."""

    start: int
    moves: int
    low: float
    high: float
    what: str = ""


def swings(values: Values, least: float) -> list[int]:
    """Return the probes at which a fall or a rise by at least `least` since the last extreme is first seen.

    Falls and rises take turns: one that goes on is one, however long it takes.
    """
    turns: list[int] = []
    low = high = float(values[0]) if len(values) else 0.0
    direction = 0
    for place, value in enumerate(values.tolist()):
        low, high = min(low, value), max(high, value)
        if direction <= 0 and value - low >= least:
            turns, direction, high = [*turns, place], 1, value
        elif direction >= 0 and high - value >= least:
            turns, direction, low = [*turns, place], -1, value
    return turns


def goes_on(moves: list[int], probes: int) -> bool:
    """Tell whether the quiet after the last move is no longer than the longest between two moves."""
    return probes - 1 - moves[-1] <= max(b - a for a, b in itertools.pairwise(moves))


def moved(histogram: Values, same: float) -> list[int]:
    """Return the probes at which the histogram of modes [probes, K] is no longer the one after the last move."""
    moves, anchor = [], histogram[0]
    for place, one in enumerate(histogram):
        if _apart(one, anchor) > same:
            moves.append(place)
            anchor = one
    return moves


def two_sets(histogram: Values, same: float, least: float) -> bool:
    """Tell whether the histograms of modes [probes, K] go back and forth between two, at least so many times."""
    last = _apart(histogram, histogram[-1])
    other = _apart(histogram, histogram[np.argmax(last)])
    back = int(np.count_nonzero(np.diff(last < other)))
    return back >= least and bool((np.minimum(last, other) <= same).all())


def _apart(histogram: Values, one: Values) -> Values:
    """Return the total variation distance of histograms [..., K] from one [K]."""
    distance: Values = 0.5 * np.abs(histogram - one).sum(-1)
    return distance
