"""The first screen: where runs fail in one picture, what that shows in three lines, the leaders, what to read next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ganbench import kinds
from ganbench.analysis.claims import VERDICTS as JUDGED
from ganbench.analysis.findings import percent
from ganbench.analysis.levels import AxisCompared, Better, Compared, better_levels
from ganbench.analysis.ranking import axes, level
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.statistics import CONFIDENCE
from ganbench.analysis.verdicts import VERDICTS
from ganbench.registry import playing
from ganbench.report.colours import shade
from ganbench.report.context import DASH, Context, number
from ganbench.report.heatmaps import scale_of
from ganbench.report.leaders import leaders
from ganbench.report.levels import at, levels

MOST = 3
"""Ways to fail that are named."""
SMALL = 0.001
"""P-values below are told as smaller than it."""


def front(context: Context) -> dict[str, Any]:
    """Return what the first screen shows of a study that compares something."""
    row_axis, column_axis = _pictured(context)
    panels = [_told_apart(context, _panel(context, problem, row_axis, column_axis)) for problem in context.problems]
    cells = [cell for panel in panels for row in panel["rows"] for cell in row["cells"]]
    return {
        "panels": panels,
        "flat": all(panel["measure"] for panel in panels),
        "row_axis": _called(row_axis),
        "column_axis": _called(column_axis),
        "told": list(_told(context, panels)),
        "leaders": leaders(context),
        "starred": any(cell.get("star") for cell in cells),
        "skipped": any(cell["kind"] == "skipped" for cell in cells),
        "short": any(cell.get("short") for cell in cells),
        "pooled": any(cell.get("words") for cell in cells),
    }


def _pictured(context: Context) -> tuple[str | None, str | None]:
    """Return the settings of the picture's rows and columns: the first two that vary.

    Where failures tell no level of the second apart, but those of others, the columns are of what they tell most of.
    """
    row_axis, column_axis = [*axes(context.study), None, None][:2]
    gaps = {
        one.axis: max((abs(level.gap) for level in one.levels if level.apart), default=0.0) for one in context.compared
    }
    most = max(gaps, key=lambda axis: gaps[axis], default=None)
    if most is not None and gaps[most] and not gaps.get(str(column_axis), 0.0) and most != row_axis:
        return row_axis, most
    return row_axis, column_axis


def _called(axis: str | None) -> str:
    return axis.rsplit(".", 1)[-1].replace("_", " ") if axis else ""


# ------------------------------------------------------------------------------------------ the picture


def _panel(context: Context, problem: str, row_axis: str | None, column_axis: str | None) -> dict[str, Any]:
    """Return a problem's cells: rows of the levels of the first setting, columns of the second, all others pooled."""
    runs = context.runs[context.runs["problem"] == problem]
    ranking = context.ranking[context.ranking["problem"] == problem]
    tied = set(ranking.loc[ranking["tied"].astype(bool), "variant"]) if len(ranking) else set()
    order = list(ranking["variant"])
    columns = levels(runs[column_axis]) if column_axis else [None]
    # of dozens of columns, each of which pandas copies for every cell
    known = ("run", "variant", "status", "reason", "verdict", "failed", "undecided")
    runs = runs[[*dict.fromkeys([*known, *filter(None, (row_axis, column_axis))])]]
    rows: list[dict[str, Any]] = []
    for value in levels(runs[row_axis]) if row_axis else [None]:
        here = at(runs, row_axis, value)
        cells = []
        for other in columns:
            words = [problem, *(level(axis, one) for axis, one in ((row_axis, value), (column_axis, other)) if axis)]
            cells.append(_cell(at(here, column_axis, other), order, tied, [word for word in words if word]))
        rows.append({**_head(context, row_axis, value), "cells": cells})
    # a mark in every cell would mark nothing
    starred = [bool(cell.get("star")) for row in rows for cell in row["cells"] if not cell["kind"]]
    if all(starred):
        for row in rows:
            row["cells"] = [{**cell, "star": False} for cell in row["cells"]]
    heads = [_head(context, column_axis, other) for other in columns]
    note = _note(ranking, len(tied), all(starred))
    return {"problem": problem, "columns": heads, "rows": rows, "note": note, "measure": None}


def _told_apart(context: Context, panel: dict[str, Any]) -> dict[str, Any]:
    """Return a panel whose cells all fail, or all survive, with the medians of a measure in them instead."""
    cells = [cell for row in panel["rows"] for cell in row["cells"] if not cell["kind"]]
    shares, problem = {cell["share"] for cell in cells}, panel["problem"]
    name = _telling(context, problem) if len(cells) > 1 and shares in ({0.0}, {1.0}) else None
    if name is None:
        return panel
    scale = scale_of(context, problem, name, list(context.by_variant))
    for cell in cells:
        value = float(pd.Series([context.finals[run, name] for run in cell["runs"]]).median())
        told = f"{cell['title']}; median {name.replace('_', ' ')} {number(value)}"
        cell |= {"text": number(value, 2 if abs(value) < 100 else 3), "shade": shade(scale.good(value)), "title": told}
    oracle, every = context.oracle(problem).get(name), shares == {1.0}
    perfect = "" if oracle is None else f", which of a perfect sampler is {number(oracle)}"
    told = f"{'Every' if every else 'No'} run fails: medians of {name.replace('_', ' ')}{perfect}."
    return panel | {"measure": name, "flat": told}


def _telling(context: Context, problem: str) -> str | None:
    """Return the measure that tells variants of a problem apart where their failures do not, None without one."""
    runs = context.finished.loc[context.finished["problem"] == problem, "run"]
    have = context.scores.groupby("measure")["run"].agg(set)
    names = [name for name in (*playing("published"), *playing("distance")) if name in have.index]
    return next((name for name in names if have[name].issuperset(runs)), None)


def _head(context: Context, axis: str | None, value: Any) -> dict[str, str]:
    """Return a level as it heads a row or a column beside its setting's name, and what it is."""
    if axis is None:
        return {"text": "", "title": ""}
    if pd.isna(value):
        return {"text": DASH, "title": "does not apply"}
    kind = kinds.kind_of(axis) if axis in kinds.axes() else ""
    legend = context.study.legends.get(f"{kind}.{value}", "")
    return {"text": str(value), "title": legend or (f"no {kind}" if kind and value == "none" else "")}


def _cell(runs: pd.DataFrame, order: list[str], tied: set[str], words: list[str]) -> dict[str, Any]:
    """Return a cell: the failures of its runs, and the variant to read of; the words that find all of them, if more."""
    if runs.empty:
        return {"kind": "absent", "text": DASH, "title": "not in the plan"}
    if (runs["status"] == "skipped").all():
        return {"kind": "skipped", "text": "", "title": f"skipped: {runs.iloc[0]['reason']}"}
    here = set(runs["variant"])
    variants = [variant for variant in order if variant in here]
    finished = runs[runs["status"].isin(FINISHED)]
    if not variants or finished.empty:
        return {"kind": "absent", "text": "…", "title": f"0 of {len(runs)} runs finished"}
    failures, short = (int(finished[name].astype(bool).sum()) for name in ("failed", "undecided"))
    best = [variant for variant in variants if variant in tied]
    return {
        "kind": "",
        "runs": list(finished["run"]),
        "share": failures / len(finished) if not short else math.nan,
        "text": percent(failures / len(finished)),
        "short": short,
        "shade": shade(1 - (failures + short) / len(finished)),
        "title": _tell_cell(finished, len(variants), len(best), failures, words),
        "variant": variants[0],
        "words": ", ".join(words) if len(variants) > 1 else "",
        "star": bool(best),
    }


def _tell_cell(finished: pd.DataFrame, variants: int, best: int, failures: int, words: list[str]) -> str:
    counts = finished["verdict"].value_counts()
    how = ", ".join(f"{counts[name]} {name}" for name in sorted(counts.index, key=lambda name: -counts[name]))
    text = f"{', '.join(words)}: {failures} of {len(finished)} runs fail ({how})"
    if variants > 1:
        return f"{text}; {variants} variants, {best} of which may be the best"
    return f"{text}; it may be the best" if best else text


def _note(ranking: pd.DataFrame, tied: int, everywhere: bool) -> str:
    if ranking.empty:
        return "No run has finished yet."
    many = len(ranking)
    # where no run survives, none of them is the best
    if many == 1 or (ranking["failures"] == ranking["seeds"]).all():
        return ""
    if tied == many:
        return f"By {_seeds(ranking)} any of {many} variants may be best."
    told = f"{tied} of {many} variants may be the best"
    return f"{told}, some in every cell." if everywhere else f"★ {told}."


def _seeds(ranking: pd.DataFrame) -> str:
    most = int(ranking["seeds"].max())
    return f"{most} seed{'s' * (most != 1)}"


# ------------------------------------------------------------------------------------------ three lines


def _told(context: Context, panels: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what the picture shows: (its heading, a line)."""
    if context.finished.empty:
        yield "So far", "no run has finished yet."
        return
    yield "How many fail", _overall(context)
    measures = {panel["problem"]: panel["measure"] for panel in panels}
    matters = _by_measures(context, measures) if all(measures.values()) else _levels(context.compared)
    yield ("Claims", _claims(context)) if len(context.claims) else ("What matters", matters)
    yield "What is best", ("by failures " if all(measures.values()) else "") + _best(context)


def _overall(context: Context) -> str:
    finished, ranking = context.finished, context.ranking
    failed = finished[finished["failed"].astype(bool)]
    safe = int((ranking["failures"] + ranking["undecided"] == 0).sum())
    survive = f"{safe} of {len(ranking)} variants survive in all their seeds"
    if failed.empty:
        return f"none of {len(finished)} runs; {survive}."
    counts = failed["verdict"].value_counts()
    # what is as frequent stands in the order of the verdicts
    order = sorted((name for name in VERDICTS if name in counts), key=lambda name: -counts[name])
    most = [f"{counts[name]} {name}" for name in order[:MOST]]
    rest = sum(counts[name] for name in order[MOST:])
    share = f"{percent(len(failed) / len(finished))} % of {len(finished)} runs"
    return f"{share} ({', '.join([*most, f'{rest} others'] if rest else most)}); {survive}."


def _claims(context: Context) -> str:
    counts = context.claims["verdict"].value_counts()
    told = ", ".join(f"{counts[name]} {name}" for name in JUDGED if name in counts)
    return f"of {len(context.claims)} on trial {told}."


def _levels(compared: list[AxisCompared]) -> str:
    """Tell which level fails less than its base, and which one more, by the most, where seeds tell them apart."""
    apart = [(one, axis.against) for axis in compared for one in axis.levels if one.apart]
    if not apart:
        names = [axis.axis.replace("_", " ") for axis in compared]
        if not names:
            return "no setting varies."
        return f"nothing yet: no {_or(names)} is told from the plainest one by these seeds."
    ends = [min(apart, key=lambda pair: pair[0].gap), max(apart, key=lambda pair: pair[0].gap)]
    found = [_against(*end) for end, side in zip(ends, (-1, 1), strict=True) if side * end[0].gap > 0]
    return f"{'; '.join(found)}."


def _by_measures(context: Context, measures: Mapping[str, str]) -> str:
    """Tell which level is better than its base, and which one worse, in most pairs, by each problem's measure."""
    up = {name: context.study.measures[name].direction == "up" for name in measures.values()}
    goodness = {
        run: value if up[name] else -value
        for run, problem in context.finished[["run", "problem"]].to_numpy()
        for name in [measures[problem]] for value in [context.finals[run, name]]
    }  # fmt: skip
    apart = [one for one in better_levels(context.study, context.finished, goodness) if one.p <= 1 - CONFIDENCE]
    by = f"by {_or([name.replace('_', ' ') for name in up])}"
    if not apart:
        return f"nothing yet: failures tell no level apart, nor do pairs {by}."
    ends = [max(apart, key=lambda one: one.share), min(apart, key=lambda one: one.share)]
    found = [_in_pairs(one) for one, side in zip(ends, (1, -1), strict=True) if side * (one.share - 0.5) > 0]
    return f"{by}, {'; '.join(found)}."


def _in_pairs(one: Better) -> str:
    how, many = ("better", one.better) if one.share > 0.5 else ("worse", one.pairs - one.better)
    return f"{one.level} is {how} than {one.against} ({many} of {one.pairs} pairs, {_p(one.p)})"


def _p(p: float) -> str:
    return f"p < {SMALL}" if p < SMALL else f"p = {p:.2g}"


def _against(one: Compared, base: str) -> str:
    how = "more" if one.gap > 0 else "less"
    share, other = (percent(k / n) for k, n in (one.failed, one.base))
    return f"{one.level} fails {how} than {base} ({share} against {other} %, {_p(one.p)})"


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _best(context: Context) -> str:
    """Tell how many variants of each problem may be the best, or which one it is; none where nothing survives."""
    told, several = [], context.ranking["problem"].nunique() > 1
    for problem, rows in context.ranking.groupby("problem", sort=False):
        who, sure = _best_of(rows), " (95 % sure, for new seeds)"
        if (rows["failures"] == rows["seeds"]).all():
            who, sure = f"none of {len(rows)} variants, as no run survives" if len(rows) > 1 else "no run survives", ""
        elif len(rows) == 1:
            who, sure = f"{who}, for there is no other", ""
        told.append((f"{who} on {problem}" if several else who, sure))
    alike = len({sure for _, sure in told}) == 1
    return "; ".join(who + sure * (not alike) for who, sure in told) + (told[0][1] if alike else "") + "."


def _best_of(rows: pd.DataFrame) -> str:
    tied = rows[rows["tied"].astype(bool)]
    many = f"any of {len(rows)}" if len(tied) == len(rows) else f"one of {len(tied)} of {len(rows)}"
    return str(tied.iloc[0]["label"]) if len(tied) == 1 else f"{many} variants"
