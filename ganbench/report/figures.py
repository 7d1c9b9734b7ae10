"""Curves over training as static figures: quality and diagnostics of every variant on one time axis."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ganbench.analysis import Study
from ganbench.analysis.ranking import axes, joined, level
from ganbench.analysis.scores import worst_value
from ganbench.analysis.views import measured, ranked_by
from ganbench.arrays import Array
from ganbench.registry import playing
from ganbench.report.colours import DASHES, LIGHT
from ganbench.report.context import DASH
from ganbench.report.levels import at, levels
from ganbench.report.panels import Panels, draw_lines, inches, step_ticks

DIAGNOSTICS = ("gradient", "saturated", "lead")
"""The roles of the diagnostics whose curves are drawn beside quality."""
COLUMNS = 8
"""Panels beside each other; a setting with more levels goes on in another figure."""
FIGURES = 6
"""Figures for a problem; a grid with more is named in the caption, and its other curves are in the study's tables."""
WIDE = 90
"""Pixels an inch of these figures: the widest, of eight columns, fills a page of 1200 pixels."""
FEW = 5
"""Seeds from which on the middle half of them is drawn as a band."""
STYLE: Any = {
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Curves:
    """A figure as PNG, with what it shows; `figure` itself can be shown, or saved in other formats."""

    name: str
    title: str
    png: bytes
    figure: Figure
    left_out: int = 0

    @property
    def svg(self) -> bytes:
        """The figure as SVG: without a date and with a fixed salt, the same study gives the same bytes."""
        svg = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "ganbench", "svg.fonttype": "none"}):
            self.figure.savefig(svg, format="svg", metadata={"Date": None})
        return svg.getvalue()


def measures_of(study: Study, problem: str) -> list[str]:
    """Return the measures whose curves are drawn for a problem: coverage, quality, distances, then diagnostics."""
    names = [name for name in ranked_by(study, problem).values() if name]
    return measured(study, problem, dict.fromkeys([*names, *playing("distance"), *diagnostics()]))


def diagnostics() -> list[str]:
    """Return the diagnostics whose curves are drawn beside quality."""
    return [name for role in DIAGNOSTICS for name in playing(role)]


def line_look(colour: int, dashes: int) -> tuple[str, Any]:
    """Return the colour and the line style of matplotlib of a line's look, see `looks`."""
    strokes = DASHES[dashes % len(DASHES)]
    return LIGHT[colour % len(LIGHT)], (0, tuple(map(float, strokes))) if strokes else "solid"


def level_look(place: int) -> tuple[str, Any]:
    """Return the colour and the line style of a setting's level by its place: the same in every picture."""
    return line_look(place, place // len(LIGHT))


def legend_above(figure: Figure) -> None:
    """Put the legend above a figure, in two columns, and break names that are wider than one."""
    for text in figure.legend(fontsize=7, frameon=False, loc="outside upper center", ncols=2).get_texts():
        text.set_text(textwrap.fill(text.get_text(), 60))


def curves(
    study: Study, problem: str, measures: Sequence[str] | None = None, *, apart: bool = False
) -> Iterator[Curves]:
    """Yield a problem's figures: a row a measure, a column a level of the second setting, a colour one of the first.

    measures: those to draw, by default `measures_of`; apart: whether every panel is an axes of its own.

    Lines are medians over seeds, thin lines single seeds, bands their middle half, from FEW seeds on. A diverged run
    counts as the worst value of a measure from then on (for a measure without direction it ends) and is marked by a
    cross. The oracle is a dashed line.
    """
    runs = study.runs[(study.runs["problem"] == problem) & study.runs["status"].isin(["done", "diverged", "running"])]
    shown = measures_of(study, problem) if measures is None else list(measures)
    if runs.empty or not shown:
        return
    varying = axes(study)
    hue, column, others = varying[0] if varying else None, varying[1] if len(varying) > 1 else None, varying[2:]
    blocks = list(runs.groupby(others, sort=False, dropna=False)) if others else [((), runs)]
    pages = [(key, part, chunk) for key, block in blocks for part, chunk in _pages(block, column)]
    for key, part, chunk in pages[:FIGURES]:
        title = ", ".join(filter(None, [problem, joined(others, key)]))
        figure = _Grid(study, problem, chunk, hue, column).draw(shown, apart=apart)
        name = "-".join(filter(None, [problem, "curves", joined(others, key), part.strip(" ()")]))
        yield Curves(name, title + part, *render(figure, WIDE), left_out=max(0, len(pages) - FIGURES))


def _pages(block: pd.DataFrame, column: str | None) -> list[tuple[str, pd.DataFrame]]:
    if column is None:
        return [("", block)]
    found = levels(block[column])
    parts = [found[i : i + COLUMNS] for i in range(0, len(found), COLUMNS)]
    return [
        (f" ({i + 1})" if len(parts) > 1 else "", pd.concat([at(block, column, v) for v in p]))
        for i, p in enumerate(parts)
    ]


def file_name(name: str) -> str:
    """Return a name as one of files: what is no letter, digit, dot or dash becomes a line below."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")


def render(figure: Figure, dpi: int = 110) -> tuple[bytes, Figure]:
    """Return a figure as PNG, and itself; the same figure gives the same bytes."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi, pil_kwargs={"compress_level": 3})
    # laying out is the slow part, and once is enough; with a placeholder for what did it, all would be drawn twice
    figure.set_layout_engine(None)
    return png.getvalue(), figure


@dataclass(frozen=True)
class _Line:
    """The runs of one colour in one panel: their places among a figure's runs, and which of them are lost."""

    hue: Any
    runs: Array
    lost: Array


class _Grid:
    """The panels of one figure, few artists for all of them: a row is one axes, in which its panels lie side by side.

    An axes costs ten times what is drawn in a panel.
    """

    def __init__(self, study: Study, problem: str, runs: pd.DataFrame, hue: str | None, column: str | None) -> None:
        self.study, self.problem, self.runs, self.hue, self.column = study, problem, runs, hue, column
        self.known = study.measures
        # columns are taken one by one: a table of some rows of all columns is a copy, of a large study for seconds
        self.rows = np.flatnonzero(study.series["run"].isin(runs["run"]))
        step, of = (study.series[name].to_numpy()[self.rows] for name in ("step", "run"))
        place = pd.Series(range(len(runs)), index=runs["run"])
        self.steps = np.unique(step).astype(float)
        self.at = np.searchsorted(self.steps, step), place[of].to_numpy()
        self.hues = levels(study.runs[hue]) if hue else [None]
        looks = [level_look(place) for place in range(len(self.hues))]
        self.colours = {value: colour for value, (colour, _) in zip(self.hues, looks, strict=True)}
        self.dashes: dict[Any, Any] = {value: dashes for value, (_, dashes) in zip(self.hues, looks, strict=True)}
        self.edges = _limits(self.steps, False, 0.02)

    def draw(self, shown: list[str], *, apart: bool = False) -> Figure:
        """Return the figure: measures below each other where there are columns, else in three panels a row.

        apart: whether every panel is an axes of its own, for readers who change them.
        """
        columns = levels(self.runs[self.column]) if self.column else [None]
        with sns.axes_style("white"), matplotlib.rc_context(STYLE | {"axes.edgecolor": ".8"}):
            figure = self._in_threes(shown, columns[0]) if len(columns) == 1 else self._beside(shown, columns, apart)
            self._legend(figure)
            figure.text(0.5, 0.06 / figure.get_figheight(), "training step", ha="center", va="bottom", fontsize=9)
        return figure

    def _beside(self, shown: list[str], columns: list[Any], apart: bool) -> Figure:
        (wide, high), gap = (1.7, 1.12), (0.13, 0.13)
        groups, each = [self._lines(value) for value in columns], 1 if apart else len(columns)
        panels = Panels(each, self.edges, step_ticks(self.edges, 4), gap[0] / wide)
        size = each * wide + (each - 1) * gap[0], high
        figure, axes_ = inches(len(shown), len(columns) // each, size, gap, top=self._top)
        for row, measure in zip(axes_, shown, strict=True):
            self._row(row, measure, groups, panels)
        for axis in axes_[-1]:
            panels.ticks_below(axis)
        titles = [(level(self.column, value) or DASH) if self.column else "" for value in columns]
        for place, axis in enumerate(axes_[0]):
            panels.titles(axis, titles[place * each : (place + 1) * each])
        return figure

    def _in_threes(self, shown: list[str], column: object) -> Figure:
        figure, axes_ = inches(-(-len(shown) // 3), 3, (2.75, 1.8), (0.7, 0.3), top=self._top)
        groups, panels = [self._lines(column)], Panels(1, self.edges, step_ticks(self.edges, 6))
        for axis in axes_.flat[len(shown) :]:
            axis.set_visible(False)
        for axis, measure in zip(axes_.flat, shown, strict=False):
            self._row([axis], measure, groups, panels)
        for axis in axes_.flat[: len(shown)][-3:]:
            panels.ticks_below(axis)
        return figure

    @property
    def _top(self) -> float:
        """Inches for the titles and the rows of the legend."""
        return 0.35 + 0.2 * -(-(len(self.hues) + 1) // 8)

    def _lines(self, value: object) -> list[_Line]:
        # of dozens of columns, each of which pandas copies for every level
        here = self.runs[[*dict.fromkeys(filter(None, [self.column, self.hue])), "status"]].reset_index(drop=True)
        here = at(here, self.column, value)
        groups = [(hue, at(here, self.hue, hue)) for hue in self.hues]
        return [_Line(hue, g.index.to_numpy(), (g["status"] == "diverged").to_numpy()) for hue, g in groups if len(g)]

    def _legend(self, figure: Figure) -> None:
        names = [level(self.hue, hue) or DASH for hue in self.hues] if self.hue else ["all seeds"]
        handles = [
            Line2D([], [], color=self.colours[hue], linestyle=self.dashes[hue], linewidth=1.5) for hue in self.hues
        ]
        handles.append(Line2D([], [], color=".25", linewidth=0.9, linestyle="--"))
        anchor = (0.5, 1 - 0.04 / figure.get_figheight())
        figure.legend(
            handles, [*names, "oracle"], loc="upper center", bbox_to_anchor=anchor, borderaxespad=0.0,
            ncols=min(8, len(handles)), fontsize=8, frameon=False,
        )  # fmt: skip

    def _row(self, row: Sequence[Axes], measure: str, groups: list[list[_Line]], panels: Panels) -> None:
        """Draw one measure into the axes of a row, a panel for each group: they share its scale."""
        raw = np.full((len(self.steps), len(self.runs)), np.nan)
        raw[self.at] = self.study.series[measure].to_numpy(dtype=float)[self.rows]
        lost = (self.runs["status"] == "diverged").to_numpy()
        filled = self._filled(raw, measure, lost)
        perfect = self.study.oracle.get(self.problem, {}).get(measure)
        known = self.known.get(measure)
        logarithmic = known is not None and known.scale == "log" and bool((raw > 0).any())
        limits = _limits(np.append(filled[np.isfinite(filled)], [] if perfect is None else perfect), logarithmic)
        grid: list[float] | None = None
        for place, axis in enumerate(row):
            if logarithmic:
                axis.set_yscale("log")
                axis.yaxis.set_minor_locator(NullLocator())
            # ticks, each of which is six artists, are for the panels at the left and below
            axis.xaxis.set_major_locator(NullLocator())
            axis.set(xlim=panels.span, ylim=limits)
            each = panels.count
            self._curves(axis, groups[place * each : (place + 1) * each], raw, filled, panels.shifts)
            # a logarithmic axis has no place for 0 and less
            if perfect is not None and (perfect > 0 or not logarithmic):
                panels.level(axis, perfect, colors=".25", linewidths=0.9, linestyles="--", zorder=1)
            grid = axis.get_yticks().tolist() if grid is None else grid
            panels.grid(axis, grid)
            panels.frame(axis)
            if place:
                axis.yaxis.set_major_locator(NullLocator())
        row[0].set_ylabel(measure.replace("_", " "))

    def _curves(self, axis: Axes, groups: list[list[_Line]], raw: Array, filled: Array, shifts: Array) -> None:
        seeds, seed_colours, bands, band_colours, medians, ends, end_colours = [], [], [], [], [], [], []
        lines = [(line, self.steps + shift) for group, shift in zip(groups, shifts, strict=True) for line in group]
        for line, steps in lines:
            values, colour = filled[:, line.runs], self.colours[line.hue]
            low, middle, high = _quartiles(values)
            medians.append(np.column_stack([steps, middle]))
            # of fewer seeds the middle half is all of them, and their lines say more
            bands += [_band(steps, low, high)] if values.shape[1] >= FEW else []
            band_colours += [colour] if values.shape[1] >= FEW else []
            seeds += list(np.stack(np.broadcast_arrays(steps, values.T), axis=2))
            seed_colours += [colour] * values.shape[1]
            for curve in raw[:, line.runs[line.lost]].T:
                have = np.flatnonzero(np.isfinite(curve))
                if have.size:
                    ends.append((steps[have[-1]], curve[have[-1]]))
                    end_colours.append(colour)
        axis.add_collection(PolyCollection(bands, facecolors=band_colours, alpha=0.15, linewidths=0), autolim=False)
        draw_lines(axis, seeds, colors=seed_colours, linewidths=0.6, alpha=0.55)
        hues = [line.hue for line, _ in lines]
        looks: Any = {"colors": [self.colours[hue] for hue in hues], "linestyles": [self.dashes[hue] for hue in hues]}
        draw_lines(axis, medians, **looks, linewidths=1.5, zorder=2.1)
        if ends:
            at_step, value = np.array(ends).T
            axis.scatter(at_step, value, c=end_colours, marker="x", s=16, linewidths=1.1, zorder=2.2)

    def _filled(self, raw: Array, measure: str, lost: Array) -> Array:
        worst = worst_value(self.known.get(measure))
        if np.isnan(worst):
            return raw
        if np.isinf(worst):
            # no picture holds infinity: just outside of everything that was measured
            finite = raw[np.isfinite(raw)]
            worst = 1.5 * float(finite.max() if worst > 0 else finite.min()) if finite.size else np.nan
        have = ~np.isnan(raw).all(axis=0)
        return np.where(np.isnan(raw) & (lost & have), worst, raw)


def _limits(values: Array, logarithmic: bool, margin: float = 0.05) -> tuple[float, float]:
    """Return the limits of an axis that holds the values, with a margin; on a logarithmic one, of those above 0."""
    values = np.log(values[values > 0]) if logarithmic else values
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    room = margin * (high - low) or 0.05
    return (float(np.exp(low - room)), float(np.exp(high + room))) if logarithmic else (low - room, high + room)


def _quartiles(values: Array) -> Array:
    """Return the quartiles [3, steps] over runs of [steps, runs], of those that have a value; NaN where none has."""
    ordered = np.sort(values, axis=1)
    counts = (~np.isnan(values)).sum(axis=1)
    # the inverse of the distribution, no mean of two: one may be infinite
    places = [np.maximum(np.ceil(q * counts).astype(int) - 1, 0) for q in (0.25, 0.5, 0.75)]
    return np.array([np.take_along_axis(ordered, place[:, None], axis=1)[:, 0] for place in places])


def _band(steps: Array, low: Array, high: Array) -> Array:
    """Return the outline [points, 2] of the area between two curves, where both have values."""
    have = np.isfinite(low) & np.isfinite(high)
    forth, back = np.column_stack([steps, low])[have], np.column_stack([steps, high])[have]
    return np.concatenate([forth, back[::-1]]) if have.any() else np.zeros((1, 2))
