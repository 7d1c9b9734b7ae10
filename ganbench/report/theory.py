"""The page Theory: for games in closed form, what theory says of each variant beside what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganbench.analysis.courses import displacements
from ganbench.analysis.ranking import labels, level
from ganbench.analysis.theory import linear_games
from ganbench.gan.linear import Matrix
from ganbench.plan import Variant
from ganbench.report.colours import LIGHT
from ganbench.report.context import DASH, Context
from ganbench.report.figures import STYLE, Curves, render

COLUMNS, PANELS = 4, 16
STARTS = 3
"""Seeds whose path is drawn."""


def theory(context: Context) -> dict[str, Any] | None:
    """Return the page's tables and figures by game; None for a study without games in closed form."""
    rows = context.theory
    if rows.empty:
        return None
    names = labels(context.study)
    known = rows[rows["agrees"].notna()]
    groups = []
    for problem, part in rows.groupby("problem", sort=False):
        order = part["agrees"].map({False: 0, True: 1}).fillna(2)
        told = [
            _told(row, names) for row in part.assign(order=order).sort_values("order", kind="stable").to_dict("records")
        ]
        groups.append({"problem": problem, "rows": told, "figure": _figure(context, str(problem))})
    return {"agree": int(known["agrees"].sum()), "of": len(known), "silent": len(rows) - len(known), "games": groups}


def _told(row: dict[Any, Any], names: dict[str, str]) -> dict[str, Any]:
    known, went = row["theory"], row["went"]
    return {
        "label": names[row["variant"]],
        "variant": row["variant"],
        "says": DASH if known is None else known.behaviour,
        "source": "" if known is None else known.source,
        "factor": DASH if known is None or known.radius is None else _factor(known.radius) + " mean" * known.scheduled,
        "measured": _factor(row["radius"]),
        "range": "" if np.isnan(row["radius"]) else f"{_factor(row['radius_low'])} to {_factor(row['radius_high'])}",
        "went": ", ".join(f"{count} {name}" if len(went) > 1 else name for name, count in went.items()),
        "distance": float(row["distance"]),
        "agrees": row["agrees"],
    }


def _factor(value: float) -> str:
    return DASH if np.isnan(value) else f"{value:.4f}"


# ---- trajectories


def _figure(context: Context, problem: str) -> Curves | None:
    """Return the paths of a game of two parameters over its field; None for a larger one."""
    panels = list(_panels(context, problem))
    if not panels:
        return None
    rows = -(-len(panels) // COLUMNS)
    with sns.axes_style("white"), matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.4 * COLUMNS, 2.35 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axis in grid.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (variant, paths) in zip(grid.flat, panels, strict=False):
            _panel(axis, variant, paths)
            parts = ("update", variant.update), ("regularizer", variant.regularizer)
            axis.set_title(", ".join(level(*part) for part in parts if part[1] != "none"))
        figure.supxlabel("generator: distance of its parameter from the equilibrium", fontsize=9)
        figure.supylabel("discriminator: distance of its parameter", fontsize=9)
    base = panels[0][0]
    title = f"{problem}, {base.loss} with {base.optimizer}: paths of {STARTS} seeds from their starts (dots) and the "
    return Curves(
        f"{problem}-trajectories", f"{title}equilibrium (cross), over the field linearised there", *render(figure)
    )


def _panels(context: Context, problem: str) -> Iterator[tuple[Variant, list[Matrix]]]:
    """Yield the variants to draw with their seeds' paths: every rule alone, every regularizer with the first rule."""
    study = context.study
    variants = [variant for variant in study.variants if variant.problem == problem]
    if not variants:
        return
    base = variants[0]
    runs = dict(list(study.series.groupby("run", sort=False)))
    drawn = 0
    for variant in variants:
        same = (variant.loss, variant.optimizer) == (base.loss, base.optimizer)
        if not same or (variant.regularizer != base.regularizer and variant.update != base.update) or drawn == PANELS:
            continue
        names = study.runs.loc[study.runs["variant"] == variant.id, "run"]
        paths = [displacements(runs[name]) for name in names if name in runs][:STARTS]
        if paths and paths[0].shape[1] == 2:
            drawn += 1
            yield variant, paths


def _panel(axis: Axes, variant: Variant, paths: list[Matrix]) -> None:
    reach = 1.15 * max(float(np.abs(path[np.isfinite(path).all(1)]).max()) for path in paths)
    games = linear_games(variant)
    if games:
        at = np.linspace(-reach, reach, 11)
        x, y = np.meshgrid(at, at)
        u, v = np.moveaxis(-np.einsum("ij,jkl->ikl", games[0].field, np.stack([x, y])), 0, 0)
        axis.quiver(x, y, u, v, color=".8", angles="xy", width=0.006, pivot="mid")
    for path, colour in zip(paths, LIGHT, strict=False):
        axis.plot(*path.T, "-", color=colour, linewidth=0.8)
        axis.plot(*path[0], "o", color=colour, markersize=3.5)
    axis.plot(0, 0, "+", color=".15", markersize=9, markeredgewidth=1.3)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_aspect("equal")
    axis.locator_params(nbins=3)
    sns.despine(ax=axis)
