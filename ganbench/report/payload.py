"""What the page's script reads: what runs and variants are, and their curves and samples, thinned to a budget.

Curves are numbers of 10 bits, or of 8 where a reader has to ask for them, between the bounds of their measure, on a
logarithmic scale where a measure spans decades: a panel has 160 pixels. They are stored as their changes from probe to
probe, of all runs beside each other, which deflates to three quarters of the plain numbers.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from ganbench.analysis.ranking import axes, level
from ganbench.analysis.scores import worst_value
from ganbench.analysis.views import view_of
from ganbench.arrays import Array
from ganbench.report.context import Context
from ganbench.report.figures import diagnostics, measures_of
from ganbench.report.frames import samples
from ganbench.report.packing import deflated

NUMBERS = 3_000_000
"""Numbers of curves in a page: two megabytes when packed."""
PROBES = 200
LEVELS, FEWER = 1022, 254
"""The highest codes, of measures that are shown at once and of those that a reader asks for; the next is none."""
DECADES = 2.5
"""A measure without bounds above or values below 0, whose positive values span as much, has a logarithmic scale."""


def payload(context: Context) -> dict[str, Any]:
    """Return what the script of a study's page needs; JSON can hold it, and it holds no number that is not finite."""
    drawn = context.runs[context.runs["status"].isin(["done", "diverged", "running"])]
    curves = _Curves(context, drawn)
    problems = {problem: curves.add(problem) for problem in context.problems}
    settings = axes(context.study)
    variants = context.runs.drop_duplicates("variant")
    return {
        "settings": settings,
        "variants": {
            row["variant"]: {
                "label": row["label"],
                "problem": row["problem"],
                "levels": [level(axis, row[axis]) for axis in settings],
            }
            for row in variants.to_dict("records")
        },
        "runs": {
            row["run"]: {
                "variant": row["variant"],
                "seed": row["seed"],
                "status": row["status"],
                "verdict": None if pd.isna(row["verdict"]) else row["verdict"],
                "onset": None if pd.isna(row["onset"]) else int(row["onset"]),
            }
            for row in drawn.to_dict("records")
        },
        # of many runs these are long, alike, and seldom asked for
        "commands": deflated(json.dumps({run: context.study.commands.get(run, "") for run in drawn["run"]}).encode()),
        "problems": problems,
        "curves": curves.packed(),
        "samples": samples(context, drawn),
    }


class _Curves:
    """The measures of all runs, problem after problem, as changes of codes in one buffer [measure, probe, run]."""

    def __init__(self, context: Context, runs: pd.DataFrame) -> None:
        self.context, self.runs = context, runs
        self.codes: list[Array] = []
        self.size = 0
        columns = context.study.series.columns.size - 2
        self.plain = len(context.study.series) * columns > NUMBERS
        self.share = NUMBERS / max(1, len(context.study.series) * self._columns().size)

    def _columns(self) -> pd.Index:
        names = self.context.study.series.columns.drop(["run", "step"])
        # where there is not room for all, layers are left out before probes
        return names[~names.str.contains(".", regex=False)] if self.plain else names

    def add(self, problem: str) -> dict[str, Any]:
        """Keep a problem's curves and return where: steps, runs, measures with their place in the buffer."""
        runs = list(self.runs.loc[self.runs["problem"] == problem, "run"])
        series = self.context.study.series
        rows = np.flatnonzero(series["run"].isin(runs))
        steps = np.unique(series["step"].to_numpy()[rows])
        count = min(PROBES, max(10, int(len(steps) * self.share)))
        if len(steps) > count:
            steps = steps[np.unique(np.rint(np.linspace(0, len(steps) - 1, count)).astype(int))]
        # columns are taken one by one: a table of some rows of all columns is a copy, of a large study for seconds
        rows = rows[np.isin(series["step"].to_numpy()[rows], steps)]
        step, of = (series[name].to_numpy()[rows] for name in ("step", "run"))
        place = pd.Series(range(len(runs)), index=runs)
        at = place[of].to_numpy(), np.searchsorted(steps, step)
        names = [name for name in self._columns() if np.isfinite(series[name].to_numpy(dtype=float)[rows]).any()]
        seen, first = view_of(self.context.study, problem), measures_of(self.context.study, problem)
        shown = [*([seen.count, seen.quality] if seen else []), *diagnostics()]
        measures = {}
        for name in names:
            values = np.full((len(runs), len(steps)), np.nan)
            values[at] = series[name].to_numpy(dtype=float)[rows]
            measures[name] = self._measure(problem, name, values, LEVELS if name in {*first, *shown} else FEWER)
        return {
            "steps": steps.tolist(),
            "runs": runs,
            "measures": measures,
            "first": [name for name in first if name in measures],
            "diagnosis": [name for name in shown if name in measures],
        }

    def _measure(self, problem: str, name: str, values: Array, most: int) -> dict[str, Any]:
        known = self.context.study.measures.get(name) or self.context.study.measures.get(name.split(".", 1)[0])
        finite = np.isfinite(values)
        low, high = float(values[finite].min()), float(values[finite].max())
        positive = values[finite & (values > 0)]
        least = float(np.quantile(positive, 0.001)) if len(positive) else 0.0
        bounded = known is not None and math.isfinite(known.bounds[1])
        logarithmic = not bounded and low >= 0 and least > 0 and math.log10(high / least) > DECADES
        if logarithmic:
            low = least
            values = np.log(np.maximum(values, low))
        bounds = (math.log(low), math.log(high)) if logarithmic else (low, high)
        span = (bounds[1] - bounds[0]) or 1.0
        with np.errstate(invalid="ignore"):
            scaled = np.rint((np.clip(values, *bounds) - bounds[0]) / span * most)
        # infinities are clipped to the bounds of what is finite; only what is missing is missing
        codes = np.where(np.isnan(values), most + 1, scaled).astype(int)
        start, self.size = self.size, self.size + codes.size
        self.codes.append(_changes(codes))
        worst = worst_value(known)
        oracle = self.context.oracle(problem).get(name)
        return {
            "at": start,
            "most": most,
            "low": low,
            "high": high,
            "log": logarithmic,
            "legend": known.legend if known else "",
            "oracle": oracle if oracle is not None and math.isfinite(oracle) else None,
            # from its divergence on, a run counts as the worst value; a measure without direction ends there
            "worst": None if math.isnan(worst) else min(max(worst, low), high),
        }

    def packed(self) -> str:
        """Return the buffer; all high bytes come before all low bytes, which packs better."""
        codes = np.concatenate(self.codes) if self.codes else np.empty(0, np.uint16)
        return deflated((codes >> 8).astype(np.uint8).tobytes() + (codes & 255).astype(np.uint8).tobytes())


def _changes(codes: Array) -> Array:
    """Return how codes [runs, probes] change by probe, flat [probes x runs]; 0, -1, 1, -2 are 0, 1, 2, 3."""
    change = np.diff(codes, axis=1, prepend=0)
    return np.where(change < 0, -2 * change - 1, 2 * change).astype(np.uint16).T.ravel()
