"""The first screen: where runs fail in one picture, what that shows in three lines, the leaders, what to read next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ganbench import kinds
from ganbench.analysis.claims import VERDICTS as JUDGED
from ganbench.analysis.findings import AxisCompared, Compared, percent
from ganbench.analysis.ranking import axes, level
from ganbench.analysis.scores import FINISHED
from ganbench.analysis.verdicts import VERDICTS
from ganbench.report.colours import shade
from ganbench.report.context import DASH, Context
from ganbench.report.leaders import leaders
from ganbench.report.levels import at, levels

MOST = 3
"""Ways to fail that are named."""
SMALL = 0.001
"""P-values below are told as smaller than it."""


def front(context: Context) -> dict[str, Any]:
    """Return what the first screen shows of a study that compares something."""
    row_axis, column_axis = [*axes(context.study), None, None][:2]
    panels = [_panel(context, problem, row_axis, column_axis) for problem in context.problems]
    cells = [cell for panel in panels for row in panel["rows"] for cell in row["cells"]]
    return {
        "panels": panels,
        "row_axis": _called(row_axis),
        "column_axis": _called(column_axis),
        "told": list(_told(context)),
        "leaders": leaders(context),
        "starred": any(cell.get("star") for cell in cells),
        "skipped": any(cell["kind"] == "skipped" for cell in cells),
        "short": any(cell.get("short") for cell in cells),
        "pooled": any(cell.get("words") for cell in cells),
    }


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
    return {"problem": problem, "columns": heads, "rows": rows, "note": _note(ranking, len(tied), all(starred))}


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
    if many == 1:
        return ""
    if tied == many:
        return f"By {_seeds(ranking)} any of {many} variants may be best."
    told = f"{tied} of {many} variants may be the best"
    return f"{told}, some in every cell." if everywhere else f"★ {told}."


def _seeds(ranking: pd.DataFrame) -> str:
    most = int(ranking["seeds"].max())
    return f"{most} seed{'s' * (most != 1)}"


# ------------------------------------------------------------------------------------------ three lines


def _told(context: Context) -> Iterator[tuple[str, str]]:
    """Yield what the picture shows: (its heading, a line)."""
    if context.finished.empty:
        yield "So far", "no run has finished yet."
        return
    yield "How many fail", _overall(context)
    yield ("Claims", _claims(context)) if len(context.claims) else ("What matters", _levels(context.compared))
    yield "What is best", _best(context)


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


def _against(one: Compared, base: str) -> str:
    p = f"p < {SMALL}" if one.p < SMALL else f"p = {one.p:.2g}"
    how = "more" if one.gap > 0 else "less"
    share, other = (percent(k / n) for k, n in (one.failed, one.base))
    return f"{one.level} fails {how} than {base} ({share} against {other} %, {p})"


def _or(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _best(context: Context) -> str:
    """Tell how many variants of each problem may be the best, or which one it is."""
    told, several = [], context.ranking["problem"].nunique() > 1
    for problem, rows in context.ranking.groupby("problem", sort=False):
        tied = rows[rows["tied"].astype(bool)]
        many = f"any of {len(rows)}" if len(tied) == len(rows) else f"one of {len(tied)} of {len(rows)}"
        who = str(tied.iloc[0]["label"]) if len(tied) == 1 else f"{many} variants"
        told.append(f"{who} on {problem}" if several else who)
    return f"{'; '.join(told)} (95 % sure, for new seeds)."
