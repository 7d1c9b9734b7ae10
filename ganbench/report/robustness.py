"""The page Robustness: what share of its settings a method survives, where, and what the best of k trials is worth."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
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
from ganbench.report.panels import Panels, Ticks, inches, label_sides

COLUMNS = 7
PIXEL = 1 / 110
WIDE, HIGH, GAP = 165 * PIXEL, 135 * PIXEL, 13 * PIXEL
"""Inches: a panel of the map, and between two: whole pixels, so that letters look alike in all, and pack well."""
MARGIN = 0.16
DRAWN = 6
"""Curves in one figure: more are not told apart."""
TRIALS = (1, 5)
"""Budgets that the table shows, beside that of all settings."""


def robustness_page(context: Context, *, apart: bool = False) -> list[dict[str, Any]] | None:
    """Return a group a problem: its table, the map over two rates and the curves; None for a study without tuning.

    apart: whether every panel of the map is an axes of its own, for readers who change them.
    """
    table = context.robustness
    if table.empty:
        return None
    runs = runs_by_method(context.study, context.verdicts)
    groups = []
    for problem, rows in table.groupby("problem", sort=False):
        trials = _budgets(rows)
        figures = [
            *_map(context, str(problem), runs[runs["problem"] == problem], rows, apart),
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


def _map(context: Context, problem: str, runs: pd.DataFrame, rows: pd.DataFrame, apart: bool) -> Iterator[Curves]:
    rates = _rates(context, runs)
    if not rates:
        return
    methods = list(rows["method"])
    with sns.axes_style("white"), matplotlib.rc_context(STYLE | {"axes.edgecolor": ".8", "axes.titlesize": 7.5}):
        figure = _map_of(methods, _survivors(runs, rates), min(COLUMNS, len(methods)), apart)
        label_sides(figure, *map(_called, rates))
    title = f"{problem}: share of seeds that survive at each setting, from none (vermillion) to all (blue)"
    yield Curves(f"{problem}-robustness", title, *render(figure))


def _survivors(runs: pd.DataFrame, rates: list[str]) -> pd.DataFrame:
    """Return a row a method and setting: method, across, up (one place where one rate is tuned), survived, seeds."""
    found = runs[["method", *rates, "survived"]].groupby(["method", *rates])["survived"].agg(["sum", "size"])
    at = found.index.to_frame(index=False)
    return pd.DataFrame({
        "method": at["method"], "across": at[rates[0]].astype(float),
        "up": at[rates[1]].astype(float) if len(rates) > 1 else 1.0,
        "survived": found["sum"].to_numpy(dtype=int), "seeds": found["size"].to_numpy(),
    })  # fmt: skip


def _map_of(methods: list[str], found: pd.DataFrame, columns: int, apart: bool) -> Figure:
    """Return the figure: a panel a method, a row of them an axes, or each of them where they stand apart."""
    lines, each, titles = -(-len(methods) // columns), 1 if apart else columns, list(map(_wrapped, methods))
    left, right, logarithmic = _ends(found["across"])
    found = found.assign(across=np.log10(found["across"]) if logarithmic else found["across"])
    edges = (np.log10(left), np.log10(right)) if logarithmic else (left, right)
    panels = Panels(each, edges, _ticks(edges, logarithmic), GAP / WIDE)
    above, up = 0.16 + 0.115 * max(title.count("\n") + 1 for title in titles), _ends(found["up"])
    size = each * WIDE + (each - 1) * GAP, HIGH
    below = math.ceil((above + 0.08) / PIXEL) * PIXEL
    figure, axes = inches(lines, columns // each, size, (GAP, below), top=above)
    for place, axis in enumerate(axes.flat):
        first = place * each
        here = methods[first : first + each]
        axis.set_visible(bool(here))
        if not here:
            continue
        low, high, steep = up
        axis.set(yscale="log" if steep else "linear", xlim=panels.span, ylim=(low, high))
        part = panels.first(len(here))
        _settings(axis, found, here, part)
        part.frame(axis)
        part.titles(axis, titles[first : first + each])
        # ticks are for the panels at the left, and for those below which there are none
        axis.xaxis.set_major_locator(NullLocator())
        if (start := max(0, len(methods) - columns - first)) < len(here):
            part.ticks_below(axis, start)
        if first % columns or found["up"].nunique() == 1:
            axis.yaxis.set_major_locator(NullLocator())
    return figure


def _settings(axis: Axes, found: pd.DataFrame, methods: list[str], panels: Panels) -> None:
    """Draw the settings of some methods into their panels: how many seeds survive, in the colour of their share."""
    blend = LinearSegmentedColormap.from_list("survival", [np.array(c) / 255 for c in (BAD, MIDDLE, GOOD)])
    found = found[found["method"].isin(methods)]
    by = dict(zip(methods, panels.shifts, strict=True))
    x, share = found["across"] + found["method"].map(by).astype(float), found["survived"] / found["seeds"]
    axis.scatter(x, found["up"], c=share, cmap=blend, vmin=0, vmax=1, s=105, edgecolors=".55", linewidths=0.6)
    for at_x, at_y, alive, part in zip(x, found["up"], found["survived"], share, strict=True):
        axis.text(at_x, at_y, str(alive), ha="center", va="center", fontsize=6, color=scale()[step_of(part)][1])


def _ticks(edges: tuple[float, float], logarithmic: bool) -> Ticks:
    """Return a few ticks within the edges of a panel, which are logarithms where it has a logarithmic scale."""
    low, high = edges
    if logarithmic:
        return [(float(power), f"$10^{{{power}}}$") for power in range(math.ceil(low), math.floor(high) + 1)]
    found = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [(float(tick), f"{tick:g}") for tick in found if low <= tick <= high]


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
