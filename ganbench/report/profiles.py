"""The page of statistics over problems: performance profiles, typical scores, and which variant improves on which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from ganbench.analysis.profiles import Scores, collect, improvement, profiles
from ganbench.analysis.statistics import FEWEST
from ganbench.report.colours import looks
from ganbench.report.context import DASH, Context
from ganbench.report.figures import STYLE, Curves, legend_above, line_look, render
from ganbench.report.lines import Line, line

SHOWN = 15
"""Rows of the first table; all of them are in the second."""
DRAWN = 5
"""Profiles in the static figure: more are not told apart."""


def statistics(context: Context) -> dict[str, Any]:
    """Return the page: the table against the reference, the profiles for its script, the static figure if any."""
    scores = collect(context.study)
    table = [_row(scores, row) for row in improvement(scores).to_dict("records")]
    lines = {_name(names): _lines(scores, names) for names in _choices(scores)}
    lines = {name: found for name, found in lines.items() if found}
    # the first is what is seen: all problems together, unless most variants are missing there
    lines = dict(sorted(lines.items(), key=lambda item: 2 * len(item[1]) < len(table)))
    ranked = [row["label"] for row in table]
    figure = _figure(context, next(iter(lines)), _most(next(iter(lines.values())), ranked)) if lines else None
    return {
        "reference": scores.reference, "head": table[:SHOWN], "rows": table, "problems": scores.problems,
        "left": max(0, len(table) - SHOWN), "figure": figure, "lines": lines, "ranked": ranked,
    }  # fmt: skip


def _choices(scores: Scores) -> list[list[str]]:
    alone = [[problem] for problem in scores.problems]
    return [scores.problems, *alone] if len(alone) > 1 else alone


def _name(problems: list[str]) -> str:
    return problems[0] if len(problems) == 1 else f"all {len(problems)} problems"


def _lines(scores: Scores, problems: list[str]) -> dict[str, Line]:
    found = profiles(scores, problems)
    return {label: line(at, profile.share, profile.low, profile.high) for label, (at, profile) in found.items()}


def _row(scores: Scores, row: Mapping[Any, Any]) -> dict[str, Any]:
    own, compared = row["label"] == scores.reference, row["better"] == row["better"]
    bounded = row["better_low"] == row["better_low"]
    on = list(scores.by_label[row["label"]].columns)
    return {
        **row,
        "own": own,
        "on": f"all {len(on)}" if len(on) == len(scores.problems) > 1 else ", ".join(map(str, on)),
        "typical": f"{row['iqm']:.2f}",
        "typical_interval": _interval(row["iqm_low"], row["iqm_high"], row["seeds"]),
        "better_text": "reference" if own else f"{row['better']:.2f}" if compared else DASH,
        "better_interval": _interval(row["better_low"], row["better_high"]),
        "bar": [round(100 * row[key], 1) for key in ("better_low", "better", "better_high")] if bounded else None,
    }


def _interval(low: float, high: float, seeds: int = FEWEST) -> str:
    return "" if np.isnan(low) else f"{'range ' * (seeds < FEWEST)}{low:.2f} to {high:.2f}"


def _most(lines: Mapping[str, Line], ranked: list[str]) -> dict[str, Line]:
    """Return the profiles to draw: those of the first in the table and of the last, which shows the range."""
    names = [label for label in ranked if label in lines]
    chosen = names if len(names) <= DRAWN else [*names[: DRAWN - 1], names[-1]]
    return {label: lines[label] for label in chosen}


def _figure(context: Context, name: str, lines: Mapping[str, Line]) -> Curves:
    styles = [line_look(*look) for look in looks(context.places, list(lines))]
    with sns.axes_style("whitegrid", rc={"grid.color": ".92"}), matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        axis = figure.subplots()
        for (colour, dashes), (label, one) in zip(styles, lines.items(), strict=True):
            axis.step(one["x"], one["y"], where="pre", color=colour, linestyle=dashes, linewidth=1.6, label=label)
            axis.fill_between(one["x"], one["low"], one["high"], step="pre", color=colour, alpha=0.1, linewidth=0)
        axis.set(xlim=(0, 1), ylim=(-0.02, 1.03), xlabel="score", ylabel="share of runs with at least this score")
        legend_above(figure)
    title = f"Performance profiles over {name}: the first {len(lines) - 1} variants and the last"
    title = title if len(lines) == DRAWN else f"Performance profiles over {name}"
    return Curves("performance-profile", title, *render(figure))
