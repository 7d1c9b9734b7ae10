"""Curves over training as static figures: quality and diagnostics of every variant on one time axis."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ganbench.analysis import Study
from ganbench.analysis.findings import axes, joined, level, view_of
from ganbench.analysis.statistics import worst_value
from ganbench.report.context import DASH

DIAGNOSTICS = ("g_gradient_norm", "saturation", "d_ranking")
LOGARITHMIC = {"frechet", "g_gradient_norm"}
COLUMNS = 8
"""Panels beside each other; a setting with more levels goes on in another figure."""
FIGURES = 6
"""Figures for a problem; a grid with more is named in the caption, and its other curves are in the study's tables."""
STYLE: Any = {
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Curves:
    """A figure as PNG and SVG, with what it shows."""

    name: str
    title: str
    png: bytes
    svg: bytes
    left_out: int = 0


def levels(values: pd.Series) -> list[Any]:
    """Return a setting's levels: numbers in ascending order, names in the plan's order; None, first, for missing."""
    found = list(values.dropna().unique())
    found = sorted(found) if pd.api.types.is_numeric_dtype(values) else found
    return [None, *found] if values.isna().any() else found


def at(rows: pd.DataFrame, axis: str | None, value: Any) -> pd.DataFrame:
    """Return the rows at one level of a setting; all of them without a setting."""
    if axis is None:
        return rows
    return rows[rows[axis].isna()] if value is None else rows[rows[axis] == value]


def measures_of(study: Study, problem: str) -> list[str]:
    """Return the measures whose curves are drawn for a problem: coverage, quality, Frechet, then diagnostics."""
    seen = view_of(study, problem)
    names = [seen.count or "coverage", seen.quality] if seen else []
    have = study.series[study.series["run"].isin(study.runs.loc[study.runs["problem"] == problem, "run"])]
    wanted = [*names, "frechet", *DIAGNOSTICS]
    return [name for name in dict.fromkeys(wanted) if name in have.columns and have[name].notna().any()]


def curves(study: Study, problem: str) -> Iterator[Curves]:
    """Yield a problem's figures: a row a measure, a column a level of the second setting, a colour one of the first.

    Lines are medians over seeds, bands their middle half, thin lines single seeds. A diverged run counts as the worst
    value of a measure from then on (for a measure without direction it ends) and is marked by a cross. The oracle is a
    dashed line.
    """
    runs = study.runs[(study.runs["problem"] == problem) & study.runs["status"].isin(["done", "diverged", "running"])]
    shown = measures_of(study, problem)
    if runs.empty or not shown:
        return
    varying = axes(study)
    hue, column, others = varying[0] if varying else None, varying[1] if len(varying) > 1 else None, varying[2:]
    blocks = list(runs.groupby(others, sort=False, dropna=False)) if others else [((), runs)]
    pages = [(key, part, chunk) for key, block in blocks for part, chunk in _pages(block, column)]
    for number, (key, part, chunk) in enumerate(pages[:FIGURES]):
        title = ", ".join(filter(None, [problem, joined(others, key)]))
        figure = _Grid(study, problem, chunk, hue, column).draw(shown)
        name = f"{problem}-{number + 1}"
        yield Curves(name, title + part, *render(figure), left_out=max(0, len(pages) - FIGURES))


def _pages(block: pd.DataFrame, column: str | None) -> list[tuple[str, pd.DataFrame]]:
    if column is None:
        return [("", block)]
    found = levels(block[column])
    parts = [found[i : i + COLUMNS] for i in range(0, len(found), COLUMNS)]
    return [
        (f" ({i + 1})" if len(parts) > 1 else "", pd.concat([at(block, column, v) for v in p]))
        for i, p in enumerate(parts)
    ]


def render(figure: Figure) -> tuple[bytes, bytes]:
    """Return a figure as PNG and as SVG; the same figure gives the same bytes."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=110)
    # laying out is the slow part, and once is enough
    figure.set_layout_engine("none")
    # without a date and with a fixed salt, the same study gives the same bytes
    with matplotlib.rc_context({"svg.hashsalt": "ganbench", "svg.fonttype": "none"}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return png.getvalue(), svg.getvalue()


class _Grid:
    """The panels of one figure."""

    def __init__(self, study: Study, problem: str, runs: pd.DataFrame, hue: str | None, column: str | None) -> None:
        self.study, self.problem, self.runs, self.hue, self.column = study, problem, runs, hue, column
        self.series = study.series[study.series["run"].isin(runs["run"])]
        self.hues = levels(study.runs[hue]) if hue else [None]
        palette = sns.color_palette("colorblind", 10)
        # neighbours in the plan get colours far from each other, and every fifth level changes its dashes as well
        order = (0, 1, 2, 4, 7, 3, 9, 8, 5, 6)
        self.colours = {value: palette[order[i % 10]] for i, value in enumerate(self.hues)}
        self.dashes = {value: ("-", (0, (5, 1)), (0, (2, 1)), ":")[i // 5 % 4] for i, value in enumerate(self.hues)}
        self.tables: dict[str, pd.DataFrame] = {}

    def draw(self, shown: list[str]) -> Figure:
        """Return the figure: measures below each other where there are columns, else in three panels a row."""
        for measure in shown:
            table = self.series.pivot_table(index="step", columns="run", values=measure, dropna=False)
            self.tables[measure] = table.dropna(axis=1, how="all")
        columns = levels(self.runs[self.column]) if self.column else [None]
        with sns.axes_style("whitegrid", rc={"grid.color": ".92"}), matplotlib.rc_context(STYLE):
            if len(columns) > 1:
                figure = Figure(figsize=(1.2 + 1.75 * len(columns), 0.6 + 1.25 * len(shown)), layout="constrained")
                panels = figure.subplots(len(shown), len(columns), sharex=True, sharey="row", squeeze=False)
                for row, measure in enumerate(shown):
                    for axis, value in zip(panels[row], columns, strict=True):
                        title = level(self.column, value) or DASH if row == 0 and self.column else ""
                        self._panel(axis, measure, value, title, bare=axis is not panels[row][0])
            else:
                figure = Figure(figsize=(10.5, 2.4 * -(-len(shown) // 3) + 0.5), layout="constrained")
                panels = figure.subplots(-(-len(shown) // 3), 3, sharex=True, squeeze=False)
                for axis in panels.flat[len(shown) :]:
                    axis.set_visible(False)
                for axis, measure in zip(panels.flat, shown, strict=False):
                    self._panel(axis, measure, columns[0], "", bare=False)
            self._legend(figure, panels.flat[0])
            figure.supxlabel("training step", fontsize=9)
        return figure

    def _legend(self, figure: Figure, panel: Axes) -> None:
        handles, names = panel.get_legend_handles_labels()
        if handles:
            figure.legend(
                handles, names, loc="outside upper center", ncols=min(8, len(names)), fontsize=8, frameon=False
            )

    def _panel(self, axis: Axes, measure: str, value: Any, title: str, *, bare: bool) -> None:
        # every artist would ask all panels that share an axis for new limits: half of the time of a figure
        axis.set_autoscale_on(False)
        here = at(self.runs, self.column, value)
        for hue in self.hues:
            label = level(self.hue, hue) or DASH if self.hue else "all seeds"
            self._line(axis, measure, at(here, self.hue, hue), hue, label)
        perfect = self.study.oracle.get(self.problem, {}).get(measure)
        if perfect is not None:
            axis.axhline(perfect, color=".25", linewidth=0.9, linestyle="--", label="oracle", zorder=1)
        if measure in LOGARITHMIC and (self.series[measure] > 0).any():
            axis.set_yscale("log")
        axis.autoscale(True)
        axis.set_title(title)
        axis.set_ylabel("" if bare else measure.replace("_", " "))
        axis.margins(x=0.02)
        sns.despine(ax=axis)

    def _line(self, axis: Axes, measure: str, group: pd.DataFrame, hue: Any, label: str) -> None:
        style: dict[str, Any] = {"color": self.colours[hue], "linestyle": self.dashes[hue]}
        # drawn for the legend even where this panel has no such run
        (line,) = axis.plot([], [], **style, linewidth=1.5, label=label)
        table = self.tables[measure]
        table = table[[run for run in group["run"] if run in table.columns]]
        if table.empty:
            return
        lost = set(group.loc[group["status"] == "diverged", "run"])
        for run in lost & set(table.columns):
            ends = table[run].last_valid_index()
            axis.plot(
                float(ends), float(table[run][ends]), "x", color=style["color"], markersize=4, markeredgewidth=1.1
            )
        values = self._filled(table, measure, lost).to_numpy(dtype=float)
        steps = table.index.to_numpy(dtype=float)
        with warnings.catch_warnings():
            # a step at which no run of the group has a value is a gap in the line, as it should be
            warnings.simplefilter("ignore", RuntimeWarning)
            low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=1, method="inverted_cdf")
        line.set_data(steps, middle)
        axis.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
        seeds = [np.column_stack([steps, one]) for one in values.T]
        axis.add_collection(LineCollection(seeds, colors=[style["color"]], linewidths=0.5, alpha=0.45))

    def _filled(self, table: pd.DataFrame, measure: str, lost: set[str]) -> pd.DataFrame:
        known = self.study.measures.get(measure)
        worst = worst_value(known)
        if np.isnan(worst):
            return table
        if np.isinf(worst):
            # no picture holds infinity: just outside of everything that was measured
            finite = self.series[measure].replace([np.inf, -np.inf], np.nan)
            worst = 1.5 * float(finite.max() if worst > 0 else finite.min())
        return table.assign(**{run: table[run].fillna(worst) for run in table.columns if run in lost})
