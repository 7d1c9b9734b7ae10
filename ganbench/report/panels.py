"""Panels beside each other in one axes of matplotlib, which takes ten times as long to make as what a panel shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ganbench.arrays import Array

Ticks = list[tuple[float, str]]
"""Places of ticks in a panel, with what is written there."""


def inches(
    rows: int, columns: int, size: tuple[float, float], gap: tuple[float, float], *, top: float
) -> tuple[Figure, Any]:
    """Return a figure with panels of a size, gaps between them, and room for labels and above, all in inches.

    What lays itself out is drawn twice.
    """
    left, right, bottom = 0.75, 0.12, 0.5
    width = left + right + columns * size[0] + (columns - 1) * gap[0]
    height = bottom + top + rows * size[1] + (rows - 1) * gap[1]
    figure = Figure(figsize=(width, height))
    edges = {"left": left / width, "right": 1 - right / width, "bottom": bottom / height, "top": 1 - top / height}
    space = {"wspace": gap[0] / size[0], "hspace": gap[1] / size[1]}
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=edges | space)


def label_sides(figure: Figure, below: str, left: str = "") -> None:
    """Label what all panels of a figure made in inches have below and at the left."""
    figure.supxlabel(below, y=0.06 / figure.get_figheight(), va="bottom", fontsize=9)
    if left:
        figure.supylabel(left, x=0.06 / figure.get_figwidth(), ha="left", fontsize=9)


@dataclass(frozen=True)
class Panels:
    """Panels in one axes: each spans the same stretch of it, the edges, and lies a gap, in widths, beside the last."""

    count: int
    edges: tuple[float, float]
    ticks: Ticks
    gap: float = 0.0

    @property
    def width(self) -> float:
        """The stretch of one panel."""
        return self.edges[1] - self.edges[0]

    @property
    def shifts(self) -> Array:
        """How far each panel lies beside the first [count]."""
        shifts: Array = np.arange(self.count) * self.width * (1 + self.gap)
        return shifts

    @property
    def span(self) -> tuple[float, float]:
        """The limits of the axes that holds all of them."""
        return self.edges[0], self.edges[1] + float(self.shifts[-1])

    def first(self, count: int) -> Panels:
        """Return the first panels, where a row is not full."""
        return replace(self, count=count)

    def level(self, axis: Axes, value: float, **look: Any) -> None:
        """Draw a level through each panel."""
        draw_lines(axis, self._levels([value]), **look)

    def grid(self, axis: Axes, levels: Sequence[float]) -> None:
        """Draw each panel's grid: at levels, as far as they are within the axes, and at its ticks."""
        low, high = axis.get_ylim()
        uprights = [[(x, low), (x, high)] for x, _ in self._placed()]
        lines = [*self._levels([level for level in levels if low <= level <= high]), *uprights]
        draw_lines(axis, lines, colors=".92", linewidths=0.8, zorder=0.5)

    def frame(self, axis: Axes) -> None:
        """Draw each panel's edges at the left and below in place of those of the axes."""
        (low, high), (left, right) = axis.get_ylim(), self.edges
        axis.spines[:].set_visible(False)
        corners = [[(left + by, high), (left + by, low), (right + by, low)] for by in self.shifts]
        look = {"colors": matplotlib.rcParams["axes.edgecolor"], "linewidths": matplotlib.rcParams["axes.linewidth"]}
        draw_lines(axis, corners, **look, zorder=2.5, clip_on=False, capstyle="projecting")

    def ticks_below(self, axis: Axes, start: int = 0) -> None:
        """Put the ticks below the panels from `start` on."""
        placed = self._placed()[start * len(self.ticks) :]
        axis.set_xticks([x for x, _ in placed], [text for _, text in placed])

    def titles(self, axis: Axes, titles: Sequence[str]) -> None:
        """Put a title above each panel."""
        if self.count == 1:
            axis.set_title(titles[0])
            return
        look: Any = {"ha": "center", "fontsize": matplotlib.rcParams["axes.titlesize"]}
        above = (0, matplotlib.rcParams["axes.titlepad"])
        for by, title in zip(self.shifts, titles, strict=True):
            middle = sum(self.edges) / 2 + by
            axis.annotate(title, (middle, 1), above, ("data", "axes fraction"), "offset points", **look)

    def _placed(self) -> Ticks:
        return [(x + by, text) for by in self.shifts for x, text in self.ticks]

    def _levels(self, values: Sequence[float]) -> list[Any]:
        left, right = self.edges
        return [[(left + by, value), (right + by, value)] for by in self.shifts for value in values]


def step_ticks(edges: tuple[float, float], most: int) -> Ticks:
    """Return a few round training steps within the edges, written out."""
    found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=True).tick_values(*edges)
    return [(float(tick), f"{tick:.15g}") for tick in found if edges[0] <= tick <= edges[1]]


def draw_lines(axis: Axes, lines: Sequence[Any], **look: Any) -> None:
    """Draw lines [points, 2] as one artist, within the limits that the axes has."""
    axis.add_collection(LineCollection(lines, **look), autolim=False)
