"""Heat maps: every combination's failures and scores as coloured tables with the numbers in their cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ganbench.analysis.findings import percent
from ganbench.analysis.ranking import axes, joined, level
from ganbench.analysis.verdicts import FAILURES, SYMBOLS, UNDECIDED, VERDICTS
from ganbench.report.colours import shade
from ganbench.report.context import DASH, SHOWN, TIMES, Context, number
from ganbench.report.levels import at, levels


def maps(context: Context, problem: str) -> Iterator[dict[str, Any]]:
    """Yield a problem's heat maps: failures, then each measure in final, best and worst after best.

    Rows are the levels of the first varying setting, columns those of the second, blocks those of all others.
    """
    runs = context.study.runs[context.study.runs["problem"] == problem]
    ranking = context.ranking[context.ranking["problem"] == problem] if len(context.ranking) else context.ranking
    ranked = {row["variant"]: row for row in ranking.to_dict("records")}
    layout = _layout(runs, axes(context.study))
    known_measures = context.study.measures
    shown = [None, *context.measures(problem)] if ranked else [None]
    for measure in shown:
        known = None if measure is None else known_measures[measure]
        yield {
            "measure": measure,
            "title": "failed seeds" if measure is None else measure.replace("_", " "),
            "legend": "of those finished, and how they failed" if known is None else known.legend,
            "oracle": None if measure is None else number(context.oracle(problem).get(measure)),
            "direction": None if known is None else known.direction,
            **_grid(context, layout, ranked, scale_of(context, problem, measure, list(ranked))),
        }


def scores_of(problems: Iterable[dict[str, Any]]) -> dict[str, dict[str, list[list[str]]]]:
    """Return what the script shows in the cells of a page's maps, by problem and measure: their scores and shades.

    Cells are those with a link, in the order of the page.
    """
    return {
        problem["name"]: {
            each["measure"]: [
                [cell["scores"], cell["shades"]]
                for block in each["blocks"] for row in block["rows"] for cell in row["cells"] if not cell["kind"]
            ]
            for each in problem["maps"] if each["measure"]
        }
        for problem in problems
    }  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How a measure's value becomes a colour: up to the oracle, or above it, there as the measure is drawn."""

    measure: str | None
    perfect: float
    worst: float
    up: bool
    logarithmic: bool = True

    def good(self, value: float) -> float:
        if not math.isfinite(value):
            return 0.0
        if self.up:
            return value / self.perfect if self.perfect else 0.0
        if not self.logarithmic:
            return 1.0 - (max(value, self.perfect) - self.perfect) / (self.worst - self.perfect)
        span = math.log(self.worst / self.perfect)
        return 1.0 - math.log(max(value, self.perfect) / self.perfect) / span if span > 0 else 1.0


def scale_of(context: Context, problem: str, measure: str | None, variants: list[str]) -> Scale:
    """Return the scale of a measure's final medians over variants: from the worst of them to the oracle."""
    if measure is None:
        return Scale(None, 0, 1, up=False)
    known = context.study.measures[measure]
    up = known.direction == "up"
    finals = [context.medians.get((v, measure), {}).get("final", math.nan) for v in variants]
    finite = [value for value in finals if math.isfinite(value)] or [1.0]
    perfect = context.oracle(problem).get(measure, max(finite) if up else min(finite))
    floor = max(perfect, 1e-9)
    return Scale(measure, perfect if up else floor, max(max(finite), 10 * floor), up, known.scale == "log")


@dataclass(frozen=True)
class _Place:
    """What stands in a cell of all maps of a problem: a variant with so many runs, and why it was skipped if it was."""

    variant: str
    runs: int
    skipped: str | None

    @classmethod
    def of(cls, runs: pd.DataFrame) -> _Place:
        """Return the place of these runs, which are those of one variant or none."""
        if runs.empty:
            return cls("", 0, None)
        first, skipped = runs.iloc[0], bool((runs["status"] == "skipped").all())
        return cls(str(first["variant"]), len(runs), str(first["reason"]) if skipped else None)


@dataclass(frozen=True)
class _Layout:
    """Where the variants of a problem stand in its maps: blocks of (label, rows of (label, what is in each cell))."""

    row_axis: str
    column_axis: str
    columns: list[str]
    blocks: list[tuple[str, list[tuple[str, list[_Place]]]]]


def _layout(runs: pd.DataFrame, varying: list[str]) -> _Layout:
    row_axis, column_axis = [*varying, None, None][:2]
    others = varying[2:]
    # of dozens of columns, each of which pandas copies for every cell
    runs = runs[[*varying, "variant", "status", "reason"]]
    columns = levels(runs[column_axis]) if column_axis else [None]
    blocks = []
    for key, block in list(runs.groupby(others, sort=False, dropna=False)) if others else [((), runs)]:
        rows = []
        for value in levels(runs[row_axis]) if row_axis else [None]:
            here = at(block, row_axis, value)
            label = level(row_axis, value) or DASH if row_axis else "all seeds"
            rows.append((label, [_Place.of(at(here, column_axis, c)) for c in columns]))
        blocks.append((joined(others, key), rows))
    heads = [level(column_axis, c) or DASH if column_axis else "" for c in columns]
    return _Layout(row_axis or "", column_axis or "", heads, blocks)


def _grid(context: Context, layout: _Layout, ranked: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    blocks = [
        {"label": name, "rows": [{"label": label, "cells": [_cell(context, place, ranked, scale) for place in cells]}
                                 for label, cells in rows]}
        for name, rows in layout.blocks
    ]  # fmt: skip
    return {
        "columns": layout.columns,
        "blocks": blocks,
        "row_axis": layout.row_axis,
        "column_axis": layout.column_axis,
    }


def _cell(context: Context, place: _Place, ranked: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    # why a cell is empty is told once, in the first map: the others have the same cells
    first = scale.measure is None
    if not place.runs:
        return {"text": DASH, "kind": "absent", "title": "not in the plan" * first}
    if place.skipped is not None:
        return {"text": "skipped", "kind": "skipped", "title": f"skipped: {place.skipped}" * first}
    if place.variant not in ranked:
        return {"text": "…", "kind": "absent", "title": f"0 of {place.runs} seeds finished" * first}
    row = ranked[place.variant]
    cell = _failures(row) if scale.measure is None else _scores(context, row, scale)
    return {"kind": "", "variant": place.variant, **cell}


def _failures(row: Mapping[str, Any]) -> dict[str, Any]:
    # tables that are made of the rules anew whenever they are read
    counted = {*FAILURES, *UNDECIDED}
    found = [(row[name], name) for name in VERDICTS if name in counted and row[name]]
    low, high = percent(row["failure_low"]), percent(row["failure_high"])
    how = ", ".join(f"{n} {name}" for n, name in found) or "no failure"
    return {
        "text": f"{row['failures']}/{row['seeds']}",
        "small": " ".join(f"{n}{SYMBOLS[name]}" for n, name in sorted(found, reverse=True)),
        "title": f"{row['label']}: {how}; {low} to {high} %; {row['seeds']} of {row['planned']} seeds finished",
        "shade": shade(1 - row["failure_rate"] - row["undecided"] / row["seeds"]),
        "scores": "",
        "shades": "",
    }


def _scores(context: Context, row: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """Return a cell with the final score, and what the script shows of the other ones: texts and steps of the scale."""
    known = context.medians.get((row["variant"], str(scale.measure)), dict.fromkeys(SHOWN, math.nan))
    if math.isnan(known["final"]):
        return {"text": DASH, "kind": "absent", "title": ""}
    return {
        "text": number(known["final"]) + f" {TIMES}" * bool(row["diverged"]),
        "small": " · ".join(number(known[score], 2) for score in ("best", "worst_after_best")),
        "title": "",
        "shade": shade(scale.good(known["final"])),
        "scores": " ".join(number(known[score]) for score in SHOWN),
        "shades": " ".join(str(shade(scale.good(known[score]))) for score in SHOWN),
    }
