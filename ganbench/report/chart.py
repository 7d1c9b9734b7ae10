"""Small line charts of one run, as numbers for the template: in percent of a panel, so that any screen may stretch it.

Labels are text of the page and lines are strokes that keep their width: a phone shows them as a desktop does, light or
dark, without a script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganbench.arrays import Values
from ganbench.report.context import number

TICKS = 4
DECADES = 2.5
"""Values above 0 that span as much are drawn on a logarithmic scale."""
LEAST = 1e-30
"""What is smaller is as good as 0, of which there is no logarithm."""
DOTTED = 30
"""Probes of which each is marked with a dot."""


@dataclass(frozen=True)
class Line:
    """One column over training: its name in words, its values [probes], NaN where there is none."""

    name: str
    values: Values


def chart(
    steps: Values, lines: Sequence[Line], *, onset: int | None = None, oracle: float | None = None, zero: bool = False
) -> Any:
    """Return what the template draws: paths and ticks in percent, and what each line ends with; None without a value.

    steps: [probes]; onset: a step that is drawn as an upright; oracle: a level that is drawn dashed; zero: whether 0 is
    on the scale, as for shares, of which a swing of 2 % shall not fill the panel.
    """
    finite = np.concatenate([line.values[np.isfinite(line.values)] for line in lines] or [np.empty(0)])
    if not finite.size or not len(steps):
        return None
    beside = [] if oracle is None or not math.isfinite(oracle) else [oracle]
    y = _Scale([*finite.tolist(), *beside, *([0.0] if zero else [])])
    # a run of one probe has no length
    x = _Scale(steps.tolist(), margin=0.0)
    return {
        "lines": [
            {
                "name": line.name, "path": path(x.at(steps), y.at(line.values)), "end": number(_last(line.values)),
                "dots": _marks(x.at(steps), y.at(line.values)),
            }
            for line in lines if np.isfinite(line.values).any()
        ],
        "dotted": len(steps) <= DOTTED,
        "x": [(x.one(tick), number(tick)) for tick in x.ticks()],
        "y": [(round(100 - y.one(tick), 2), number(tick)) for tick in y.ticks()],
        "onset": None if onset is None else min(max(x.one(float(onset)), 0.0), 100.0),
        "oracle": None if not beside else round(100 - y.one(beside[0]), 2),
        "oracle_told": None if not beside else number(float(beside[0])),
        "log": y.log,
    }  # fmt: skip


def path(x: Values, y: Values) -> str:
    """Return an SVG path through points in percent, y upwards; a point that is not finite breaks it."""
    parts, open_ = [], False
    for across, up in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(up):
            open_ = False
            continue
        parts.append(f"{'L' if open_ else 'M'}{across:.2f} {100 - up:.2f}")
        open_ = True
    return "".join(parts)


def _marks(x: Values, y: Values) -> str:
    """Return an SVG path of a dot at each point in percent that is finite."""
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    return "".join(f"M{a:.2f} {100 - b:.2f}h0" for a, b in pairs if math.isfinite(b))


def dots(points: Values, low: Values, high: Values) -> tuple[str, str]:
    """Return SVG paths of round dots at points [n, 2], in percent: within a frame, and on its border those outside."""
    share = (points - low) / np.maximum(high - low, 1e-12)
    share = share[np.isfinite(share).all(1)]
    inside = ((share >= 0) & (share <= 1)).all(1)
    return tuple(  # type: ignore[return-value]
        "".join(f"M{2 + 96 * a:.1f} {98 - 96 * b:.1f}h0" for a, b in np.clip(part, 0.0, 1.0).tolist())
        for part in (share[inside], share[~inside])
    )


def _last(values: Values) -> float:
    return float(values[np.isfinite(values)][-1])


class _Scale:
    """From values to percent of a panel, with a margin; logarithmic for values above 0 that span decades."""

    def __init__(self, values: Sequence[float], margin: float = 0.07) -> None:
        low, high = min(values), max(values)
        self.log = margin > 0 and low > LEAST and math.log10(high / low) > DECADES
        self.low, self.high = (math.log10(low), math.log10(high)) if self.log else (low, high)
        if self.low == self.high:
            half = abs(self.low) / 2 or 0.5
            self.low, self.high = (self.low - half, self.high + half) if margin else (self.low, self.low + 1)
        room = margin * (self.high - self.low)
        self.low, self.high = self.low - room, self.high + room

    def at(self, values: Values) -> Values:
        """Return where values are, from 0 at the bottom to 100; what has no place on the scale is NaN."""
        with np.errstate(all="ignore"):
            scaled = np.log10(np.where(values > 0, values, np.nan)) if self.log else values
            place: Values = 100 * (scaled - self.low) / (self.high - self.low)
        return np.where(np.isfinite(values), place, np.nan)

    def one(self, value: float) -> float:
        """Return where one value is."""
        return round(float(self.at(np.array([value]))[0]), 2)

    def ticks(self) -> list[float]:
        """Return up to about TICKS round numbers within the scale."""
        if self.log:
            whole = range(math.ceil(self.low), math.floor(self.high) + 1)
            every = max(1, math.ceil(len(whole) / TICKS))
            return [10.0**power for power in list(whole)[::every]]
        span = self.high - self.low
        raw = span / TICKS
        size = 10.0 ** math.floor(math.log10(raw))
        step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
        first = math.ceil(self.low / step - 1e-9)
        return [float(f"{place * step:.12g}") for place in range(first, math.floor(self.high / step + 1e-9) + 1)]
