"""Survival in the report: what share of runs has not failed yet at each step, by each setting that varies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from ganbench.analysis import Study
from ganbench.analysis.findings import percent
from ganbench.analysis.gate import holm
from ganbench.analysis.ranking import axes, level
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.statistics import wilson
from ganbench.analysis.survival import Survival, kaplan_meier, logrank_p, times
from ganbench.report.context import DASH, Context, number
from ganbench.report.figures import STYLE, Curves, level_look, render
from ganbench.report.levels import at, levels
from ganbench.report.lines import Line, line
from ganbench.report.panels import inches, label_sides

AXES = 4
"""Settings that get a panel and a table, the best-known first."""


def survival(context: Context) -> Iterator[dict[str, Any]]:
    """Yield for every problem with at least one failure its figure, a table for each setting that varies, and lines.

    Lines are those that the script draws: by setting and level, and those of single variants by their ids.
    """
    for problem in context.problems:
        runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(FINISHED)]
        varying = [axis for axis in axes(context.study) if runs[axis].nunique() > 1][:AXES]
        if runs.empty or not runs["failed"].astype(bool).any():
            continue
        # of dozens of columns, each of which pandas copies for every level
        runs = runs[[*dict.fromkeys([*varying, "variant", "steps", "failed", "onset"])]]
        groups = {axis: {value: times(at(runs, axis, value)) for value in levels(runs[axis])} for axis in varying}
        curves = {axis: {value: kaplan_meier(*group) for value, group in of.items()} for axis, of in groups.items()}
        lines = {
            axis.replace("_", " "): {level(axis, value) or DASH: _line(curve) for value, curve in of.items()}
            for axis, of in curves.items()
        }
        variants = {str(name): _line(kaplan_meier(*times(of))) for name, of in runs.groupby("variant", sort=False)}
        yield {
            "problem": problem,
            "figure": _figure(context.study, problem, runs, curves),
            "tables": [_table(axis, groups[axis], curves[axis]) for axis in varying],
            "lines": {"last": int(runs["steps"].max()), "settings": lines, "variants": variants},
        }


def _line(curve: Survival) -> Line:
    # until the first failure the interval is Wilson's for none of all runs, as everywhere where none has failed
    low = wilson(curve.runs, curve.runs)[0]
    return line(np.r_[0, curve.steps], np.r_[1, curve.alive], np.r_[low, curve.low], np.r_[1, curve.high])


def _table(axis: str, groups: Mapping[Any, Any], curves: Mapping[Any, Survival]) -> dict[str, Any]:
    best = max(curves, key=lambda value: curves[value].alive[-1])
    others = [value for value in groups if value != best]
    p = holm([logrank_p(groups[best], groups[value]) for value in others], [1.0] * len(others))
    against = dict(zip(others, p, strict=True))
    rows = [_row(level(axis, value) or DASH, curves[value], against.get(value)) for value in groups]
    rows.sort(key=lambda row: -row["alive"])
    return {"axis": axis.replace("_", " "), "best": level(axis, best) or DASH, "rows": rows}


def _row(label: str, curve: Survival, p: float | None) -> dict[str, Any]:
    gone = curve.steps[curve.alive <= 0.5]
    return {
        "label": label,
        "runs": curve.runs,
        "failures": curve.failures,
        "alive": float(curve.alive[-1]),
        "share": f"{percent(curve.alive[-1])} % ({percent(curve.low[-1])} to {percent(curve.high[-1])})",
        "median": number(float(gone[0])) if len(gone) else "not reached",
        "p": DASH if p is None else number(p, 2),
    }


def _figure(study: Study, problem: str, runs: pd.DataFrame, curves: Mapping[str, Mapping[Any, Survival]]) -> Curves:
    panels = dict(curves) or {"": {None: kaplan_meier(*times(runs))}}
    with sns.axes_style("whitegrid", rc={"grid.color": ".92"}), matplotlib.rc_context(STYLE):
        figure, axes_ = inches(1, len(panels), (2.8 if len(panels) > 1 else 3.4, 2.5), (0.12, 0), top=0.3)
        for axis, (name, found) in zip(axes_[0], panels.items(), strict=True):
            _panel(axis, name, found, levels(study.runs[name]) if name else [None])
            axis.label_outer()
        label_sides(figure, "training step of failure", "share of runs not failed")
    title = f"{problem}: share of runs that have not failed for good, by setting"
    return Curves(f"{problem}-survival", title, *render(figure))


def _panel(panel: Axes, name: str, found: Mapping[Any, Survival], known: list[Any]) -> None:
    for value, curve in found.items():
        colour, dashes = level_look(known.index(value))
        style: dict[str, Any] = {"color": colour, "linestyle": dashes}
        drawn = _line(curve)
        panel.step(drawn["x"], drawn["y"], where="post", linewidth=1.5, label=level(name, value) or DASH, **style)
        if len(found) <= 3:
            shade = {"color": style["color"], "alpha": 0.12, "linewidth": 0}
            panel.fill_between(drawn["x"], drawn["low"], drawn["high"], step="post", **shade)
    panel.set_ylim(-0.03, 1.03)
    panel.set_title("by " + name.replace("_", " ") if name else "all runs")
    if name:
        panel.legend(fontsize=6.5, framealpha=0.7, edgecolor="none", loc="best")
