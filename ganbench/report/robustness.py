"""The page Robustness: what share of its settings a method survives, where, and what the best of k trials is worth."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from ganbench.analysis.findings import percent
from ganbench.analysis.robustness import BestOf, runs_by_method
from ganbench.report.colours import BAD, GOOD, MIDDLE, looks, scale
from ganbench.report.colours import shade as step_of
from ganbench.report.context import DASH, Context
from ganbench.report.figures import STYLE, Curves, legend_above, line_look, render

COLUMNS = 7
MARGIN = 0.16
DRAWN = 6
"""Curves in one figure: more are not told apart."""
TRIALS = (1, 5)
"""Budgets that the table shows, beside that of all settings."""


def robustness_page(context: Context) -> list[dict[str, Any]] | None:
    """Return a group a problem: its table, the map over two rates and the curves; None for a study without tuning."""
    table = context.robustness
    if table.empty:
        return None
    runs = runs_by_method(context.study, context.verdicts)
    groups = []
    for problem, rows in table.groupby("problem", sort=False):
        trials = _budgets(rows)
        figures = [
            *_map(context, str(problem), runs[runs["problem"] == problem], rows),
            *_curves(context, str(problem), rows),
        ]
        told = [_told(row, trials) for row in rows.to_dict("records")]
        groups.append({"problem": problem, "rows": told, "trials": trials, "figures": figures})
    return groups


def _budgets(rows: pd.DataFrame) -> list[int]:
    most = int(rows["settings"].max())
    return sorted({k for k in (*TRIALS, most) if k <= most})


def _told(row: dict[Any, Any], trials: list[int]) -> dict[str, Any]:
    return {
        **{key: row[key] for key in ("method", "runs", "survived", "every", "never", "tied", "best_setting")},
        "share": percent(row["share"]),
        "value": row["share"],
        "for_seeds": f"{percent(row['seeds_low'])} to {percent(row['seeds_high'])}" if row["seeds"] > 1 else "one seed",
        "for_settings": f"{percent(row['settings_low'])} to {percent(row['settings_high'])}",
        "bar": [round(100 * row[key], 1) for key in ("settings_low", "share", "settings_high")],
        "worth": [_worth(row["best_of"], k) for k in trials],
    }


def _worth(best: BestOf | None, trials: int) -> tuple[str, str, str]:
    """Return what the best of so many trials is worth, its range over seeds that choose, and what it looked like."""
    if best is None or trials > len(best.new) or np.isnan(best.new[trials - 1]):
        return DASH, "", ""
    seen, new, low, high = (part[trials - 1] for part in (best.seen, best.new, best.low, best.high))
    return f"{new:.2f}", f"{low:.2f} to {high:.2f}", f"{seen:.2f} where it was chosen"


def _rates(context: Context, runs: pd.DataFrame) -> list[str]:
    """Return the two tuned settings that span the map: the first that are numbers and differ, D's rate across."""
    tuned = context.study.tuned
    numbers = [key for key in tuned if pd.api.types.is_numeric_dtype(runs[key].dropna()) and runs[key].nunique() > 1]
    # the discriminator's rate lies across, wherever it stands in the suite
    return sorted(numbers[:2], key=lambda key: not key.rsplit(".", 1)[-1].startswith("d_"))


def _map(context: Context, problem: str, runs: pd.DataFrame, rows: pd.DataFrame) -> Iterator[Curves]:
    rates = _rates(context, runs)
    if not rates:
        return
    methods = list(rows["method"])
    columns = min(COLUMNS, len(methods))
    lines = -(-len(methods) // columns)
    with sns.axes_style("white"), matplotlib.rc_context(STYLE | {"axes.edgecolor": ".8"}):
        titles = [_wrapped(method) for method in methods]
        height = 1.4 + 0.11 * max(title.count("\n") + 1 for title in titles)
        figure = Figure(figsize=(max(3.6, 1.62 * columns + 0.7), height * lines + 0.8), layout="constrained")
        panels, by_method = figure.subplots(lines, columns, squeeze=False), dict(list(runs.groupby("method")))
        for panel in panels.flat[len(methods) :]:
            panel.set_visible(False)
        ends = [_ends(runs[key]) for key in rates] if len(rates) > 1 else [_ends(runs[rates[0]]), _ends(np.ones(1))]
        # not by axes that share: each of seventy then tells all others of every change
        for panel in panels.flat:
            _scale(panel, ends)
            panel.label_outer()
        for panel, method, title in zip(panels.flat, methods, titles, strict=False):
            _panel(panel, by_method[method], rates)
            panel.set_title(title, fontsize=7.5)
        figure.supxlabel(_called(rates[0]), fontsize=9)
        if len(rates) > 1:
            figure.supylabel(_called(rates[1]), fontsize=9)
        else:
            for panel in panels.flat:
                panel.yaxis.set_major_locator(NullLocator())
    title = f"{problem}: share of seeds that survive at each setting, from none (vermillion) to all (blue)"
    yield Curves(f"{problem}-robustness", title, *render(figure))


def _panel(panel: Axes, runs: pd.DataFrame, rates: list[str]) -> None:
    blend = LinearSegmentedColormap.from_list("survival", [np.array(c) / 255 for c in (BAD, MIDDLE, GOOD)])
    found = runs.groupby(rates)["survived"].agg(["mean", "sum", "size"]).reset_index()
    x = found[rates[0]].astype(float)
    y = found[rates[1]].astype(float) if len(rates) > 1 else pd.Series(np.ones(len(found)))
    panel.scatter(x, y, c=found["mean"], cmap=blend, vmin=0, vmax=1, s=105, edgecolors=".55", linewidths=0.6)
    for at_x, at_y, alive, of in zip(x, y, found["sum"], found["size"], strict=True):
        shade = scale()[step_of(alive / of)][1]
        panel.annotate(str(int(alive)), (at_x, at_y), ha="center", va="center", fontsize=6, color=shade)


def _ends(values: ArrayLike) -> tuple[float, float, bool]:
    """Return the limits of an axis that holds the values with a margin, and whether it is logarithmic."""
    found = np.asarray(values, dtype=float)
    logarithmic = bool((found > 0).all() and found.max() >= 10 * found.min())
    low, high = (np.log10(end) if logarithmic else end for end in (found.min(), found.max()))
    if low == high:
        beside = 0.05 * abs(low) or 0.05
        low, high = low - beside, high + beside
    room = MARGIN * (high - low)
    return (10 ** (low - room), 10 ** (high + room), True) if logarithmic else (low - room, high + room, False)


def _scale(panel: Axes, ends: Sequence[tuple[float, float, bool]]) -> None:
    """Fix the axes of a panel before anything is drawn in it."""
    for axis, (low, high, logarithmic) in zip(("x", "y"), ends, strict=True):
        if logarithmic:
            panel.set(**{f"{axis}scale": "log"})
        panel.set(**{f"{axis}lim": (low, high)})
    panel.set_autoscale_on(False)


def _called(key: str) -> str:
    """Return what a rate is called at an axis: "d_lr (adam)"."""
    parts = key.split(".")
    return f"{parts[-1]} ({parts[1]})" if len(parts) == 3 else key.replace("_", " ")


def _wrapped(method: str) -> str:
    """Return a method's label in lines that a panel is wide enough for."""
    first, *rest = method.split(", ")
    return "\n".join([first, *textwrap.wrap(", ".join(rest), 28)])


def _curves(context: Context, problem: str, rows: pd.DataFrame) -> Iterator[Curves]:
    known = [row for row in rows.to_dict("records") if row["best_of"] is not None and row["seeds"] > 1]
    if not known or max(len(row["best_of"].new) for row in known) < 2:
        return
    chosen = known if len(known) <= DRAWN else [*known[: DRAWN - 1], known[-1]]
    styles = [line_look(*look) for look in looks(context.places, [row["method"] for row in chosen])]
    with sns.axes_style("whitegrid", rc={"grid.color": ".92"}), matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axis = figure.subplots()
        for (colour, dashes), row in zip(styles, chosen, strict=True):
            best: BestOf = row["best_of"]
            k = np.arange(1, len(best.new) + 1)
            axis.plot(k, best.new, color=colour, linestyle=dashes, linewidth=1.6, label=row["method"])
            axis.fill_between(k, best.low, best.high, color=colour, alpha=0.1, linewidth=0)
            axis.plot(k, best.seen, color=colour, linewidth=0.7, linestyle=":")
        axis.set(ylim=(-0.02, 1.03), xlabel="trials: settings tried with one seed", ylabel="score of the chosen one")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_above(figure)
    which = f"the first {len(chosen) - 1} methods and the last" if len(known) > DRAWN else "every method"
    title = f"{problem}, {which}: what the best of so many trials is worth on other seeds (dotted: on its own)"
    yield Curves(f"{problem}-best-of", title, *render(figure))
