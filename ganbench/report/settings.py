"""What was set, and by what it was trained: the settings of every variant, and the environment of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ganbench.provenance import told
from ganbench.report.context import Context

ENVIRONMENT = ("ganbench", "git_revision", "plugin_revisions", "torch", "device", "threads", "python", "plan_hash")
"""The keys of the provenance that every output shows."""


def shared(context: Context, problem: str) -> dict[str, Any]:
    """Return the settings that are equal for all variants of a problem that have them; the others differ."""
    return {key: values[0] for key, values in _values(context, problem).items() if _equal(values)}


def differing(context: Context, problem: str) -> list[str]:
    """Return the names of a problem's settings that differ between its variants."""
    return [key for key, values in _values(context, problem).items() if not _equal(values)]


def others(context: Context) -> pd.DataFrame:
    """Return every setting that the table of runs has no column for: indexed by variant, a column a setting."""
    table = pd.DataFrame.from_dict(dict(context.study.settings), orient="index", dtype=object)
    return table.drop(columns=[name for name in table.columns if name in context.runs.columns])


def environment(context: Context) -> dict[str, str]:
    """Return by what a study was trained as short texts, with all values of what is mixed; empty where unknown."""
    known = context.study.provenance
    records = [*known.get("environments", ()), known]
    return {key: " | ".join(dict.fromkeys(filter(None, (_text(key, r) for r in records)))) for key in ENVIRONMENT}


def _values(context: Context, problem: str) -> dict[str, list[Any]]:
    runs = context.study.runs
    found: dict[str, list[Any]] = {}
    for variant in runs.loc[runs["problem"] == problem, "variant"].unique():
        for key, value in context.study.settings.get(str(variant), {}).items():
            found.setdefault(key, []).append(value)
    # the label says more of it, and the table stands under it
    return {key: values for key, values in found.items() if key != "problem"}


def _equal(values: list[Any]) -> bool:
    return all(value == values[0] for value in values)


def _text(key: str, record: Mapping[str, Any]) -> str:
    revisions = record.get(key)
    if not isinstance(revisions, Mapping):
        return told(record, key)
    return ", ".join(f"{file} {revision or '(in no repository)'}" for file, revision in revisions.items())
