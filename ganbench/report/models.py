"""The page Models: what each kind of model reaches and costs, measured with one set of eyes under one budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ganbench import kinds, registry
from ganbench.analysis.ranking import COSTS
from ganbench.analysis.scores import FINISHED, worst_value
from ganbench.report.context import DASH, Context, number

UNITS = {"seconds": "s to train", "gflop": "GFLOP", "memory_mb": "MB a run"}
AXIS = "model"
FEW = 0.4
"""Share of a problem's variants below which a column is one that few have."""
MARKS = {"exact": "", "bound": "≤ "}
"""What stands before a likelihood in bits, by what its model declares of it: a bound from below is one from above."""


def models_page(context: Context) -> list[dict[str, Any]] | None:
    """Return for every problem a table of its variants by what is measured; None where all are the usual model."""
    usual = kinds.axes()[AXIS].default
    if AXIS not in context.runs.columns or (context.runs[AXIS] == usual).all() or not len(context.ranking):
        return None
    groups = [_group(context, problem) for problem in context.problems]
    return [group for group in groups if group["rows"]]


def _group(context: Context, problem: str) -> dict[str, Any]:
    runs = context.runs[(context.runs["problem"] == problem) & context.runs["status"].isin(FINISHED)]
    columns = [name for name in dict.fromkeys(_columns(context, problem)) if name in context.study.series.columns]
    finals, known = _finals(context, runs, columns), context.study.measures
    # what few models have stands behind what all cost, which would be out of sight else
    few = [name for name in columns if finals[name].notna().mean() < FEW]
    columns = [*(name for name in columns if name not in few), *few]
    finals = finals[columns]
    rows = [_row(context, row, finals) for row in context.ranking.to_dict("records") if row["problem"] == problem]
    models = [row["model"] for row in rows]
    for row in rows:
        # what a model has none of stands in every label
        own = row["label"].removeprefix(f"{row['model']}, ")
        row["label"] = row["model"] + (f": {own}" if models.count(row["model"]) > 1 else "")
    costs = [cost for cost in COSTS if any(row["costs"][cost] != DASH for row in rows)]
    return {
        "problem": problem,
        "columns": [{"name": name, "legend": known[name].legend} for name in columns],
        "before": len(columns) - len(few),
        "costs": [(cost, UNITS[cost]) for cost in costs],
        "oracle": [number(context.oracle(problem).get(name)) for name in columns],
        "rows": rows,
    }


def _columns(context: Context, problem: str) -> list[str]:
    """Return what a problem's tables show, and what the suite has asked to be measured beside."""
    asked = [metric for metric in registry.plugins("metric") if metric.declared("asked")]
    return [*context.measures(problem), *(name for metric in asked for name in metric.meta["measures"])]


def _finals(context: Context, runs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the medians over seeds of the last values that there are, variants by columns; who is lost has the worst.

    A measure that only some models have says nothing of the others, whose cells stay empty.
    """
    series, known = context.study.series, context.study.measures
    last = series[series["run"].isin(runs["run"])].groupby("run")[columns].last().reindex(runs["run"])
    lost = (runs["status"] != "done").to_numpy()
    for name in columns:
        has = last[name].notna().groupby(runs["variant"].to_numpy()).transform("any").to_numpy()
        last.loc[lost & has, name] = worst_value(known[name])
    return last.groupby(runs["variant"].to_numpy(), sort=False).median()


def _row(context: Context, row: dict[Any, Any], finals: pd.DataFrame) -> dict[str, Any]:
    of = context.runs[context.runs["variant"] == row["variant"]].iloc[0]
    model, values = registry.get(AXIS, str(of[AXIS])), finals.loc[row["variant"]]
    return {
        "variant": row["variant"],
        "label": row["label"],
        "model": model.name,
        "legend": model.legend,
        "failed": f"{row['failures']}/{row['seeds']}",
        "share": row["failure_rate"],
        "cells": [_cell(context, str(name), value, model) for name, value in values.items()],
        "costs": {cost: number(row[cost]) for cost in COSTS},
    }


def _cell(context: Context, name: str, value: float, model: registry.Plugin) -> str:
    if np.isnan(value):
        return DASH
    in_bits = context.study.measures[name].unit == "bits"
    return (MARKS.get(model.declared("likelihood"), "") if in_bits else "") + number(float(value))
