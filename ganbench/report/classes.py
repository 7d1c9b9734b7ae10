"""The page Classes: for problems with modes or classes, how much each of them gets, and whether labels are followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis.scores import FINISHED
from ganbench.analysis.views import view_of
from ganbench.report.colours import shade
from ganbench.report.context import Context, number


def classes(context: Context) -> list[dict[str, Any]] | None:
    """Return for every problem its tables, variants by classes; None where no problem has any classes to tell apart."""
    groups = []
    for problem in context.problems:
        seen = view_of(context.study, problem)
        families = (seen.fidelity, seen.shares) if seen else ()
        tables = [_table(context, problem, name) for name in families if name and _places(context, problem, name)]
        if tables:
            groups.append({"problem": problem, "tables": tables})
    return groups or None


def _places(context: Context, problem: str, family: str) -> list[str]:
    """Return a measure's columns by class, in the order of the classes."""
    columns = [str(name) for name in context.study.series.columns if str(name).startswith(f"{family}.")]
    measured = [name for name in columns if name in context.oracle(problem)]
    return sorted(measured, key=lambda name: int(name.partition(".")[2]))


def _table(context: Context, problem: str, family: str) -> dict[str, Any]:
    places, known = _places(context, problem, family), context.study.measures[family]
    perfect = np.array([context.oracle(problem)[name] for name in places])
    finals = _finals(context, problem, places)
    order = list(context.ranking["variant"]) if len(context.ranking) else []
    rows = [
        {
            "variant": variant,
            "label": label,
            "cells": [_cell(*pair, known.direction) for pair in zip(finals.loc[variant], perfect, strict=True)],
        }
        for variant in order if variant in finals.index
        for label in context.runs.loc[context.runs["variant"] == variant, "label"].head(1)
    ]  # fmt: skip
    return {
        "title": family.replace("_", " "),
        "legend": known.legend,
        "columns": [name.partition(".")[2] for name in places],
        "oracle": [number(float(value)) for value in perfect],
        "rows": rows,
    }


def _finals(context: Context, problem: str, places: list[str]) -> pd.DataFrame:
    """Return the median over seeds of the last probe's values, variants by classes; a run that is lost has 0."""
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(FINISHED)]
    series = context.study.series
    last = series[series["run"].isin(runs["run"])].sort_values("step", kind="stable").groupby("run")[places].nth(-1)
    values = series.loc[last.index, ["run", *places]].set_index("run").reindex(runs["run"])
    values[(runs["status"] != "done").to_numpy()] = 0.0
    return values.fillna(0.0).groupby(runs["variant"].to_numpy(), sort=False).median()


def _cell(value: float, perfect: float, direction: str | None) -> dict[str, Any]:
    share = value / perfect if perfect > 0 else 0.0
    # a share of samples is as wrong above the oracle's as it is below
    good = share if direction == "up" or share <= 1 else 1 / share
    return {"text": number(float(value), 2), "shade": shade(good)}
